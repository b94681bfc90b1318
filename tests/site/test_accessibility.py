"""The pass that mends the theme's markup: each mend on markup as the pinned theme writes it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
STYLE = ROOT / "book" / "_assets" / "accessibility.css"


def _load() -> ModuleType:
    """The extension, which lies outside any package."""
    path = ROOT / "book" / "_ext" / "accessibility.py"
    spec = importlib.util.spec_from_file_location("accessibility", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


accessibility = _load()

SEARCH_BUTTON = (
    '<button class="btn search-button-field search-button__button pst-js-only" title="Search"'
    ' aria-label="Search" data-bs-toggle="tooltip">\n <i class="fa-solid"></i>\n'
    ' <span class="search-button__default-text">Search</span>\n'
    ' <kbd class="kbd-shortcut__modifier">Ctrl</kbd>+<kbd>K</kbd>\n</button>'
)
SEARCH_ICON = (
    '<button class="btn btn-sm search-button search-button__button pst-js-only" title="Search"'
    ' aria-label="Search">\n    <i class="fa-solid fa-magnifying-glass fa-lg"></i>\n</button>'
)
THEME_BUTTON = (
    '<button class="btn nav-link theme-switch-button pst-js-only" aria-label="Color mode"'
    ' data-bs-title="Color mode">\n'
    '  <i class="theme-switch fa-sun" data-mode="light" title="Light"></i>\n'
    '  <i class="theme-switch fa-moon" data-mode="dark"  title="Dark"></i>\n'
    '  <i class="theme-switch fa-circle" data-mode="auto"  title="System Settings"></i>\n'
    "</button>"
)
CELL_FOLD = (
    '<details class="admonition hide above-input">\n'
    '<summary aria-label="Toggle hidden content">\n'
    '<p class="collapsed admonition-title">Show code cell source</p>\n</summary>\n</details>'
)
CITATIONS = (
    '<div role="list" class="citation-list">\n'
    '<div class="citation" id="id2" role="doc-biblioentry">[1] Howard.</div>\n</div>'
)
SECTIONS = (
    '<li class="toctree-l1 has-children"><a class="reference internal" href="api/index.html">'
    "Text &amp; <code>lib</code></a><details><summary>"
    '<span class="toctree-toggle" role="presentation"><i class="fa-solid"></i></span></summary>'
)
SIGNATURE = (
    '<dl class="py function">\n<dt class="sig sig-object py" id="lm_plan">\n'
    '<span class="sig-paren">(</span>\n\n<dl>\n<dd><em class="sig-param">n_groups</em>,</dd>\n'
    '<dd><em class="sig-param">config</em>,</dd>\n</dl>\n\n<span class="sig-paren">)</span></dt>\n'
    "<dd><p>The plan.</p></dd></dl>"
)
SOLUTION = (
    '<div class="solution dropdown admonition" id="sol-first">\n\n'
    '<p class="admonition-title">Solution to<a class="reference internal" href="#ex-first">'
    " Exercise 1 (First)</a></p>\n"
    '<section id="solution-content">\n<div class="cell"><div>2</div></div>\n</section>\n</div>'
)


def test_the_search_field_is_called_what_is_written_on_it() -> None:
    mended = accessibility.name_search_button(SEARCH_BUTTON)
    assert "aria-label" not in mended
    assert mended == SEARCH_BUTTON.replace(' aria-label="Search"', "")


def test_a_button_that_is_only_an_icon_keeps_its_label() -> None:
    assert accessibility.mend_page(SEARCH_ICON) == SEARCH_ICON


def test_the_theme_button_says_which_mode_it_stands_at() -> None:
    mended = accessibility.name_theme_button(THEME_BUTTON)
    assert "aria-label" not in mended
    titles = re.findall(r'data-mode="(\w+)"\s+title="([^"]*)"', mended)
    assert dict(titles) == {
        "light": "Color mode: light",
        "dark": "Color mode: dark",
        "auto": "Color mode: as the system",
    }


def test_a_folded_cell_is_called_as_it_reads() -> None:
    mended = accessibility.name_folds(CELL_FOLD)
    assert "<summary>\n" in mended
    assert "Toggle hidden content" not in mended


def test_the_arrow_beside_a_page_is_called_after_the_page() -> None:
    mended = accessibility.name_sections(SECTIONS)
    assert '<summary aria-label="Pages of Text &amp; lib"><span class="toctree-toggle"' in mended


def test_a_signature_of_several_lines_holds_no_list() -> None:
    mended = accessibility.flatten_signatures(SIGNATURE)
    signature, rest = mended.split("</dt>")
    assert signature.count("<dl") == 1  # the one around it
    assert signature.count('<span class="sig-line">') == 2
    assert signature.count("<span") == signature.count("</span>")
    assert rest == "\n<dd><p>The plan.</p></dd></dl>"


def test_citations_are_items_of_their_list() -> None:
    mended = accessibility.list_citations(CITATIONS)
    assert '<div class="citation" id="id2" role="listitem">' in mended


def test_a_folded_box_becomes_details_with_its_title_as_the_button() -> None:
    mended = accessibility.fold_natively(SOLUTION)
    assert mended == (
        '<details class="fold solution admonition" id="sol-first">\n'
        '<summary class="admonition-title">Solution to Exercise 1 (First)</summary>\n'
        '<section id="solution-content">\n<div class="cell"><div>2</div></div>\n</section>\n'
        "</details>"
    )


def test_what_follows_a_folded_box_stays_outside() -> None:
    page = f"<article>{SOLUTION}<p>After</p></article>"
    assert accessibility.fold_natively(page).endswith("</details><p>After</p></article>")


def test_folded_boxes_inside_folded_boxes() -> None:
    inner = SOLUTION.replace("sol-first", "sol-inner")
    outer = SOLUTION.replace("<div>2</div>", inner)
    mended = accessibility.fold_natively(outer)
    assert mended.count("<details") == mended.count("</details>") == 2
    assert mended.index("sol-first") < mended.index("sol-inner")
    assert "dropdown" not in mended


def test_markup_inside_scripts_and_comments_closes_no_box() -> None:
    traps = '<script>x = "</div>";</script><!-- </div> --><style>/* </div> */</style>'
    mended = accessibility.fold_natively(SOLUTION.replace("<div>2</div>", traps))
    assert mended.endswith(f"{traps}</div>\n</section>\n</details>")


def test_a_box_to_be_shown_starts_open() -> None:
    box = SOLUTION.replace("dropdown", "dropdown toggle-shown")
    assert '<details class="fold solution admonition" id="sol-first" open>' in (
        accessibility.fold_natively(box)
    )


@pytest.mark.parametrize(
    "box",
    [
        '<div class="note admonition">\n<p class="admonition-title">Note</p>\n</div>',
        '<div class="dropdown admonition"><p class="admonition-title">Never closed</p>',
        '<div class="dropdown">\n<p class="admonition-title">No admonition</p></div>',
    ],
)
def test_other_boxes_stay_as_they_are(box: str) -> None:
    assert accessibility.fold_natively(box) == box


PIECES = [
    SEARCH_BUTTON,
    SEARCH_ICON,
    THEME_BUTTON,
    CELL_FOLD,
    SECTIONS,
    SIGNATURE,
    CITATIONS,
    SOLUTION,
    "<p>困惑度 🙂</p>",
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=20), max_size=6))
def test_mending_twice_is_mending_once(pieces: list[str]) -> None:
    mended = accessibility.mend_page("\n".join(pieces))
    assert accessibility.mend_page(mended) == mended


@given(st.text())
def test_text_without_the_faults_is_left_alone(text: str) -> None:
    assert accessibility.mend_page(text) == text


def test_mend_site_changes_the_pages_that_need_it_and_counts_them(tmp_path: Path) -> None:
    fine = "<p>fine — 好</p>"
    for name, text in {"a.html": SOLUTION, "deep/b.html": fine, "_static/c.html": SOLUTION}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert accessibility.mend_site(tmp_path) == 1
    assert "<details" in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert (tmp_path / "deep" / "b.html").read_text(encoding="utf-8") == fine
    assert (tmp_path / "_static" / "c.html").read_text(encoding="utf-8") == SOLUTION
    assert accessibility.mend_site(tmp_path) == 0


def test_mend_site_says_what_to_do_when_there_is_no_site(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="make book"):
        accessibility.mend_site(tmp_path)


@pytest.mark.parametrize(("theme", "background"), [("light", "#f3f4f5"), ("dark", "#29313d")])
def test_terminal_colours_stand_out_from_the_themes_code_background(
    theme: str, background: str
) -> None:
    rules = re.findall(rf'html\[data-theme="{theme}"\] \{{([^}}]*)\}}', STYLE.read_text("utf-8"))
    colours = re.findall(r"--ansi-(\w+): (#[0-9a-f]{6})", " ".join(rules))
    assert len(colours) == 8
    faint = {name: c for name, c in colours if _contrast(c, background) < 4.5}
    assert not faint


def _contrast(one: str, other: str) -> float:
    """WCAG 2.1's contrast ratio of two colours."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    """WCAG 2.1's relative luminance of ``#rrggbb``."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

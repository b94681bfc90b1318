"""Mend what the theme gets wrong for readers with a keyboard or a screen reader.

Sphinx and its theme write pages with a few violations of WCAG 2.1 A/AA. Each function here takes
the text of one finished page and mends one of them; a page without that fault comes back
unchanged, and mending twice is mending once. ``accessibility.css`` (contrast, wrapping, visible
focus) and ``accessibility.js`` (wide blocks that the Tab key reaches) do the rest. The patterns
fit the pinned theme; ``tests/site`` holds every page against axe-core, so a new theme that needs
other patterns fails there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape, unescape
from pathlib import Path

from sphinx.application import Sphinx

Mend = Callable[[str], str]

FOLD_CLASSES = {"admonition", "dropdown"}
_SEARCH_BUTTON = re.compile(
    r'(<button class="[^"]*\bsearch-button-field\b[^>]*?) aria-label="[^"]*"'
)
_THEME_BUTTON = re.compile(r'<button class="[^"]*\btheme-switch-button\b.*?</button>', re.DOTALL)
_FOLD_LABEL = re.compile(r'<summary aria-label="Toggle hidden content">')
_SECTIONS = re.compile(
    r'(<a class="[^"]*" href="[^"]*">(.*?)</a><details[^>]*>)'
    r'<summary>(<span class="toctree-toggle")'
)
_SIGNATURE = re.compile(r'<dt class="sig [^>]*>.*?</dt>', re.DOTALL)
_SIGNATURE_LINES = {"dl": "sig-lines", "dd": "sig-line"}
_TAG = re.compile(r"<[^>]+>")
_BOX = re.compile(
    r'<div class="(?P<classes>[^"]*)"(?P<rest>[^>]*)>\s*'
    r'<p class="admonition-title">(?P<title>.*?)</p>',
    re.DOTALL,
)
_LINK = re.compile(r"</?a\b[^>]*>")
_NOT_MARKUP = r"<script\b.*?</script>|<style\b.*?</style>|<!--.*?-->"
_DIV = re.compile(rf"{_NOT_MARKUP}|(?P<open><div\b)|(?P<close></div\s*>)", re.DOTALL)


def name_search_button(html: str) -> str:
    """Let the search field's button be called what is written on it (WCAG 2.5.3).

    Its label says "Search", but a person who speaks to the computer reads "Search Ctrl+K".
    """
    return _SEARCH_BUTTON.sub(r"\1", html)


def name_theme_button(html: str) -> str:
    """Let the button for light and dark say the mode it stands at (WCAG 2.5.3).

    The theme labels it "Color mode" and gives each icon a title of its own, "Light", which the
    label then hides.
    """
    return _THEME_BUTTON.sub(lambda match: _rename_modes(match[0]), html)


def name_folds(html: str) -> str:
    """Let a folded cell be called "Show code cell source", as it reads (WCAG 2.5.3)."""
    return _FOLD_LABEL.sub("<summary>", html)


def name_sections(html: str) -> str:
    """Give the buttons that unfold the list of chapters a name (WCAG 4.1.2).

    They are mere arrows, each beside the link to the page whose sections it unfolds.
    """
    return _SECTIONS.sub(_with_section_name, html)


def flatten_signatures(html: str) -> str:
    """Write a signature of several lines without a list of definitions inside (WCAG 1.3.1).

    Sphinx sets each parameter on its own line as a ``<dd>`` without any ``<dt>``.
    """
    return _SIGNATURE.sub(lambda match: _with_lines(match[0]), html)


def list_citations(html: str) -> str:
    """Make the entries of a bibliography items of its list (WCAG 1.3.1).

    They carry ``doc-biblioentry``, which ARIA has withdrawn and which is no item of a list.
    """
    return html.replace('role="doc-biblioentry"', 'role="listitem"')


def fold_natively(html: str) -> str:
    """Turn folded boxes (``:class: dropdown``) into ``<details>`` (WCAG 2.4.6, 4.1.2).

    The theme folds them with a script whose buttons are all called "Toggle hidden content". A
    native fold is called what its title says, opens without a script and opens by itself for a
    link or a search that leads into it.
    """
    for box in reversed(list(_BOX.finditer(html))):
        classes = box["classes"].split()
        end = _matching_close(html, box.start())
        if FOLD_CLASSES <= set(classes) and end is not None:
            html = _as_details(html, box, classes, end)
    return html


MENDS: tuple[Mend, ...] = (
    name_search_button,
    name_theme_button,
    name_folds,
    name_sections,
    flatten_signatures,
    list_citations,
    fold_natively,
)


def mend_page(html: str) -> str:
    """Apply every mend to the text of one page."""
    for mend in MENDS:
        html = mend(html)
    return html


def mend_site(html_dir: Path) -> int:
    """Mend every page of a built site in place.

    Args:
        html_dir: the folder with the site; the pages are its ``.html`` files, those of
            ``_static`` (fragments of the theme) excepted.

    Returns:
        How many pages were changed.

    Raises:
        FileNotFoundError: there is no site in ``html_dir``.
    """
    pages = [p for p in sorted(html_dir.rglob("*.html")) if "_static" not in p.parts]
    if not pages:
        raise FileNotFoundError(f"no pages in {html_dir}: build the site first, with `make book`")
    return sum(_mend_file(page) for page in pages)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the style sheet, the script and the pass over the finished pages with Sphinx."""
    app.add_css_file("accessibility.css", priority=900)
    app.add_js_file("accessibility.js")
    app.connect("build-finished", _mend_build, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _mend_build(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        mend_site(Path(app.outdir))


def _mend_file(page: Path) -> bool:
    """Mend one file; whether that changed it."""
    html = page.read_text(encoding="utf-8")
    mended = mend_page(html)
    if mended != html:
        page.write_text(mended, encoding="utf-8")
    return mended != html


def _rename_modes(button: str) -> str:
    """Move the button's name from its label into the icon that is shown."""
    button = button.replace(' aria-label="Color mode"', "")
    return re.sub(r'data-mode="(\w+)"(\s+)title="[^"]*"', _mode_title, button)


def _mode_title(icon: re.Match[str]) -> str:
    mode = {"auto": "as the system"}.get(icon[1], icon[1])
    return f'data-mode="{icon[1]}"{icon[2]}title="Color mode: {mode}"'


def _with_section_name(match: re.Match[str]) -> str:
    link, title, arrow = match.groups()
    name = escape(unescape(_TAG.sub("", title)).strip())
    return f'{link}<summary aria-label="Pages of {name}">{arrow}'


def _with_lines(signature: str) -> str:
    for tag, name in _SIGNATURE_LINES.items():
        signature = signature.replace(f"<{tag}>", f'<span class="{name}">')
        signature = signature.replace(f"</{tag}>", "</span>")
    return signature


def _as_details(html: str, box: re.Match[str], classes: list[str], end: int) -> str:
    """``html`` with one box rewritten; ``end`` is where its closing tag starts."""
    names = " ".join(["fold", *(c for c in classes if c not in {"dropdown", "toggle-shown"})])
    state = " open" if "toggle-shown" in classes else ""
    head = f'<details class="{names}"{box["rest"]}{state}>\n'
    title = _LINK.sub("", box["title"])  # a link inside a button can't be told from the button
    summary = f'<summary class="admonition-title">{title}</summary>'
    after = html.index(">", end) + 1
    return (
        html[: box.start()] + head + summary + html[box.end() : end] + "</details>" + html[after:]
    )


def _matching_close(html: str, start: int) -> int | None:
    """Where the ``</div>`` of the ``<div`` at ``start`` begins; ``None`` if it has none."""
    depth = 0
    for tag in _DIV.finditer(html, start):
        depth += bool(tag["open"]) - bool(tag["close"])
        if depth == 0 and tag["close"]:
            return tag.start()
    return None

"""Every page of the built site, looked at in headless Chromium with the network cut.

Skipped where the site, Chromium or the node modules are not at hand; with ULMFIT_SITE_CHECKS=1, as
in CI, that is a failure. The site comes from ``make book``, the node modules from
``npm ci --prefix tests/site``. Screenshots are left in ``_build/site-shots`` for people.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby, product
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SITE = HERE.parents[1] / "_build" / "html"
SHOTS = SITE.parent / "site-shots"
SEARCHED = "perplexity"
VIEWS = {f"{width} {theme}" for width in ("desktop", "mobile") for theme in ("light", "dark")}
# The pages of the library's modules come out of one mould. The first of each package is looked at
# like any other page, the rest only in these views, and without what takes a keyboard.
VIEWS_OF_ALIKE = {"desktop light", "mobile dark"}
CHECKS_OF_ALIKE = {"external", "errors", "axe", "mathematics", "images", "width", "links"}
CHECKS = (
    "external",  # no request leaves the site
    "errors",  # no page error, console error or missing file
    "axe",  # WCAG 2.1 A and AA, everything unfolded
    "mathematics",  # formulas are typeset and can be read aloud
    "images",  # pictures say what they show
    "width",  # no sideways scrolling at 390 and 320 px, nothing cut off
    "links",  # links and anchors inside the site lead somewhere
    "search",  # a word finds pages
    "parts",  # search box, drawer, light and dark
    "keyboard",  # every stop of the Tab key is seen and left again
    "explorables",  # figures move by keyboard and mouse, and show something without scripts
    "quizzes",  # each choice shows its reason
    "folds",  # solutions and hidden code open by keyboard
    "disk",  # opened as files, without a server
)
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_REDIRECT = re.compile(r'http-equiv="refresh"', re.IGNORECASE)


@dataclass(frozen=True)
class Report:
    """What one look at a site found."""

    pages: frozenset[str]
    alike: frozenset[str]  # of the pages, those that are only looked at in passing
    findings: tuple[dict[str, str], ...]  # page, view, check, detail
    seen: frozenset[tuple[str, str]]  # (page, "desktop light"), ...

    def of(self, check: str, page: str = "") -> list[str]:
        """The findings of one check, a line for each page and fault, with its views."""
        views = defaultdict(set)
        for found in self.findings:
            if found["check"] == check and page in found["page"]:
                views[found["page"], found["detail"]].add(found["view"])
        return sorted(f"{p} ({', '.join(sorted(v))}): {fault}" for (p, fault), v in views.items())


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser; skips the test where it, Node.js or the node modules are missing."""
    browser = _browser()
    if not shutil.which("node"):
        _give_up("Node.js is not installed: version 20 or later is needed")
    if not (HERE / "node_modules" / "playwright-core").is_dir():
        _give_up("the node modules are missing: npm ci --prefix tests/site")
    if browser is None:
        _give_up("Chromium is not installed: apt-get install chromium, or set CHROMIUM to a path")
    return browser


@pytest.fixture(scope="session")
def report(chromium: str) -> Report:
    """The look at the built site, taken once."""
    if not (SITE / "search.html").is_file():
        _give_up("the site is not built: make book")
    shutil.rmtree(SHOTS, ignore_errors=True)
    return look_at(SITE, SHOTS, chromium, ["pages", "parts", "disk", "without scripts"])


def test_every_page_is_seen_at_both_widths_in_both_themes(report: Report) -> None:
    in_full, alike = report.pages - report.alike, report.alike
    assert report.seen == {*product(in_full, VIEWS), *product(alike, VIEWS_OF_ALIKE)}
    shots = {tuple(path.name.split(".")[:2]) for path in SHOTS.glob("*.png")}
    assert shots == {
        (page.removesuffix(".html").replace("/", "__"), view.replace(" ", "-"))
        for page, view in report.seen
    }


def test_one_page_of_a_package_is_seen_in_full(report: Report) -> None:
    packages = {Path(page).parent for page in report.alike}
    for package in packages:
        pages = {page for page in report.pages if Path(page).parent == package}
        assert len(pages - report.alike) == 1


@pytest.mark.parametrize("check", CHECKS)
def test_nothing_is_wrong_with(check: str, report: Report) -> None:
    found = report.of(check)
    assert not found, f"{len(found)} finding(s):\n" + "\n".join(found)


def test_no_finding_is_of_an_unknown_kind(report: Report) -> None:
    assert {finding["check"] for finding in report.findings} <= set(CHECKS)


GOOD_FIGURE = """
<div class="explorable">
  <label for="step">Step</label>
  <input type="range" id="step" min="0" max="3" value="0" aria-valuetext="step 0">
  <img alt="The loss at step 0 of 3" width="40" height="40" src="data:image/svg+xml,<svg
    xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'><rect width='9' height='9'/></svg>">
  <script>
    document.querySelector("#step").addEventListener("input", ({ target }) => {
      const picture = target.parentElement.querySelector("img");
      target.setAttribute("aria-valuetext", `step ${target.value}`);
      picture.alt = `The loss at step ${target.value} of 3`;
      picture.src = picture.src.replace(/rect x?.*?width/, `rect x='${target.value}' width`);
    });
  </script>
</div>
"""
GOOD_QUIZ = """
<div class="quiz">
  <button type="button" data-reason="Right: the state is carried over.">Yes</button>
  <button type="button" data-reason="No: the state would be lost.">No</button>
  <p role="status"></p>
  <script>
    for (const choice of document.querySelectorAll(".quiz button")) {
      choice.onclick = () => {
        choice.parentElement.querySelector("p").textContent = choice.dataset.reason;
      };
    }
  </script>
</div>
"""
ASSETS = HERE.parents[1] / "book" / "_assets"
READ_ALOUD = "a longer text that MathJax writes for screen readers"


def _formula(drawn: str) -> str:
    """An inline formula as MathJax and the theme leave it."""
    return f"""
<span class="math" style="display: inline-flex; max-width: 100%">
  <mjx-container style="position: relative">
    <mjx-math style="display: inline-block; white-space: nowrap">{drawn}</mjx-math>
    <mjx-assistive-mml style="position: absolute; top: 0; left: 0; overflow: hidden;
      width: auto !important; white-space: nowrap">{READ_ALOUD}</mjx-assistive-mml>
  </mjx-container>
</span>"""


# Formulas with the book's own style and script: one fits, one is too wide for a phone.
GOOD_FORMULAS = f"""
<style>{(ASSETS / "accessibility.css").read_text("utf-8")}</style>
<div class="bd-article"><details><summary>Formulas</summary>
<p>First {_formula("x = 1")}, then {_formula("1 + 1 = 2, " * 8)} and no more.</p>
</details></div>
<script>{(ASSETS / "accessibility.js").read_text("utf-8")}</script>
"""
GOOD = f"""
<h1 id="top">Good</h1><p>Nothing is wrong here: <a href="bad.html#here">a link</a>.</p>
{GOOD_FIGURE}{GOOD_QUIZ}{GOOD_FORMULAS}
<details><summary>Solution</summary><p>It is four, and here is why.</p></details>
<pre><code>\\(this is code\\)</code></pre>
"""
PLANTED = {
    ("external", "asked for http://elsewhere.invalid/spy.png"): (
        '<img src="http://elsewhere.invalid/spy.png" alt="A picture from another host">'
    ),
    ("errors", "page error: planted"): '<script>throw new Error("planted")</script>',
    ("errors", "console: complaint"): '<script>console.error("complaint")</script>',
    ("errors", "404 for"): '<link rel="stylesheet" href="gone.css">',
    ("axe", "color-contrast"): '<p style="color:#999;background:#fff">Faint</p>',
    ("axe", "1:1 contrast ratio"): '<p style="color:#fff;background:#fff">Invisible</p>',
    ("axe", "button-name"): "<details><summary>More</summary><button></button></details>",
    ("mathematics", "not typeset"): '<span class="math">E = m c</span>',
    ("mathematics", "nothing to read aloud"): (
        "<details><summary>Why <mjx-container></mjx-container></summary><p>So.</p></details>"
    ),
    ("mathematics", "a formula missing from a control's name"): "",
    ("mathematics", "scrolls though it fits"): (
        '<p><span class="math" style="display:inline-block;position:relative;overflow:auto">'
        "<mjx-container><mjx-math>E</mjx-math><mjx-assistive-mml style='position:absolute;left:0'>"
        "a wider formula that is only read aloud</mjx-assistive-mml></mjx-container></span></p>"
    ),
    ("mathematics", "raw TeX"): "<p>Then \\(x_t\\) follows.</p>",
    ("images", "no alt text"): '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">',
    ("images", '"plot.png" describes nothing'): (
        '<img alt="plot.png" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">'
    ),
    ("width", "px wide at 390 px: div.wide"): '<div class="wide" style="width:450px">Wide</div>',
    ("width", "px wide at 320 px"): "",
    ("width", "cut off at 390 px: p.cut"): (
        '<p class="cut" style="width:90px;overflow:hidden;white-space:nowrap">Never seen whole</p>'
    ),
    ("links", "nowhere.html does not exist"): '<p><a href="nowhere.html">Nowhere</a></p>',
    ("links", "no anchor"): '<p><a href="good.html#bottom">The bottom</a></p>',
    ("keyboard", "no visible focus: button.shy"): (
        '<button class="shy" style="outline:none">Shy</button>'
    ),
    ("keyboard", "focus on something unseen: a.ghost"): (
        '<a class="ghost" href="#here" style="opacity:0">Ghost</a>'
    ),
    ("explorables", "Mute: ArrowRight moves it, nothing says so"): (
        '<div class="explorable"><label for="mute">Mute</label>'
        '<input id="mute" type="range" aria-valuetext="?"></div>'
    ),
    ("explorables", "Mute: no key changes the picture"): "",
    ("explorables", "Stuck: a press on its track does not move it"): (
        '<div class="explorable"><label for="stuck">Stuck</label><input id="stuck" type="range"'
        ' onpointerdown="event.preventDefault()" onmousedown="event.preventDefault()"></div>'
    ),
    ("explorables", "Stuck: a slider without aria-valuetext"): "",
    ("explorables", "shows nothing without scripts"): "",
    ("quizzes", "Dumb: choosing it shows no reason"): (
        '<div class="quiz"><button type="button">Dumb</button></div>'
    ),
    ("quizzes", "Dumb: choosing it announces nothing"): "",
    ("folds", "Jammed: does not open with Enter"): (
        '<details><summary onclick="return false">Jammed</summary><p>Locked away.</p></details>'
    ),
    ("folds", "Hollow: opens and shows nothing"): "<details><summary>Hollow</summary></details>",
    ("folds", "buttons are all called the same"): (
        '<button class="toggle-button" aria-label="Toggle hidden content"></button>'
    ),
}


@pytest.fixture(scope="session")
def planted(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The look at good pages and at pages with every fault, one of each in a package's folder."""
    folder = tmp_path_factory.mktemp("planted")
    package = folder / "book" / "api" / "toy"
    package.mkdir(parents=True)
    faults = '<h1 id="here">Bad</h1>' + "\n".join(PLANTED.values())
    for page, text in {
        folder / "good.html": GOOD,
        folder / "bad.html": faults,
        package / "first.html": GOOD.replace("bad.html", "second.html"),
        package / "second.html": faults.replace("good.html", "first.html"),
    }.items():
        page.write_text(_page(text), encoding="utf-8")
    return look_at(folder, folder / "shots", chromium, ["pages", "without scripts"])


@pytest.mark.parametrize(("check", "fault"), PLANTED)
def test_a_planted_fault_is_found(check: str, fault: str, planted: Report) -> None:
    found = planted.of(check, "bad.html")
    assert any(fault in line for line in found), found


@pytest.mark.parametrize(
    ("check", "fault"), [(c, fault) for c, fault in PLANTED if c in CHECKS_OF_ALIKE]
)
def test_a_planted_fault_is_found_in_passing(check: str, fault: str, planted: Report) -> None:
    assert planted.alike == {"book/api/toy/second.html"}
    found = planted.of(check, "second.html")
    assert any(fault in line for line in found), found


def test_a_good_page_passes(planted: Report) -> None:
    good = ("/good.html", "/first.html")
    assert not [found for found in planted.findings if f"/{found['page']}".endswith(good)]


def look_at(folder: Path, shots: Path, chromium: str, looks: list[str]) -> Report:
    """Serve the site in ``folder`` on this machine and have ``check_site.mjs`` look at it."""
    pages = _pages(folder)
    alike = _alike(pages)
    with _serve(folder) as address:
        job = {
            "site": address,
            "folder": str(folder),
            "pages": pages,
            "alike": alike,
            "chromium": chromium,
            "word": SEARCHED,
            "shots": str(shots),
            "looks": looks,
        }
        command = ["node", str(HERE / "check_site.mjs")]
        done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"check_site.mjs ended with {done.returncode}:\n{done.stderr}")
    result = json.loads(done.stdout)
    seen = frozenset((page, view) for page, view in result["seen"])
    return Report(frozenset(pages), frozenset(alike), tuple(result["findings"]), seen)


def _pages(folder: Path) -> list[str]:
    """The pages of a site; fragments of the theme and pages that lead on to another excepted."""
    files = [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts]
    kept = [path for path in files if not _REDIRECT.search(path.read_text(encoding="utf-8"))]
    return [path.relative_to(folder).as_posix() for path in kept]


def _alike(pages: list[str]) -> list[str]:
    """Of the pages of the library's modules, all but the first of each package."""
    modules = [page for page in pages if re.match(r"book/api/[^/]+/", page)]
    packages = (list(group) for _, group in groupby(modules, lambda page: Path(page).parent))
    return [page for group in packages for page in group[1:]]


@contextmanager
def _serve(folder: Path) -> Iterator[str]:
    """Serve ``folder`` on a free port; yields the address, which ends in a slash."""
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class _QuietHandler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open: a page is some thirty files

    def handle(self) -> None:
        """Serve, until the browser closes the connection."""
        with suppress(ConnectionError):
            super().handle()

    def end_headers(self) -> None:
        """Let the browser keep the files that all pages share."""
        self.send_header("Cache-Control", "max-age=3600")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing for each request."""


def _browser() -> str | None:
    names = (os.environ.get("CHROMIUM", ""), *CHROMIUM_NAMES)
    return next((path for name in names if (path := shutil.which(name))), None)


def _give_up(reason: str) -> None:
    """Skip the test, or fail it where the checks are asked for."""
    if os.environ.get("ULMFIT_SITE_CHECKS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def _page(body: str) -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>A page</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"</head><body><main>{body}</main></body></html>"
    )

"""Read every file of the built site and report what a reader would trip over.

Found without a browser: anything that would be *requested* from another host (a link that a
reader may follow is fine), links and anchors inside the site that lead nowhere, images without a
description, and widgets that need a kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {
    "src": {"img", "script", "iframe", "video", "audio", "source", "embed", "track", "input"},
    "data": {"object"},
    "poster": {"video"},
    "href": {"use", "image"},
    "xlink:href": {"use", "image"},
}
FETCHED_LINKS = {
    "stylesheet", "icon", "shortcut", "preload", "prefetch", "modulepreload", "preconnect",
    "dns-prefetch", "manifest", "apple-touch-icon",
}  # fmt: skip
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_CSS_URL = re.compile(r"""(?:url\(\s*|@import\s+)["']?([^"')\s]+)""")
_POOR_ALT = re.compile(r"^[0-9a-f]{16,}$|\.(png|svg|jpe?g|gif)$|^(image|figure|plot)$", re.I)


@dataclass
class Page:
    """What the scan needs to know of one HTML page."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)  # <a href>
    fetched: list[str] = field(default_factory=list)  # requested when the page opens
    images: list[tuple[str, str | None]] = field(default_factory=list)  # (src, alt or None)
    widgets: int = 0  # widget views, which show nothing without a kernel


class _Reader(HTMLParser):
    """Collects a :class:`Page` from HTML text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what one element refers to."""
        values = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        self._note_targets(tag, values)
        self.page.fetched += _fetched(tag, values)
        if tag == "img" and not _decorative(values):
            self.page.images.append((values.get("src", ""), values.get("alt")))
        if tag == "script" and values.get("type") == WIDGET_VIEW:
            self.page.widgets += 1

    def handle_endtag(self, tag: str) -> None:
        """Leave a style element."""
        if tag == "style":
            self._in_style = False

    def handle_data(self, data: str) -> None:
        """Addresses in an inline style sheet."""
        if self._in_style:
            self.page.fetched += _CSS_URL.findall(data)

    def _note_targets(self, tag: str, values: dict[str, str]) -> None:
        if values.get("id"):
            self.page.ids.add(values["id"])
        if tag == "a" and values.get("name"):
            self.page.ids.add(values["name"])
        if tag == "a" and values.get("href"):
            self.page.links.append(values["href"])


def read_page(html: str) -> Page:
    """Collect the ids, links, requests and images of one page."""
    reader = _Reader()
    reader.feed(html)
    return reader.page


def scan(site: Path) -> list[str]:
    """All problems of the site in folder ``site``, one readable line each."""
    pages = {p: read_page(p.read_text(encoding="utf-8")) for p in sorted(site.rglob("*.html"))}
    problems = [] if site / "index.html" in pages else [f"{site.name}: there is no index.html"]
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        found = [*_external(page), *_broken(site, path, pages), *_undescribed(page)]
        problems += [f"{name}: {problem}" for problem in found]
    for sheet in sorted(site.rglob("*.css")):
        problems += _scan_style_sheet(site, sheet)
    return problems


def _fetched(tag: str, values: dict[str, str]) -> list[str]:
    """The addresses that an element makes the browser request."""
    found = [values[name] for name, tags in FETCHED.items() if tag in tags and values.get(name)]
    if tag == "link" and FETCHED_LINKS & set(values.get("rel", "").lower().split()):
        found.append(values.get("href", ""))
    if tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
        found += re.findall(r"url=(\S+)", values.get("content", ""), flags=re.I)
    found += [part.split()[0] for part in values.get("srcset", "").split(",") if part.strip()]
    return found + _CSS_URL.findall(values.get("style", ""))


def _decorative(values: dict[str, str]) -> bool:
    return values.get("role") == "presentation" or values.get("aria-hidden") == "true"


def _is_external(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme in {"http", "https", "ws", "wss"}


def _external(page: Page) -> Iterator[str]:
    for address in page.fetched:
        if _is_external(address):
            yield f"requests {address} from the network"


def _broken(site: Path, path: Path, pages: dict[Path, Page]) -> Iterator[str]:
    """Links and files of one page that are not in the site."""
    page = pages[path]
    for address in [*page.links, *page.fetched]:
        if _is_external(address) or urlsplit(address).scheme:
            continue
        target, anchor = _resolve(path, address)
        if not target.exists():
            yield f"links to {address}, which does not exist"
        elif anchor and target in pages and anchor not in pages[target].ids:
            yield f"links to {address}, but there is no #{anchor} on that page"
        elif not target.is_relative_to(site):
            yield f"links to {address}, outside the site"


def _resolve(path: Path, address: str) -> tuple[Path, str]:
    """The file and the anchor that an address on page ``path`` means."""
    parts = urlsplit(address)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    return (target / "index.html" if target.is_dir() else target), unquote(parts.fragment)


def _undescribed(page: Page) -> Iterator[str]:
    for source, alt in page.images:
        shown = source if len(source) < 60 else f"{source[:57]}..."
        if not (alt or "").strip():
            yield f"image {shown} has no alt text"
        elif _POOR_ALT.search((alt or "").strip()):
            yield f"image {shown} has the alt text {alt!r}, which describes nothing"
    if page.widgets:
        yield f"{page.widgets} widget(s) that show nothing without a kernel"


def _scan_style_sheet(site: Path, sheet: Path) -> Iterator[str]:
    name = sheet.relative_to(site).as_posix()
    text = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
    for address in _CSS_URL.findall(text):
        if _is_external(address):
            yield f"{name}: requests {address} from the network"

"""Where things lie in the project and in the built site."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from sphinx_external_toc.parsing import parse_toc_yaml

PROJECT_ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Layout:
    """The folders of one checkout of the book."""

    root: Path  # the folder with _config.yml and _toc.yml

    @property
    def build(self) -> Path:
        """Everything that a build writes."""
        return self.root / "_build"

    @property
    def html(self) -> Path:
        """The finished site."""
        return self.build / "html"

    @property
    def doctrees(self) -> Path:
        """What Sphinx remembers of the pages it has read."""
        return self.build / ".doctrees"

    @property
    def execution_cache(self) -> Path:
        """Executed notebooks (the place where myst-nb looks for them)."""
        return self.build / ".jupyter_cache"

    @property
    def stamp(self) -> Path:
        """What the executed notebooks were executed against."""
        return self.build / "execution_stamp.json"

    @property
    def book(self) -> Path:
        """The pages and what they are made from."""
        return self.root / "book"


def read_config(root: Path) -> dict:
    """The settings in ``_config.yml``."""
    return yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))


def pages(root: Path) -> tuple[str, ...]:
    """The names of all pages in ``_toc.yml``, in reading order, without extensions."""
    site_map = parse_toc_yaml(root / "_toc.yml")
    found = list(site_map)
    return tuple(sorted(found, key=_reading_order(root).index))


def notebooks(root: Path) -> tuple[Path, ...]:
    """The notebooks among the pages, in reading order."""
    files = (root / f"{page}.ipynb" for page in pages(root))
    return tuple(path for path in files if path.is_file())


@cache
def chapter_pages(root: Path) -> dict[str, str]:
    """The page of each chapter, by the chapter's name: its title up to a colon."""
    titles = {_title(path): path for path in notebooks(root)}
    return {
        title.partition(":")[0].strip(): path.relative_to(root).with_suffix("").as_posix()
        for title, path in titles.items()
    }


def _title(notebook: Path) -> str:
    """The first heading of a notebook."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    heading = re.search(r"^# +(.+)$", text, flags=re.MULTILINE)
    return heading[1].strip() if heading else notebook.stem


def _reading_order(root: Path) -> list[str]:
    """Every page name in the order in which ``_toc.yml`` writes them."""
    text = (root / "_toc.yml").read_text(encoding="utf-8")
    return re.findall(r"^[\s-]*(?:root|file):\s*(\S+)", text, flags=re.MULTILINE)

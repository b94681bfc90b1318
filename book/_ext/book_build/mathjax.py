"""Put MathJax into the built site, so that formulas need no network.

The files come from the PyPI package ``sphinx-mathjax-offline``; of its 24 MB the site needs one
script and the fonts.
"""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

PACKAGE_FOLDER = "sphinx-mathjax-offline/static/mathjax"
SCRIPT = "tex-chtml-full.js"
FONTS = "output/chtml/fonts/woff-v2"


def copy_mathjax(site: Path) -> Path:
    """Copy the script and its fonts to ``_static/vendor/mathjax`` of ``site``.

    Raises:
        FileNotFoundError: the package is not installed.
    """
    source = Path(sysconfig.get_path("purelib")) / PACKAGE_FOLDER
    if not source.is_dir():
        raise FileNotFoundError(
            f"no MathJax at {source}: install the pins with `pip install -r requirements.txt`"
        )
    target = site / "_static" / "vendor" / "mathjax"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / SCRIPT, target / SCRIPT)
    shutil.copytree(source / FONTS, target / FONTS, dirs_exist_ok=True)
    return target


def notice_formulas(app: Sphinx, doctree: nodes.document) -> None:
    """Load MathJax on a page whose only formulas stand in HTML: in a quiz, in a cell's output."""
    if any('class="math' in node.astext() for node in doctree.findall(nodes.raw)):
        app.env.get_domain("math").data["has_equations"][app.env.docname] = True

"""A whole project in small, to set up without network: wheels and backend made by hand."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

BACKEND = """
import sys
sys.path.insert(0, {here!r})
from tests.setup.project_in_small import write_wheel
from pathlib import Path

def build_editable(folder, config_settings=None, metadata_directory=None):
    link = {{"small_book.pth": str(Path.cwd())}}
    return write_wheel(Path(folder), "small_book", "1.0", link).name
"""
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "small_book"
version = "1.0"

[tool.ulmfit_lib]
install_without_dependencies = ["lonely==2.0"]
"""


def make_project(root: Path) -> Path:
    """A project that pins ``tensors`` and ``words`` and installs ``lonely`` alone."""
    root.mkdir()
    backend = BACKEND.format(here=str(Path(__file__).parents[2]))
    (root / "backend.py").write_text(backend)
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "requirements.txt").write_text("# pins\ntensors==1.5\nwords==0.3\n")
    return root


def make_wheels(folder: Path) -> Path:
    """The packages; ``lonely`` asks for one that does not exist."""
    folder.mkdir()
    write_wheel(folder, "tensors", "1.5", {"tensors/__init__.py": "SIZE = 3\n"})
    write_wheel(folder, "words", "0.3", {"words.py": "import tensors\n"})
    write_wheel(folder, "lonely", "2.0", {"lonely.py": ""}, "Requires-Dist: torchvision\n")
    return folder


def write_wheel(
    folder: Path, name: str, version: str, files: dict[str, str], metadata: str = ""
) -> Path:
    """A wheel that holds ``files``, path to content."""
    info = f"{name}-{version}.dist-info"
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = files | {f"{info}/METADATA": head + metadata, f"{info}/WHEEL": wheel}
    rows = [_row(path, content) for path, content in files.items()]
    record = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(file, content)
    return path


def _row(path: str, content: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=")
    return f"{path},sha256={digest.decode()},{len(content.encode())}"

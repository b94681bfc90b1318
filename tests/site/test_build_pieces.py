"""The pieces that build the site, each on a small project made for the purpose."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
import yaml
from pybtex.database import parse_file
from sphinx_external_toc.parsing import parse_toc_yaml

ROOT = Path(__file__).parents[2]
EXTENSIONS = ROOT / "book" / "_ext"
sys.path.insert(0, str(EXTENSIONS))

from book_build import (  # noqa: E402
    docstrings,
    execution,
    library,
    mathjax,
    pipeline,
    reference,
    stamp,
    terms,
)
from book_build.layout import Layout, chapter_pages, notebooks, pages  # noqa: E402
from book_build.models import runs, verdicts  # noqa: E402
from book_build.scan import read_page, scan  # noqa: E402
from book_build.training_curves import curves  # noqa: E402
from book_build.wording import duration, size  # noqa: E402

MODULE = '''"""Counting things. Introduced in the chapter *Counting*."""

from collections import Counter
from dataclasses import dataclass

LIMIT = 3  # the most to count
_HIDDEN = 4


@dataclass(frozen=True)
class Tally:
    """A count, see :func:`count`. Introduced in the
    chapter *More
    counting*.
    """

    number: int  # how many
    name: str = "x"  # of what

    def doubled(self) -> int:
        """Twice :attr:`number`."""
        return 2 * self.number


def count(words: list[str]) -> Counter:
    """How often each word occurs, up to :data:`LIMIT`.

    Returns:
        One entry per word: its count.
    """
    return Counter(words)


def _private() -> None:
    """Not for readers."""
'''


def cell(source: str, **metadata) -> nbformat.NotebookNode:
    return nbformat.v4.new_code_cell(source, metadata=metadata)


def text(source: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_markdown_cell(source)


def write_notebook(path: Path, *cells: nbformat.NotebookNode) -> Path:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(
        nbformat.v4.new_notebook(cells=list(cells), metadata={"kernelspec": kernel}), path
    )
    return path


@pytest.fixture
def project(tmp_path: Path) -> Layout:
    """A book with one page and one notebook, and a library with one module."""
    (tmp_path / "book" / "runs").mkdir(parents=True)
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nchapters:\n- file: book/one\n- file: book/about\n"
    )
    (tmp_path / "_config.yml").write_text("execute: {timeout: 60}\n")
    for name in ("index", "about"):
        (tmp_path / "book" / f"{name}.md").write_text(f"# {name}\n")
    write_notebook(
        tmp_path / "book" / "one.ipynb", text("# Counting: a start"), cell("print(1 + 1)")
    )
    package = tmp_path / "ulmfit_lib" / "text"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    (package / "counting.py").write_text(MODULE)
    return Layout(tmp_path)


@pytest.fixture
def notebook(project: Layout) -> Path:
    return project.root / "book" / "one.ipynb"


def run_all(project: Layout) -> list:
    stamp.refresh(project)
    todo = execution.waiting(project, notebooks(project.root))
    return [outcome for _, outcome in execution.execute_all(project, todo, jobs=2, timeout=60)]


class TestLayout:
    def test_pages_in_reading_order(self, project: Layout, notebook: Path) -> None:
        assert pages(project.root) == ("book/index", "book/one", "book/about")
        assert notebooks(project.root) == (notebook,)

    def test_chapters_by_title_up_to_the_colon(self, project: Layout) -> None:
        assert chapter_pages(project.root) == {"Counting": "book/one"}

    def test_the_books_own_pages_exist_or_are_its_chapters(self) -> None:
        for page in pages(ROOT):
            assert (ROOT / f"{page}.md").is_file() or re.match(r"book/\d\d_", page)


@pytest.mark.parametrize("result", sorted((ROOT / "benchmarks" / "results").glob("*.txt")))
def test_every_benchmark_stands_on_a_page(result: Path) -> None:
    shown = [page.read_text("utf-8") for page in (ROOT / "book").glob("**/*.md")]
    for notebook in (ROOT / "book").glob("*.ipynb"):
        shown += [cell["source"] for cell in nbformat.read(notebook, 4).cells]
    assert any(f"benchmarks/results/{result.name}\n" in text for text in shown)


class TestReferencePages:
    def test_one_for_every_public_module_of_a_package_with_a_page(self, project: Layout) -> None:
        api = project.book / "api"
        (api / "text").mkdir(parents=True)
        (api / "text.md").write_text("# Text\n")
        (api / "index.md").write_text("# Library\n")
        (api / "text" / "gone.md").write_text("# Of a module that was removed\n")
        (project.root / "ulmfit_lib" / "text" / "_own.py").write_text('"""Private."""\n')
        for folder in ("models", "training"):  # packages: no modules, and no page
            (project.root / "ulmfit_lib" / folder).mkdir()
        (project.root / "ulmfit_lib" / "training" / "loops.py").write_text('"""Loops."""\n')
        (api / "models.md").write_text("# Models\n")
        assert reference.write_pages(project) == [api / "text" / "counting.md"]
        assert sorted(api.glob("*/*")) == [api / "text" / "counting.md"]
        page = api / "text" / "counting.md"
        assert page.read_text().startswith("# `counting`\n")
        assert "{api} ulmfit_lib.text.counting" in page.read_text()

    def test_a_page_that_is_right_is_left_alone(self, project: Layout) -> None:
        (project.book / "api").mkdir()
        (project.book / "api" / "text.md").write_text("# Text\n")
        [page] = reference.write_pages(project)
        os.utime(page, (1, 1))
        reference.write_pages(project)
        assert page.stat().st_mtime == 1

    @pytest.mark.parametrize(
        "package", sorted(p.parent.name for p in (ROOT / "ulmfit_lib").glob("*/__init__.py"))
    )
    def test_every_package_has_its_page_with_its_modules_below_it(self, package: str) -> None:
        page = ROOT / "book" / "api" / f"{package}.md"
        assert f"{{api-modules}} ulmfit_lib.{package}\n" in page.read_text("utf-8")
        below = parse_toc_yaml(ROOT / "_toc.yml")[f"book/api/{package}"].subtrees
        assert [name for tree in below for name in tree.globs()] == [f"book/api/{package}/*"]


class TestStamp:
    def test_first_none_then_unchanged(self, project: Layout) -> None:
        assert stamp.refresh(project) is None
        assert stamp.refresh(project) == []

    @pytest.mark.parametrize(
        "file", ["ulmfit_lib/text/counting.py", "book/runs/a.json", "requirements.txt"]
    )
    def test_a_changed_file_drops_the_executions(self, project: Layout, file: str) -> None:
        stamp.refresh(project)
        project.execution_cache.mkdir()
        project.doctrees.mkdir()
        (project.root / file).write_text("# another")
        assert stamp.refresh(project) == [f"file {file}"]
        assert not project.execution_cache.exists() and not project.doctrees.exists()
        assert stamp.refresh(project) == []

    def test_pages_and_bytecode_do_not_count(self, project: Layout) -> None:
        stamp.refresh(project)
        (project.book / "index.md").write_text("# changed")
        cache = project.root / "ulmfit_lib" / "__pycache__"
        cache.mkdir()
        (cache / "x.pyc").write_bytes(b"x")
        assert stamp.refresh(project) == []

    def test_scale_packages_and_data_count(self, project: Layout, monkeypatch, tmp_path) -> None:
        stamp.refresh(project)
        monkeypatch.setenv("ULMFIT_SCALE", "paper")
        assert stamp.refresh(project) == ["setting ULMFIT_SCALE"]
        monkeypatch.setattr(stamp, "_packages", lambda: {"numpy": "0"})
        assert "package numpy" in stamp.refresh(project)
        data = tmp_path / "data"
        data.mkdir()
        monkeypatch.setenv("ULMFIT_LIB_DATA", str(data))
        stamp.refresh(project)
        (data / "new.txt").write_text("x")
        assert stamp.refresh(project) == ["setting data"]

    def test_interrupted_before_the_stamp_is_written(self, project: Layout, monkeypatch) -> None:
        stamp.refresh(project)
        (project.root / "requirements.txt").write_text("new")

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(stamp, "_write", killed)
            stamp.refresh(project)
        project.execution_cache.mkdir()  # as if something had begun to fill it
        assert stamp.refresh(project) is None
        assert not project.execution_cache.exists()

    def test_a_damaged_stamp_is_no_stamp(self, project: Layout) -> None:
        stamp.refresh(project)
        project.stamp.write_text("{")
        assert stamp.refresh(project) is None


class TestExecution:
    def test_runs_once_and_is_measured(self, project, notebook: Path, monkeypatch) -> None:
        monkeypatch.setenv("ULMFIT_SCALE", "paper")
        (done,) = run_all(project)
        assert done.seconds > 0 and done.peak_bytes > 10e6 and done.scale == "paper"
        assert run_all(project) == []
        assert execution.measurement(project, notebook) == done

    def test_prose_keeps_the_execution_and_code_does_not(self, project, notebook: Path) -> None:
        run_all(project)
        write_notebook(notebook, text("# Other words"), cell("print(1 + 1)"))
        assert execution.waiting(project, [notebook]) == []
        write_notebook(notebook, text("# Other words"), cell("print(2 + 2)"))
        assert execution.waiting(project, [notebook]) == [notebook]

    def test_the_kernel_imports_the_projects_library(self, project: Layout, notebook: Path) -> None:
        code = "import ulmfit_lib.text.counting as m, os\nassert m.LIMIT == 3\n"
        code += f"assert m.__file__.startswith({str(project.root)!r})\n"
        code += "assert 'TQDM_DISABLE' in os.environ"
        write_notebook(notebook, cell(code))
        (done,) = run_all(project)
        assert isinstance(done, execution.Measurement), done

    def test_a_failing_cell_is_named_and_nothing_is_kept(self, project, notebook: Path) -> None:
        write_notebook(notebook, text("# T"), cell("x = 1"), cell("1 / 0"), cell("never = 1"))
        (failure,) = run_all(project)
        assert failure.cell == 3 and failure.source == "1 / 0"
        assert "ZeroDivisionError" in failure.traceback and "\x1b" not in failure.traceback
        assert "one.ipynb, cell 3" in str(failure)
        assert execution.waiting(project, [notebook]) == [notebook]

    def test_a_dead_kernel_is_a_failure(self, project: Layout, notebook: Path) -> None:
        write_notebook(notebook, cell("import os; os._exit(1)"))
        (failure,) = run_all(project)
        assert isinstance(failure, execution.Failure) and failure.cell == 1

    def test_a_half_written_entry_runs_again(self, project: Layout, notebook: Path) -> None:
        run_all(project)
        (written,) = project.execution_cache.glob("executed/*/*.ipynb")
        written.write_text(written.read_text()[:100])
        assert execution.waiting(project, [notebook]) == [notebook]
        assert len(run_all(project)) == 1
        written.unlink()
        assert execution.waiting(project, [notebook]) == [notebook]

    def test_a_library_that_changes_meanwhile_spoils_the_run(self, project, notebook) -> None:
        module = project.root / "ulmfit_lib" / "text" / "counting.py"
        write_notebook(notebook, cell(f"open({str(module)!r}, 'a').write('# edited')"))
        (failure,) = run_all(project)
        assert "counting.py changed while it ran" in failure.traceback
        assert execution.waiting(project, [notebook]) == [notebook]

    def test_the_build_stops_at_a_failure(self, project: Layout, notebook: Path, capsys) -> None:
        write_notebook(notebook, cell("raise ValueError('no')"))
        assert pipeline.main(["--root", str(project.root)]) == 1
        assert "FAILED" in capsys.readouterr().out
        assert not project.html.exists()

    def test_a_build_that_is_stopped_leaves_nothing_running(self, project, notebook) -> None:
        told = project.root / "kernel"
        code = f"import os, time\nopen({str(told)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
        write_notebook(notebook, cell(code))
        command = [sys.executable, str(EXTENSIONS / "build.py"), "--root", str(project.root)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            wait_until(lambda: told.is_file() and told.read_text() != "")
            process.terminate()
            said, _ = process.communicate()
        assert process.returncode == 130 and "Stopped." in said
        wait_until(lambda: not is_running(int(told.read_text())))
        assert execution.waiting(project, [notebook]) == [notebook]


def wait_until(done, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


def is_running(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class TestLibrary:
    def test_public_symbols(self, project: Layout) -> None:
        found = library.public_symbols(project.root, "ulmfit_lib.text.counting")
        assert [(s.name, s.kind) for s in found] == [
            ("LIMIT", "data"),
            ("Tally", "class"),
            ("count", "function"),
        ]
        assert found[0].summary == "the most to count" and found[0].value == "3"
        assert found[2].summary == "How often each word occurs, up to :data:`LIMIT`."

    def test_chapter_from_the_docstring_else_from_the_module(self, project: Layout) -> None:
        def names(chapter: str) -> list[str]:
            return [s.name for s in library.introduced_in(project.root, "ulmfit_lib", chapter)]

        assert names("Counting") == ["LIMIT", "count"]
        assert names("More counting") == ["Tally"]
        assert names("Nothing") == []

    def test_fields_need_a_comment_each(self, project: Layout) -> None:
        path = "ulmfit_lib.text.counting.Tally"
        assert library.fields(project.root, path) == [("number", "how many"), ("name", "of what")]
        module = project.root / "ulmfit_lib" / "text" / "counting.py"
        module.write_text(MODULE.replace("  # of what", ""))
        assert library.fields(project.root, path) == []

    def test_listing(self, project: Layout) -> None:
        found = library.listing(project.root, "ulmfit_lib.text.counting.Tally")
        assert found.code.startswith("@dataclass(frozen=True)\nclass Tally:")
        assert found.file == "ulmfit_lib/text/counting.py"
        method = library.listing(project.root, "ulmfit_lib.text.counting.Tally.doubled", False)
        assert method.code == "def doubled(self) -> int:\n    return 2 * self.number"

    @pytest.mark.parametrize(
        "path", ["ulmfit_lib.text.counting.tally", "ulmfit_lib.no.X", "os.path"]
    )
    def test_unknown_names(self, project: Layout, path: str) -> None:
        with pytest.raises(LookupError):
            library.listing(project.root, path)

    @pytest.mark.parametrize(
        "package", ["text", "models", "training", "study", "papers", "assignments"]
    )
    def test_every_symbol_names_a_chapter_of_the_book(self, package: str) -> None:
        written = {"Text and language models", "FitLaM", "ULMFiT", "How to fine-tune BERT"}
        written |= {"Don't stop pre-training", "Selective masking", "RecAdam", "For instructors"}
        for module in library.modules(ROOT, f"ulmfit_lib.{package}"):
            if module == "ulmfit_lib.study.doctor":  # a tool; the first page speaks of it
                continue
            for symbol in library.public_symbols(ROOT, module):
                assert symbol.chapter in written, f"{symbol.path}: chapter {symbol.chapter!r}"


class TestDocstrings:
    def test_chapters_become_links(self, project: Layout) -> None:
        linked = docstrings.link_chapters(project.root, "See the chapter\n*Counting*, not *this*.")
        assert linked == "See the chapter\n:doc:`Counting </book/one>`, not *this*."
        unknown = "in the chapter *Elsewhere*"
        assert docstrings.link_chapters(project.root, unknown) == unknown

    def test_results_stay_sentences(self) -> None:
        lines = ["Do.", "", "Returns:", "    One row per word: its count,", "    sorted.", ""]
        docstrings._keep_result_sentences(lines)
        assert lines == ["Do.", "", ":returns: One row per word: its count,", "    sorted.", ""]


class TestScan:
    @pytest.fixture
    def site(self, tmp_path: Path):
        def make(body: str, head: str = "") -> Path:
            page = f"<html><head>{head}</head><body>{body}</body></html>"
            (tmp_path / "index.html").write_text(page)
            (tmp_path / "a b.html").write_text('<p id="here">x</p><a name="old"></a>')
            return tmp_path

        return make

    @pytest.mark.parametrize(
        "body",
        [
            '<a href="https://arxiv.org/abs/1801.06146">a paper</a>',
            '<a href="a%20b.html#here">x</a><a href="a%20b.html#old">y</a><a href="#">top</a>',
            '<img src="data:image/png;base64,xx" alt="A falling curve.">',
            '<img src="data:," role="presentation" alt="">',
            '<a href="mailto:a@b.c">mail</a>',
            "<style>p{background:url(data:image/png;base64,xx)}</style>",
        ],
    )
    def test_nothing_wrong(self, site, body: str) -> None:
        assert scan(site(body)) == []

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            ('<script src="https://cdn.example/x.js"></script>', "requests https://cdn"),
            ('<script src="//cdn.example/x.js"></script>', "requests //cdn"),
            ('<iframe src="http://v.example"></iframe>', "requests http://v"),
            ('<img alt="A curve." srcset="https://i.example/a.png 2x">', "requests https://i"),
            ('<p style="background:url(https://i.example/a)">', "requests https://i"),
            ("<style>@import 'https://f.example/a.css';</style>", "requests https://f"),
            ('<object data="https://o.example/x"></object>', "requests https://o"),
            ('<a href="gone.html">x</a>', "gone.html, which does not exist"),
            ('<a href="a%20b.html#nowhere">x</a>', "no #nowhere"),
            ('<a href="#nowhere">x</a>', "no #nowhere"),
            ('<script src="gone.js"></script>', "gone.js, which does not exist"),
            ('<img src="data:,">', "has no alt text"),
            ('<img src="data:," alt=" ">', "has no alt text"),
            (f'<img src="data:," alt="{"0a" * 32}">', "describes nothing"),
            ('<img src="data:," alt="../_images/plot.png">', "describes nothing"),
            (
                '<script type="application/vnd.jupyter.widget-view+json">{}</script>',
                "nothing without a kernel",
            ),
        ],
    )
    def test_one_problem(self, site, body: str, problem: str) -> None:
        (found,) = scan(site(body))
        assert found.startswith("index.html: ") and problem in found

    @pytest.mark.parametrize("rel", ["stylesheet", "preconnect", "shortcut icon", "preload"])
    def test_linked_resources(self, site, rel: str) -> None:
        head = f'<link rel="{rel}" href="https://fonts.example/a">'
        assert len(scan(site("", head))) == 1
        assert scan(site("", '<link rel="canonical" href="https://me.example/">')) == []

    def test_style_sheets(self, site) -> None:
        folder = site("")
        (folder / "a.css").write_text(
            "/* url(https://no.example) */ p{src:url('https://x.example/f')}"
        )
        assert scan(folder) == ["a.css: requests https://x.example/f from the network"]

    def test_no_site(self, tmp_path: Path) -> None:
        assert scan(tmp_path) == [f"{tmp_path.name}: there is no index.html"]

    def test_text_that_looks_like_markup_is_text(self) -> None:
        assert read_page("<pre>&lt;img src='https://x.example'&gt;</pre>").fetched == []


class TestTerms:
    def test_the_glossary_is_whole(self) -> None:
        entries = terms.read_glossary(ROOT / "book")
        assert len(entries) >= 45
        for entry in entries:
            assert re.search(r"[\u4e00-\u9fff]", entry["zh"]), entry["term"]
            assert entry["definition"].rstrip().endswith("."), entry["term"]

    def test_terms_refer_to_terms(self) -> None:
        known = {entry["term"] for entry in terms.read_glossary(ROOT / "book")}
        for file in ("glossary.yml", "notation.yml", "index.md"):
            for used in re.findall(r"\{term\}`([^`]+)`", (ROOT / "book" / file).read_text("utf-8")):
                target = re.sub(r"^.*<(.+)>$", r"\1", " ".join(used.split()))
                assert target in known, f"{file}: {used}"

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ({"term": "a", "zh": "b"}, "lacks definition"),
            ({"term": "a", "zh": "b", "definition": "c.", "colour": "red"}, "unknown"),
        ],
    )
    def test_wrong_entries(self, tmp_path: Path, entry: dict, message: str) -> None:
        (tmp_path / "glossary.yml").write_text(yaml.safe_dump([entry]))
        with pytest.raises(ValueError, match=message):
            terms.read_glossary(tmp_path)

    def test_the_same_term_twice(self, tmp_path: Path) -> None:
        entry = {"term": "Token", "zh": "词元", "definition": "A piece."}
        twice = [entry, entry | {"term": "token"}]
        (tmp_path / "glossary.yml").write_text(yaml.safe_dump(twice))
        with pytest.raises(ValueError, match="twice"):
            terms.read_glossary(tmp_path)

    def test_the_notation_is_whole(self) -> None:
        groups = terms.read_notation(ROOT / "book")
        assert sum(map(len, groups.values())) >= 20


class TestBibliography:
    def test_entries_are_whole(self) -> None:
        for key, entry in parse_file(ROOT / "book" / "references.bib").entries.items():
            assert entry.persons["author"], key
            assert {"title", "year"} <= set(entry.fields), key
            assert key[-1].isalnum() and entry.fields["year"][:4] in key, key

    def test_same_authors_and_year_are_told_apart(self) -> None:
        entries = parse_file(ROOT / "book" / "references.bib").entries.values()
        cited = [(str(e.persons["author"][0]), e.fields["year"]) for e in entries]
        assert len(cited) == len(set(cited))


class TestMathJax:
    def test_the_script_and_its_fonts_come_along(self, tmp_path: Path) -> None:
        folder = mathjax.copy_mathjax(tmp_path)
        assert (folder / "tex-chtml-full.js").stat().st_size > 1e6
        assert len(list(folder.rglob("*.woff"))) > 20
        assert sum(f.stat().st_size for f in folder.rglob("*")) < 2.5e6

    def test_without_the_package(self, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.setattr(mathjax, "PACKAGE_FOLDER", "not-there")
        with pytest.raises(FileNotFoundError, match="pip install"):
            mathjax.copy_mathjax(tmp_path)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (151, "2 min 31 s"), (3900, "1 h 05 min")],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_size() -> None:
    assert [size(912e6), size(1.44e9), size(None)] == ["912 MB", "1.4 GB", "not measured"]


CONF = """
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon",
              "sphinx_design", "book_build"]
myst_enable_extensions = ["deflist", "dollarmath", "attrs_inline"]
nb_execution_mode = "cache"
nb_execution_cache_path = "_build/.jupyter_cache"
master_doc = "book/index"
html_theme = "sphinx_book_theme"
html_theme_options = {"repository_url": REPOSITORY}
html_static_path = [ASSETS]
mathjax_path = "vendor/mathjax/tex-chtml-full.js"
nb_mime_priority_overrides = [("html", "text/html", 5)]
exclude_patterns = ["_build", "book/about.md"]
"""
INDEX = """# Book

```{toctree}
one
api/text
```

{term-zh}`token` and {term-zh}`pieces <token>`.

```{book-glossary}
```

```{chapter-status}
```

```{versions}
:only: numpy nothing-of-this-name
```

```{notation-table}
```

"""
PACKAGE = """# Text

```{api-modules} ulmfit_lib.text
```

```{toctree}
:glob:
text/*
```
"""
SILENT = """class Mute:
    pass


def hush(): ...
"""
CHAPTER = """# Counting: a start

```{chapter-card}
Paper
: none

Claim
: One can count.
```

```{source} ulmfit_lib.text.counting.count
:without-docstring:
```

```{symbols} Counting
```
"""


def build(project: Layout, repository: str = "") -> subprocess.CompletedProcess:
    """Run Sphinx, strictly, in a process of its own."""
    assets = str(ROOT / "book" / "_assets")
    settings = CONF.replace("REPOSITORY", repr(repository)).replace("ASSETS", repr(assets))
    (project.root / "conf.py").write_text(settings)
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-b", "html"]
    return subprocess.run(
        [*command, "-d", str(project.doctrees), str(project.root), str(project.html)],
        env=os.environ | {"PYTHONPATH": str(EXTENSIONS)},
        cwd=project.root,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def book(project: Layout, notebook: Path) -> Layout:
    entry = {"term": "token", "zh": "词元", "symbol": "$w_t$", "definition": "A piece of text."}
    (project.book / "glossary.yml").write_text(yaml.safe_dump([entry], allow_unicode=True))
    notation = {"Text": [{"symbol": "$w_t$", "meaning": "{term}`token`"}]}
    (project.book / "notation.yml").write_text(yaml.safe_dump(notation))
    (project.book / "index.md").write_text(INDEX)
    (project.book / "api").mkdir()
    (project.book / "api" / "text.md").write_text(PACKAGE)
    figure = {"text/html": "<p>moves by itself</p>"}
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}}
    code = f"from IPython.display import display\ndisplay({figure | view!r}, raw=True)"
    write_notebook(notebook, text(CHAPTER), cell(code))
    return project


class TestDirectives:
    def test_a_strict_build_of_all_of_them(self, book: Layout) -> None:
        done = build(book)
        assert done.returncode == 0, done.stderr
        index = (book.html / "book" / "index.html").read_text("utf-8")
        chapter = (book.html / "book" / "one.html").read_text("utf-8")
        assert '<span lang="zh-Hans">词元</span>' in index
        assert 'href="#term-token"' in index
        assert "nothing-of-this-name" not in index and "numpy" in index
        package = (book.html / "book" / "api" / "text.html").read_text("utf-8")
        module = (book.html / "book" / "api" / "text" / "counting.html").read_text("utf-8")
        assert 'href="text/counting.html#module-ulmfit_lib.text.counting"' in package
        assert "<p>Counting things.</p>" in package
        assert 'id="ulmfit_lib.text.counting.count"' in module
        assert re.search(r"number</strong>\s*\S+\s*how many", module)
        assert 'href="../../one.html"' in module and "chapter *" not in module
        assert "return Counter(words)" in re.sub(r"<[^>]+>", "", chapter)
        assert "How often each word" not in re.sub(r"<[^>]+>", "", chapter)
        assert 'href="api/text/counting.html#ulmfit_lib.text.counting.count"' in chapter
        assert "<p>moves by itself</p>" in chapter
        assert 'type="application/vnd.jupyter.widget-view' not in chapter
        assert re.search(r"\d s \(measured\)", chapter)
        assert "colab" not in chapter
        assert (book.html / "_static/vendor/mathjax/tex-chtml-full.js").is_file()
        assert 'url=book/index.html"' in (book.html / "index.html").read_text("utf-8")
        assert scan(book.html) == []

    def test_buttons_follow_the_repository(self, book: Layout) -> None:
        done = build(book, "https://github.com/some/book")
        assert done.returncode == 0, done.stderr
        chapter = (book.html / "book" / "one.html").read_text("utf-8")
        assert "https://colab.research.google.com/github/some/book" in chapter

    def test_every_mistake_fails_the_build(self, book: Layout) -> None:
        complaints = {
            "{term-zh}`nonsense`": "has no term 'nonsense'",
            "```{source} ulmfit_lib.text.counting.gone\n```": "there is no 'gone'",
            "```{symbols} No such chapter\n```": "no docstring says",
            "```{api-modules} ulmfit_lib.nothing\n```": "has no public modules",
            "```{api} ulmfit_lib.text.gone\n```": "no module ulmfit_lib.text.gone",
            "```{api} ulmfit_lib.silent\n```": "no docstring: ulmfit_lib.silent, Mute, hush",
            "```{chapter-card}\nNo list.\n```": "definition list",
        }
        (book.book / "index.md").write_text("# Book\n\n" + "\n\n".join(complaints))
        (book.root / "ulmfit_lib" / "silent.py").write_text(SILENT)
        (book.book / "one.ipynb").unlink()
        done = build(book)
        assert done.returncode != 0
        for complaint in complaints.values():
            assert complaint in done.stderr

    def test_old_executions_are_dropped_by_sphinx_alone(self, book: Layout) -> None:
        assert build(book).returncode == 0
        first = json.loads(book.stamp.read_text())
        module = book.root / "ulmfit_lib" / "text" / "counting.py"
        module.write_text(MODULE + "# more\n")
        assert build(book).returncode == 0
        assert json.loads(book.stamp.read_text()) != first


EVIDENCE = """# Evidence

```{claims-table} fitlam
```

## By paper

```{claims-table}
```

## Record

```{run-record} toy
:metric: accuracy
```

```{run-record} gone
:metric: accuracy
:optional:
```

```{transfer-table} transfer-toy
```

```{arm-differences} toy toy
tuned_arm − plain
```

```{shipped-models}
```

```{transfer-verdicts}
```

```{training-curves}
```

```{quiz} toy
```
"""
CLAIMS = """
- {id: F1, paper: fitlam, claim: Tuned *beats* plain., paper_number: "5.0 | 6.0", source: P,
   expected: "+", record: toy,
   rule: {kind: difference, metric: accuracy, pairs: [[tuned_arm, plain]]}}
- {id: F2, paper: fitlam, claim: Not tried., paper_number: none, source: "-", expected: "?",
   record: gone, rule: {kind: difference, metric: accuracy, pairs: [[a, b]]}}
- {id: F2-mr, paper: fitlam, claim: On MR., paper_number: none, source: "-", expected: "?",
   record: gone, rule: {kind: difference, metric: accuracy, pairs: [[a, b]]}}
"""
QUIZ = """
id: toy
title: Check yourself
questions:
  - ask: What is $1+1$?
    choices:
      - {text: Two, reason: Count., right: true}
      - {text: Three, reason: Too many.}
"""


def make_record(folder: Path) -> None:
    """Two arms, four seeds; the first is right more often by 10 points, give or take."""
    from ulmfit_lib.study.experiments import Cell, Experiment, run_experiment
    from ulmfit_lib.study.records import CellResult, Touched
    from ulmfit_lib.study.scale import current_scale

    def run_cell(cell: Cell) -> CellResult:
        share = (0.8 if cell.arm == "tuned_arm" else 0.7) + 0.001 * cell.seed
        touched = [Touched("classifier", "train", True, True)]
        touched.append(Touched("evaluation", "test", True, True))
        return CellResult({"accuracy": share}, touched=touched)

    cells = [Cell(arm, seed) for arm in ("tuned_arm", "plain") for seed in range(4)]
    scale = current_scale()
    experiment = Experiment("fitlam", "toy", scale, {"lr": 0.01}, cells, gold=[0, 1])
    run_experiment(experiment, run_cell, folder, report=lambda line: None)
    names = ("tfidf/10", "tfidf/50", "encoder scratch/probe/10", "encoder scratch/probe/50")
    config = {"task": "toy", "arms": {n: {"per_class": int(n.rpartition("/")[2])} for n in names}}
    cells = [Cell(arm, seed) for arm in names for seed in range(4)]
    transfer = Experiment("transfer", "transfer-toy", scale, config, cells, gold=[0, 1])
    run_experiment(transfer, run_cell, folder, report=lambda line: None)


@pytest.fixture
def evidence(tmp_path: Path) -> Layout:
    """A page of evidence, on the real library."""
    book = tmp_path / "book"
    for folder in ("runs", "quizzes"):
        (book / folder).mkdir(parents=True)
    (tmp_path / "ulmfit_lib").symlink_to(ROOT / "ulmfit_lib")
    (book / "index.md").write_text(EVIDENCE)
    (book / "claims.yml").write_text(CLAIMS)
    (book / "quizzes" / "toy.yml").write_text(QUIZ)
    make_record(book / "runs")
    return Layout(tmp_path)


class TestEvidence:
    def test_claims_records_and_quizzes(self, evidence: Layout) -> None:
        done = build(evidence)
        assert done.returncode == 0, done.stderr
        html = (evidence.html / "book" / "index.html").read_text("utf-8")
        words = " ".join(re.sub(r"<[^>]+>", " ", html).split())
        assert words.count("F1 Tuned") == 2 and 'id="fitlam"' in html
        assert "F1 Tuned *beats* plain." in words and "5.0 | 6.0 (read in the paper)" in words
        assert "tuned_arm − plain: +10.0 [+10.0, +10.0] points" in words
        assert "reproduced the interval lies above 0. Expected: the claimed effect." in words
        assert words.count("The same on further tasks, not yet run: F2-mr.") == 2
        assert (
            "On MR." not in words
            and "not yet run no record" in words
            and 'class="verdict verdict-good"' in html
        )
        assert "classifier train seen seen" in words and "Seeds 0, 1, 2, 3" in words
        assert "tuned_arm 4 80." in words and "There is no record gone yet" in words
        assert "tuned_arm − plain +10.0 [+10.0, +10.0], 4 seeds +10.0 [" in words
        assert "10 labels a class 50 labels a class TF-IDF, logistic regression 70." in words
        assert "Encoder from random weights, frozen 70." in words
        assert "AWD-LSTM, forward, frozen" in words and "against TF-IDF" in words
        assert "Encoder against AWD-LSTM, backward, tuned" in words
        assert "AWD-LSTM, backward Encoder Parameters 3.5 million 3.5 million" in words
        assert "What is" in words and "tex-chtml-full.js" in html
        assert scan(evidence.html) == []

    def test_every_mistake_fails_the_build(self, evidence: Layout) -> None:
        complaints = {
            "```{claims-table} nobody\n```": "has no claim in the ledger",
            "```{run-record} gone\n```": "no run record at",
            "```{transfer-table} gone\n```": "transfer-table: no run record at",
            "```{arm-differences} toy\ntuned_arm − x\n```": "has no arm 'x', only",
            "```{quiz} gone\n```": "gone.yml",
        }
        (evidence.book / "index.md").write_text("# Book\n\n" + "\n\n".join(complaints))
        done = build(evidence)
        assert done.returncode != 0
        for complaint in complaints.values():
            assert complaint in done.stderr


def test_the_runs_behind_a_model_stand_in_the_order_in_which_they_ran():
    card = {"commit": "c", "earlier": {"commit": "b", "earlier": {"commit": "a"}}}
    assert [run["commit"] for run in runs(card)] == ["a", "b", "c"]
    assert runs({"commit": "only"}) == [{"commit": "only"}]


def test_verdicts_stand_at_their_task_and_number_of_labels():
    places = [("mr", 200, "wins"), ("trec6", 10, "level"), ("trec6", 50, "wins")]
    rows = [
        {
            "task": task,
            "labels_per_class": n,
            "against": {"encoder/tuned": {"verdict": "loses"}, "tfidf": {"verdict": verdict}},
        }
        for task, n, verdict in places
    ]
    assert verdicts(rows, "tfidf") == {"mr 200": "wins", "trec6 10": "level", "trec6 50": "wins"}


def test_a_model_of_two_runs_has_two_curves_the_second_after_the_first():
    rows = [{"tokens": 1_000_000, "valid_loss": 3.0}, {"tokens": 2_000_000, "valid_loss": 2.0}]
    card = {"history": rows, "tokens_seen": 2_000_000}
    assert curves({**card, "earlier": card}) == [
        [(1.0, 3.0), (2.0, 2.0)],
        [(3.0, 3.0), (4.0, 2.0)],
    ]

"""Numbers for the prose, with myst-nb and without."""

import sys

import pytest
from IPython.utils.capture import capture_output

from ulmfit_lib.study.glue import glue


def test_with_myst_nb_the_value_is_kept_under_its_name() -> None:
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.instance()
    with capture_output() as shown:
        glue("half", 0.5)
    (output,) = shown.outputs
    assert output.metadata["scrapbook"]["name"] == "half"
    assert output.metadata["scrapbook"]["mime_prefix"]  # kept, but not shown under the cell


def test_without_myst_nb_it_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "myst_nb", None)
    glue("valid-perplexity", 61.3)
    assert capsys.readouterr().out == "valid-perplexity: 61.3\n"

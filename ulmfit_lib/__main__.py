"""The command line: ``python -m ulmfit_lib --help``.

Each command is one short function in this module; what it needs is imported inside it, so that
``--help`` does not wait for torch. To add a command, add a function below.
"""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

HELP = "The command line of the book Fine-Tuning Language Models."
app = typer.Typer(
    help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
data = typer.Typer(help="The data sets: what is there, and building the embedded one.")
app.add_typer(data, name="data", no_args_is_help=True)

Debug = Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")]
Json = Annotated[bool, typer.Option("--json", help="Print it for programs, as JSON.")]


@app.callback()
def options(debug: Debug = False) -> None:
    """The command line of the book Fine-Tuning Language Models."""


@app.command()
def doctor(json: Json = False) -> None:
    """Say what is installed, what is off, and the remedy; exit status 1 if something is broken."""
    from ulmfit_lib.study.doctor import as_json, as_text, examine, is_broken

    checks = examine()
    typer.echo(as_json(checks) if json else as_text(checks))
    raise typer.Exit(1 if is_broken(checks) else 0)


def main() -> None:
    """Run the command line; an error that the library explains is one line, not a traceback."""
    try:
        app(prog_name="python -m ulmfit_lib")
    except Exception as error:
        if "--debug" in sys.argv or not is_explained(error):
            traceback.print_exc()
        else:
            command = " ".join(["python -m ulmfit_lib --debug", *sys.argv[1:]])
            typer.echo(f"error: {error}\n(where it comes from: {command})", err=True)
        sys.exit(1)


def is_explained(error: Exception) -> bool:
    """Whether the message says what is wrong: bad input, files, or an error of the library's own.

    Args:
        error: what a command raised.
    """
    own = type(error).__module__.partition(".")[0] == "ulmfit_lib"
    return own or isinstance(error, ValueError | OSError)


if __name__ == "__main__":
    main()

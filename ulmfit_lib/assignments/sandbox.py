"""The process in which a submission runs, behind the fence.

It holds the student's code and what was given, never a test, an expected value or a verdict.
The judge asks for calls by name; arguments and answers pass as plain values. Introduced in the
chapter *For instructors*.
"""

from __future__ import annotations

import ast
import os
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from ulmfit_lib.assignments.fence import Limits, enter, readable_folders
from ulmfit_lib.assignments.submission import definitions, library_import
from ulmfit_lib.assignments.values import NotAValueError, from_bytes, to_bytes

LONGEST_MESSAGE = 600  # characters of an error that are passed on
OUTPUT = os.devnull  # what a submission prints
LAST_FILE = 2**16  # no file that is open here has a higher number
MISSING = "missing"  # kind of the answer where there is no such function


@dataclass(frozen=True)
class Work:
    """What a sandbox needs to know. Introduced in the chapter *For instructors*."""

    given: tuple[str, ...]  # code that comes with the assignment
    own: tuple[tuple[bool, str], ...]  # the student's cells; True: the answer that is judged
    others: tuple[str, ...]  # reference answers to the other tasks
    limits: Limits
    scratch: str = ""  # an empty folder that it may write to; the judge makes and removes it


def serve(connection: Connection, work: Work) -> None:
    """Load the code behind the fence, then answer calls until the judge hangs up.

    Introduced in the chapter *For instructors*.

    Args:
        connection: to the judge.
        work: the code, and what it may use.
    """
    _leave_the_judge(Path(work.scratch), connection)
    connection.send_bytes(to_bytes({"up": True}))
    enter(work.limits, readable_folders(), Path(work.scratch))
    names: dict[str, Any] = {"__name__": "submission"}
    problem = load(work, names)
    connection.send_bytes(to_bytes({"problem": problem}))
    while True:
        try:
            request = connection.recv_bytes()
        except (EOFError, OSError):
            break
        _send(connection, _answer(names, _functions(connection), request))
    os._exit(0)  # no handler that a submission left behind runs


def load(work: Work, names: dict[str, Any]) -> str:
    """Run the definitions of all code; what kept the judged answer from loading, or "".

    First what was given, then the student's cells in their order, then the reference answers to
    the other tasks, so that a mistake in one task does not cost another. Introduced in the
    chapter *For instructors*.

    Args:
        work: the code.
        names: the namespace to fill.
    """
    for code in work.given:
        for statement in definitions(code, with_calls=True):
            _run(statement, names)
    problem = ""
    for judged, code in work.own:
        problem = _load_cell(code, judged, names) or problem if judged else problem
        if not judged:
            _load_cell(code, judged, names)
    for code in work.others:
        for statement in definitions(code, with_calls=False):
            _run(statement, names)
    return problem


def _load_cell(code: str, judged: bool, names: dict[str, Any]) -> str:
    """Run a student's cell; what went wrong first. A cell that is not judged goes on after it."""
    problem = ""
    try:
        statements = list(definitions(code, with_calls=judged))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"the cell is no Python: {_described(error)}"
    for statement in statements:
        problem = problem or _load_statement(statement, names)
        if problem and judged:
            break
    return problem


def _load_statement(statement: ast.stmt, names: dict[str, Any]) -> str:
    if library := library_import(statement):
        return f"line {statement.lineno} imports {library}: write this piece yourself"
    try:
        _run(statement, names)
    except BaseException as error:  # SystemExit and the like, too
        return f"line {statement.lineno} of the cell fails: {_described(error)}"
    return ""


def _run(statement: ast.stmt, names: dict[str, Any]) -> None:
    exec(compile(ast.Module([statement], []), "the answer", "exec"), names)


def _answer(names: dict[str, Any], stub: Any, request: bytes) -> dict[str, Any]:
    """Call what the judge asks for: its value, or the error in words."""
    name, arguments, keywords = from_bytes(request, stub)
    if name not in names:
        return {"error": f"{name} is not defined: is its cell still there?", "kind": MISSING}
    try:
        return {"value": names[name](*arguments, **keywords)}
    except BaseException as error:  # SystemExit and the like, too
        raised_in = traceback.extract_tb(error.__traceback__)[-1].name
        return {"error": _described(error), "kind": type(error).__name__, "raised_in": raised_in}


def _send(connection: Connection, answer: dict[str, Any]) -> None:
    try:
        message = to_bytes(answer)
    except NotAValueError as error:
        message = to_bytes({"error": f"the answer cannot be read: {error}", "kind": "TypeError"})
    except BaseException as error:  # an answer may be an object with code of its own
        message = to_bytes({"error": f"no answer: {_described(error)}", "kind": "TypeError"})
    connection.send_bytes(message)


def _functions(connection: Connection) -> Callable[[int], Callable[..., Any]]:
    """Stubs for the judge's functions: each call asks back and waits."""

    def stub(number: int) -> Callable[..., Any]:
        """The function that stands for the judge's."""

        def ask(*arguments: Any) -> Any:
            """What the judge's function answers."""
            connection.send_bytes(to_bytes({"call": number, "arguments": arguments}))
            reply = from_bytes(connection.recv_bytes())
            if "error" in reply:
                raise ValueError(reply["error"])
            return reply["value"]

        return ask

    return stub


def _described(error: BaseException) -> str:
    """An error in one line: kind, message, and the line of the answer it comes from."""
    frames: Sequence[Any] = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == "the answer"]
    where = f" (line {lines[-1]} of the cell)" if lines else ""
    try:
        text = str(error)
    except BaseException:
        text = "an error without a message"
    return f"{type(error).__name__}: {text[:LONGEST_MESSAGE]}{where}"


def _leave_the_judge(scratch: Path, connection: Connection) -> None:
    """A session, a folder and a silence of its own; one thread, and one line to the judge.

    The other lines that are open here lead to the process that starts all sandboxes: what a
    submission wrote there could cost another one its points.
    """
    if hasattr(os, "setsid"):
        os.setsid()
        os.closerange(3, connection.fileno())
        os.closerange(connection.fileno() + 1, LAST_FILE)
    silence = os.open(OUTPUT, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    os.chdir(scratch)
    torch.set_num_threads(1)

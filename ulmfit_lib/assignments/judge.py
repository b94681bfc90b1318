"""The judge: tests run here, the submission elsewhere, and only plain values pass between them.

The test cells are ordinary assertions. Where they call a function of the assignment, a stand-in
asks the sandbox for the value. So a submission that patches torch, reads the call stack or writes
to every open file finds no expected value, no test and no verdict in its process: it can only
answer. Introduced in the chapter *For instructors*.
"""

from __future__ import annotations

import multiprocessing
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from ulmfit_lib.assignments.fence import MEBIBYTE, STANDARD_LIMITS, Limits
from ulmfit_lib.assignments.sandbox import MISSING, Work, serve
from ulmfit_lib.assignments.source import Assignment, AssignmentError, Task, Test
from ulmfit_lib.assignments.submission import (
    Submission,
    own_cells,
    read_submission,
    solutions_of_others,
)
from ulmfit_lib.assignments.values import NotAValueError, from_bytes, to_bytes

NOT_WRITTEN = "NotImplementedError"  # what the stub of a hand-out raises
# What every sandbox starts with; torch's optimizers would each time wait for the second.
_PRELOADED = ["ulmfit_lib.assignments.sandbox", "torch._dynamo"]


class NoAnswerError(Exception):
    """The submission gave no value; the message tells the student why."""


@dataclass(frozen=True)
class Result:
    """One test of one submission. Introduced in the chapter *For instructors*."""

    task: str
    test: str
    points: float
    possible: float
    hint: str  # "" where it passed


@dataclass(frozen=True)
class Report:
    """A submission, judged. Introduced in the chapter *For instructors*."""

    student: str
    results: tuple[Result, ...]
    answers: Mapping[str, str] = field(default_factory=dict)  # text of each question's answer
    problem: str = ""  # why the notebook could not be read, if it could not

    @property
    def points(self) -> float:
        """What the tests gave."""
        return sum(result.points for result in self.results)

    def task_points(self, task: str) -> float:
        """What the tests of ``task`` gave."""
        return sum(result.points for result in self.results if result.task == task)


def judge_file(
    assignment: Assignment,
    path: str | Path,
    student: str,
    stubs: Mapping[str, str] | None = None,
    limits: Limits = STANDARD_LIMITS,
) -> Report:
    """Judge the submission at ``path``. Whatever stands in it, the answer is a report.

    Introduced in the chapter *For instructors*.

    Args:
        assignment: its tests, and what is given.
        path: of the student's notebook.
        student: whose it is.
        stubs: by task, what the hand-out has in the answer's cell.
        limits: of each task.
    """
    try:
        submission = read_submission(path)
    except AssignmentError as error:
        return Report(student, _nothing(assignment, str(error)), problem=str(error))
    results: list[Result] = []
    for task in assignment.tasks:
        work = _work(assignment, task, submission, (stubs or {}).get(task.name, ""), limits)
        results += judge_task(task, work, assignment.functions())
    return Report(student, tuple(results), submission.answers)


def judge_all(
    assignment: Assignment,
    files: Mapping[str, Path],
    stubs: Mapping[str, str],
    workers: int = 2,
    limits: Limits = STANDARD_LIMITS,
) -> list[Report]:
    """Judge many submissions, several at a time. Introduced in the chapter *For instructors*.

    Args:
        assignment: its tests, and what is given.
        files: the notebook of each student.
        stubs: by task, what the hand-out has in the answer's cell.
        workers: submissions at a time.
        limits: of each task.
    """

    def judge(student: str) -> Report:
        """The report of one student; a fault of the judge's own is told, and costs no other."""
        try:
            return judge_file(assignment, files[student], student, stubs, limits)
        except Exception as error:
            why = f"not judged, grade again: {type(error).__name__}: {error}"
            return Report(student, _nothing(assignment, why), problem=why)

    with ThreadPoolExecutor(max_workers=workers) as pool:
        return list(pool.map(judge, files))


def judge_task(task: Task, work: Work, functions: Sequence[str] | frozenset[str]) -> list[Result]:
    """Run the tests of ``task`` against code in a sandbox of its own.

    Introduced in the chapter *For instructors*.

    Args:
        task: its tests.
        work: the code.
        functions: names that the tests may call in the sandbox.
    """
    with Sandbox(work) as sandbox:
        stand_ins = {name: sandbox.function(name) for name in functions}
        return [_run_test(task, test, stand_ins) for test in task.tests]


class Sandbox:
    """A process with a submission in it, asked for values.

    Introduced in the chapter *For instructors*.

    Args:
        work: the code, and what it may use.
    """

    def __init__(self, work: Work) -> None:
        self.limits = work.limits
        self.scratch = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        work = replace(work, scratch=self.scratch.name)
        self.connection, theirs = _context().Pipe()
        self.process = _context().Process(target=serve, args=(theirs, work), daemon=True)  # type: ignore[attr-defined]
        self.late = threading.Event()
        self.clock = threading.Timer(work.limits.wall_seconds, self._stop)
        self.process.start()
        theirs.close()
        self.problem: str | None = None  # not known before it has loaded

    def __enter__(self) -> Sandbox:
        self._receive()  # it is up, and runs no code of the submission yet
        self.clock.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.clock.cancel()
        self.process.kill()
        self.process.join()
        self.connection.close()
        self.scratch.cleanup()

    def function(self, name: str) -> Callable[..., Any]:
        """A function here that is computed there.

        Raises:
            NoAnswerError: when it is called and no value comes back.
        """

        def ask(*arguments: Any, **keywords: Any) -> Any:
            """What the submission's function answers."""
            return self._call(name, arguments, keywords)

        return ask

    def _call(self, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        kept: list[Callable[..., Any]] = []

        def keep(function: Callable[..., Any]) -> int:
            """Remember a function of a test, which the submission may call."""
            kept.append(function)
            return len(kept) - 1

        try:
            if self.problem is None:
                self.problem = str(self._receive().get("problem", ""))
            self.connection.send_bytes(to_bytes((name, arguments, keywords), keep))
            reply = self._receive()
            while "call" in reply:
                self.connection.send_bytes(to_bytes(_called(kept, reply)))
                reply = self._receive()
        except NotAValueError as error:
            raise NoAnswerError(
                f"{name} gave back something that cannot be read: {error}"
            ) from None
        except (EOFError, OSError) as error:
            raise NoAnswerError(self._why_it_ended(error)) from None
        return self._value(name, reply)

    def _receive(self) -> dict[str, Any]:
        message = self.connection.recv_bytes(self.limits.answer_mebibytes * MEBIBYTE)
        reply = from_bytes(message)
        if not isinstance(reply, dict):
            raise NotAValueError("not a message of this channel")
        return reply

    def _value(self, name: str, reply: dict[str, Any]) -> Any:
        if "value" in reply:
            return reply["value"]
        if reply.get("kind") == NOT_WRITTEN:
            missing = reply.get("raised_in", name)
            first = "" if missing == name else f"{name} needs {missing}, which is "
            raise NoAnswerError(f"{first}not written yet")
        if self.problem:
            raise NoAnswerError(self.problem)
        if reply.get("kind") == MISSING:
            raise NoAnswerError(str(reply["error"]))
        raise NoAnswerError(f"{name} stopped with {reply.get('error', 'no value')}")

    def _stop(self) -> None:
        """Time is up: end the process, and the waiting for it even if a child holds the line."""
        self.late.set()
        self.process.kill()
        _hang_up(self.connection)

    def _why_it_ended(self, error: Exception) -> str:
        if "bad message length" in str(error):
            return f"the answer is larger than {self.limits.answer_mebibytes} MiB"
        self.process.join(5)
        if self.late.is_set():
            return f"no answer within {self.limits.wall_seconds:g} seconds"
        if self.process.exitcode == -24:  # SIGXCPU
            return f"more than {self.limits.seconds:g} seconds of processor time: an endless loop?"
        return f"the code ended the whole process (exit status {self.process.exitcode})"


def _called(kept: list[Callable[..., Any]], request: dict[str, Any]) -> dict[str, Any]:
    """Call the test's function that the submission asks for; its errors go there, too."""
    try:
        return {"value": kept[request["call"]](*request["arguments"])}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _run_test(task: Task, test: Test, stand_ins: Mapping[str, Callable[..., Any]]) -> Result:
    """Run one test cell here; its assertions see the submission through ``stand_ins`` alone."""
    hint = ""
    try:
        exec(compile(test.code, test.name, "exec"), {"__name__": test.name, **stand_ins})
    except AssertionError as error:
        hint = str(error) or f"this does not hold: {_failing_line(error, test)}"
    except NoAnswerError as error:
        hint = str(error)
    except Exception as error:
        hint = f"the answer has another form than asked for ({type(error).__name__}: {error})"
    return Result(task.name, test.name, 0.0 if hint else test.points, test.points, hint)


def _failing_line(error: AssertionError, test: Test) -> str:
    trace = error.__traceback__
    number = trace.tb_next.tb_lineno if trace and trace.tb_next else 1
    return test.code.splitlines()[number - 1].strip().removeprefix("assert ")


def _work(
    assignment: Assignment, task: Task, submission: Submission, stub: str, limits: Limits
) -> Work:
    own = own_cells(submission, task.name, stub)
    others = solutions_of_others(assignment, task.name)
    return Work(assignment.given, tuple(own), tuple(others), limits)


def _nothing(assignment: Assignment, why: str) -> tuple[Result, ...]:
    tests = [(task, test) for task in assignment.tasks for test in task.tests]
    return tuple(Result(task.name, test.name, 0.0, test.points, why) for task, test in tests)


def _context() -> BaseContext:
    """How sandboxes start: from a clean server that has the library loaded, where there is one."""
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def _hang_up(connection: Connection) -> None:
    if sys.platform == "win32":
        return
    try:
        with socket.socket(fileno=socket.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it has ended by itself

"""Stages for the runner's tests: in a module of their own, because a worker is a fresh interpreter."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Act:
    """Does what the payload says: ("verb", argument...). Notes every attempt in `folder`, if there is one."""

    folder: str | None = None
    name: str = "act"
    unit: str = "items"

    def open(self) -> Callable[[tuple[Any, ...], Progress], Any]:
        self.note("opened")
        return self.act

    def act(self, payload: tuple[Any, ...], progress: Progress) -> object:
        verb, *arguments = payload
        started = time.monotonic()
        self.note(f"begin {verb} {arguments}")
        try:
            return getattr(self, verb)(progress, *arguments)
        finally:
            self.note(f"end {verb} {started} {time.monotonic()}")

    def note(self, text: str) -> None:
        if self.folder is not None:
            with open(Path(self.folder) / str(os.getpid()), "a") as file:
                file.write(f"{text}\n")

    def double(self, progress: Progress, number: int, seconds: float = 0.0) -> int:
        time.sleep(seconds)
        return 2 * number

    def pid(self, progress: Progress) -> int:
        return os.getpid()

    def environment(self, progress: Progress) -> dict[str, str]:
        return dict(os.environ)

    def modules(self, progress: Progress) -> set[str]:
        return set(sys.modules)

    def signal(self, progress: Progress, number: int) -> None:
        os.kill(os.getpid(), number)
        time.sleep(5)

    def exit(self, progress: Progress, code: int) -> None:
        os._exit(code)

    def abort(self, progress: Progress) -> None:
        os.write(2, b"free(): invalid pointer\n")
        os.abort()

    def orphan_and_die(self, progress: Progress, seconds: float) -> None:
        """Die, leaving a forked child behind that keeps the line to the parent open."""
        if os.fork() == 0:
            time.sleep(seconds)
            os._exit(0)
        self.signal(progress, signal.SIGSEGV)

    def signal_once(self, progress: Progress, number: int, flag: str) -> str:
        with contextlib.suppress(FileExistsError), open(flag, "x"):
            self.signal(progress, number)
        return "survived"

    def killed_then_faulty(self, progress: Progress, flag: str) -> None:
        self.signal_once(progress, signal.SIGKILL, flag)
        self.signal(progress, signal.SIGSEGV)

    def fail(self, progress: Progress, message: str) -> None:
        raise LookupError(message)

    def call_exit(self, progress: Progress) -> None:
        sys.exit(4)

    def unpicklable(self, progress: Progress) -> object:
        return lambda: None

    def one_way(self, progress: Progress) -> object:
        return OneWay()

    def sleep(self, progress: Progress, seconds: float) -> str:
        time.sleep(seconds)
        return "slept"

    def sleep_locked(self, progress: Progress, seconds: int) -> None:
        """Like native code that never lets go of the interpreter: no other thread of the worker can run."""
        ctypes.PyDLL(None).sleep(seconds)

    def steps(self, progress: Progress, count: int, seconds: float) -> str:
        for step in range(count):
            progress(step / count)
            time.sleep(seconds)
        return "stepped"

    def report(self, progress: Progress, fraction: float) -> None:
        progress(fraction)
        time.sleep(0.6)

    def late_progress(self, progress: Progress) -> None:
        threading.Timer(0.2, progress, [1.0]).start()

    def report_once(self, progress: Progress, fraction: float, flag: str) -> None:
        with contextlib.suppress(FileExistsError), open(flag, "x"):
            self.report(progress, fraction)
            self.signal(progress, signal.SIGSEGV)
        time.sleep(0.5)

    def chatter(self, progress: Progress, characters: int, seconds: float = 0.0) -> str:
        sys.stdout.write("out " * (characters // 8))
        sys.stderr.write("err " * (characters // 8))
        sys.stdout.flush()
        time.sleep(seconds)
        return "chattered"


class OneWay:
    """Can be pickled and not unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return int, ("not a number",)


@dataclass(frozen=True)
class BadOpen:
    """A stage whose `open` raises, kills its process, or does so at the first or at every other time."""

    how: str
    flag: str = ""
    name: str = "bad open"
    unit: str = "items"

    def open(self) -> Callable[[int, Progress], int]:
        if self.how == "raise":
            raise FileNotFoundError("weights.onnx is\nmissing")
        if self.how in ("once", "alternate"):
            try:
                open(self.flag, "x").close()
            except FileExistsError:
                if self.how == "alternate":
                    os.unlink(self.flag)
                return self.double
        os.kill(os.getpid(), signal.SIGKILL if self.how in ("once", "killed") else signal.SIGSEGV)
        raise AssertionError("a signal that cannot be caught was survived")

    def double(self, payload: int, progress: Progress) -> int:
        if payload < 0:
            os._exit(3)
        return 2 * payload

"""One worker process as its parent sees it: a fresh interpreter, spoken to over a socket, buried when dead.

Not `multiprocessing.Process`: that imports the caller's main script again in every worker (for a command
line, the whole command line) and offers no way to catch what native libraries print.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection, Pipe
from typing import Any

from . import worker as child

logger = logging.getLogger(__name__)

# The processes are what runs in parallel: two libraries' thread pools on top would fight for the same cores.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
# Signals a process brings upon itself; all others may have come from outside.
OWN_SIGNALS = {
    signal.SIGSEGV,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSYS,
    signal.SIGTRAP,
}
BURY_SECONDS = 5.0
LAST_WORDS_BYTES = 400


@dataclass(frozen=True, slots=True)
class Death:
    """Why a worker ended: `reason`, the same in every run; `own`: surely its own doing, nobody else's."""

    reason: str
    own: bool
    last_words: str


class Worker:
    """A child process with a stage in it: `ready` once that is open, `lost` when it can no longer be reached.

    `last_sign` is the caller's, in the caller's clock: when it last heard from the worker.
    """

    def __init__(self, packed_stage: bytes, clock: float) -> None:
        ours, theirs = Pipe(duplex=True)
        # The kernel's "die with your parent" means the thread that started it; the main one surely stays.
        die_with_thread = threading.current_thread() is threading.main_thread()
        code = (
            f"import sys; sys.path[:] = {[str(entry) for entry in sys.path]!r}; "
            f"from {child.__name__} import main; main({theirs.fileno()}, {os.getpid()}, {die_with_thread})"
        )
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
                env=os.environ | ONE_THREAD,
            )
        assert self._process.stdout is not None
        self._connection: Connection = ours
        self._output = self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        self._last_words = b""
        self._talks = True
        self._killed_for: str | None = None
        self.name = f"local-{self._process.pid}"
        self.ready = False
        self.lost = False
        self.last_sign = clock
        self.send(packed_stage)

    def send(self, packed: bytes) -> bool:
        """Send one message; False, and `lost`, when nobody is there to take it."""
        try:
            self._connection.send_bytes(packed)
        except OSError:
            self.lost = True
        return not self.lost

    def has_exited(self) -> bool:
        return self._process.poll() is not None

    def read(self) -> Iterator[tuple[Any, ...]]:
        """All messages that have come in, without waiting; sets `lost` at the end of the line."""
        self._read_output()
        try:
            while self._connection.poll():
                yield pickle.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            self.lost = True

    def kill(self, reason: str | None = None) -> None:
        """Kill it, for a `reason` that will be that of its death."""
        self._killed_for = reason
        self._process.kill()

    def bury(self, timeout: float = BURY_SECONDS) -> Death:
        """Wait for its end, kill it after `timeout` seconds, leave no zombie and no open file."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill(self._killed_for or "closed its line to the parent")
            try:
                code = self._process.wait(BURY_SECONDS)
            except subprocess.TimeoutExpired:
                code = -signal.SIGKILL
                logger.warning("%s: does not die; it hangs in the kernel", self.name)
        self._read_output()
        self._connection.close()
        self._output.close()
        last_words = " ".join(self._last_words.decode(errors="replace").split())
        if self._killed_for is not None:
            return Death(self._killed_for, True, last_words)
        if code >= 0:
            return Death(f"worker exited with code {code}", True, last_words)
        return Death(f"worker killed by {_signal_name(-code)}", -code in OWN_SIGNALS, last_words)

    def waitables(self) -> list[Connection | int]:
        return [self._connection, self._output.fileno()] if self._talks else [self._connection]

    def _read_output(self) -> None:
        """Keep the pipe of its stdout and stderr empty: what it says is logged, the end of it kept."""
        try:
            while chunk := os.read(self._output.fileno(), 65536):
                logger.debug("%s: %s", self.name, chunk.decode(errors="replace").rstrip())
                self._last_words = (self._last_words + chunk)[-LAST_WORDS_BYTES:]
        except BlockingIOError:
            return
        self._talks = False  # it closed both, and a closed pipe would wake us without end


def wait_for_any(workers: Iterable[Worker], timeout: float) -> None:
    """Return when a worker has said something or ended, or after `timeout` seconds."""
    connection.wait([waitable for worker in workers for waitable in worker.waitables()], timeout)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # real-time signals have no names

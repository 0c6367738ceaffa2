"""One worker process from the parent's side: a fresh interpreter, connected by a socket, reaped when it dies.

Not `multiprocessing.Process`: that imports the caller's main script again in every worker (for a command line, the
whole command line) and cannot capture what native libraries print.
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

# The processes run in parallel: thread pools of libraries on top would fight for the same cores.
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
    """Death of a worker. `reason` is the same in every run; `own`: certainly caused by the worker itself."""

    reason: str
    own: bool
    last_words: str


class Worker:
    """A child process with a stage: `ready` once the stage is open, `lost` when the connection is broken.

    `last_sign` is set by the caller, in the caller's clock: the time of the worker's last message.
    """

    def __init__(self, packed_stage: bytes, clock: float) -> None:
        ours, theirs = Pipe(duplex=True)
        # The kernel's "die with your parent" means the thread that started it; only the main one is sure to stay.
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
        self._prints = True
        self._killed_for: str | None = None
        self.name = f"local-{self._process.pid}"
        self.ready = False
        self.lost = False
        self.last_sign = clock
        self.send(packed_stage)

    def send(self, packed: bytes) -> bool:
        """Send one message; return False and set `lost` if the worker no longer receives."""
        try:
            self._connection.send_bytes(packed)
        except OSError:
            self.lost = True
        return not self.lost

    def has_exited(self) -> bool:
        return self._process.poll() is not None

    def read(self) -> Iterator[tuple[Any, ...]]:
        """Yield all received messages, without waiting; set `lost` at the end of the connection."""
        self._read_output()
        try:
            while self._connection.poll():
                yield pickle.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            self.lost = True

    def kill(self, reason: str | None = None) -> None:
        """Kill the process; `reason` becomes the reason of its death."""
        self._killed_for = reason
        self._process.kill()

    def bury(self, timeout: float = BURY_SECONDS) -> Death:
        """Wait for its end, kill it after `timeout` seconds, leave no zombie and no open file."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill(self._killed_for or "closed its connection to the parent")
            try:
                code = self._process.wait(BURY_SECONDS)
            except subprocess.TimeoutExpired:
                code = -signal.SIGKILL
                logger.warning("%s: cannot be killed; it hangs in the kernel", self.name)
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
        return [self._connection, self._output.fileno()] if self._prints else [self._connection]

    def _read_output(self) -> None:
        """Drain the pipe of its stdout and stderr: all output is logged, the end of it kept."""
        try:
            while chunk := os.read(self._output.fileno(), 65536):
                logger.debug("%s: %s", self.name, chunk.decode(errors="replace").rstrip())
                self._last_words = (self._last_words + chunk)[-LAST_WORDS_BYTES:]
        except BlockingIOError:
            return
        self._prints = False  # it closed both, and a closed pipe would wake us without end


def wait_for_any(workers: Iterable[Worker], timeout: float) -> None:
    """Return when a worker has sent or printed something or ended, or after `timeout` seconds."""
    connection.wait([waitable for worker in workers for waitable in worker.waitables()], timeout)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # real-time signals have no names

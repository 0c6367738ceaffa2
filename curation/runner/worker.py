"""The worker's side of the local runner: a fresh interpreter that opens a stage and processes one item after another.

`process.py` starts it with one duplex connection. The parent sends the pickled stage, then one pickled payload after
another, then an empty message for the end. The worker answers with pickled tuples:

    ("ready",)                               the stage is open
    ("unable", error, trace)                 the stage cannot be opened; the worker ends
    ("progress", fraction)                   sign of life of the current item
    ("done", pickled result, seconds)        the item is finished
    ("raised", (error, trace), seconds)      the stage raised; the worker continues with the next item
"""

from __future__ import annotations

import math
import os
import pickle
import resource
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from queue import SimpleQueue

PROGRESS_INTERVAL_SECONDS = 0.1
ERROR_CHARACTERS = 500
STOP = b""


def main(fd: int, parent_pid: int, die_with_thread: bool) -> None:
    """Serve the parent over the inherited socket `fd` until its stop message.

    `die_with_thread`: let the kernel kill this process when the thread that started it ends. Only for the parent's main
    thread, which lives as long as the process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent decides
    os.set_inheritable(fd, False)  # a program started by the stage must not keep the connection to the parent open
    # A crash here is an ordinary result and not worth gigabytes of core file.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if die_with_thread:
        _request_death_with_parent()
    if os.getppid() != parent_pid:  # it died before the request took effect
        return
    connection = Connection(fd)
    inbox: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_receive, args=(connection, inbox), name="parent", daemon=True).start()
    _serve(inbox, _Outbox(connection))


def one_line(error: BaseException) -> str:
    """Type and message of an exception on one printable line of at most `ERROR_CHARACTERS` characters."""
    try:
        message = str(error)
    except Exception:
        message = "(its message cannot be shown)"
    words = f"{type(error).__name__}: {message}".split()
    # Undecodable bytes of file names arrive as lone surrogates, which no table can store.
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(words))
    line = line.removesuffix(":")
    return line if len(line) <= ERROR_CHARACTERS else line[: ERROR_CHARACTERS - 1] + "…"


class _Outbox:
    """Sends replies and progress; a stage may report progress from several threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._last_progress = -math.inf

    def send(self, *message: object) -> None:
        packed = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        with self._lock:
            self._connection.send_bytes(packed)

    def progress(self, fraction: float) -> None:
        """Report a sign of life and the `fraction` done, 0 to 1; may be called very often."""
        now = time.monotonic()
        if now - self._last_progress >= PROGRESS_INTERVAL_SECONDS:
            self._last_progress = now
            self.send("progress", float(fraction))


def _serve(inbox: SimpleQueue[bytes], outbox: _Outbox) -> None:
    try:
        work = pickle.loads(inbox.get()).open()
    except BaseException as error:
        outbox.send("unable", one_line(error), traceback.format_exc())
        return
    outbox.send("ready")
    while (message := inbox.get()) != STOP:
        started = time.monotonic()
        reply: tuple[str, object]
        try:
            # Pickled here: a result that cannot be pickled is this item's fault and not the worker's end.
            reply = "done", _packed(work(pickle.loads(message), outbox.progress))
        except BaseException as error:  # a library that calls sys.exit must not end the worker either
            reply = "raised", (one_line(error), traceback.format_exc())
        outbox.send(*reply, time.monotonic() - started)
        del reply, message  # free them while waiting for the next item


def _packed(result: object) -> bytes:
    try:
        return pickle.dumps(result, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        kind = type(result).__name__
        raise TypeError(f"the result, a {kind}, cannot be pickled: {one_line(error)}") from error


def _receive(connection: Connection, inbox: SimpleQueue[bytes]) -> None:
    """Queue the parent's messages; kill the process at once, in any state, when the parent is gone."""
    message = None
    while message != STOP:
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            inbox.put(message)


def _request_death_with_parent() -> None:
    """Linux only: `_receive` cannot run while native code holds the interpreter lock; the kernel can act."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(signal.SIGKILL), 0, 0, 0)

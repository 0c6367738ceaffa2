"""One writer at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import LpseError

_ASK_AGAIN = 0.05  # seconds


class Locked(LpseError):
    """Another process, or this one already, is writing."""


@contextmanager
def exclusive(path: Path, purpose: str, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock file `path` within the block. Raises Locked, naming the holder's process, after `wait` seconds.

    The kernel releases the lock when its holder dies. The text left in the file is then ignored.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        deadline = time.monotonic() + wait
        while not _taken(descriptor):
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 1000, 0).decode(errors="replace").strip() or "another process"
                raise Locked(f"{path.parent}: {holder} is writing; wait for it or stop it")
            time.sleep(_ASK_AGAIN)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} ({purpose})".encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

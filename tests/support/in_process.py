"""A runner without processes: for tests of what comes before and after the work, where a worker's start costs most."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from datetime import UTC, datetime
from typing import TypeVar

from curation.runner import Item, ItemResult, ProgressCallback, Stage

P = TypeVar("P")
R = TypeVar("R")


def in_process(
    stage: Stage[P, R],
    items: Iterable[Item[P]],
    *,
    workers: int,
    stall_seconds: float = 600.0,
    on_progress: ProgressCallback | None = None,
) -> Generator[ItemResult[P, R], None, None]:
    """Carry out the items one after the other, here; an exception is the caller's."""
    work = stage.open()
    for item in items:
        value = work(item.payload, lambda share: None)
        yield ItemResult(item, "done", value, None, None, 1, "here", datetime.now(UTC), 0.0)

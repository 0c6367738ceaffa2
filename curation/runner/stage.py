"""What goes into a runner and what comes out: the values that the caller of any runner deals with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

Status = Literal["done", "raised", "crashed"]


class CannotStart(RuntimeError):
    """No worker gets as far as its first item: the stage cannot be opened here."""


class Stage(Protocol):
    """What a runner carries out: a picklable value, in a module that a fresh interpreter can import."""

    @property
    def name(self) -> str:
        """Name of the stage in messages and ledgers."""
        ...

    def open(self) -> None:
        """Load the heavy state; called once per worker, before the first item."""
        ...

    def process(self, payload: Any, progress: Callable[[float], None]) -> object:
        """Work on one item, return something picklable; `progress(share done, 0 to 1)` shows it is alive."""
        ...


@dataclass(frozen=True, slots=True)
class Item:
    """Something to process: `payload` goes to the stage, `weight` (say, seconds) counts in `Progress`."""

    key: str
    payload: object
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"item {self.key!r}: weight {self.weight} is not a finite number >= 0")


@dataclass(frozen=True, slots=True)
class ItemResult:
    """How an item ended: `result` when "done", otherwise `error`, one line that is the same in every run.

    `attempt` counts from 1; `started_at` (UTC) and `seconds` are those of the last attempt.
    """

    key: str
    status: Status
    result: Any
    error: str | None
    attempt: int
    worker: str
    started_at: datetime
    seconds: float


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands.

    `done_weight`: that of the finished items and of the done shares of those in hand; it steps back when
    one of these crashes. `running`: the items in hand and for how many seconds they have been.
    """

    done_weight: float
    running: dict[str, float]

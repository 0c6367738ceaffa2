"""The contract between a runner and its callers: stages, items and results."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Literal, Protocol, TypeVar

from manifests.errors import LpseError

from .progress import ProgressCallback, ShareCallback

Status = Literal["done", "raised", "crashed"]
P = TypeVar("P")
R = TypeVar("R")
P_contra = TypeVar("P_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class CannotStart(LpseError, RuntimeError):
    """No worker can open the stage, so no item was started."""


class Stage(Protocol[P_contra, R_co]):
    """One kind of work: a picklable value, in a module that a fresh interpreter can import."""

    @property
    def name(self) -> str:
        """Name of the stage in messages and ledgers."""
        ...

    @property
    def unit(self) -> str:
        """Unit of the items' weights, as in `Progress`."""
        ...

    def open(self) -> Callable[[P_contra, ShareCallback], R_co]:
        """Load the heavy state and return the function that processes one payload; called once per worker.

        That function returns a picklable value and reports the share done as a sign of life.
        """
        ...


@dataclass(frozen=True, slots=True)
class Item(Generic[P]):
    """One piece of work.

    `key`: its content key. `id`: its recording, cut or file. `payload`: sent to the worker. `weight`: its share of the
    progress. `label`: its display name. `stall_seconds`: its own limit without a sign of life; None for the run's.
    """

    key: str
    id: str
    payload: P
    weight: float = 1.0
    label: str = ""
    stall_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.stall_seconds is not None and not self.stall_seconds > 0:
            raise ValueError(f"item {self.key!r}: stall_seconds {self.stall_seconds} is not above 0")
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ValueError(f"item {self.key!r}: weight {self.weight} is not a finite number >= 0")


@dataclass(frozen=True, slots=True)
class ItemResult(Generic[P, R]):
    """The result of an item: `value` if "done", otherwise `error`, one line that is the same in every run.

    `trace`: the traceback, if the stage raised. `attempt` counts from 1; `started_at` (UTC) and `seconds` are those of
    the last attempt.
    """

    item: Item[P]
    status: Status
    value: R | None
    error: str | None
    trace: str | None
    attempt: int
    worker: str
    started_at: datetime
    seconds: float


class Runner(Protocol):
    """Processes items with a stage, in any place; every item gets exactly one result."""

    def __call__(
        self,
        stage: Stage[P, R],
        items: Iterable[Item[P]],
        *,
        workers: int,
        stall_seconds: float = 600.0,
        on_progress: ProgressCallback | None = None,
    ) -> Generator[ItemResult[P, R], None, None]:
        """Yield the results in order of completion; closing the generator stops the workers."""
        ...

"""Progress of a run, phase by phase, for display."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` in one phase of a run; `done` decreases when an item crashes and is tried again.

    `unit`: "bytes", "seconds" of audio or "items". `items`: their number. `running`: labels of the items in work.
    """

    phase: str
    done: float
    total: float
    unit: str = "items"
    items: int = 0
    running: tuple[str, ...] = ()


ProgressCallback = Callable[[Progress], None]
ShareCallback = Callable[[float], None]
"""Called with the share of one piece of work that is done, 0 to 1."""

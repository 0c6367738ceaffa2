"""Where a run stands, phase by phase, for whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from . import Item, Progress


@dataclass(frozen=True)
class Step:
    """Where a run stands: `done` of `total`, and what is in hand; `unit`: "bytes", "seconds" of sound or "items"."""

    phase: str
    unit: str
    done: float
    total: float
    items: int
    running: tuple[str, ...] = ()


StepCallback = Callable[[Step], None]


def teller(
    phase: str,
    unit: str,
    items: Sequence[tuple[str, str, Item]],
    shown: Mapping[str, str],
    on_step: StepCallback | None,
) -> Callable[[Progress], None] | None:
    """Turns a runner's progress into steps of the run; `shown` names an item id to people."""
    if on_step is None:
        return None
    total = sum(item.weight for _, _, item in items)

    def tell(progress: Progress) -> None:
        running = tuple(shown.get(name, name) for name in progress.running)
        on_step(Step(phase, unit, progress.done_weight, total, len(items), running))

    return tell

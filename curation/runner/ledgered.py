"""Runs stages with a ledger: finished items are skipped, and the result of each item is recorded."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from manifests.errors import Problem
from manifests.files import DiskFull
from manifests.ledger import Ledger
from manifests.records import LedgerRow, StageOutcome

from .pool import run_local
from .progress import Progress, ProgressCallback
from .stage import Item, ItemResult, Runner, Stage

STALL_SECONDS = 600.0  # a worker without a sign of life for this long counts as hanging
FLUSH_ROWS, FLUSH_SECONDS = 64, 5.0
# temporary problems: the next run tries the item again
TRANSIENT = frozenset({"vanished", "permission_denied"})
CRASHED, RAISED = "worker_crashed", "internal_error"
# deaths that a person or the kernel may have caused: the next run tries the item again
OUTSIDE = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")

P = TypeVar("P")
P_contra = TypeVar("P_contra", contravariant=True)


class StageResult(Protocol):
    """The result of a ledgered stage."""

    @property
    def problem(self) -> Problem | None:
        """The reason why the item failed, or lost a part."""
        ...


R = TypeVar("R", bound=StageResult)


class LedgeredStage(Stage[P_contra, R], Protocol[P_contra, R]):
    """A stage whose results can be stored in the ledger."""

    def encode(self, result: R) -> Mapping[str, Any]:
        """The result as a JSON object, with the problem as [reason, detail] under "problem"."""
        ...

    def decode(self, values: Mapping[str, Any]) -> R:
        """The result from `encode`'s output; from {"problem": ...} alone, that of a failed item."""
        ...


def failed_problem(problem: Problem) -> bool:
    """True if the work failed, False if the file is at fault."""
    return problem.reason in (CRASHED, RAISED)


def problem_of(values: Mapping[str, Any]) -> Problem | None:
    """The problem in the output of a stage's `encode`."""
    problem = values.get("problem")
    return None if problem is None else Problem(*problem)


def failure(result: ItemResult[Any, Any]) -> Problem | None:
    """The problem of an item whose work failed; None if it was done."""
    if result.status == "done":
        return None
    return Problem(CRASHED if result.status == "crashed" else RAISED, result.error or result.status)


def refuse_full_disk(result: ItemResult[Any, Any]) -> None:
    """Raise DiskFull for an item that could not be stored: the fault is no item's, and all others would have it."""
    kind, _, text = (result.error or "").partition(": ")
    if result.status == "raised" and kind == DiskFull.__name__:
        raise DiskFull(text)


@dataclass(frozen=True)
class LedgeredRunner:
    """Runs stages over keyed items and records each result in the ledger.

    `retry`: items that crashed their worker in an earlier run are tried again.
    """

    ledger: Ledger
    workers: int
    retry: bool = False
    runner: Runner = run_local

    def run(
        self,
        stage: LedgeredStage[P, R],
        items: Sequence[Item[P]],
        *,
        on_progress: ProgressCallback | None = None,
        stall_seconds: float = STALL_SECONDS,
        outputs_exist: Callable[[str], bool] | None = None,
    ) -> dict[str, R]:
        """Results by key: from the ledger if it has a final one, else from the workers.

        `outputs_exist` returns True for an item's id if the files that its work wrote are complete.
        """
        results = self.stored(stage, {item.key for item in items}, outputs_exist)
        total, skipped = (sum(one.weight for one in some) for some in (items, [i for i in items if i.key in results]))

        def shown(progress: Progress) -> None:
            if on_progress:
                on_progress(replace(progress, done=skipped + progress.done, total=total, items=len(items)))

        shown(Progress(stage.name, 0.0, total, stage.unit))
        todo = list({item.key: item for item in items if item.key not in results}.values())
        if todo:
            workers = min(self.workers, len(todo))
            finished = self.runner(stage, todo, workers=workers, stall_seconds=stall_seconds, on_progress=shown)
            with closing(finished), Recorder(self.ledger) as recorder:
                for ended in finished:
                    refuse_full_disk(ended)
                    problem = failure(ended)
                    result = stage.decode({"problem": problem}) if problem else ended.value
                    assert result is not None
                    results[ended.item.key] = result
                    recorder.add(ledger_row(stage.name, ended, stage.encode(result)))
        return results

    def stored(
        self, stage: LedgeredStage[P, R], keys: Collection[str], outputs_exist: Callable[[str], bool] | None = None
    ) -> dict[str, R]:
        """The final results of the ledger among `keys`; `outputs_exist` as in `run`."""
        results: dict[str, R] = {}
        for key, row in self.ledger.latest(stage.name).items():
            if key in keys and self.is_final(row):
                # one that cannot be read is worth no more than none
                with suppress(ValueError, TypeError, KeyError, AttributeError):
                    if row.outcome != "done" or outputs_exist is None or outputs_exist(row.item):
                        results[key] = stage.decode(json.loads(row.result or "{}"))
        return results

    def is_final(self, row: LedgerRow) -> bool:
        """True if a row of the ledger is final for its key, so that the item is not tried again."""
        try:
            problem = problem_of(json.loads(row.result or "{}"))
        except (ValueError, TypeError, AttributeError):
            return False
        if row.outcome == "failed":
            outside = any(signal in (problem.detail if problem else "") for signal in OUTSIDE)
            return problem is not None and problem.reason == CRASHED and not outside and not self.retry
        return problem is None or problem.reason not in TRANSIENT


class Recorder:
    """Appends rows to the ledger in batches, and the rest at the end of the block, even after an exception."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._pending: list[LedgerRow] = []
        self._flushed = time.monotonic()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self._ledger.append(self._pending)  # also when stopped: finished work stays finished

    def add(self, row: LedgerRow) -> None:
        """Record one row."""
        self._pending.append(row)
        if len(self._pending) >= FLUSH_ROWS or time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._ledger.append(self._pending)
            self._pending, self._flushed = [], time.monotonic()


def ledger_row(
    stage: str, ended: ItemResult[Any, Any], values: Mapping[str, Any], *, key: str | None = None
) -> LedgerRow:
    """The ledger row of an item; `key` defaults to the item's own."""
    outcome: StageOutcome = "failed" if ended.status != "done" else "dropped" if values.get("problem") else "done"
    return LedgerRow(
        stage=stage,
        key=key or ended.item.key,
        item=ended.item.id,
        outcome=outcome,
        result=json.dumps(values, sort_keys=True),
        worker=ended.worker,
        attempt=ended.attempt,
        started_at=ended.started_at,
        seconds=ended.seconds,
    )

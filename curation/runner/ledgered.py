"""Carrying out a stage with the ledger: what is done already is not done again, what is done now is noted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from manifests.ledger import Ledger
from manifests.records import LedgerRow

from . import Item, ItemResult, Progress, Stage, run_local

FLUSH_ROWS, FLUSH_SECONDS = 64, 5.0
# problems of the moment: the next run tries the item again
TRANSIENT = frozenset({"vanished", "permission_denied"})
CRASHED, RAISED = "worker_crashed", "internal_error"
# deaths that a person or the kernel may have caused: the next run tries the item again
OUTSIDE = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")


def failed_problem(reason: str) -> bool:
    """Whether a problem says that the work failed, rather than that the file is at fault."""
    return reason in (CRASHED, RAISED)


class LedgeredRunner:
    """Runs stages over keyed items and remembers in the ledger how each ended."""

    def __init__(self, ledger: Ledger, workers: int, retry: bool) -> None:
        self.ledger = ledger
        self._workers = workers
        self._retry = retry

    def carry_out(
        self,
        stage: Stage,
        items: Sequence[tuple[str, str, Item]],
        on_progress: Callable[[Progress], None] | None = None,
        *,
        stall_seconds: float,
        still_kept: Callable[[str], bool] | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Results by key of (key, item id, item), from the ledger where it has a final word, else from workers.

        `still_kept` says of an item id whether the files its work left are all there. A result is the stage's own
        dict; where the stage failed, one with the problem under "problem".
        """
        known = {
            key: row
            for key, row in self.ledger.latest(stage.name).items()
            if self._final(row) and (row.outcome != "done" or still_kept is None or still_kept(row.item))
        }
        names = {key: name for key, name, _ in items}
        results = {key: json.loads(known[key].result or "{}") for key in names if key in known}
        skipped = sum(item.weight for key, _, item in items if key in results)

        def told(progress: Progress) -> None:
            if on_progress:
                on_progress(
                    Progress(skipped + progress.done_weight, {names[key]: s for key, s in progress.running.items()})
                )

        told(Progress(0.0, {}))
        todo = {item.key: item for key, _, item in items if key not in results}
        pending: list[LedgerRow] = []
        flushed = time.monotonic()
        if todo:
            workers = min(self._workers, len(todo))
            try:
                with closing(
                    run_local(stage, todo.values(), workers=workers, stall_seconds=stall_seconds, on_progress=told)
                ) as outcomes:
                    for outcome in outcomes:
                        results[outcome.key] = _result(outcome)
                        pending.append(_row(stage.name, names[outcome.key], outcome, results[outcome.key]))
                        if len(pending) >= FLUSH_ROWS or time.monotonic() - flushed > FLUSH_SECONDS:
                            self.ledger.append(pending)
                            pending, flushed = [], time.monotonic()
            finally:
                # also when stopped: what is done stays done
                self.ledger.append(pending)
        return results

    def _final(self, row: LedgerRow) -> bool:
        if row.outcome == "failed":
            problem = json.loads(row.result or "{}").get("problem") or ["", ""]
            outside = any(signal in problem[1] for signal in OUTSIDE)
            return problem[0] == CRASHED and not outside and not self._retry
        problem = json.loads(row.result or "{}").get("problem")
        return not problem or problem[0] not in TRANSIENT


def _result(outcome: ItemResult) -> dict[str, Any]:
    if outcome.status == "done":
        result: dict[str, Any] = outcome.result
        return result
    reason = CRASHED if outcome.status == "crashed" else RAISED
    return {"recording": None, "damaged": False, "problem": [reason, outcome.error or outcome.status]}


def _row(stage: str, item: str, outcome: ItemResult, result: dict[str, Any]) -> LedgerRow:
    ended = "failed" if outcome.status != "done" else "dropped" if result.get("problem") else "done"
    return LedgerRow(
        stage=stage,
        key=outcome.key,
        item=item,
        outcome=ended,  # type: ignore[arg-type]
        result=json.dumps(result, sort_keys=True),
        worker=outcome.worker,
        attempt=outcome.attempt,
        started_at=outcome.started_at,
        seconds=outcome.seconds,
    )

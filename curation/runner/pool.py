"""The parent's side of the local runner: assigns items to workers and handles their deaths.

Every worker holds at most one item, assigned by the parent, so a death is blamed on exactly that item. Items whose
worker died wait until all others are finished. Then they are tried again one at a time, each in a fresh worker with no
other alive: its death is then caused by that item or from outside, but not by another item.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import time
from collections import deque
from collections.abc import Generator, Iterable, Sized
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic

from .process import Death, Worker, wait_for_any
from .progress import Progress, ProgressCallback
from .stage import CannotStart, Item, ItemResult, P, R, Stage, Status
from .worker import STOP, one_line

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25
REPORT_SECONDS = 0.2
STOP_SECONDS = 2.0
MIN_START_SECONDS = 60.0
# After a death that the worker itself caused, its item gets a second attempt, in case a neighbour had taken
# the memory it needed. Deaths that may come from outside (a user, the kernel when memory is short) get
# more attempts, not endlessly.
OWN_DEATHS = 2
ATTEMPTS = 4


def default_workers() -> int:
    """The number of cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_local(
    stage: Stage[P, R],
    items: Iterable[Item[P]],
    *,
    workers: int,
    stall_seconds: float = 600.0,
    on_progress: ProgressCallback | None = None,
) -> Generator[ItemResult[P, R], None, None]:
    """Process `items` in up to `workers` child processes; yield one `ItemResult` each, in order of completion.

    `items` is read as workers become free, at most 2 x `workers` ahead of the results yielded. An item is "raised" if
    the stage raised, at the first attempt. It is "crashed" if its worker died, or showed no progress for
    `stall_seconds` (or the item's own), `OWN_DEATHS` times, or was killed from outside in `ATTEMPTS` attempts.
    `on_progress` is called in the caller's thread, about every `REPORT_SECONDS` and before each result. Closing the
    generator, or an exception in it, kills the workers; they also die with this process.

    Raises ValueError for an invalid number, TypeError for a stage that cannot be sent to a worker, and, during the run,
    CannotStart if workers cannot start (the stage's `open` raised, or they keep dying in it).
    """
    if workers < 1:
        raise ValueError(f"workers: {workers} is less than 1")
    if not stall_seconds > 0:
        raise ValueError(f"stall_seconds: {stall_seconds} is not above 0")
    if type(stage).__module__ == "__main__":
        raise TypeError(f"stage {stage.name!r} is defined in the script being run; move it to a module")
    try:
        packed = pickle.dumps(stage, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise TypeError(f"stage {stage.name!r} cannot be pickled: {one_line(error)}") from error
    return _Pool(stage, packed, items, workers, stall_seconds, on_progress).run()


@dataclass(slots=True, eq=False)
class _Task(Generic[P]):
    """An item and its attempts in the pool."""

    item: Item[P]
    attempts: int = 0
    own_deaths: int = 0
    fraction: float = 0.0
    started_at: datetime = datetime.min
    started: float = 0.0

    def begin(self) -> None:
        self.attempts += 1
        self.fraction = 0.0
        self.started_at = datetime.now(UTC)
        self.started = time.monotonic()


class _Pool(Generic[P, R]):
    def __init__(
        self,
        stage: Stage[P, R],
        packed_stage: bytes,
        items: Iterable[Item[P]],
        limit: int,
        stall_seconds: float,
        on_progress: ProgressCallback | None,
    ) -> None:
        self._name, self._unit = stage.name, stage.unit
        # for an iterator without length, the total counts the items taken so far
        sized = isinstance(items, Sized)
        self._total, self._count = (sum(item.weight for item in items), len(items)) if sized else (0.0, 0)  # type: ignore[arg-type]
        self._sized = sized
        self._packed_stage = packed_stage
        self._items = iter(items)
        self._limit = limit
        self._stall_seconds = stall_seconds
        self._on_progress = on_progress
        self._exhausted = False
        self._waiting: deque[_Task[P]] = deque()  # their workers are starting or will be started
        self._suspects: deque[_Task[P]] = deque()
        self._ended: deque[tuple[_Task[P], ItemResult[P, R]]] = deque()
        self._workers: list[Worker] = []
        self._tasks: dict[Worker, _Task[P]] = {}
        self._done_weight = 0.0
        self._reported = -math.inf
        self._failed_starts: list[Death] = []  # since the last successful start
        # The workers' time: it does not advance while the caller keeps this process from reading their
        # messages, or while the process group is stopped, so that no worker counts as stalled for that.
        self._clock = 0.0
        self._polled = time.monotonic()

    def run(self) -> Generator[ItemResult[P, R], None, None]:
        kill = True
        try:
            while True:
                self._hand_out()  # first: the iterator may be slow
                room = self._take_items()
                self._hand_out()
                while self._ended:
                    task, outcome = self._ended.popleft()
                    self._done_weight += task.item.weight
                    self._report(force=True)
                    yield outcome
                if self._exhausted and not (self._waiting or self._tasks or self._suspects or self._ended):
                    break
                self._poll(0.0 if room or self._ended else TICK_SECONDS)
                self._report()
            kill = False
        finally:
            self._stop(kill)

    def _take_items(self) -> bool:
        """Take at most one item, as the iterator may be slow; return True if there is room for another."""
        if not self._exhausted:
            if len(self._waiting) + len(self._tasks) >= self._limit:
                return False
            item = next(self._items, None)
            if item is not None:
                self._waiting.append(_Task(item))
                if not self._sized:
                    self._total, self._count = self._total + item.weight, self._count + 1
                return len(self._waiting) + len(self._tasks) < self._limit
            self._exhausted = True
        if self._suspects and not (self._waiting or self._tasks):
            self._stop(kill=False)  # start a fresh worker, and free the memory of the others
            self._waiting.append(self._suspects.popleft())
        return False

    def _hand_out(self) -> None:
        for worker in self._workers:
            if self._waiting and worker.ready and not worker.lost and worker not in self._tasks:
                self._assign(worker, self._waiting.popleft())
        starting = sum(not worker.ready for worker in self._workers)
        while starting < len(self._waiting) and len(self._workers) < self._limit:
            self._workers.append(Worker(self._packed_stage, self._clock))
            starting += 1

    def _assign(self, worker: Worker, task: _Task[P]) -> None:
        try:
            packed = pickle.dumps(task.item.payload, pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            task.begin()
            self._end(task, "raised", worker, 0.0, error=f"the payload cannot be pickled: {one_line(error)}")
            return
        if worker.send(packed):
            task.begin()
            worker.last_sign = self._clock
            self._tasks[worker] = task
        else:  # it died while idle: no item is to blame
            self._waiting.appendleft(task)

    def _poll(self, timeout: float) -> None:
        """Wait at most `timeout` seconds for messages from the workers; read all of them and remove dead workers."""
        wait_for_any(self._workers, timeout)
        now = time.monotonic()
        self._clock += min(now - self._polled, 2 * TICK_SECONDS)
        self._polled = now
        for worker in list(self._workers):
            dead = worker.has_exited()  # tested first, so that its messages are complete when they are read
            for message in worker.read():
                worker.last_sign = self._clock
                self._handle(worker, *message)
            if not (dead or worker.lost):
                dead = self._is_overdue(worker)
            if dead or worker.lost:
                self._bury(worker)  # its item is known and its messages are read

    def _is_overdue(self, worker: Worker) -> bool:
        silent, limit = self._clock - worker.last_sign, self._stall_seconds
        if (task := self._tasks.get(worker)) is not None:
            limit = limit if task.item.stall_seconds is None else task.item.stall_seconds
        if task is not None and silent > limit:
            worker.kill(f"stalled (no progress for {limit:g} s)")
        elif not worker.ready and silent > max(self._stall_seconds, MIN_START_SECONDS):
            worker.kill("stalled while it started")
        else:
            return False
        return True

    def _handle(self, worker: Worker, kind: str, *content: Any) -> None:
        task = self._tasks.get(worker)
        if kind == "ready":
            worker.ready = True
            self._failed_starts.clear()
        elif kind == "unable":
            error, trace = content
            logger.debug("%s: %s", worker.name, trace)
            raise CannotStart(f"stage {self._name!r} cannot start: {error}")
        elif task is None:
            pass  # progress from a thread that the stage left behind
        elif kind == "progress":
            (fraction,) = content
            if math.isfinite(fraction):
                task.fraction = min(max(fraction, 0.0), 1.0)
        else:
            del self._tasks[worker]
            value, seconds = content
            if kind == "raised":
                error, trace = value
                logger.debug("%s: %s: %s", worker.name, task.item.key, trace)
                self._end(task, "raised", worker, seconds, error=error, trace=trace)
                return
            try:
                result = pickle.loads(value)
            except Exception as error:
                text = f"the result cannot be unpickled: {one_line(error)}"
                self._end(task, "raised", worker, seconds, error=text)
            else:
                self._end(task, "done", worker, seconds, value=result)

    def _bury(self, worker: Worker) -> None:
        self._workers.remove(worker)
        task = self._tasks.pop(worker, None)
        death = worker.bury()
        logger.info(
            "%s: %s %s; end of its output: %s",
            worker.name,
            death.reason,
            f"in {task.item.key!r}" if task else "while idle" if worker.ready else "while starting",
            death.last_words or "none",
        )
        if task is not None:
            task.own_deaths += death.own
            if task.own_deaths >= OWN_DEATHS or task.attempts >= ATTEMPTS:
                self._end(task, "crashed", worker, time.monotonic() - task.started, error=death.reason)
            else:
                self._suspects.append(task)
        elif not worker.ready:
            self._failed_starts.append(death)
            own = sum(failed.own for failed in self._failed_starts)
            if own >= OWN_DEATHS * self._limit or len(self._failed_starts) >= ATTEMPTS * self._limit:
                raise CannotStart(f"stage {self._name!r} cannot start: {death.reason} ({death.last_words})")

    def _end(
        self,
        task: _Task[P],
        status: Status,
        worker: Worker,
        seconds: float,
        *,
        value: R | None = None,
        error: str | None = None,
        trace: str | None = None,
    ) -> None:
        outcome: ItemResult[P, R] = ItemResult(
            task.item, status, value, error, trace, task.attempts, worker.name, task.started_at, seconds
        )
        self._ended.append((task, outcome))

    def _report(self, force: bool = False) -> None:
        now = time.monotonic()
        if self._on_progress is None or not (force or now - self._reported >= REPORT_SECONDS):
            return
        self._reported = now
        tasks = self._tasks.values()
        in_hand = sum(task.item.weight * task.fraction for task in tasks)
        running = tuple(task.item.label or task.item.key for task in tasks)
        done = self._done_weight + in_hand
        self._on_progress(Progress(self._name, done, self._total, self._unit, self._count, running))

    def _stop(self, kill: bool) -> None:
        """End all workers: kill them, or request the idle ones to stop and wait for at most `STOP_SECONDS`."""
        workers, self._workers = self._workers, []
        self._tasks.clear()
        for worker in workers:
            if kill or not worker.ready:
                worker.kill()
            else:
                worker.send(STOP)
        deadline = time.monotonic() + STOP_SECONDS
        for worker in workers:
            worker.bury(max(0.0, deadline - time.monotonic()))

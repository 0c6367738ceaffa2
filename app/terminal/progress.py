"""Progress bars: share done, rate, time left, and the items in progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Column

from curation.runner.progress import Progress

TITLES = {
    "identify": "Identifying",
    "score": "Scoring",
    "encode": "Encoding",
    "decide": "Deciding",
    "plan": "Planning",
    "proxies": "Encoding",
    "push": "Sending",
    "pull": "Fetching",
    "fit": "Fitting",
    "extract": "Extracting",
    "caption": "Encoding",
    "train": "Training",
    "sample": "Sampling",
}


def bar_columns() -> list[ProgressColumn]:
    """Title, bar, percentage and time left, each with a fixed width on any terminal."""
    return [
        TextColumn("{task.description}", table_column=Column(min_width=11, no_wrap=True)),
        BarColumn(bar_width=20, table_column=Column(min_width=20)),
        TaskProgressColumn(table_column=Column(min_width=4, justify="right", no_wrap=True)),
        TimeRemainingColumn(elapsed_when_finished=True, table_column=Column(min_width=7, no_wrap=True)),
    ]


class ProgressBars:
    """One bar per phase of a run, called with its progress. Without a terminal, each phase ends with one line."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._progress = RichProgress(
            *bar_columns(),
            TextColumn("{task.fields[rate]}", table_column=Column(min_width=10, justify="right", no_wrap=True)),
            # the names take the rest of the line, and no width of the other columns
            TextColumn("[dim]{task.fields[running]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            console=self._console,
            disable=not self._console.is_terminal,
            expand=True,
        )
        self._tasks: dict[str, tuple[TaskID, float, float]] = {}
        self._last: dict[str, tuple[Progress, float]] = {}

    def __enter__(self) -> ProgressBars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if not self._console.is_terminal and kind is None:
            for phase, (progress, seconds) in self._last.items():
                rate = _rate(progress, 0.0, seconds)
                self._console.print(
                    f"{TITLES[phase]}: {progress.items} items in {seconds:.1f} s{f', {rate}' if rate else ''}"
                )

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.phase not in self._tasks:
            task = self._progress.add_task(TITLES[progress.phase], total=progress.total, rate="", running="")
            # work of earlier runs does not count for the rate
            self._tasks[progress.phase] = (task, now, progress.done)
        task, began, skipped = self._tasks[progress.phase]
        finished = progress.done >= progress.total
        self._last[progress.phase] = (progress, now - began)
        self._progress.update(
            task,
            completed=progress.done,
            total=progress.total,
            rate=_rate(progress, skipped, now - began),
            running="" if finished else _shown(progress.running),
        )


def _rate(progress: Progress, skipped: float, seconds: float) -> str:
    """The rate: hours of audio per minute, MB per second or items per second; empty in the first half second."""
    if seconds < 0.5:
        return ""
    done = max(0.0, progress.done - skipped)
    if progress.unit == "items":
        pace = done / seconds
        return f"{pace:.0f} per s" if pace >= 10 else f"{pace:.2g} per s"
    return (
        f"{done / 3600 / (seconds / 60):.2f} h/min"
        if progress.unit == "seconds"
        else f"{done / 1e6 / seconds:.0f} MB/s"
    )


def _shown(uris: tuple[str, ...]) -> str:
    """File names of the items in progress, in one short line."""
    names = [" ".join(uri.rsplit("/", 1)[-1].rsplit(":", 1)[-1].split()) for uri in uris]
    line = ", ".join(name if len(name) <= 28 else f"{name[:25]}…" for name in names[:3])
    return line + (f" and {len(names) - 3} more" if len(names) > 3 else "")


@contextmanager
def simple_bar(title: str) -> Iterator[Callable[[float], None]]:
    """A bar; yields a function that moves it to a share done, 0 to 1."""
    console = Console(stderr=True)
    with RichProgress(*bar_columns(), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title.capitalize(), total=1.0)
        yield lambda share: progress.update(task, completed=share)

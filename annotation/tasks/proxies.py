"""Proxies: the small files that annotators play, one or two for each window of a recording.

corpus/proxies/media/<2 letters>/<recording>-<start_ms>-<end_ms>-v<version>.m4a    audio, for the waveform
corpus/proxies/media/<2 letters>/<recording>-<start_ms>-<end_ms>-v<version>.mp4    video and audio

They can be deleted and are made again identically. The labelling server serves the files of that folder, and follows
links out of it: nothing is written through a link there, and `stray_links` finds them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curation.media import PROXY_FPS, MediaError, half_written, write_proxies
from curation.runner import Item, Progress, ProgressCallback, ShareCallback, run_local
from curation.runner.ledgered import STALL_SECONDS, failure
from manifests.errors import LpseError, Problem
from manifests.healing import report_healed
from manifests.lock import exclusive
from manifests.records import Recording, Task
from manifests.store import Corpus
from manifests.uris import OutsideRoot, resolve

from .windows import Window, window_of

PROXY_VERSION = 1


_WORD = re.compile(r"[A-Za-z0-9_]+")
_NAME = re.compile(r"([A-Za-z0-9_]+)-(\d+)-(\d+)-v\d+\.(?:m4a|mp4)")


@dataclass(frozen=True)
class Proxy:
    """A window's files: POSIX paths below corpus/proxies. `video` is None without video, else it has `fps`."""

    sound: str
    video: str | None
    fps: int = PROXY_FPS


def proxy_paths(task: Task) -> Proxy:
    """Paths of the proxies of a task's window. Raises ValueError for a recording id that is unfit for a file name."""
    if not _WORD.fullmatch(task.recording_id):
        raise ValueError(f"{task.recording_id!r} must be letters, digits and '_': it becomes part of a file name")
    name = f"{task.recording_id}-{task.start_ms}-{task.end_ms}-v{PROXY_VERSION}"
    stem = f"media/{task.recording_id[:2]}/{name}"
    return Proxy(f"{stem}.m4a", f"{stem}.mp4" if task.has_picture else None)


def proxies_folder(corpus: Corpus) -> Path:
    """corpus/proxies, which the labelling server may read."""
    return corpus.path / "proxies"


class LinkRefused(LpseError):
    """A symbolic link in place of a proxy, or of a folder of proxies."""


@dataclass(frozen=True)
class Make:
    """Writes the proxies of one window. Payload: (path of the recording, task); result: the problem, or None."""

    folder: Path
    name: str = "proxies"
    unit: str = "seconds"

    def open(self) -> Callable[[tuple[str, Task], ShareCallback], Problem | None]:
        """Return the function over (path, task); there is nothing to load."""
        return self._made

    def _made(self, payload: tuple[str, Task], report: ShareCallback) -> Problem | None:
        path, task = payload
        proxy = proxy_paths(task)
        try:
            sound = _prepared(self.folder, proxy.sound)
            video = None if proxy.video is None else _prepared(self.folder, proxy.video)
            write_proxies(path, task.segment, sound, video, progress=report)
        except LinkRefused as error:
            return Problem("link_refused", str(error))
        except MediaError as error:
            return error.problem
        return None


def make_proxies(
    corpus: Corpus, tasks: Iterable[Task], *, workers: int, on_progress: ProgressCallback | None = None
) -> dict[Window, Problem]:
    """Make the missing proxies of the tasks' windows; returns the problems of those that could not be made, by window.

    A window whose recording is missing, changed or damaged, or crashes its worker, is a problem and stops no other.
    After any end, no half-written file remains, or the next run removes it. Raises Locked while another process makes
    proxies of this corpus, CannotStart if no worker can start.
    """
    windows = _windows(tasks)
    folder = proxies_folder(corpus)
    with exclusive(corpus.path / ".proxies.lock", "proxies"):
        _sweep(folder)  # only one process has the lock: half-written files are those of killed runs
        try:
            return _make(corpus, windows, folder, workers, on_progress)
        finally:
            _sweep(folder)


def stray_links(corpus: Corpus) -> list[Path]:
    """The symbolic links below corpus/proxies that lead out of it, sorted: the server would serve their targets."""
    folder = proxies_folder(corpus)
    base = os.path.realpath(folder)
    strays = []
    for parent, folders, names in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *names)):
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(base):
                strays.append(path)
    return sorted(strays)


def prune_proxies(corpus: Corpus, keep: Iterable[Window]) -> int:
    """Delete the proxies of windows that are not in `keep`, and those of older versions; returns the number of files.

    Files with other names, and everything behind a link, are kept.
    """
    media, wanted = proxies_folder(corpus) / "media", set(keep)
    removed = 0
    for parent, _, names in () if media.is_symlink() else os.walk(media):
        for name in names:
            match = _NAME.fullmatch(name)
            if match is None:
                continue
            current = name.rpartition(".")[0].endswith(f"-v{PROXY_VERSION}")
            if not current or Window(match[1], int(match[2]), int(match[3])) not in wanted:
                Path(parent, name).unlink(missing_ok=True)
                removed += 1
    return removed


def _make(
    corpus: Corpus, windows: Mapping[Window, Task], folder: Path, workers: int, on_progress: ProgressCallback | None
) -> dict[Window, Problem]:
    problems: dict[Window, Problem] = {}
    items: dict[Window, Item[tuple[str, Task]]] = {}
    recordings = _recordings(corpus, {task.recording_id for task in windows.values()})
    for window, task in windows.items():
        if not _is_made(folder, proxy_paths(task)):
            recording = recordings.get(task.recording_id)
            located = _locate(recording, task, corpus)
            if recording is not None and isinstance(located, Path):
                key, payload = "-".join(map(str, window)), (os.fspath(located), task)
                items[window] = Item(key, task.recording_id, payload, task.segment.duration, recording.uri)
            elif not isinstance(located, Path):
                problems[window] = located
    total = sum(task.segment.duration for task in windows.values())
    made = total - sum(item.weight for item in items.values())

    def shown(progress: Progress) -> None:
        if on_progress is not None:
            on_progress(replace(progress, done=made + progress.done, total=total, items=len(windows)))

    stage = Make(folder)
    shown(Progress(stage.name, 0.0, total, stage.unit))
    if items:
        by_key = {item.key: window for window, item in items.items()}
        count = min(workers, len(items))
        with closing(
            run_local(stage, list(items.values()), workers=count, stall_seconds=STALL_SECONDS, on_progress=shown)
        ) as finished:
            for ended in finished:
                if problem := failure(ended) or ended.value:
                    problems[by_key[ended.item.key]] = problem
    return problems


def _windows(tasks: Iterable[Task]) -> dict[Window, Task]:
    """One task per window, in order; one with video, if there is one."""
    windows: dict[Window, Task] = {}
    for task in tasks:
        window = window_of(task)
        if window not in windows or (task.has_picture and not windows[window].has_picture):
            windows[window] = task
    return windows


def _recordings(corpus: Corpus, wanted: set[str]) -> dict[str, Recording]:
    rows = corpus.rows(Recording, pc.field("recording_id").isin(pa.array(sorted(wanted), pa.string())))
    return {row.recording_id: row for row in rows}


def _locate(recording: Recording | None, task: Task, corpus: Corpus) -> Path | Problem:
    """The recording's file, or the problem because of which the window cannot be cut out."""
    if recording is None:
        return Problem("unknown_recording", f"{task.recording_id} is not in the corpus")
    if recording.duration is not None and task.segment.start >= recording.duration:
        return Problem(
            "outside_recording",
            f"the window starts at {task.segment.start:.3f} s, the recording lasts {recording.duration:.3f} s",
        )
    try:
        path = resolve(recording.uri, corpus.roots)
        size = path.stat().st_size
    except OutsideRoot as error:
        return Problem("outside_root", str(error))
    except ValueError as error:
        return Problem("no_root", str(error))
    except OSError as error:
        return Problem("vanished", error.strerror or type(error).__name__)
    if recording.bytes is not None and size != recording.bytes:
        return Problem("changed", f"{size} bytes, {recording.bytes} when it was curated")
    return path


def _is_made(folder: Path, proxy: Proxy) -> bool:
    """True if all of a window's files are whole, regular files, not links. A damaged one is reported."""
    for relative in filter(None, (proxy.sound, proxy.video)):
        path = folder / relative
        if any(step.is_symlink() for step in _steps(folder, relative)) or not path.is_file():
            return False
        if not is_whole(path):
            report_healed(path, "damaged: it is cut off or empty", "made again from the media")
            return False
    return True


def is_whole(path: Path) -> bool:
    """True if the boxes of an MP4 or M4A file fill it exactly, with an index: false for a file that was cut off.

    Raises FileNotFoundError.
    """
    size, at, kinds = path.stat().st_size, 0, set()
    with path.open("rb") as file:
        while at < size:
            file.seek(at)
            header = file.read(16)
            length, kind = int.from_bytes(header[:4], "big"), header[4:8]
            length = int.from_bytes(header[8:16], "big") if length == 1 else length
            if len(header) < 8 or length < 8:
                return False
            kinds.add(kind)
            at += length
    return at == size and {b"moov", b"mdat"} <= kinds


def _prepared(folder: Path, relative: str) -> Path:
    """The path of a file to write, in an existing folder. Raises LinkRefused if it would lead elsewhere."""
    *parents, path = _steps(folder, relative)
    folder.mkdir(parents=True, exist_ok=True)
    for parent in parents:
        if not parent.is_symlink():
            parent.mkdir(exist_ok=True)
    for step in (*parents, path):
        if step.is_symlink():
            raise LinkRefused(f"{step.relative_to(folder)} is a symbolic link: remove it")
    return path


def _steps(folder: Path, relative: str) -> Iterator[Path]:
    for part in relative.split("/"):
        folder = folder / part
        yield folder


def _sweep(folder: Path) -> None:
    media = folder / "media"
    for path in () if media.is_symlink() else half_written(media):
        path.unlink(missing_ok=True)

"""Files that appear whole or not at all, and folders of numbered parts."""

from __future__ import annotations

import errno
import filecmp
import glob
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .errors import LpseError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PART = re.compile(r"part-(\d{5,})(?:-(\d{5,}))?\.parquet")
_TEMPORARY = re.compile(r"\..+\.tmp")
_EXTENTS = 10_000  # pieces of data between holes; what comes after them counts in full
_STAGED = re.compile(r"\.(.+)\.(\d+)-[0-9a-f]{8}\.tmp")


class DiskFull(LpseError, OSError):
    """A disk, or the part of it that this user may fill, is full: the text names the folder."""


@contextmanager
def naming_place(folder: Path) -> Iterator[None]:
    """Raise DiskFull, with the folder, for the system's error, which names no place."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL or isinstance(error, DiskFull):
            raise
        raise DiskFull(f"{folder}: {os.strerror(error.errno)}: make room, then run the same command again") from error


class NotRegular(LpseError, OSError):
    """A path that is no regular file (a pipe, a device, a folder), or an empty one where bytes are needed."""

    def __init__(self, reason: str = "not a regular file") -> None:
        super().__init__(reason)
        self.strerror = reason


def open_regular(path: Path) -> IO[bytes]:
    """A regular file, open for reading. Raises NotRegular for any other kind: opening a pipe waits for its writer."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise NotRegular
    return path.open("rb")


def data_bytes(path: Path) -> int:
    """Bytes of a file without its holes; 0 if it cannot be opened. All of them where the file system has no holes."""
    try:
        with open_regular(path) as file:
            total = end = 0
            for _ in range(_EXTENTS):
                try:
                    start = os.lseek(file.fileno(), end, os.SEEK_DATA)
                except OSError:  # no data after `end`
                    return total
                end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
                total += end - start
            return total + max(0, os.fstat(file.fileno()).st_size - end)
    except OSError:
        return 0


@contextmanager
def write_beside(path: Path) -> Iterator[IO[bytes]]:
    """A hidden file beside `path`, open for writing; it takes the name `path` when the block ends well.

    Reaches the disk before it is renamed. An existing file with the same bytes is left untouched; after an
    exception nothing is left behind.
    """
    with _temporary(path) as (file, temporary):
        yield file
        _to_disk(file)
        if not (path.exists() and filecmp.cmp(temporary, path, shallow=False)):
            os.replace(temporary, path)
            _folder_to_disk(path.parent)


@contextmanager
def write_new(path: Path) -> Iterator[IO[bytes]]:
    """As `write_beside`, for a file that must not exist yet. Raises FileExistsError where it does at the end."""
    with _temporary(path) as (file, temporary):
        yield file
        _to_disk(file)
        os.link(temporary, path)  # fails where the name is taken, where a rename would replace the file
        _folder_to_disk(path.parent)


@contextmanager
def write_next_part(folder: Path) -> Iterator[IO[bytes]]:
    """As `write_beside`, under the next free part number; processes appending at once get one each."""
    with _temporary(folder / "part.parquet") as (file, temporary):
        yield file
        _to_disk(file)
        number = _next_number(folder)
        while True:
            try:
                # A link fails where the name is taken; a rename would put this part in another's place.
                os.link(temporary, folder / f"part-{number:05d}.parquet")
                break
            except FileExistsError:
                number += 1
        _folder_to_disk(folder)


@contextmanager
def stage_beside(path: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """A hidden file beside `path`, open for writing, and its path; `publish` later gives it the name `path`.

    On disk when the block ends; after an exception nothing is left behind.
    """
    temporary = _beside(path)
    try:
        with naming_place(path.parent), open(temporary, "xb") as file:
            yield file, temporary
            _to_disk(file)
        _folder_to_disk(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_stale(path: Path) -> None:
    """Remove the hidden files beside `path` that writers of it left who were killed on this machine."""
    for other in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        match = _STAGED.fullmatch(other.name)
        if match is not None and match[1] == path.name and not _is_running(int(match[2])):
            other.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True


def publish(staged: Path, path: Path) -> None:
    """Rename what `stage_beside` wrote to `path`; nothing happens where that was done before."""
    with suppress(FileNotFoundError):
        os.replace(staged, path)
        _folder_to_disk(path.parent)


def is_staged(staged: str, name: str) -> bool:
    """True if `stage_beside` writes a file called `staged` for one called `name`."""
    match = _STAGED.fullmatch(staged)
    return match is not None and match[1] == name


def next_part(folder: Path) -> Path:
    """The part file after all that are there; no other writer may be at work."""
    return folder / f"part-{_next_number(folder):05d}.parquet"


def stamp(files: Iterable[Path]) -> tuple[object, ...]:
    """A value that changes whenever one of the files is changed, added or removed. Opens no file."""
    found: list[object] = []
    for path in files:
        with suppress(FileNotFoundError):  # replaced this moment: the next stamp differs
            status = path.stat()
            found.append((str(path), status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)


def live_parts(folder: Path) -> list[Path]:
    """The part files that count, in the order they were written.

    `part-00003.parquet` is one part; `part-00000-00003.parquet` is the parts 0 to 3 merged, which it replaces
    from the moment it has its name, whether they are already removed or not. Other files are not parts.
    """
    live, covered = [], -1
    for _, last, path in _parts(folder):
        if last > covered:
            live.append(path)
            covered = last
    return live


def merged_path(folder: Path) -> Path:
    """The name of a file that replaces all parts there are. Raises ValueError without parts."""
    parts = _parts(folder)
    return folder / f"part-{min(p[0] for p in parts):05d}-{max(p[1] for p in parts):05d}.parquet"


def remove_dead_parts(folder: Path) -> None:
    """Parts that a merged file has replaced are removed."""
    live = set(live_parts(folder))
    for _, _, path in _parts(folder):
        if path not in live:
            path.unlink(missing_ok=True)


def leftovers(*folders: Path) -> Iterator[Path]:
    """Temporary files of writers that were killed (or are at work), under the folders, sorted."""
    for folder in folders:
        for parent, children, names in os.walk(folder):
            children.sort()
            yield from (Path(parent, name) for name in sorted(names) if _TEMPORARY.fullmatch(name))


def _parts(folder: Path) -> list[tuple[int, int, Path]]:
    """(first, last, path) of every part file; what covers others comes before them."""
    matches = ((_PART.fullmatch(path.name), path) for path in folder.glob("part-*.parquet"))
    parts = [(int(m[1]), int(m[2] or m[1]), path) for m, path in matches if m]
    return sorted(parts, key=lambda part: (part[0], -part[1], part[2].name))


def _next_number(folder: Path) -> int:
    return 1 + max((last for _, last, _ in _parts(folder)), default=-1)


@contextmanager
def _temporary(path: Path) -> Iterator[tuple[IO[bytes], Path]]:
    temporary = _beside(path)
    try:
        with naming_place(path.parent), open(temporary, "xb") as file:
            yield file, temporary
    finally:
        temporary.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    """A name for a hidden file in the folder of `path`, which is made where it is missing."""
    with naming_place(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def _to_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _folder_to_disk(folder: Path) -> None:
    """A new name survives a power cut only once its folder has reached the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

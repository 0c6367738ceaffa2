"""The audio files of an unpacked package, those inside its archives too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from .archives import AUDIO, MOST_FILES, ArchiveError, bounded, extension, reader


@dataclass(frozen=True)
class Member:
    """An audio file of a package: its path inside, `archive.zip!/inner/path.ogg` in archives, and its bytes."""

    path: str
    read: Callable[[], bytes]

    @property
    def extension(self) -> str:
        """The extension, in small letters."""
        return extension(self.path)


def members(folder: Path) -> Iterator[Member]:
    """Yield all audio files in a folder and in its archives, always in the same order; links are not followed.

    A member of an archive can be read only until the next one is taken.

    Raises ArchiveError, with the path, for more than MOST_FILES files and for damaged archives. A file of more than
    MOST_BYTES raises it when it is read.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    if len(paths) > MOST_FILES:
        raise ArchiveError(f"{folder}: {len(paths)} files, more than {MOST_FILES}")
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if extension(name) in AUDIO:
            yield Member(name, lambda path=path: bounded(path))  # type: ignore[misc]
        elif (archive := reader(path)) is not None:
            try:
                for inside, read in archive(path):
                    yield Member(f"{name}!/{inside}", read)
            except ArchiveError as error:
                raise ArchiveError(f"{name}: {error}") from error


@contextmanager
def as_file(content: bytes, kind: str) -> Iterator[Path]:
    """The bytes as a file with the extension `kind`, which is gone at the end."""
    with TemporaryDirectory(prefix="lpse-") as folder:
        path = Path(folder) / f"source.{kind}"
        path.write_bytes(content)
        yield path

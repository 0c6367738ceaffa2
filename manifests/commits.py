"""Commit: several files of a corpus that change as one.

The new files are staged: written beside the files they replace. Then corpus.toml names them under [commit], with the
command and the recipe to come. From there the commit is finished by renaming each, and last of all by writing
corpus.toml with the new recipe and without [commit]. A stop before [commit] leaves the old state; a stop after it
leaves a commit that the next writer finishes.

[commit]
command = "lpse curate"
recipe_hash = "0123456789abcdef"     only where the commit sets the recipe, as [commit.recipe]
[[commit.files]]
path = "manifests/cuts/part-00000.parquet"
staged = ".part-00000.parquet.4711-0a1b2c3d.tmp"
whole = true                         the table's other parts are removed
"""

from __future__ import annotations

import filecmp
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from .files import is_staged, live_parts, next_part, publish, stage_beside
from .parquet import write_parquet
from .schema import CorpusError, sort_rows, to_table, whole_table

if TYPE_CHECKING:
    from .store import Corpus

_FOLDERS = ("manifests", "features")  # a commit changes nothing outside these


@dataclass(frozen=True)
class _File:
    """A staged file: `path` below the corpus folder is the name it gets; `whole`: it replaces all parts beside it."""

    path: str
    staged: str
    whole: bool = False


class Commit:
    """The changes of one commit, staged one by one; `Corpus.commit` makes them visible."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._files: list[_File] = []
        self._recipe: dict[str, Any] = {}

    def replace(self, name: str, rows: pa.Table | Iterable[pa.RecordBatch] | Iterable[Any]) -> None:
        """Write a whole table, as `Corpus.replace` does."""
        folder = self._corpus.folder_of_parts(name)
        path = folder / "part-00000.parquet"
        table = whole_table(name, rows)
        with stage_beside(path) as (file, staged):
            write_parquet(table, file)
        self._stage(path, staged, whole=True)

    def append(self, name: str, rows: pa.Table | Iterable[pa.RecordBatch] | Iterable[Any]) -> None:
        """Add rows to a table as one new part, once a commit; no rows, no part."""
        path = next_part(self._corpus.folder_of_parts(name))
        table = sort_rows(name, to_table(name, rows))
        if table.num_rows:
            with stage_beside(path) as (file, staged):
                write_parquet(table, file)
            self._stage(path, staged)

    @contextmanager
    def write(self, path: Path) -> Iterator[IO[bytes]]:
        """Write any file of the corpus, as `manifests.files.write_beside` does."""
        with stage_beside(path) as (file, staged):
            yield file
        self._stage(path, staged)

    def set_recipe(self, resolved: Mapping[str, Any], hash: str) -> None:
        """Make `resolved` the active recipe: the last thing that the commit changes."""
        if (resolved, hash) != (self._corpus.recipe, self._corpus.recipe_hash):
            self._recipe = {"recipe_hash": hash, "recipe": dict(resolved)}

    def journal(self, command: str) -> dict[str, Any] | None:
        """The table [commit] of corpus.toml; None where nothing changes."""
        if not self._files and not self._recipe:
            return None
        return {"command": command, **self._recipe, "files": [asdict(one) for one in self._files]}

    def discard(self) -> None:
        """Remove what was staged."""
        for path, _ in staged_files(self._corpus.path, {"files": [asdict(one) for one in self._files]}):
            path.unlink(missing_ok=True)

    def _stage(self, path: Path, staged: Path, whole: bool = False) -> None:
        # the same bytes stay where they are: readers compare a file's inode and time
        alone = not whole or live_parts(path.parent) == [path]
        if alone and path.exists() and filecmp.cmp(staged, path, shallow=False):
            staged.unlink()
            return
        self._files.append(_File(path.relative_to(self._corpus.path).as_posix(), staged.name, whole))


def finish(folder: Path, journal: object) -> dict[str, Any]:
    """Rename every staged file of a commit; returns the settings that the commit brings.

    May be stopped and called again at any point. Raises CorpusError for a journal that no commit wrote.
    """
    entries = _entries(folder, journal)
    for (staged, path), entry in zip(staged_files(folder, journal), entries, strict=True):
        publish(staged, path)
        if entry["whole"]:
            for other in live_parts(path.parent):
                if other != path:
                    other.unlink()
    settings = dict(_table(folder, journal))
    return {name: settings[name] for name in ("recipe_hash", "recipe") if name in settings}


def staged_files(folder: Path, journal: object) -> list[tuple[Path, Path]]:
    """The staged files of a commit (None: of no commit) and the names they get; raises as `finish` does."""
    files = []
    for entry in _entries(folder, journal) if journal is not None else []:
        path, staged = PurePosixPath(str(entry.get("path"))), str(entry.get("staged"))
        if path.parts[:1] not in [(name,) for name in _FOLDERS] or ".." in path.parts or "whole" not in entry:
            raise CorpusError(f"{folder}/corpus.toml: [commit] names {str(path)!r}, which no commit writes")
        if not is_staged(staged, path.name):
            raise CorpusError(f"{folder}/corpus.toml: [commit] names {staged!r}, which is not staged for {path.name}")
        files.append((folder / path.parent / staged, folder / path))
    return files


def command_of(folder: Path, journal: object) -> str:
    """The command whose commit it is; raises as `finish` does."""
    return str(_table(folder, journal).get("command"))


def _table(folder: Path, journal: object) -> Mapping[str, Any]:
    if not isinstance(journal, Mapping):
        raise CorpusError(f"{folder}/corpus.toml: commit is {journal!r}, must be a table")
    return journal


def _entries(folder: Path, journal: object) -> list[Mapping[str, Any]]:
    entries = _table(folder, journal).get("files")
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise CorpusError(f"{folder}/corpus.toml: commit.files is {entries!r}, must be tables")
    return entries

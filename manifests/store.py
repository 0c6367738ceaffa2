"""The corpus on disk: its settings, its tables in Parquet, and who may write.

corpus.toml                            settings: schema version, media roots, active recipe, unfinished commit
manifests/<table>/part-00000.parquet   a table that is written whole
manifests/<table>/part-00001.parquet   what was appended to it since, and so on
manifests/scores/<2 letters of the recording>/<recording>-<detector>-<key>.parquet   prints likewise
ledger/part-*.parquet                  the ledger
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import tomli_w

from .bounded import TextError, read_toml
from .commits import Commit, command_of, finish, staged_files
from .files import leftovers, live_parts, remove_dead_parts, stamp, write_beside, write_new, write_next_part
from .lock import exclusive
from .parquet import damaged, file_fault, first_line, open_parquet, write_parquet
from .recipe import Recipe, parse_recipe
from .recipe_names import with_new_names
from .records import RECORDS
from .schema import (
    SCHEMA_VERSION,
    SCHEMAS,
    SHARDED,
    VERSIONS,
    CorpusError,
    migrate,
    sort_rows,
    to_records,
    to_table,
    whole_table,
)
from .uris import quote, unquote

T = TypeVar("T")
_RESTORE = "restore corpus.toml from a backup"

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    from pyarrow import dataset


class UnfinishedCommit(CorpusError):
    """The tables are a mixture of two states."""


def unfinished_text(command: str) -> str:
    """Name an unfinished commit, and its cure, in a line."""
    return f"{command} has not finished writing its tables: if it is not running any more, run it again, or lpse replay"


@dataclass(frozen=True)
class Table:
    """One table of a corpus, read lazily; a table that was never written is empty."""

    name: str
    folder: Path

    def files(self) -> list[Path]:
        """The files that hold the rows, in a fixed order; hidden and foreign names are not among them."""
        if self.name not in SHARDED:
            return live_parts(self.folder)
        return sorted(path for path in self.folder.glob("??/*.parquet") if not path.name.startswith("."))

    def count(self) -> int:
        """Number of rows, from the files' footers."""
        return sum(open_parquet(self.name, path)[0].metadata.num_rows for path in self.files())

    def scan(self) -> dataset.Dataset:
        """A lazy Arrow dataset; rows of older schema versions come migrated.

        Raises Damaged naming the file and the cure, and CorpusError for one that is foreign or of a newer version.
        """
        import pyarrow.dataset as ds  # 0.2 s, which a worker that reads shards need not spend

        current, older = [], []
        for path in self.files():
            file, version = open_parquet(self.name, path)
            if version == VERSIONS[self.name]:
                current.append(str(path))
            else:
                with self._naming():
                    older.append(migrate(self.name, file.read(), version))
        # a flipped bit raises, instead of giving another value
        verified = ds.ParquetFileFormat(
            default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
        )
        found = ds.dataset(current, schema=SCHEMAS[self.name], format=verified)
        return ds.dataset([found, ds.dataset(pa.concat_tables(older))]) if older else found

    def to_arrow(self, columns: list[str] | None = None, filter: pc.Expression | None = None) -> pa.Table:
        """The rows as an Arrow table: `columns` of them, where `filter` (an Arrow expression) holds.

        Raises as `scan` does.
        """
        found = self.scan()
        with self._naming():
            return found.to_table(columns=columns, filter=filter)

    def to_pandas(self, columns: list[str] | None = None, filter: pc.Expression | None = None) -> pd.DataFrame:
        """The rows as a DataFrame."""
        return self.to_arrow(columns, filter).to_pandas()

    def to_dataset(self) -> datasets.Dataset:
        """The rows as a Hugging Face dataset, in memory: no cache folder is made."""
        import datasets

        table = self.to_arrow()
        # A table without any chunk is more than that library can take.
        table = table if table.num_rows else SCHEMAS[self.name].empty_table()
        return datasets.Dataset(datasets.table.InMemoryTable(table))

    def rows(self, filter: pc.Expression | None = None) -> Iterator[Any]:
        """The rows as records, for a table named at run time; `Corpus.rows` is typed."""
        found = self.scan()
        with self._naming():
            yield from to_records(self.name, found.to_batches(filter=filter))

    def faults(self) -> Iterator[tuple[Path, str]]:
        """Yield the files that are damaged, each with the problem; all bytes of the table are read."""
        for path in self.files():
            with suppress(FileNotFoundError):  # replaced this moment
                if problem := file_fault(self.name, path):
                    yield path, problem

    def check(self) -> None:
        """Raise Damaged, with the cure, for the first damaged file."""
        for path, problem in self.faults():
            raise damaged(self.name, path, problem)

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Arrow's errors name no file: find the one."""
        try:
            yield
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            self.check()
            raise CorpusError(f"{self.folder}: cannot be read: {first_line(error)}") from error


@dataclass(frozen=True)
class Corpus:
    """A corpus folder; every property is read from disk at each access. Writers hold `lock`."""

    path: Path

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> Corpus:
        """Make `path` a corpus. Raises CorpusError when it already is one or its name is not valid UTF-8.

        Of several processes that create one corpus at once, one succeeds. A folder with the tables of a corpus that has
        lost its corpus.toml is refused.
        """
        corpus = cls(_absolute(path))
        if not corpus._settings_path.exists() and any(corpus.path.glob("manifests/*/*.parquet")):
            raise CorpusError(
                f"{path}: has the tables of a corpus, but no corpus.toml: restore it from a backup; without one, move "
                "manifests/ away and run lpse curate with all sources"
            )
        try:
            with write_new(corpus._settings_path) as file:
                tomli_w.dump({"schema_version": SCHEMA_VERSION, "roots": {}}, file)
        except (FileExistsError, FileNotFoundError):  # the second: whoever was first has removed our hidden file
            if not corpus._settings_path.exists():
                raise
            raise CorpusError(f"{path}: already a corpus") from None
        return corpus

    @classmethod
    def obtain(cls, path: str | os.PathLike[str]) -> Corpus:
        """The corpus at `path`, created unless it exists; another process may create it at the same time.

        Raises CorpusError as `open` and `create` do.
        """
        corpus = cls(_absolute(path))
        if not corpus._settings_path.exists():
            try:
                return cls.create(path)
            except CorpusError:
                if not corpus._settings_path.exists():
                    raise
        return cls.open(path)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Corpus:
        """The corpus at `path`. Raises CorpusError if `path` is not a corpus or was written by a newer version."""
        corpus = cls(_absolute(path))
        version = corpus._load().get("schema_version")
        if not isinstance(version, int):
            raise CorpusError(
                f"{corpus._settings_path}: schema_version is {version!r}, must be a whole number: {_RESTORE}"
            )
        if version > SCHEMA_VERSION:
            raise CorpusError(f"{path}: schema version {version} is newer than {SCHEMA_VERSION}, the newest known here")
        return corpus

    def identity(self) -> str:
        """The corpus's unique id, 16 hex, made at the first call; the caller holds the lock."""
        settings = self._load()
        if "id" not in settings:
            settings["id"] = secrets.token_hex(8)
            self._save(settings)
        return str(settings["id"])

    @property
    def roots(self) -> dict[str, Path]:
        """The media folders by name."""
        return {name: self.path / unquote(text) for name, text in self._load().get("roots", {}).items()}

    def add_root(self, path: str | os.PathLike[str]) -> str:
        """The root name of a media folder, new unless the folder already has one.

        The name is the folder's own in lower-case letters, digits and '-', with a number where that is taken.
        """
        folder = Path(os.path.realpath(path))
        if not folder.is_dir():
            raise NotADirectoryError(f"{path}: a media root must be a folder")
        settings = self._load()
        roots = settings.setdefault("roots", {})
        for name, known in self.roots.items():
            if Path(os.path.realpath(known)) == folder:
                return name
        slug = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-") or "root"
        name, number = slug, 2
        while name in roots:
            name, number = f"{slug}-{number}", number + 1
        roots[name] = quote(folder)
        self._save(settings)
        return name

    @property
    def recipe(self) -> dict[str, Any] | None:
        """The active recipe, resolved, or None before the first."""
        recipe: dict[str, Any] | None = self._load().get("recipe")
        return recipe

    @property
    def recipe_hash(self) -> str | None:
        """The active recipe's hash, or None before the first."""
        recipe_hash: str | None = self._load().get("recipe_hash")
        return recipe_hash

    def active_recipe(self) -> Recipe:
        """The recipe the corpus was decided by.

        Raises CorpusError before the first, RecipeError for one that this program cannot read.
        """
        if self.recipe is None:
            raise CorpusError(f"{self.path}: nothing was curated yet")
        return parse_recipe(with_new_names(self.recipe), "its active recipe")

    def set_recipe(self, resolved: Mapping[str, Any], hash: str) -> None:
        """Make `resolved` the active recipe. TOML has no null: a None in it raises TypeError."""
        self._save({**self._load(), "recipe_hash": hash, "recipe": dict(resolved)})

    @property
    def fits(self) -> dict[str, tuple[str, ...]]:
        """The hashes of the fits in use, by the fit's name."""
        return {name: tuple(hashes) for name, hashes in self._load().get("fits", {}).items()}

    def use_fits(self, name: str, hashes: Iterable[str]) -> None:
        """From now on these are the fits in use under `name`, in this order."""
        settings = self._load()
        self._save({**settings, "fits": {**settings.get("fits", {}), name: list(hashes)}})

    def table(self, name: str) -> Table:
        """A table by name. Raises KeyError for an unknown table."""
        if name not in SCHEMAS:
            raise KeyError(f"no table {name!r} among {', '.join(SCHEMAS)}")
        return Table(name, self.path / "ledger" if name == "ledger" else self.path / "manifests" / name)

    def rows(self, record: type[T], filter: pc.Expression | None = None) -> Iterator[T]:
        """The rows of the table that holds `record`s, where `filter` (an Arrow expression) holds, read batch by batch.

        `corpus.rows(Cut, pc.field("decision") == "accept")`. Raises KeyError for a class that no table holds.
        """
        name = next((name for name, known in RECORDS.items() if known is record), None)
        if name is None:
            raise KeyError(f"no table holds {record.__name__} rows")
        return self.table(name).rows(filter)

    def stamp(self, *names: str) -> tuple[object, ...]:
        """A value that changes whenever a file of one of these tables changes. Opens no file."""
        return stamp(path for name in names for path in self.table(name).files())

    def replace(self, name: str, rows: pa.Table | Iterable[pa.RecordBatch] | Iterable[Any]) -> None:
        """Write a whole table: sorted by primary key, in one file; the same rows always give the same bytes.

        Raises SchemaError for rows that do not fit or share a primary key; the table then stays as it was.
        """
        folder = self.folder_of_parts(name)
        table = whole_table(name, rows)
        path = folder / "part-00000.parquet"
        with write_beside(path) as file:
            write_parquet(table, file)
        # The new file holds everything, so what was appended before goes. A kill right here leaves rows
        # twice: `validate` lists them, the next replacement heals it. The other order could lose rows.
        for other in self.table(name).files():
            if other != path:
                other.unlink()

    def append(self, name: str, rows: pa.Table | Iterable[pa.RecordBatch] | Iterable[Any]) -> None:
        """Add rows as one new part file, for tables that only grow; no rows, no file.

        Raises SchemaError for rows that do not fit.
        """
        folder = self.folder_of_parts(name)
        table = sort_rows(name, to_table(name, rows))
        if table.num_rows:
            with write_next_part(folder) as file:
                write_parquet(table, file)

    @contextmanager
    def commit(self, command: str) -> Iterator[Commit]:
        """Change several tables, and the recipe, as one when the block ends well; the caller holds the lock.

        `command` names the commit to people while it is unfinished. After an exception nothing is changed.
        """
        if (other := self.unfinished) is not None:
            raise UnfinishedCommit(f"{self.path}: {unfinished_text(other)}")
        commit = Commit(self)
        try:
            yield commit
            if journal := commit.journal(command):
                self._save({**self._load(), "commit": journal})
        finally:
            if self.unfinished is None:
                commit.discard()
        self._finish_commit()

    @property
    def unfinished(self) -> str | None:
        """The command whose commit was begun and is not finished, or None."""
        journal = self._load().get("commit")
        return None if journal is None else command_of(self.path, journal)

    def check_finished(self, but: str | None = None) -> None:
        """Raise UnfinishedCommit while the tables are a mixture of two states, unless `but` is the command to finish.

        That is so between the first and the last rename of a commit, and where cuts are of another recipe than the
        active one.
        """
        if (command := self.unfinished) is not None and command != but:
            raise UnfinishedCommit(f"{self.path}: {unfinished_text(command)}")
        if command is None:
            made_by = pc.unique(self.table("cuts").to_arrow(["recipe_hash"])["recipe_hash"]).to_pylist()
            if other := next((hash for hash in sorted(made_by) if hash != self.recipe_hash), None):
                raise UnfinishedCommit(
                    f"{self.path}: cuts of the recipe {other}, the active one is {self.recipe_hash}: run lpse replay"
                )

    def folder_of_parts(self, name: str) -> Path:
        """The folder of a table's numbered parts. Raises ValueError for a table of one file for each recording."""
        if name in SHARDED:
            raise ValueError(f"{name} are one file each: see manifests.shards")
        return self.table(name).folder

    @contextmanager
    def lock(self, purpose: str, wait: float = 0.0) -> Iterator[None]:
        """Be the only writer within the block. Raises Locked, naming the process that is, after `wait` seconds.

        The holder of the lock is the only writer, so it finishes the commit that a killed writer began, and removes
        its temporary files and merged parts.
        """
        with exclusive(self.path / ".lock", purpose, wait):
            self._finish_commit()
            for path in self.leftovers():
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            remove_dead_parts(self.table("ledger").folder)
            yield

    def leftovers(self) -> Iterator[Path]:
        """Temporary files that writers left, or are writing now, but for those that an unfinished commit needs."""
        staged = {path for path, _ in staged_files(self.path, self._load().get("commit"))}
        yield from (path for path in leftovers(self.path) if path.parent == self.path)
        yield from (path for path in leftovers(self.path / "manifests", self.path / "ledger") if path not in staged)
        yield from sorted((self.path / "fits").glob(".*.tmp"))

    @property
    def _settings_path(self) -> Path:
        return self.path / "corpus.toml"

    def _load(self) -> dict[str, Any]:
        try:
            settings = read_toml(self._settings_path)
        except (FileNotFoundError, NotADirectoryError):
            raise CorpusError(f"{self.path}: not a corpus, it has no corpus.toml") from None
        except TextError as error:
            raise CorpusError(f"{self._settings_path}: {error}: {_RESTORE}") from error
        for name, fits in _FORMS.items():
            if name in settings and not fits(settings[name]):
                raise CorpusError(f"{self._settings_path}: {name} is {settings[name]!r}: {_RESTORE}")
        return settings

    def _save(self, settings: Mapping[str, Any]) -> None:
        with write_beside(self._settings_path) as file:
            tomli_w.dump(settings, file)

    def _finish_commit(self) -> None:
        """Finish the commit that corpus.toml names, if it names one; its recipe, and the end of it, come last."""
        settings = self._load()
        if (journal := settings.pop("commit", None)) is not None:
            self._save({**settings, **finish(self.path, journal)})


def _texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _lists_of_texts(value: object) -> bool:
    lists = value.values() if isinstance(value, dict) else [None]
    return all(isinstance(one, list) and all(isinstance(text, str) for text in one) for one in lists)


_FORMS: Mapping[str, Callable[[object], bool]] = {
    "roots": _texts,
    "fits": _lists_of_texts,
    "recipe": lambda value: isinstance(value, dict),
    "recipe_hash": lambda value: isinstance(value, str),
    "id": lambda value: isinstance(value, str),
}
"""The form of each setting in corpus.toml."""


def _absolute(path: str | os.PathLike[str]) -> Path:
    folder = Path(path).absolute()
    try:
        os.fspath(folder).encode("utf-8")
    except UnicodeEncodeError:
        raise CorpusError(f"{quote(folder)}: a corpus folder's name must be valid UTF-8") from None
    return folder

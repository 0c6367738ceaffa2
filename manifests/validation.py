"""Every fault of a corpus in one pass: what is on disk against what the tables promise."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pyarrow as pa

from .checks import Fault, check_continuous, check_links, check_print, check_recipe, check_rows, check_scores
from .fits import fit_fault, fit_folder
from .parquet import Damaged, cure_of, damaged, file_fault, first_line, open_parquet
from .schema import PRIMARY_KEYS, SCHEMAS, SHARDED, VERSIONS, CorpusError, in_order, joined_tables, migrate
from .shards import shard_path
from .store import Corpus, unfinished_text
from .uris import quote

__all__ = ["Fault", "validate"]

_FILES, _BYTES = 512, 8 << 20  # of scores or fingerprints in memory at once, compressed
_READERS = 4  # threads: most of the time goes into opening and decoding, outside Python's lock


def validate(corpus: Corpus) -> list[Fault]:
    """All faults, in a fixed order; empty when the corpus is sound. Bad content is listed, never raised.

    What hangs on a table that cannot be read in full is not judged: a broken file makes nothing "missing".
    """
    faults = list(_stray_files(corpus))
    if (command := corpus.unfinished) is not None:
        faults.append(Fault("", "corpus.toml", unfinished_text(command)))
    complete: dict[str, pa.Table] = {}
    for name in SCHEMAS:
        if name not in SHARDED:
            files = corpus.table(name).files()
            parts = [_read_part(corpus, name, path, faults) for path in files]
            readable = [part for part in parts if part is not None]
            table = pa.concat_tables([SCHEMAS[name].empty_table(), *readable])
            faults += check_rows(name, table)
            if len(readable) == len(files):
                complete[name] = table
    faults += check_links(complete)
    if command is None:  # else the recipe and the rows come from two states, as the fault above says
        faults += check_recipe(complete, corpus.recipe_hash)
    durations = _durations(complete.get("recordings"))
    faults += _check_shards(corpus, "scores", lambda row: check_scores(row, durations), check_continuous)
    faults += _check_shards(corpus, "prints", lambda row: check_print(row, durations))
    faults += _fits_in_use(corpus)
    return faults


def _read_part(corpus: Corpus, name: str, path: Path, faults: list[Fault]) -> pa.Table | None:
    """A file's rows in today's schema, or None; faults of the file itself are added to `faults`."""
    item = _shown(corpus, path)
    try:
        file, version = open_parquet(name, path)
        if version == VERSIONS[name] and (differences := list(_differences(name, file.schema_arrow))):
            faults += [Fault(name, item, problem) for problem in differences]
            return None
        rows = file.read(use_threads=name not in SHARDED)  # a small file: threads cost more than they save
        rows.validate(full=True)
        rows = migrate(name, rows, version) if version < VERSIONS[name] else _as_schema(name, rows)
        if problem := file_fault(name, path):  # where no value is read: the footer
            raise damaged(name, path, problem)
    except Exception as error:  # A broken file makes Arrow stumble in more ways than it has errors for.
        text = f"{first_line(error)}: {cure_of(name)}"
        if isinstance(error, CorpusError):
            text = error.problem_and_cure if isinstance(error, Damaged) else str(error).removeprefix(f"{path}: ")
        faults.append(Fault(name, item, f"unreadable: {text}"))
        return None
    if name in PRIMARY_KEYS and not in_order(name, rows):
        faults.append(Fault(name, item, "rows are not sorted by primary key"))
    return rows


def _as_schema(name: str, rows: pa.Table) -> pa.Table:
    """The same columns in the schema's order. Unlike `conform` it lets nulls through: they are row faults."""
    return pa.Table.from_arrays([rows[column] for column in SCHEMAS[name].names], schema=SCHEMAS[name])


def _differences(name: str, schema: pa.Schema) -> Iterator[str]:
    for field in SCHEMAS[name]:
        index = schema.get_field_index(field.name)
        if index < 0:
            yield f"column {field.name} is missing"
        elif schema.field(index).type != field.type:
            yield f"column {field.name} is {schema.field(index).type}, must be {field.type}"
    for column in schema.names:
        if column not in SCHEMAS[name].names:
            yield f"column {column} is unknown"


def _check_shards(
    corpus: Corpus,
    table: str,
    check_row: Callable[[pa.Table], Iterator[str]],
    check_file: Callable[[pa.Table], Iterator[str]] = lambda rows: iter(()),
) -> Iterator[Fault]:
    with ThreadPoolExecutor(_READERS) as readers:
        for some in _batches(corpus.table(table).files()):
            faults: list[list[Fault]] = [[] for _ in some]
            read = list(readers.map(partial(_read_part, corpus, table), some, faults))
            yield from _check_files(corpus, table, check_row, check_file, some, read, faults)


def _check_files(
    corpus: Corpus,
    table: str,
    check_row: Callable[[pa.Table], Iterator[str]],
    check_file: Callable[[pa.Table], Iterator[str]],
    paths: Iterable[Path],
    read: Sequence[pa.Table | None],
    faults: Iterable[list[Fault]],
) -> Iterator[Fault]:
    """The faults of some files: those found while reading, then those of the rows."""
    # the rows of all files at once: only where something is wrong does it matter in which
    sound = not any(check_rows(table, joined_tables(table, (rows for rows in read if rows is not None))))
    for path, rows, found in zip(paths, read, faults, strict=True):
        yield from found
        if rows is None:
            continue
        problems = [] if rows.num_rows else ["no rows"]
        for number in range(rows.num_rows):
            row = rows.slice(number, 1)
            if not sound:
                problems += [fault.problem for fault in check_rows(table, row)]
            problems += check_row(row)
            problems += _misnamed(corpus, table, path, row)
        problems += check_file(rows)
        yield from (Fault(table, _shown(corpus, path), problem) for problem in problems)


def _batches(files: Iterable[Path]) -> Iterator[list[Path]]:
    """The files in order, as many at once as fit in memory, at least one."""
    some: list[Path] = []
    left = _BYTES
    for path in files:
        try:
            size = path.stat().st_size
        except OSError:  # `_read_part` lists it
            size = 0
        if some and (len(some) == _FILES or size > left):
            yield some
            some, left = [], _BYTES
        some.append(path)
        left -= size
    if some:
        yield some


def _misnamed(corpus: Corpus, table: str, path: Path, row: pa.Table) -> Iterator[str]:
    recording_id, maker, key = (str(row[name][0].as_py()) for name in PRIMARY_KEYS[table][:3])
    try:
        if path != shard_path(corpus, table, recording_id, maker, key):
            yield f"holds {maker} {key} of recording {recording_id}, which belongs under another name"
    except ValueError as error:
        yield str(error)


def _fits_in_use(corpus: Corpus) -> Iterator[Fault]:
    for name, hashes in sorted(corpus.fits.items()):
        for hash in hashes:
            folder = fit_folder(corpus, name, hash)
            if not folder.is_dir():
                yield Fault("", f"fits/{name}-{hash}", "in use, but not there: lpse refit makes it again")
            elif problem := fit_fault(folder):
                yield Fault("", f"fits/{name}-{hash}", f"damaged: {problem}: lpse refit makes it again")


def _stray_files(corpus: Corpus) -> Iterator[Fault]:
    """Temporary files, and files in the tables' folders that are not part of a table."""
    temporary = list(corpus.leftovers())
    parts = {path for name in SCHEMAS for path in corpus.table(name).files()}
    for path in temporary:
        yield Fault(_table_of(corpus, path), _shown(corpus, path), "left over by a writer that was killed")
    for folder in (corpus.path / "manifests", corpus.path / "ledger"):
        for parent, children, names in os.walk(folder):
            children.sort()
            for path in (Path(parent, name) for name in sorted(names)):
                if path not in parts and not path.name.startswith("."):
                    yield Fault(
                        _table_of(corpus, path),
                        _shown(corpus, path),
                        "no part of a table: foreign or left over",
                    )


def _table_of(corpus: Corpus, path: Path) -> str:
    """The table in whose folder the file lies, or ''."""
    return next((name for name in SCHEMAS if path.is_relative_to(corpus.table(name).folder)), "")


def _durations(recordings: pa.Table | None) -> dict[str, float | None] | None:
    if recordings is None:
        return None
    return dict(zip(recordings["recording_id"].to_pylist(), recordings["duration"].to_pylist(), strict=True))


def _shown(corpus: Corpus, path: Path) -> str:
    """The file below the corpus folder, as a valid string."""
    return quote(path.relative_to(corpus.path))

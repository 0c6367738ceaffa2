"""Shards: the results of one detector, or one kind of fingerprint, over one recording, in a file of their own.

manifests/scores/<2 letters of the recording>/<recording>-<detector>-<key>.parquet   prints likewise
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from .files import open_regular, write_beside
from .parquet import damaged, file_fault, open_parquet, write_parquet
from .schema import SCHEMAS, SHARDED, VERSIONS, SchemaError, conform, migrate
from .store import Corpus

MISSING = "it is missing"
_WORD = re.compile(r"[A-Za-z0-9_]+")


def shard_path(corpus: Corpus, table: str, recording_id: str, maker: str, key: str) -> Path:
    """The file with one recording's results of `maker` (a detector, a kind of fingerprint).

    Raises ValueError for an unfit name.
    """
    for part in (recording_id, maker, key):
        if not _WORD.fullmatch(part):
            raise ValueError(f"{part!r} must be letters, digits and '_', it becomes part of a file name")
    return corpus.table(table).folder / recording_id[:2] / f"{recording_id}-{maker}-{key}.parquet"


def recordings_with(corpus: Corpus, table: str) -> frozenset[str]:
    """The recordings that any maker has results of, from the files' names."""
    return frozenset(path.name.split("-", 1)[0] for path in corpus.table(table).files())


def write_shard(
    corpus: Corpus, table: str, rows: Iterable[Mapping[str, object]] | pa.Table, *, over: bool = False
) -> Path:
    """Keep what was made of one recording and return its file; what is kept already stays, unless `over` or damaged.

    A mapping has the columns of the table's record; lists may be NumPy arrays of the column's type and any
    shape, nullable columns may be left out. Rows are in time order.
    Raises SchemaError for rows that do not fit or are missing, or are not all of one maker and recording.
    """
    full = conform(table, rows if isinstance(rows, pa.Table) else _table_of_mappings(table, rows))
    columns = ["recording_id", *SHARDED[table]]
    distinct = full.select(columns).group_by(columns).aggregate([]).to_pylist()
    if len(distinct) != 1:
        raise SchemaError(f"{table}: rows of {len(distinct)} recordings and {columns[1]}s, one file holds one")
    path = shard_path(corpus, table, *(distinct[0][column] for column in columns))
    if over or shard_fault(corpus, table, *(distinct[0][column] for column in columns)) is not None:
        with write_beside(path) as file:
            # A row a group: writing takes the memory of minutes, however many hours there are.
            write_parquet(full, file, row_group_rows=1)
    return path


def shard_fault(corpus: Corpus, table: str, recording_id: str, maker: str, key: str) -> str | None:
    """The reason why one recording's file cannot be used, "it is missing" without one; None if it is sound."""
    try:
        return file_fault(table, shard_path(corpus, table, recording_id, maker, key))
    except FileNotFoundError:
        return MISSING


def _table_of_mappings(name: str, rows: Iterable[Mapping[str, object]]) -> pa.Table:
    schema = SCHEMAS[name]
    types = dict(zip(schema.names, schema.types, strict=True))
    tables = [schema.empty_table()]
    for row in rows:
        full = {**dict.fromkeys(schema.names), **row}
        flat = {column: v.ravel() if isinstance(v, np.ndarray) else v for column, v in full.items()}
        one = pa.table({column: pa.array([value], types.get(column)) for column, value in flat.items()})
        tables.append(conform(name, one))
    return pa.concat_tables(tables)


def read_shard(
    corpus: Corpus, table: str, recording_id: str, maker: str, key: str, columns: Sequence[str] | None = None
) -> pa.Table:
    """The rows, in time order, and of them the `columns` (None: all).

    Raises FileNotFoundError where they are missing, Damaged with the cure, CorpusError for a foreign file.
    """
    path = shard_path(corpus, table, recording_id, maker, key)
    with open_regular(path) as opened:
        content = opened.read()
    file, version = open_parquet(table, path, content)
    current = version == VERSIONS[table]
    try:
        # a small file: threads cost more than they save
        read = file.read(columns=list(columns) if columns is not None and current else None, use_threads=False)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise damaged(table, path, error) from error
    if columns is not None and current:
        return read
    rows = migrate(table, read, version)
    return rows if columns is None else rows.select(list(columns))

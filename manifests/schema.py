"""Arrow schemas of the tables, derived from the records, and the way from records to Arrow and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, fields, is_dataclass
from datetime import datetime
from functools import cache, reduce
from itertools import chain, islice
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pyarrow as pa
import pyarrow.compute as pc

from .errors import LpseError
from .records import RECORDS

TABLE_KEY, VERSION_KEY = b"lpse.table", b"lpse.schema_version"
_PLAIN = {
    str: pa.string(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    datetime: pa.timestamp("us", tz="UTC"),
}
_CHUNK_ROWS = 65_536  # Python objects alive at once while records become Arrow


class CorpusError(LpseError, ValueError):
    """A folder, file or table that this program cannot work with."""


class SchemaError(CorpusError):
    """A table has other columns, another version or another content than its schema allows."""


def _arrow_field(name: str, hint: Any) -> pa.Field:
    """One column: `X | None` is nullable, `Annotated` names its Arrow type, `Literal` is a string."""
    if get_origin(hint) in (Union, UnionType):
        (inner,) = (option for option in get_args(hint) if option is not NoneType)
        return _arrow_field(name, inner).with_nullable(True)
    if get_origin(hint) is Annotated:
        return pa.field(name, get_args(hint)[1], nullable=False)
    if get_origin(hint) is Literal:
        return pa.field(name, pa.string(), nullable=False)
    if get_origin(hint) is tuple:
        element = _arrow_field("element", get_args(hint)[0]).with_nullable(True)
        return pa.field(name, pa.list_(element), nullable=False)
    if is_dataclass(hint):
        hints = get_type_hints(hint, include_extras=True)
        inside = [_arrow_field(f.name, hints[f.name]).with_nullable(True) for f in fields(hint)]
        return pa.field(name, pa.struct(inside), nullable=False)
    return pa.field(name, _PLAIN[hint], nullable=False)


def _schema(name: str, record: type) -> pa.Schema:
    hints = get_type_hints(record, include_extras=True)
    metadata = {TABLE_KEY: name.encode(), VERSION_KEY: str(VERSIONS[name]).encode()}
    return pa.schema([_arrow_field(column, hints[column]) for column in _columns(record)], metadata)


def _columns(record: type) -> list[str]:
    """The record's columns: its own first, then those it shares with other records."""
    shared = [f.name for base in record.__bases__ if is_dataclass(base) for f in fields(base)]
    return [f.name for f in fields(record) if f.name not in shared] + shared


VERSIONS: dict[str, int] = {name: 4 if name in ("annotations", "recordings") else 3 for name in RECORDS}
"""The schema version of each table; files of tables that did not change stay as they are."""
SCHEMA_VERSION = max(VERSIONS.values())
"""The corpus's schema version: the newest of any table."""

SCHEMAS: dict[str, pa.Schema] = {name: _schema(name, record) for name, record in RECORDS.items()}

PRIMARY_KEYS: dict[str, tuple[str, ...]] = {
    "sources": ("source_id",),
    "recordings": ("recording_id",),
    "scores": ("recording_id", "detector", "key", "start"),
    "events": ("recording_id", "start", "end", "label", "source"),
    "cuts": ("cut_id",),
    "drops": ("item_kind", "item", "stage", "reason"),
    "duplicates": ("recording_id", "method", "start"),
    "prints": ("recording_id", "kind", "key", "start"),
    "tasks": ("task_key",),
    "annotations": ("version_id",),
    "verdicts": ("verdict_id",),
    "ratings": ("rating_id",),
}

# Tables that are kept as one file a recording, and the columns that with the recording make the file's name.
SHARDED: dict[str, tuple[str, str]] = {"scores": ("detector", "key"), "prints": ("kind", "key")}


def _with_new_columns(name: str) -> Callable[[pa.Table], pa.Table]:
    """A step to version 2 for a table that only gained columns, which are null in older rows."""

    def step(table: pa.Table) -> pa.Table:
        for field in SCHEMAS[name]:
            if field.name not in table.column_names and field.nullable:
                table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        return table

    return step


def _unchanged(table: pa.Table) -> pa.Table:
    """The step to version 3, which brought a table of its own and words in columns, no column."""
    return table


def _edited_by_other(table: pa.Table) -> pa.Table:
    """The step of `annotations` to version 4: `forged` is called `edited_by_other`."""
    return table.rename_columns(["edited_by_other" if name == "forged" else name for name in table.column_names])


def _with_tracks(table: pa.Table) -> pa.Table:
    """The step of `recordings` to version 4: tracks and splices, unknown until a file is read again."""
    for name in ("audio_tracks", "splices"):
        field = SCHEMAS["recordings"].field(name)
        table = table.append_column(field, pa.array([[]] * table.num_rows, field.type))
    return table


# (table, version) -> what turns a table of that version into one of the next.
MIGRATIONS: dict[tuple[str, int], Callable[[pa.Table], pa.Table]] = {
    **{(name, 1): _with_new_columns(name) for name in SCHEMAS},
    **{(name, 2): _unchanged for name in SCHEMAS},
    ("annotations", 3): _edited_by_other,
    ("recordings", 3): _with_tracks,
}


def version_of(name: str, schema: pa.Schema) -> int:
    """The schema version a file of table `name` was written with.

    Raises SchemaError for a file of another table or program, and for a version newer than this program's.
    """
    metadata = schema.metadata or {}
    owner = metadata.get(TABLE_KEY, b"").decode(errors="replace")
    if owner != name:
        raise SchemaError(f"belongs to table {owner!r}, not to {name!r}" if owner else "not written by this program")
    text = metadata.get(VERSION_KEY, b"").decode(errors="replace")
    if not text.isdecimal():
        raise SchemaError(f"schema version {text!r} is not a number")
    if int(text) > VERSIONS[name]:
        raise SchemaError(f"schema version {text} is newer than {VERSIONS[name]}, the newest known here")
    return int(text)


def migrate(name: str, table: pa.Table, version: int) -> pa.Table:
    """The table brought from `version` to today's. Raises SchemaError where a step is missing."""
    for step in range(version, VERSIONS[name]):
        if (name, step) not in MIGRATIONS:
            raise SchemaError(f"{name}: no way from schema version {step} to {step + 1}")
        table = MIGRATIONS[name, step](table)
    return conform(name, table)


def conform(name: str, table: pa.Table) -> pa.Table:
    """The table with exactly its schema's columns, order and types.

    Raises SchemaError for missing or unknown columns, values that do not fit, and nulls where none may be.
    """
    schema = SCHEMAS[name]
    missing = [column for column in schema.names if column not in table.column_names]
    unknown = [column for column in table.column_names if column not in schema.names]
    if missing or unknown:
        raise SchemaError(f"{name}: columns missing: {missing}, columns unknown: {unknown}")
    for field in schema:
        nulls = table[field.name].null_count
        if nulls and not field.nullable:
            raise SchemaError(f"{name}.{field.name}: {nulls} of {table.num_rows} rows are null, none may be")
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaError(f"{name}: {error}") from error


def to_table(name: str, rows: pa.Table | Iterable[pa.RecordBatch] | Iterable[Any]) -> pa.Table:
    """Rows of table `name` as Arrow: a table, record batches, or records of the table's class.

    Arrow input never becomes Python objects. Raises SchemaError as `conform` does, TypeError for records of
    another class.
    """
    if isinstance(rows, pa.Table):
        return conform(name, rows)
    stream = iter(rows)
    first = list(islice(stream, 1))
    if first and isinstance(first[0], pa.RecordBatch):
        return conform(name, pa.Table.from_batches(chain(first, stream)))
    return joined_tables(name, _tables_of_records(name, chain(first, stream)))


def joined_tables(name: str, tables: Iterable[pa.Table]) -> pa.Table:
    """Tables of the table's schema as one; of any number, most of them empty, in the time that their rows take."""
    filled = [table for table in tables if table.num_rows]
    return pa.concat_tables(filled) if filled else _empty(name)


@cache
def _empty(name: str) -> pa.Table:
    return SCHEMAS[name].empty_table()


def _tables_of_records(name: str, rows: Iterator[Any]) -> Iterator[pa.Table]:
    schema, record = SCHEMAS[name], RECORDS[name]
    while chunk := list(islice(rows, _CHUNK_ROWS)):
        for row in chunk:
            if not isinstance(row, record):
                raise TypeError(f"{name} holds {record.__name__} records, not {type(row).__name__}")
        columns = []
        for field in schema:
            values = [getattr(row, field.name) for row in chunk]
            if field.name in _structs(name):
                values = [[asdict(inner) for inner in value] for value in values]
            try:
                columns.append(pa.array(values, field.type))
            except (pa.ArrowException, TypeError, OverflowError) as error:
                raise SchemaError(f"{name}.{field.name}: {error}") from error
        # By name: nulls in a column that may have none pass through arrays unseen and are caught here.
        yield conform(name, pa.Table.from_arrays(columns, names=schema.names))


def to_records(name: str, batches: Iterable[pa.RecordBatch]) -> Iterator[Any]:
    """The records of Arrow batches that follow the table's schema; lists become tuples, structs dataclasses."""
    record, structs = RECORDS[name], _structs(name)
    lists = {field.name for field in SCHEMAS[name] if pa.types.is_list(field.type)}
    for batch in batches:
        for row in batch.to_pylist():
            for column in lists:
                row[column] = None if row[column] is None else tuple(row[column])
            for column, inner in structs.items():
                row[column] = tuple(inner(**one) for one in row[column])
            yield record(**row)


@cache
def _structs(name: str) -> dict[str, Any]:
    """The columns that are lists of dataclasses, and which."""
    hints = get_type_hints(RECORDS[name])
    insides = {column: get_args(hint)[0] for column, hint in hints.items() if get_origin(hint) is tuple}
    return {column: inner for column, inner in insides.items() if is_dataclass(inner)}


def sort_rows(name: str, table: pa.Table) -> pa.Table:
    """The rows in the order of the table's primary key; the order given where it has none (the ledger)."""
    keys = [(column, "ascending") for column in PRIMARY_KEYS.get(name, ())]
    return table.sort_by(keys) if keys and not in_order(name, table) else table


def in_order(name: str, table: pa.Table) -> bool:
    """True if the rows are in the order of the primary key, as mostly when few rows changed: quicker than sorting."""
    if table.num_rows < 2:
        return True
    *first, last = [(table[column][:-1], table[column][1:]) for column in PRIMARY_KEYS[name]]
    later = pc.less(last[1], last[0])
    for before, after in reversed(first):
        later = pc.or_(pc.less(after, before), pc.and_(pc.equal(after, before), later))
    return not pc.any(later).as_py()


def repeated_keys(name: str, table: pa.Table) -> pa.Table:
    """Of a sorted table, the rows whose primary key is the one of the row before."""
    same = [pc.equal(table[column][1:], table[column][:-1]) for column in PRIMARY_KEYS.get(name, ())]
    if not same or table.num_rows < 2:
        return table.slice(0, 0)
    return table.slice(1).filter(reduce(pc.and_, same))


def whole_table(name: str, rows: pa.Table | Iterable[pa.RecordBatch] | Iterable[Any]) -> pa.Table:
    """The rows of a whole table, in order. Raises SchemaError for rows that do not fit or share a primary key."""
    table = sort_rows(name, to_table(name, rows))
    repeated = repeated_keys(name, table)
    if repeated.num_rows:
        first = repeated.select(PRIMARY_KEYS[name]).slice(0, 1).to_pylist()[0]
        raise SchemaError(f"{name}: {repeated.num_rows} rows repeat a primary key, first {first}")
    return table

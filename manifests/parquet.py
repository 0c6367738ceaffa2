"""One Parquet file of a table: how it is written and opened."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from .declared import open_declared
from .pages import PageError
from .schema import CorpusError, SchemaError, version_of

_ROW_GROUP_ROWS = 65_536


def write_parquet(table: pa.Table, file: IO[bytes], row_group_rows: int = _ROW_GROUP_ROWS) -> None:
    """The table as Parquet whose bytes depend on its rows alone: fixed row groups, no time of writing."""
    leaves = {f.name: f"{f.name}.list.element" if pa.types.is_list(f.type) else f.name for f in table.schema}
    arrays = [leaf for name, leaf in leaves.items() if table.schema.field(name).type == pa.list_(pa.float16())]
    pq.write_table(
        # How the rows came in chunks would show in the pages.
        table.combine_chunks(),
        file,
        row_group_size=row_group_rows,
        compression="zstd",
        compression_level=3,
        # Scores as two streams of bytes: a third smaller than as values, and quicker.
        use_dictionary=[leaf for leaf in leaves.values() if leaf not in arrays],
        column_encoding=dict.fromkeys(arrays, "BYTE_STREAM_SPLIT") or None,
    )


def open_parquet(name: str, path: Path) -> tuple[pq.ParquetFile, int]:
    """An open Parquet file of table `name` and its schema version."""
    try:
        file = open_declared(path, columns=())  # the pages of all columns would take longer than reading them
        return file, version_of(name, file.schema_arrow)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, PageError, SchemaError) as error:
        raise CorpusError(f"{path}: {error}") from error

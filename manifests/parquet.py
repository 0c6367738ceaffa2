"""One Parquet file of a table: how it is written and opened."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from .schema import CorpusError, SchemaError, version_of

_ROW_GROUP_ROWS = 65_536


def write_parquet(table: pa.Table, file: IO[bytes], row_group_rows: int = _ROW_GROUP_ROWS) -> None:
    """The table as Parquet whose bytes depend on its rows alone: fixed row groups, no time of writing."""
    leaves = {f.name: f"{f.name}.list.element" if pa.types.is_list(f.type) else f.name for f in table.schema}
    scores = [name for name in leaves if table.schema.field(name).type == pa.list_(pa.float16())]
    pq.write_table(
        # How the rows came in chunks would show in the pages.
        table.combine_chunks(),
        file,
        row_group_size=row_group_rows,
        compression="zstd",
        compression_level=3,
        # Scores as plain values: a dictionary makes them a third larger. As two streams of bytes they would be no
        # smaller, and DuckDB cannot read those (it takes byte-stream-split for 4 and 8 bytes only).
        use_dictionary=[leaf for name, leaf in leaves.items() if name not in scores],
        # Of a single row they repeat the row: a tenth of the file where it holds minutes.
        write_statistics=row_group_rows > 1,
    )


def open_parquet(name: str, path: Path) -> tuple[pq.ParquetFile, int]:
    """An open Parquet file of table `name` and its schema version."""
    try:
        file = pq.ParquetFile(path)
        return file, version_of(name, file.schema_arrow)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, SchemaError) as error:
        raise CorpusError(f"{path}: {error}") from error

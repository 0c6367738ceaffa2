"""One Parquet file of a table: how it is written and opened, and how damage to it is found and named.

Each page has a checksum, which every reader here verifies, and the footer has one of the whole file, so that
`file_fault` checks a file without decoding it. Files of earlier versions have neither: all their values are read.
"""

from __future__ import annotations

import zlib
from mmap import mmap
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from .declared import open_declared
from .files import open_regular
from .schema import SCHEMAS, VERSIONS, CorpusError, SchemaError, version_of

_ROW_GROUP_ROWS = 65_536
_SUM_KEY = b"lpse.crc32"  # of all bytes of the file, with zeros in place of the checksum
_NO_SUM = b"00000000"
_REPLAY = "lpse replay makes it again"
_CURE = {
    **dict.fromkeys(("events", "cuts", "drops", "duplicates"), _REPLAY),
    **dict.fromkeys(("scores", "prints"), "lpse replay makes it again if the recording's media exists"),
    "ledger": "the next lpse curate or lpse replay removes it and repeats its work",
    "sources": "restore it from a backup, or remove it and run lpse curate with all sources",
    "recordings": "restore it from a backup, or remove it and run lpse curate with all sources",
}
_FROM_PEOPLE = "it holds people's work, which no command makes again: restore it from a backup"
REMADE = ("events", "cuts", "drops", "duplicates")
"""The tables that a run writes completely, from all others."""


class Damaged(CorpusError):
    """A file of a corpus that is not as it was written: `path` and the `problem`; the text also names the cure."""

    def __init__(self, path: Path, problem: str, cure: str) -> None:
        self.path, self.problem, self.problem_and_cure = path, problem, f"{problem}: {cure}"
        super().__init__(f"{path}: damaged: {self.problem_and_cure}")


def cure_of(name: str) -> str:
    """The way to replace a damaged file of table `name`, in words."""
    return _CURE.get(name, _FROM_PEOPLE)


def damaged(name: str, path: Path, problem: object) -> Damaged:
    """The error for a damaged file of table `name`."""
    return Damaged(path, first_line(problem), cure_of(name))


def first_line(problem: object) -> str:
    """The first line of an error's text, or its type if it has no text."""
    return next(iter(str(problem).splitlines()), type(problem).__name__)


def write_parquet(table: pa.Table, file: IO[bytes], row_group_rows: int = _ROW_GROUP_ROWS) -> None:
    """The table as Parquet whose bytes depend on its rows alone: fixed row groups, no time of writing."""
    leaves = {f.name: f"{f.name}.list.element" if pa.types.is_list(f.type) else f.name for f in table.schema}
    scores = [name for name in leaves if table.schema.field(name).type == pa.list_(pa.float16())]
    with SummedWriter(
        file,
        table.schema,
        compression="zstd",
        compression_level=3,
        # Scores as plain values: a dictionary makes them a third larger. As two streams of bytes they would be no
        # smaller, and DuckDB cannot read those (it takes byte-stream-split for 4 and 8 bytes only).
        use_dictionary=[leaf for name, leaf in leaves.items() if name not in scores],
        # Of a single row they repeat the row: a tenth of the file where it holds minutes.
        write_statistics=row_group_rows > 1,
        write_page_checksum=True,
    ) as writer:
        # How the rows came in chunks would show in the pages.
        writer.write_table(table.combine_chunks(), row_group_size=row_group_rows)


class SummedWriter(pq.ParquetWriter):  # type: ignore[misc]  # pyarrow has no types
    """A Parquet writer that puts a checksum of the whole file into its footer, for `sum_fault`."""

    def __init__(self, file: IO[bytes], schema: pa.Schema, **options: Any) -> None:
        self._summed = _Summed(file)
        super().__init__(self._summed, schema, **options)

    def close(self) -> None:
        """Write the footer, with the checksum."""
        if self.is_open:
            self.add_key_value_metadata({_SUM_KEY: _NO_SUM})
            self._summed.hold()
            super().close()
            self._summed.write_footer()


def open_parquet(name: str, path: Path, content: bytes | None = None) -> tuple[pq.ParquetFile, int]:
    """An open Parquet file of table `name` and its schema version. Raises Damaged, and CorpusError for a foreign one.

    `content`: all of its bytes, if they were read; then its checksum is compared. Reading from it raises an
    ArrowException or OSError for damaged pages: `damaged` names them.
    """
    try:
        # the pages of all columns would take longer than reading them
        file = open_declared(path, columns=(), checksums=True, content=content)
        version = version_of(name, file.schema_arrow)
        if content is not None and (fault := sum_fault(file.metadata, content)):
            raise damaged(name, path, fault)
        return file, version
    except (FileNotFoundError, PermissionError):
        raise
    except SchemaError as error:
        raise CorpusError(f"{path}: {error}") from error
    except Damaged:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged(name, path, _plain(path, error)) from error


def file_fault(name: str, path: Path) -> str | None:
    """The reason why a file of table `name` cannot be used; None if it is as this program wrote it.

    Reads all bytes, and decodes them only in files of earlier versions. Raises FileNotFoundError.
    """
    with open_regular(path) as opened:
        content = opened.read()
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        version = version_of(name, file.schema_arrow)
        if version == VERSIONS[name] and set(file.schema_arrow.names) != set(SCHEMAS[name].names):
            return "columns are missing or unknown"
        if _SUM_KEY not in (file.metadata.metadata or {}):
            file.read(use_threads=False)
        return sum_fault(file.metadata, content)
    except Exception as error:  # a broken file makes Arrow stumble in more ways than it has errors for
        return _plain(path, error, len(content))


def sum_fault(metadata: pq.FileMetaData, content: bytes | mmap) -> str | None:
    """The fault of a file whose bytes do not match the checksum in its `metadata`; None without a checksum."""
    noted = (metadata.metadata or {}).get(_SUM_KEY)
    if noted is None:
        return None
    at = content.find(noted, content.rfind(_SUM_KEY))
    with memoryview(content) as view:
        total = zlib.crc32(view[:at]) if at >= 0 else 0
        total = zlib.crc32(view[at + len(noted) :], zlib.crc32(_NO_SUM[: len(noted)], total)) if at >= 0 else 0
    return None if noted == _text(total) else "its checksum does not match"


def _text(sum: int) -> bytes:
    return f"{sum:08x}".encode()


def _plain(path: Path, error: Exception, size: int | None = None) -> str:
    """The fault of a file that cannot be opened; the commonest in plain words."""
    if (path.stat().st_size if size is None else size) == 0:
        return "it is empty"
    text = first_line(error).removeprefix(f"{path}: ")
    return "its end is missing or damaged" if "magic bytes" in text or "footer" in text.lower() else text


class _Summed:
    """A file open for writing that sums what is written; the footer is held back until the sum is in it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._size, self._sum = 0, 0
        self._footer: bytearray | None = None
        self.closed = False

    def write(self, data: Any) -> int:
        count = len(memoryview(data).cast("B"))
        self._size, self._sum = self._size + count, zlib.crc32(data, self._sum)
        if self._footer is None:
            self._file.write(data)
        else:
            self._footer += data
        return count

    def hold(self) -> None:
        """Keep what is written from now on in memory."""
        self._footer = bytearray()

    def write_footer(self) -> None:
        """Write the footer with the checksum in it."""
        assert self._footer is not None
        at = self._footer.index(_NO_SUM, self._footer.rindex(_SUM_KEY))
        self._footer[at : at + len(_NO_SUM)] = _text(self._sum)
        self._file.write(self._footer)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self.closed = True

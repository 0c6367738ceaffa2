"""The index: the one small file that makes cuts visible and locates their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.declared import open_declared
from manifests.files import live_parts, write_beside

from .parts import pairs, read_columns
from .spec import FORMAT, CacheError, CacheSpec, read_spec
from .tables import FORMAT_KEY

State = Literal["present", "withdrawn"]


@dataclass(frozen=True)
class IndexRow:
    """A cut as readers get it: its caption and the source of it, the id of the caption's features, its split.

    `start`, `end` in seconds of the recording; `clips`: their number; `text_id`: "" in a cache without text. Withdrawn
    cuts keep their features and are not shown.
    """

    cut_id: str
    recording_id: str
    start: float
    end: float
    clips: int
    has_video: bool
    caption: str
    caption_source: str
    text_id: str
    split: str
    state: State = "present"


@dataclass(frozen=True)
class StoredAt:
    """Location of a stored cut: number of its part, its first row of clips, its row of cuts, and their content."""

    part: int
    row: int
    cut_row: int
    recording_id: str
    start: float
    end: float
    clips: int
    has_video: bool
    starts: tuple[float, ...]


_ROW_TYPES = {"str": pa.string(), "float": pa.float64(), "int": pa.int32(), "bool": pa.bool_(), "State": pa.string()}
INDEX = pa.schema(
    [
        *(pa.field(field.name, _ROW_TYPES[str(field.type)], nullable=False) for field in fields(IndexRow)),
        # Found by `write_index`, so that opening a cache reads no part but its footer. -1: in no part.
        pa.field("part", pa.int32(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("cut_row", pa.int64(), nullable=False),
        pa.field("text_part", pa.int32(), nullable=False),
        pa.field("text_row", pa.int64(), nullable=False),
        pa.field("clip_starts", pa.list_(pa.field("element", pa.float64(), nullable=False)), nullable=False),
    ],
    {FORMAT_KEY: str(FORMAT).encode()},
)


def write_index(
    path: Path,
    rows: Iterable[IndexRow],
    write: Callable[[Path], AbstractContextManager[IO[bytes]]] = write_beside,
) -> None:
    """Replace the index, at once or when `write` does; readers get the rows in this order.

    Raises CacheError if a present cut or its caption is not stored, is listed twice, or differs from its row; the old
    index then stays.
    """
    spec = read_spec(path)
    table = index_table(path, spec, rows)
    with write(path / "index.parquet") as file:
        pq.write_table(
            table,
            file,
            compression="zstd",
            row_group_size=len(table) or 1,
            write_page_checksum=True,
            write_statistics=False,
        )


def index_table(path: Path, spec: CacheSpec, rows: Iterable[IndexRow]) -> pa.Table:
    """The table that `write_index` writes."""
    places, texts = find_cuts(path), find_texts(path)
    entries: dict[str, dict[str, Any]] = {}
    for row in rows:
        where = f"{path}: cut {row.cut_id}"
        if row.cut_id in entries:
            raise CacheError(f"{where} is listed twice")
        place, text = places.get(row.cut_id), texts.get(row.text_id)
        if row.state == "present":
            _check_present(row, spec, place, text, where)
        elif row.state != "withdrawn":
            raise CacheError(f"{where}: state {row.state!r}, must be present or withdrawn")
        entries[row.cut_id] = {
            **asdict(row),
            "part": -1 if place is None else place.part,
            "row": -1 if place is None else place.row,
            "cut_row": -1 if place is None else place.cut_row,
            "text_part": -1 if text is None else text[0],
            "text_row": -1 if text is None else text[1],
            "clip_starts": [] if place is None else place.starts,
        }
    return pa.Table.from_pylist(list(entries.values()), schema=INDEX)


def read_index(path: Path) -> pa.Table:
    """All rows of the index, withdrawn ones too. Raises CacheError if it is missing or of another format."""
    name = path / "index.parquet"
    try:
        file = open_declared(name, checksums=True)
        version = (file.schema_arrow.metadata or {}).get(FORMAT_KEY, b"none").decode(errors="replace")
        if version != str(FORMAT):
            raise CacheError(f"{name}: format {version}; this program reads format {FORMAT}")
        table = file.read().select(INDEX.names).cast(INDEX)
        table.validate(full=True)  # text that is not UTF-8 would fail where it is used
        return table
    except FileNotFoundError:
        raise CacheError(f"{path}: no cuts are shown yet, index.parquet is missing") from None
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        if isinstance(error, CacheError):
            raise
        raise CacheError(f"{name}: unreadable: {error}") from error


def find_cuts(path: Path) -> dict[str, StoredAt]:
    """Every stored cut, by id. Raises CacheError if the clips and cuts of a part do not match."""
    places: dict[str, StoredAt] = {}
    for clips_part, cuts_part in pairs(path):
        part = part_number(cuts_part)
        starts = read_columns(clips_part, ["start"])["start"].to_pylist()
        row = 0
        columns = ["cut_id", "recording_id", "start", "end", "clips", "has_video"]
        for cut_row, cut in enumerate(read_columns(cuts_part, columns).to_pylist()):
            cut_id, end = cut.pop("cut_id"), row + cut["clips"]
            if cut_id in places:
                raise CacheError(f"{cuts_part}: row {cut_row}, cut {cut_id} is stored twice")
            places[cut_id] = StoredAt(part=part, row=row, cut_row=cut_row, starts=tuple(starts[row:end]), **cut)
            row = end
        if row != len(starts):
            raise CacheError(f"{clips_part}: {len(starts)} clips, its cuts have {row}")
    return places


def find_texts(path: Path) -> dict[str, tuple[int, int]]:
    """Every stored caption, by id: number of its part, and row."""
    return {
        text_id: (part_number(part), row)
        for part in live_parts(path / "texts")
        for row, text_id in enumerate(read_columns(part, ["text_id"])["text_id"].to_pylist())
    }


def part_number(part: Path) -> int:
    """The number of a part: 12 for `part-00012.parquet`."""
    return int(part.stem.removeprefix("part-"))


def _check_present(
    row: IndexRow, spec: CacheSpec, place: StoredAt | None, text: tuple[int, int] | None, where: str
) -> None:
    if place is None:
        raise CacheError(f"{where} is not stored")
    given: Mapping[str, object] = asdict(row)
    for name in ("recording_id", "start", "end", "clips", "has_video"):
        if given[name] != getattr(place, name):
            raise CacheError(f"{where}: {name} {given[name]}, stored {getattr(place, name)}")
    if spec.text is not None and text is None:
        raise CacheError(f"{where}: text {row.text_id!r} is not stored")

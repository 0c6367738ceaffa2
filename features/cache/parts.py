"""Move staged cuts into parts that never change again, so that a kill at any moment loses and duplicates nothing.

A commit writes pairs of files with the same number, first the clips, then the cuts; a cut is stored as soon as the
second file has its name. A kill between the two leaves clips without cuts: the next commit removes them and writes them
again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from manifests.declared import open_declared
from manifests.files import leftovers, live_parts, write_next_part
from manifests.lock import exclusive

from .cut import StoredCut, checked_text
from .spec import CacheError, CacheSpec, read_spec
from .staging import read_staged, staged_file
from .tables import (
    PLAIN_COLUMNS,
    ROW_GROUP_CLIPS,
    clip_rows,
    clips_schema,
    cut_row,
    cuts_schema,
    part_writer,
    text_rows,
    texts_schema,
)

PART_BYTES = 512 << 20
_TEXTS_PER_PART = 1024


@dataclass(frozen=True)
class Committed:
    """The result of a commit: the cuts and clips it moved, the pairs of parts it wrote, and their bytes."""

    cuts: int = 0
    clips: int = 0
    parts: int = 0
    bytes: int = 0


def commit(path: Path, cut_ids: Sequence[str], part_bytes: int = PART_BYTES) -> Committed:
    """Move staged cuts into new parts, in this order, and fill each part up to `part_bytes` of values.

    Stored cuts are skipped, so the same call finishes a commit that was killed, with the same bytes as without the
    kill. Raises CacheError if a cut is neither staged nor stored; all cuts then stay staged.
    """
    spec = read_spec(path)
    with writing(path):
        known = set(stored(path))
        wanted = dict.fromkeys(cut_ids)
        new = [cut_id for cut_id in wanted if cut_id not in known]
        missing = [cut_id for cut_id in new if not staged_file(path, cut_id).exists()]
        if missing:
            raise CacheError(f"{path}: cut {missing[0]} is neither staged nor stored ({len(missing)} such cuts)")
        done = append_cuts(path, spec, (read_staged(path, spec, cut_id) for cut_id in new), part_bytes)
        for cut_id in wanted:
            staged_file(path, cut_id).unlink(missing_ok=True)
    return done


def stored(path: Path) -> list[str]:
    """The ids of all cuts in parts, in their order, whether or not the index shows them."""
    return [cut_id for _, cuts in pairs(path) for cut_id in read_columns(cuts, ["cut_id"])["cut_id"].to_pylist()]


def add_texts(path: Path, texts: Mapping[str, tuple[str, NDArray[Any]]]) -> int:
    """Store captions by their id: the text and its array (L, D). Returns the number of new ones; the others stay.

    Raises CacheError, naming text and row, if an array does not match the spec; nothing is written then.
    """
    spec = read_spec(path)
    checked = {text_id: (text, checked_text(spec, text_id, array)) for text_id, (text, array) in texts.items()}
    with writing(path):
        return append_texts(path, spec, ((text_id, *entry) for text_id, entry in checked.items()))


def stored_texts(path: Path) -> list[str]:
    """The ids of the stored captions, in their order."""
    parts = live_parts(path / "texts")
    return [text_id for part in parts for text_id in read_columns(part, ["text_id"])["text_id"].to_pylist()]


def pairs(path: Path) -> list[tuple[Path, Path]]:
    """The pairs of parts of clips and of cuts. Raises CacheError if the clips of a part of cuts are missing."""
    clips = {part.name: part for part in live_parts(path / "clips")}
    cuts = live_parts(path / "cuts")
    for part in cuts:
        if part.name not in clips:
            raise CacheError(f"{part}: the clips of these cuts are missing, {path / 'clips' / part.name}")
    return [(clips[part.name], part) for part in cuts]


def orphans(path: Path) -> list[Path]:
    """Parts of clips whose cuts were not written because a commit was killed between the two."""
    cuts = {part.name for part in live_parts(path / "cuts")}
    return [part for part in live_parts(path / "clips") if part.name not in cuts]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Exclude other writers of parts, and first remove the files that a killed writer left."""
    with exclusive(path / "write.lock", "features"):
        for part in (*orphans(path), *leftovers(*(path / folder for folder in ("clips", "cuts", "texts")))):
            part.unlink()
        yield


def append_cuts(path: Path, spec: CacheSpec, cuts: Iterable[StoredCut], part_bytes: int = PART_BYTES) -> Committed:
    """Write cuts into new parts, with one cut in memory at a time; call under `writing`."""
    done, source = Committed(), iter(cuts)
    cut = next(source, None)
    while cut is not None:
        with write_next_part(path / "cuts") as cuts_file, write_next_part(path / "clips") as clips_file:
            with _Part(
                spec, part_writer(clips_file, clips_schema(spec)), part_writer(cuts_file, cuts_schema(spec))
            ) as part:
                while cut is not None and part.takes(cut, part_bytes):
                    part.add(cut)
                    cut = next(source, None)
            size = clips_file.tell() + cuts_file.tell()
        done = Committed(done.cuts + part.cuts, done.clips + part.clips, done.parts + 1, done.bytes + size)
    return done


def append_texts(path: Path, spec: CacheSpec, texts: Iterable[tuple[str, str, NDArray[Any]]]) -> int:
    """Write checked captions (id, text, array) that are not stored yet into new parts; call under `writing`."""
    seen, new, count = set(stored_texts(path)), {}, 0
    for text_id, text, array in texts:
        if text_id not in seen:
            seen.add(text_id)
            new[text_id] = (text, array)
            count += 1
        if len(new) == _TEXTS_PER_PART:
            _write_texts(path, spec, new)
            new = {}
    if new:
        _write_texts(path, spec, new)
    return count


def _write_texts(path: Path, spec: CacheSpec, texts: Mapping[str, tuple[str, NDArray[Any]]]) -> None:
    with write_next_part(path / "texts") as file, part_writer(file, texts_schema(spec)) as writer:
        writer.write_table(text_rows(spec, texts), row_group_size=ROW_GROUP_CLIPS)


class _Part:
    """A pair of parts being written."""

    def __init__(self, spec: CacheSpec, clips: pq.ParquetWriter, cuts: pq.ParquetWriter) -> None:
        self._spec, self._clips, self._cuts = spec, clips, cuts
        self._waiting: pa.Table | None = None
        self._waiting_has_video = False
        self._sizes = (0, 0)
        self.cuts = self.clips = 0

    def __enter__(self) -> _Part:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        self._clips.close()
        self._cuts.close()

    def takes(self, cut: StoredCut, limit: int) -> bool:
        """True if the cut still fits; an empty part takes any cut."""
        return not self.cuts or max(self._sizes[0] + cut.clip_bytes, self._sizes[1] + cut.cut_bytes) <= limit

    def add(self, cut: StoredCut) -> None:
        """Append a cut."""
        rows = clip_rows(self._spec, cut)
        if self._waiting is not None and self._waiting_has_video != cut.has_video:
            self._flush()  # a row group has video in all its rows or in none: one null would keep it from being mapped
        rows = rows if self._waiting is None else pa.concat_tables([self._waiting, rows])
        full = len(rows) - len(rows) % ROW_GROUP_CLIPS
        if full:
            self._clips.write_table(rows.slice(0, full).combine_chunks(), row_group_size=ROW_GROUP_CLIPS)
        self._waiting, self._waiting_has_video = (rows.slice(full) if full < len(rows) else None), cut.has_video
        self._cuts.write_table(cut_row(self._spec, cut))  # a row group each: lengths differ
        self._sizes = self._sizes[0] + cut.clip_bytes, self._sizes[1] + cut.cut_bytes
        self.cuts += 1
        self.clips += len(cut.clip_starts)

    def _flush(self) -> None:
        if self._waiting is not None:
            self._clips.write_table(self._waiting.combine_chunks())
            self._waiting = None


def read_columns(part: Path, columns: list[str]) -> pa.Table:
    """Some columns of a part, none of them an array. Raises CacheError if they cannot be read, or have nulls."""
    try:
        with open_declared(part, columns) as file:
            schema = pa.schema([pa.field(name, PLAIN_COLUMNS[name], nullable=False) for name in columns])
            table = file.read(columns).select(columns).cast(schema)
        table.validate(full=True)  # text that is not UTF-8 would fail where it is used
        return table
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise CacheError(f"{part}: unreadable: {error}") from error

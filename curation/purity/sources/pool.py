"""The pool: all gathered sources as 16-kHz mono samples in memory-mapped files, one pair of files per package.

`PACKAGE.parquet` has one row per source, `PACKAGE.i16` the samples of all its rows, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from manifests.errors import LpseError

RATE = 16_000
Kind = Literal["speech", "singing", "music", "effects"]
Split = Literal["train", "val", "test"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_KEY = b"lpse.key"
SPLITS: tuple[Split, ...] = get_args(Split)


class PoolError(LpseError):
    """A pool that is missing or damaged; the message names the file and the cure."""


@dataclass(frozen=True)
class Source:
    """One file of training audio.

    `path` is inside the package; a file inside an archive is `archive.zip!/inner/path.ogg`. `sha256` is of its bytes.
    `category` is finer than the kind: a language, a style, a class of sound effects. `group` is the unit that a split
    never divides: a speaker, an album, or the package. `doubt` is the reason to leave the source out, "" if there is
    no reason. `seconds` is the length of its samples in the pool.
    """

    package: str
    version: str
    path: str
    sha256: str
    licence: str
    kind: Kind
    category: str
    group: str
    split: Split
    seconds: float
    doubt: str = ""


@dataclass(frozen=True, eq=False)
class Pool:
    """Sources in a folder, and their samples."""

    folder: Path
    sources: tuple[Source, ...]
    places: tuple[tuple[str, int, int], ...]
    """The file, first sample and number of samples of each source."""

    @classmethod
    def open(cls, folder: Path, *, doubtful: bool = False, packages: Sequence[str] | None = None) -> Pool:
        """The pool of all packages in `folder`, or of `packages`; with `doubtful`, also the sources that are left out.

        Raises PoolError for a folder without tables, and if a file of samples is shorter than its table requires.
        """
        import pyarrow.parquet as pq

        tables = sorted(Path(folder).glob("*.parquet"))
        if packages is not None:
            tables = [path for path in tables if path.stem in packages]
        if not tables:
            raise PoolError(f"{folder}: no pool of sources; make one with: lpse train-purity --gather")
        names = [field.name for field in fields(Source)]
        sources: list[Source] = []
        places: list[tuple[str, int, int]] = []
        for path in tables:
            samples = path.with_suffix(".i16")
            available = samples.stat().st_size // 2 if samples.exists() else 0
            for row in pq.read_table(path).to_pylist():
                if row["first"] + row["samples"] > available:
                    raise PoolError(f"{samples}: has {available} samples, its table needs more; gather it again")
                if doubtful or not row["doubt"]:
                    sources.append(Source(**{name: row[name] for name in names}))
                    places.append((samples.name, row["first"], row["samples"]))
        return cls(Path(folder), tuple(sources), tuple(places))

    @cached_property
    def _files(self) -> dict[str, NDArray[np.int16]]:
        return {name: np.memmap(self.folder / name, np.int16, "r") for name in {file for file, _, _ in self.places}}

    def __len__(self) -> int:
        return len(self.sources)

    def samples(self, index: int) -> NDArray[np.int16]:
        """All samples of a source, shape (n,), at RATE; a view of the mapped file."""
        file, first, count = self.places[index]
        return self._files[file][first : first + count]

    def indices(self, kind: Kind, split: Split) -> list[int]:
        """The sources of a kind in a split."""
        return [i for i, one in enumerate(self.sources) if one.kind == kind and one.split == split]


class PoolWriter:
    """Writes one package's part of the pool; both files appear under their names when `close` is called."""

    def __init__(self, folder: Path, package: str, key: str = "") -> None:
        """`key`, a hash of what the part is made from, is kept in the table: see `pool_key`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._final = folder / f"{package}.i16"
        self._beside = folder / f".{package}.i16.part"
        self._file = self._beside.open("wb")
        self._rows: list[dict[str, object]] = []
        self._written = 0
        self._key = key

    def add(self, source: Source, samples: NDArray[np.int16]) -> None:
        """Append a source and its samples (n,)."""
        self._file.write(np.ascontiguousarray(samples, np.int16).tobytes())
        self._rows.append({**asdict(source), "first": self._written, "samples": len(samples)})
        self._written += len(samples)

    def abort(self) -> None:
        """Delete what was written; the package's earlier part of the pool stays."""
        self._file.close()
        self._beside.unlink(missing_ok=True)

    def close(self) -> None:
        """Finish both files; the table last, because the pool is read by its tables."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._file.close()
        self._beside.replace(self._final)
        table = self._final.with_suffix(".parquet")
        beside = table.with_name(f".{table.name}.part")
        rows = pa.Table.from_pylist(self._rows, _schema())
        pq.write_table(rows.replace_schema_metadata({_KEY: self._key.encode()}), beside)
        beside.replace(table)


def pool_key(folder: Path, package: str) -> str | None:
    """The key that the package's part of the pool was written with; None if the pool has no such part."""
    import pyarrow.parquet as pq

    path = folder / f"{package}.parquet"
    if not path.exists():
        return None
    metadata = pq.read_schema(path).metadata or {}
    return str(metadata.get(_KEY, b"").decode("utf-8", "replace"))


def write_doubts(folder: Path, doubts: Mapping[tuple[str, str], str]) -> None:
    """Replace the doubts of sources, by (package, path), in the pool's tables; the samples stay as they are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in sorted(folder.glob("*.parquet")):
        table = pq.read_table(path)
        rows = zip(*(table.column(name).to_pylist() for name in ("package", "path", "doubt")), strict=True)
        column = pa.array([doubts.get((package, name), doubt) for package, name, doubt in rows], pa.string())
        changed = table.set_column(table.schema.get_field_index("doubt"), "doubt", column)
        if not changed.equals(table):
            beside = path.with_name(f".{path.name}.part")
            pq.write_table(changed.replace_schema_metadata(table.schema.metadata), beside)
            beside.replace(path)


def _schema() -> object:
    import pyarrow as pa

    kinds = {"str": pa.string(), "float": pa.float64()}
    columns = [(field.name, kinds.get(str(field.type), pa.string())) for field in fields(Source)]
    return pa.schema([*columns, ("first", pa.int64()), ("samples", pa.int64())])


def total_hours(sources: Sequence[Source]) -> Iterator[tuple[Kind, Split, int, float]]:
    """Yield (kind, split, number, hours) of the sources, for reports."""
    for kind in KINDS:
        for split in SPLITS:
            chosen = [one for one in sources if one.kind == kind and one.split == split]
            yield kind, split, len(chosen), sum(one.seconds for one in chosen) / 3600

"""Keeps the sketches of a pool's sources in `checks/PACKAGE.sketches`, so that they are computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from .copies import LONG_SECONDS, MOST_SECONDS, Sketch, sketch
from .measure import FOLDER
from .pool import RATE, Pool

_VERSION = f"1 {LONG_SECONDS} {MOST_SECONDS}"
_KEY = b"lpse.sketches"


def read_sketches(folder: Path, package: str, pool: Pool, indices: Sequence[int]) -> list[Sketch]:
    """The sketches of sources of one package, by their indices in the pool, which are the sketches' names.

    Those that are not stored in the pool's `folder` are computed, and stored.
    """
    path = folder / FOLDER / f"{package}.sketches"
    known = _stored(path)
    wanted: dict[str, Sketch] = {}
    for i in indices:
        digest = pool.sources[i].sha256
        if digest not in wanted:
            stored = known.get(digest)
            if stored is None or stored.seconds != len(pool.samples(i)) / RATE:
                stored = sketch(digest, package, pool.samples(i))
            wanted[digest] = stored
    if any(known.get(digest) is not one for digest, one in wanted.items()):
        _store(path, [*(known | wanted).values()])
    return [replace(wanted[pool.sources[i].sha256], name=str(i), owner=package) for i in indices]


def _store(path: Path, sketches: Sequence[Sketch]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            "name": one.name,
            "seconds": one.seconds,
            "words": None if one.words is None else one.words.tobytes(),
            "outline": None if one.outline is None else one.outline.astype(np.float16).tobytes(),
        }
        for one in sketches
    ]
    columns = [("name", pa.string()), ("seconds", pa.float64()), ("words", pa.binary()), ("outline", pa.binary())]
    table = pa.Table.from_pylist(rows, pa.schema(columns, metadata={_KEY: _VERSION.encode()}))
    path.parent.mkdir(exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    pq.write_table(table, beside, compression="zstd")
    beside.replace(path)


def _stored(path: Path) -> dict[str, Sketch]:
    import pyarrow.parquet as pq

    if not path.exists() or (pq.read_schema(path).metadata or {}).get(_KEY) != _VERSION.encode():
        return {}
    found = {}
    for row in pq.read_table(path).to_pylist():
        words = None if row["words"] is None else np.frombuffer(row["words"], np.uint64)
        outline = None if row["outline"] is None else np.frombuffer(row["outline"], np.float16).astype(np.float32)
        found[row["name"]] = Sketch(row["name"], path.stem, row["seconds"], words, outline)
    return found

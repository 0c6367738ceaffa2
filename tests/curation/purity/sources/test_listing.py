"""The listing: all rows, small, always the same bytes; and sums for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from curation.purity.sources.listing import summary, write_listing
from curation.purity.sources.pool import Pool, PoolWriter, Source


def made(folder: Path) -> Pool:
    writer = PoolWriter(folder, "zoo")
    for i in (2, 1, 3):
        doubt = {2: "left out: jingles", 3: "check: speech (silero 0.90)"}.get(i, "")
        digest = "" if i == 2 else f"{i:064x}"
        one = Source("zoo", "1", f"{i}.wav", digest, "CC0-1.0", "effects", "bird", "zoo", "val", i / 3, doubt)
        writer.add(one, np.zeros(0 if i == 2 else 16_000 * i // 3, np.int16))
    writer.close()
    return Pool.open(folder, doubtful=True)


def test_the_listing_has_all_sources_by_name(tmp_path: Path) -> None:
    made(tmp_path / "pool")
    assert write_listing(tmp_path / "pool", tmp_path / "a.parquet") == 3
    write_listing(tmp_path / "pool", tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [row["path"] for row in rows] == ["1.wav", "2.wav", "3.wav"]
    assert [row["sha256"] for row in rows] == [bytes(31) + b"\1", None, bytes(31) + b"\3"]
    assert rows[0]["seconds"] == np.float32(0.33) and rows[0]["licence"] == "CC0-1.0"
    assert [row["doubt"] for row in rows] == ["", "left out: jingles", "check: speech (silero 0.90)"]


def test_the_summary_counts_what_is_used_and_what_is_not(tmp_path: Path) -> None:
    lines = list(summary(made(tmp_path / "pool").sources))
    [effects] = [line.split() for line in lines if line.startswith("effects   val")]
    assert effects == ["effects", "val", "1", "0.00", "1", "1"]
    assert [line.split()[1:] for line in lines if line.startswith("bird")] == [["0", "0.0", "1", "0.0", "0", "0.0"]]
    assert lines[-2:] == ["      1 left out: check: speech", "      1 left out: jingles"]

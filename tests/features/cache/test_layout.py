"""The parts of a cache as Parquet: mapped where their layout allows, decoded where not, read by others as they are."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.cache import CacheError, FeatureCache, check
from features.cache.mapped import DECODED, NULL, Part
from features.cache.page import NotDirect, check_levels
from manifests.pages import DATA_PAGE, PLAIN, RLE, page_header
from tests.support.cache_cases import SPEC, cache_of, features, some

CUTS = some(12)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return cache_of(tmp_path / "cache", CUTS, part_bytes=1 << 20)


@pytest.fixture
def clips(path: Path) -> Path:
    return path / "clips" / "part-00000.parquet"


def test_our_own_parts_are_mapped_throughout(path: Path, clips: Path, caplog: pytest.LogCaptureFixture) -> None:
    part = Part(clips, SPEC.clip_shapes(), SPEC.numpy_dtype)
    silent = [
        row
        for row, has_video in enumerate(np.repeat([c.has_video for c in CUTS], [len(c.clip_starts) for c in CUTS]))
        if not has_video
    ]
    for name, shape in SPEC.clip_shapes().items():
        places = [part.locate(name, row) for row in range(part.rows)]
        missing = silent if name in ("visual", "sync") else []
        assert [row for row, place in enumerate(places) if place == NULL] == missing
        assert DECODED not in places
        stored = pq.read_table(clips, columns=[name])[name].to_pylist()
        for row, place in enumerate(places):
            if place >= 0:
                values = part.data[place : place + 2 * int(np.prod(shape))].view(np.float16)
                assert np.array_equal(values.reshape(shape), np.array(stored[row], np.float16))
    FeatureCache(path).whole(0)
    assert not caplog.records


def test_row_groups_have_eight_clips_whatever_the_cuts(tmp_path: Path) -> None:
    cache_of(tmp_path, [features(number, clips=3) for number in range(7)], part_bytes=1 << 20)
    part = Part(tmp_path / "clips" / "part-00000.parquet", SPEC.clip_shapes(), SPEC.numpy_dtype)
    assert part.groups == [range(8), range(8, 16), range(16, 21)]


def test_the_file_says_what_the_layout_promises(clips: Path) -> None:
    metadata = pq.read_metadata(clips)
    data = clips.read_bytes()
    for group in range(metadata.num_row_groups):
        for column in range(3, metadata.num_columns):
            chunk = metadata.row_group(group).column(column)
            assert chunk.compression == "UNCOMPRESSED" and not chunk.has_dictionary_page
            header = page_header(data[chunk.data_page_offset : chunk.data_page_offset + 100])
            assert (header.kind, header.encoding) == (DATA_PAGE, PLAIN)
            assert (header.definition_encoding, header.repetition_encoding) == (RLE, RLE)
            assert header.length + header.size == chunk.total_compressed_size
            assert header.values == chunk.num_values and header.crc is not None


def _values(cache: FeatureCache) -> dict[str, torch.Tensor]:
    whole = {f"{name} {row}": values for row in range(len(CUTS)) for name, values in cache.whole(row).items()}
    return cache.take(range(len(cache))) | whole


def _arrow_again(part: Path, **options: Any) -> None:
    pq.write_table(pq.read_table(part), part, **options)


def _pandas_again(part: Path) -> None:
    pd.read_parquet(part).to_parquet(part)


@pytest.mark.parametrize(
    ("again", "reason"),
    [
        (_arrow_again, "compressed with SNAPPY"),
        (_pandas_again, "compressed with SNAPPY"),
        (lambda part: _arrow_again(part, compression="NONE"), "encoded as"),
        (
            lambda part: _arrow_again(
                part, compression="NONE", use_dictionary=False, data_page_size=9, write_batch_size=9
            ),
            "one page",
        ),
        (
            lambda part: _arrow_again(
                part, compression="NONE", use_dictionary=False, data_page_version="2.0", row_group_size=3
            ),
            "one page|encoding|null",
        ),
    ],
    ids=["arrow", "pandas", "dictionary", "pages", "version 2"],
)
def test_parts_that_others_wrote_again_give_the_same(
    path: Path, again: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = _values(FeatureCache(path))
    parts = sorted(path.glob("*/part-*"))
    assert len(parts) == 3
    for part in parts:
        again(part)
    with caplog.at_level(logging.WARNING):
        after = _values(FeatureCache(path))
    assert after.keys() == before.keys()
    for name, values in after.items():
        assert torch.equal(values, before[name]) and values.dtype == before[name].dtype, name
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(parts), "once a part"
    assert all("cannot be mapped" in text for text in said)
    assert any(word in text for text in said for word in reason.split("|"))
    assert [problem for problem in check(path) if "checksum" in problem.text] == []


def test_other_types_are_converted_and_other_shapes_refused(path: Path, clips: Path) -> None:
    before = FeatureCache(path).take([0, 1])
    table = pq.read_table(clips)
    wide = pa.list_(pa.list_(pa.float64(), 8), 12)
    column = table.schema.get_field_index("mean")
    pq.write_table(table.set_column(column, "mean", table["mean"].cast(wide)), clips)
    assert torch.equal(FeatureCache(path).take([0, 1])["mean"], before["mean"])
    short = pa.array([[[0.5] * 8] * 11] * len(table), pa.list_(pa.list_(pa.float16(), 8), 11))
    pq.write_table(table.set_column(column, "mean", short), clips)
    with pytest.raises(
        CacheError, match=r"part-00000.parquet: rows from 0, column mean: .*shape is not that of the cache"
    ):
        FeatureCache(path).take([0], ["mean"])
    words = pa.array([["a"] * 96] * len(table))
    pq.write_table(table.set_column(column, "mean", words), clips)
    with pytest.raises(CacheError, match=r"part-00000.parquet: row 0, column mean: an array with nulls"):
        FeatureCache(path).take([0], ["mean"])
    pq.write_table(table.drop_columns(["mean"]), clips)
    with pytest.raises(CacheError, match=r"part-00000.parquet: column mean is missing"):
        FeatureCache(path)
    pq.write_table(table.slice(0, 5), clips)
    with pytest.raises(CacheError, match=r"part-00000.parquet: fewer rows than the index refers to"):
        FeatureCache(path)
    clips.unlink()
    with pytest.raises(CacheError, match=r"part-00000.parquet: missing; the index refers to it"):
        FeatureCache(path)


@pytest.mark.parametrize("folder", ["clips", "texts"])
@pytest.mark.parametrize("keep", [0, 3, 1000, -1])
def test_a_truncated_part_is_refused_by_name(path: Path, folder: str, keep: int) -> None:
    part = path / folder / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:keep])
    with pytest.raises(CacheError, match=rf"{folder}/part-00000.parquet: truncated, or not a Parquet file"):
        FeatureCache(path)
    assert any(problem.file == f"{folder}/part-00000.parquet" for problem in check(path))


def test_a_truncated_part_of_cuts_is_refused_when_read(path: Path) -> None:
    part = path / "cuts" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(CacheError, match=r"cuts/part-00000.parquet: truncated, or not a Parquet file"):
        FeatureCache(path).take([0])


@pytest.mark.parametrize("file", ["index.parquet", "set.json"])
def test_a_truncated_index_or_set_is_refused_by_name(path: Path, file: str) -> None:
    (path / file).write_bytes((path / file).read_bytes()[:-20])
    with pytest.raises(CacheError, match=file):
        FeatureCache(path)
    assert [problem.file for problem in check(path)] == [file]


def test_a_foreign_or_newer_index_is_refused(path: Path) -> None:
    name = path / "index.parquet"
    table = pq.read_table(name)
    pq.write_table(table.replace_schema_metadata({b"lpse.features": b"2"}), name)
    with pytest.raises(CacheError, match=r"index.parquet: format 2; this program reads format 1"):
        FeatureCache(path)
    pq.write_table(pa.table({"a": [1]}), name)
    with pytest.raises(CacheError, match=r"index.parquet: format none"):
        FeatureCache(path)
    pq.write_table(table.drop_columns(["split"]), name)
    with pytest.raises(CacheError, match=r"index.parquet: unreadable.*split"):
        FeatureCache(path)


def _stacked(value: Any) -> NDArray[Any]:
    """An array of arrays as one."""
    return (
        np.array([_stacked(one) for one in value])
        if np.ndim(value[0]) or isinstance(value[0], list)
        else np.array(value)
    )


def test_pandas_reads_it(clips: Path) -> None:
    frame = pd.read_parquet(clips)
    assert frame["cut_id"].tolist()[:2] == ["c0", "c1"] and frame["clip"].tolist()[:3] == [0, 0, 1]
    for name in ("visual", "mean"):
        got = _stacked(frame[name][1])
        assert np.array_equal(got, CUTS[1].clips[name][0].astype(np.float16)) and got.dtype == np.float16
    assert frame["visual"][frame["cut_id"] == "c2"].isna().all()


def _query(text: str) -> list[Any]:
    relation = duckdb.sql(text)
    assert relation is not None
    return relation.fetchall()


def test_duckdb_reads_it(path: Path) -> None:
    query = f"select visual, mean[12][8] from '{path}/clips/*.parquet' where cut_id = 'c1' and clip = 1"
    ((visual, last),) = _query(query)
    assert np.array_equal(np.array(visual, np.float16), CUTS[1].clips["visual"][1].astype(np.float16))
    assert np.float16(last) == CUTS[1].clips["mean"][1, -1, -1].astype(np.float16)
    query = f"select len(visual_all), visual_all[67][16] from '{path}/cuts/*.parquet' where cut_id = 'c4'"
    ((length, value),) = _query(query)
    assert (length, np.float16(value)) == (67, CUTS[4].whole["visual_all"][66, 15].astype(np.float16))
    silent = f"select count(*) from '{path}/clips/*.parquet' where visual is null"
    assert _query(silent) == [(sum(len(c.clip_starts) for c in CUTS if not c.has_video),)]


def test_datasets_reads_it(path: Path, clips: Path, tmp_path: Path) -> None:
    rows = Dataset.from_parquet(str(clips), cache_dir=str(tmp_path / "hf"))
    rows.set_format("numpy")
    assert np.array_equal(rows[1]["visual"], CUTS[1].clips["visual"][0].astype(np.float16))
    assert rows[1]["visual"].shape == (64, 16)
    cuts = Dataset.from_parquet(str(path / "cuts" / "part-00000.parquet"), cache_dir=str(tmp_path / "hf"))
    got = np.array(cuts[1]["sync_all"], np.float16)
    assert np.array_equal(got, CUTS[1].whole["sync_all"].astype(np.float16))


@given(
    rows=st.integers(1, 9),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=2),
    null=st.booleans(),
    ragged=st.booleans(),
)
def test_levels_of_real_files_are_told_apart(
    tmp_path_factory: pytest.TempPathFactory, rows: int, sizes: list[int], null: bool, ragged: bool
) -> None:
    """Lists as pyarrow writes them: full rows pass, a null or a value in another row does not."""
    kind: pa.DataType = pa.float32()
    for _ in sizes:
        kind = pa.list_(kind)
    values: list[Any] = np.zeros((rows, *sizes), np.float32).tolist()
    ragged = ragged and rows > 1
    if ragged:  # as many values as before
        values[0].append(values[1].pop())
    if null:
        inner = values[-1] if len(sizes) == 1 or not values[-1] else values[-1][-1]
        if inner:
            inner[-1] = None
        else:
            null = False
    file = tmp_path_factory.mktemp("levels") / "a.parquet"
    pq.write_table(pa.table({"a": pa.array(values, kind)}), file, compression="NONE", use_dictionary=False)
    chunk, data = pq.read_metadata(file).row_group(0).column(0), file.read_bytes()
    page = data[chunk.data_page_offset : chunk.data_page_offset + chunk.total_compressed_size]
    header = page_header(page)
    deepest = pq.read_metadata(file).schema.column(0).max_definition_level
    payload = 4 * (rows * int(np.prod(sizes)) - null)
    levels = page[header.length : len(page) - payload]
    if null or ragged:
        with pytest.raises(NotDirect):
            check_levels(levels, (rows, *sizes), deepest)
    else:
        check_levels(levels, (rows, *sizes), deepest)
        for wrong in (levels[:-1], levels + b"\0", b"\0" * len(levels)):
            with pytest.raises(NotDirect):
                check_levels(wrong, (rows, *sizes), deepest)

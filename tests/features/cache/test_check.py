"""`check` finds what went wrong with a cache since it was written, and says where."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.cache import add_texts, check, commit, create, stage
from features.cache.index import read_index
from features.cache.tables import clip_rows, clips_schema, cut_row, cuts_schema, part_writer, text_rows, texts_schema
from manifests.pages import page_header
from tests.support.cache_cases import SPEC, cache_of, features, files, some, texts

CUTS = some(6)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return cache_of(tmp_path / "cache", CUTS, part_bytes=1 << 20)


def said(path: Path) -> list[str]:
    return [str(problem) for problem in check(path)]


def test_a_sound_cache_has_no_problems(path: Path) -> None:
    before = files(path)
    assert said(path) == []
    stage(path, features(9))
    assert said(path) == []
    (path / "staged" / "c9.parquet").unlink()
    assert files(path) == before, "looking changes nothing"
    empty = path / "empty"
    create(empty, SPEC)
    assert said(empty) == []
    assert [problem.file for problem in check(path / "nowhere")] == ["set.json"]


@pytest.mark.parametrize("folder", ["clips", "cuts", "texts"])
def test_a_flipped_bit_in_any_page_is_found(path: Path, folder: str) -> None:
    part = path / folder / "part-00000.parquet"
    data, metadata = part.read_bytes(), pq.read_metadata(part)
    draw = random.Random(1)
    for _ in range(40):
        group, leaf = draw.randrange(metadata.num_row_groups), draw.randrange(metadata.num_columns)
        chunk = metadata.row_group(group).column(leaf)
        end = chunk.data_page_offset + chunk.total_compressed_size
        length = page_header(data[chunk.data_page_offset : end]).length
        at = draw.randrange(chunk.data_page_offset + length, end)
        changed = bytearray(data)
        changed[at] ^= 1 << draw.randrange(8)
        part.write_bytes(changed)
        name = chunk.path_in_schema.split(".")[0]
        (problem,) = check(path)
        assert problem.file == f"{folder}/part-00000.parquet"
        first = sum(metadata.row_group(g).num_rows for g in range(group))
        rows = f"rows {first} to {first + metadata.row_group(group).num_rows - 1}, column {name}: "
        assert problem.text.startswith(rows), problem


def test_flipped_bits_in_page_headers_are_found(path: Path) -> None:
    part = path / "clips" / "part-00000.parquet"
    data, chunk = part.read_bytes(), pq.read_metadata(part).row_group(0).column(3)
    for at in (chunk.data_page_offset, chunk.data_page_offset + 3, chunk.data_page_offset + 12):
        changed = bytearray(data)
        changed[at] ^= 0x10
        part.write_bytes(changed)
        assert len(check(path)) == 1, at


def test_numbers_that_are_none_are_found(tmp_path: Path) -> None:
    create(tmp_path, SPEC)
    from features.cache.cut import checked

    cut = checked(SPEC, features(0))
    arrays = {name: array.copy() for name, array in cut.arrays.items()}
    arrays["sync"][1, 5, 2] = np.nan
    arrays["sync"][1, 6, 2] = np.inf
    arrays["visual_all"][70, 3] = -np.inf
    arrays["visual_mean"][3] = np.nan
    bad = replace(cut, arrays=arrays)
    _write(tmp_path / "clips", clips_schema(SPEC), [clip_rows(SPEC, bad)])
    _write(tmp_path / "cuts", cuts_schema(SPEC), [cut_row(SPEC, bad)])
    text = np.zeros((7, 4), np.float16)
    text[2, 2] = np.nan
    _write(tmp_path / "texts", texts_schema(SPEC), [text_rows(SPEC, {"t": ("x", text)})])
    assert said(tmp_path) == [
        "clips/part-00000.parquet: row 1, column sync: 2 values are not finite",
        "cuts/part-00000.parquet: row 0, column visual_mean: 1 values are not finite",
        "cuts/part-00000.parquet: row 0, column visual_all: 1 values are not finite",
        "texts/part-00000.parquet: row 0, column text: 1 values are not finite",
    ]


def test_order_and_counts_are_compared(path: Path, tmp_path: Path) -> None:
    part = path / "clips" / "part-00000.parquet"
    table = pq.read_table(part)
    numbers = table.set_column(
        1, table.schema.field("clip"), pa.array([0, 1, *table["clip"].to_pylist()[2:]], pa.int32())
    )
    for changed, words in (
        (table.slice(0, len(table) - 1), "12 rows, its cuts have 13 clips"),
        (table.take([1, 0, *range(2, len(table))]), "row 0, column cut_id: c1, not c0"),
        (numbers, "row 1, column clip: 1, not 0"),
    ):
        _write(part.parent, table.schema, [changed], number=0)
        assert f"clips/part-00000.parquet: {words}" in said(path)


def test_doubled_rows_are_found(path: Path) -> None:
    for folder in ("clips", "cuts", "texts"):
        data = (path / folder / "part-00000.parquet").read_bytes()
        (path / folder / "part-00001.parquet").write_bytes(data)
    found = said(path)
    assert "cuts/part-00001.parquet: row 2: cut c2 is stored twice, also in cuts/part-00000.parquet" in found
    assert "texts/part-00001.parquet: row 1: text t1 is stored twice, also in texts/part-00000.parquet" in found


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("row", 3, "row 1, cut c1, column row: 3, stored 1"),
        ("part", 4, "row 1, cut c1, column part: 4, stored 0"),
        ("cut_row", 0, "row 1, cut c1, column cut_row: 0, stored 1"),
        ("clips", 1, "row 1, cut c1, column clips: 1, stored 2"),
        ("end", 1.0, "row 1, cut c1, column end: 1.0, stored 17.5"),
        ("clip_starts", [1.5, 9.0], r"row 1, cut c1, column clip_starts: (1.5, 9.0), stored (1.5, 9.5)"),
        ("text_row", 0, "row 1, cut c1: text t1 is not in part 0, row 0"),
        ("cut_id", "c9", "row 1, cut c9: present, but in no part"),
        ("cut_id", "c0", "1 cuts are listed twice"),
    ],
)
def test_the_index_is_compared_with_the_parts(path: Path, column: str, value: object, words: str) -> None:
    table = read_index(path)
    rows = table.to_pylist()
    rows[1][column] = value
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path / "index.parquet")
    assert f"index.parquet: {words}" in said(path)


def test_a_flipped_bit_in_the_index_or_a_staged_cut_is_found(path: Path) -> None:
    stage(path, features(9))
    for name, words in (("index.parquet", "unreadable"), ("staged/c9.parquet", "unreadable, remove it")):
        data = (path / name).read_bytes()
        changed = bytearray(data)
        chunk = pq.read_metadata(path / name).row_group(0).column(0)
        begin = chunk.dictionary_page_offset or chunk.data_page_offset
        changed[begin + chunk.total_compressed_size - 1] ^= 4
        (path / name).write_bytes(changed)
        (problem,) = check(path)
        assert problem.file == name and words in problem.text
        (path / name).write_bytes(data)
    (path / "staged" / "c9.parquet").write_bytes(b"PAR1")
    assert [problem.file for problem in check(path)] == ["staged/c9.parquet"]


def test_what_kills_leave_is_named(path: Path) -> None:
    clips = path / "clips" / "part-00000.parquet"
    (path / "clips" / "part-00001.parquet").write_bytes(clips.read_bytes())
    (path / "cuts" / ".part.parquet.12-ab.tmp").write_bytes(b"")
    found = said(path)
    assert "cuts/.part.parquet.12-ab.tmp: left by a writer that was killed" in found
    assert any(line.startswith("clips/part-00001.parquet: clips without their cuts") for line in found)
    commit(path, [])
    assert said(path) == [], "the next commit has cleared up"
    clips.unlink()
    assert "cuts/part-00000.parquet: the clips of these cuts are missing" in said(path)


def test_another_spec_than_the_parts_is_found(path: Path) -> None:
    (path / "set.json").write_text((path / "set.json").read_text().replace('"dimension": 8', '"dimension": 9'))
    assert any("column mean" in line for line in said(path))
    assert add_texts(path, texts()) == 0


def _write(folder: Path, schema: pa.Schema, tables: list[pa.Table], number: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / f"part-{number:05d}.parquet").open("wb") as file, part_writer(file, schema) as writer:
        for table in tables:
            writer.write_table(table.cast(schema), row_group_size=8)

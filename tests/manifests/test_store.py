"""The store: the same rows give the same bytes, a kill leaves no half file, one process writes at a time."""

from __future__ import annotations

import os
import random
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from subprocess import Popen
from threading import Barrier, Thread, Timer
from threading import Event as Flag

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from manifests.files import write_beside
from manifests.lock import Locked
from manifests.parquet import write_parquet
from manifests.records import Event, Rating, Source
from manifests.schema import MIGRATIONS, SCHEMA_VERSION, SCHEMAS, VERSION_KEY, CorpusError, SchemaError, to_table
from manifests.shards import read_shard, shard_path, write_shard
from manifests.store import Corpus

StartPython = Callable[..., "Popen[str]"]


def event(recording: str, start: float, score: float | None = 0.5) -> Event:
    return Event(recording_id=recording, start=start, end=start + 1, label="sfx", source="yamnet", score=score)


EVENTS = [event(f"r{i % 7}", i / 8, None if i % 5 else 0.25) for i in range(200)]


def part(corpus: Corpus, name: str, number: int = 0) -> Path:
    return corpus.path / "manifests" / name / f"part-{number:05d}.parquet"


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def with_version(table: pa.Table, version: int) -> pa.Table:
    return table.replace_schema_metadata({**table.schema.metadata, VERSION_KEY: str(version).encode()})


# Whole tables


@pytest.mark.parametrize("seed", range(4))
def test_the_same_rows_give_the_same_bytes(corpus: Corpus, tmp_path: Path, seed: int) -> None:
    shuffle = random.Random(seed)
    # More than one row group, so that their borders are seen too.
    count = 70_000
    table = pa.table(
        {
            "recording_id": pa.array([f"r{i % 97}" for i in range(count)]),
            "start": pa.array([i / 8 for i in range(count)]),
            "end": pa.array([i / 8 + 1 for i in range(count)]),
            "label": pa.array(["sfx", "speech"] * (count // 2)),
            "source": pa.array(["yamnet"] * count),
            "score": pa.array([None if i % 3 else 0.5 for i in range(count)], pa.float32()),
        }
    )
    corpus.replace("events", table)
    order = list(range(count))
    shuffle.shuffle(order)
    batches = table.take(order).combine_chunks().to_batches(max_chunksize=shuffle.randint(1_000, 30_000))
    other = Corpus.create(tmp_path / "other")
    other.replace("events", iter(batches))
    assert part(other, "events").read_bytes() == part(corpus, "events").read_bytes()
    assert pq.ParquetFile(part(other, "events")).num_row_groups == 2


def test_chunks_do_not_show_in_the_bytes() -> None:
    # Labels so long that a row group takes several pages: a page could end with a chunk.
    long = [replace(e, label=f"{i * 7919:0500d}") for i, e in enumerate(EVENTS * 50)]
    table = to_table("events", long)
    written = []
    for layout in (table, pa.Table.from_batches(table.combine_chunks().to_batches(max_chunksize=777))):
        file = BytesIO()
        write_parquet(layout, file)
        written.append(file.getvalue())
    assert written[0] == written[1]


def test_records_give_the_bytes_of_arrow_and_come_back_sorted(corpus: Corpus, tmp_path: Path) -> None:
    corpus.replace("events", reversed(EVENTS))
    other = Corpus.create(tmp_path / "other")
    other.replace("events", to_table("events", EVENTS))
    assert files_below(corpus.path / "manifests") == files_below(other.path / "manifests")
    found = list(corpus.rows(Event))
    assert found == sorted(EVENTS, key=lambda e: (e.recording_id, e.start))


def test_an_unchanged_table_is_left_untouched(corpus: Corpus) -> None:
    corpus.replace("events", EVENTS)
    before = part(corpus, "events").stat()
    corpus.replace("events", EVENTS[::-1])
    after = part(corpus, "events").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    corpus.replace("events", EVENTS[1:])
    assert part(corpus, "events").stat().st_ino != before.st_ino


def test_a_repeated_key_is_refused_by_name(corpus: Corpus) -> None:
    corpus.replace("events", EVENTS)
    before = files_below(corpus.path)
    with pytest.raises(SchemaError, match=r"events: 1 rows repeat a primary key, first .*'r1', 'start': 0.125"):
        corpus.replace("events", [*EVENTS, event("r1", 1 / 8, 0.75)])
    assert files_below(corpus.path) == before


def test_an_exception_in_mid_write_leaves_the_old_table(corpus: Corpus) -> None:
    corpus.replace("events", EVENTS)
    before = files_below(corpus.path)

    def rows() -> Iterator[Event]:
        yield EVENTS[0]
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        corpus.replace("events", rows())
    with pytest.raises(RuntimeError, match="half"), write_beside(part(corpus, "events")) as file:
        file.write(b"PAR1 half a fi")
        file.flush()
        assert files_below(corpus.path).keys() > before.keys()
        raise RuntimeError("half")
    assert files_below(corpus.path) == before


def test_what_a_killed_writer_left_is_unseen_and_swept_by_the_next(corpus: Corpus, start_python: StartPython) -> None:
    corpus.replace("events", EVENTS)
    before = files_below(corpus.path)
    code = """
from pathlib import Path
from manifests.files import write_beside
with corpus.lock("killed"), write_beside(Path(sys.argv[2])) as file:
    file.write(b"PAR1 half a fi")
    file.flush()
    os.kill(os.getpid(), 9)
"""
    for target in (part(corpus, "events"), part(corpus, "cuts"), corpus.path / "corpus.toml"):
        assert start_python(corpus, code, str(target)).wait(60) == -9
    assert len(list(corpus.leftovers())) == 1, "each lock sweeps what the one before left"
    assert set(corpus.rows(Event)) == set(EVENTS) and corpus.recipe is None
    with corpus.lock("test"):
        assert files_below(corpus.path).keys() == {*before, ".lock"}


def test_replacing_takes_in_what_was_appended(corpus: Corpus) -> None:
    corpus.replace("events", EVENTS[:100])
    corpus.append("events", EVENTS[100:150])
    corpus.append("events", EVENTS[150:])
    assert corpus.table("events").files() == [part(corpus, "events", i) for i in range(3)]
    assert corpus.table("events").count() == 200
    corpus.replace("events", corpus.table("events").to_arrow())
    assert corpus.table("events").files() == [part(corpus, "events")]
    assert set(corpus.rows(Event)) == set(EVENTS)


# Reading


def test_a_missing_table_is_empty_with_its_schema(corpus: Corpus) -> None:
    for name, schema in SCHEMAS.items():
        table = corpus.table(name)
        assert (table.files(), table.count(), list(table.rows())) == ([], 0, [])
        assert table.to_arrow().schema.equals(schema, check_metadata=True)
        assert list(table.to_pandas().columns) == schema.names
        assert table.to_dataset().column_names == schema.names
    with pytest.raises(KeyError, match="no table 'verdict' among sources"):
        corpus.table("verdict")


def test_views_hold_the_rows(corpus: Corpus) -> None:
    corpus.replace("events", EVENTS)
    fetched = datetime(2026, 1, 2, tzinfo=UTC)
    corpus.append("sources", [Source(source_id="s", uri="m:x", origin="folder", fetched_at=fetched)])
    table = corpus.table("events")
    frame = table.to_pandas(columns=["recording_id", "start"], filter=pc.field("recording_id") == "r3")
    assert frame.shape == (29, 2) and frame["start"].sum() == sum(e.start for e in EVENTS if e.recording_id == "r3")
    assert corpus.table("sources").to_pandas()["fetched_at"][0] == fetched
    assert [e.start for e in table.rows(pc.field("start") < 0.3)] == [0.0, 0.125, 0.25]
    dataset = table.to_dataset()
    assert dataset.num_rows == 200 and dataset[0]["recording_id"] == "r0"
    assert dataset.data.schema.field("label").type == pa.string()
    assert dataset.filter(lambda row: row["score"] is None).num_rows == 160


def test_a_dataset_writes_nothing_into_the_home_folder(
    corpus: Corpus, start_python: StartPython, tmp_path: Path
) -> None:
    corpus.replace("events", EVENTS)
    home = tmp_path / "home"
    home.mkdir()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "XDG_"))}
    code = """
dataset = corpus.table("events").to_dataset()
print(dataset.map(lambda row: {"twice": 2 * row["start"]})["twice"][3])
"""
    process = start_python(corpus, code, env={**kept, "HOME": str(home), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"})
    assert process.communicate(timeout=120)[0] == "5.25\n"
    assert process.returncode == 0
    assert list(home.rglob("*")) == []


def test_hidden_temporary_and_foreign_files_are_not_read(corpus: Corpus) -> None:
    corpus.replace("events", EVENTS)
    folder = part(corpus, "events").parent
    for name in (
        ".part-00001.parquet.1-ab.tmp",
        ".part-00002.parquet",
        "notes.txt",
        "copy.parquet",
        "part-1.parquet",
    ):
        (folder / name).write_bytes(b"not parquet")
    assert corpus.table("events").files() == [part(corpus, "events")]
    assert corpus.table("events").count() == 200


def test_a_newer_version_is_refused_and_an_older_one_migrated(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus.replace("events", EVENTS[:3])
    table = corpus.table("events").to_arrow()
    newer, older = part(corpus, "events", 1), part(corpus, "events", 2)
    pq.write_table(with_version(table, SCHEMA_VERSION + 1), newer)
    for read in (corpus.table("events").scan, corpus.table("events").count):
        with pytest.raises(CorpusError, match=r"part-00001.parquet: schema version \d is newer than \d"):
            read()
    newer.unlink()

    pq.write_table(with_version(table.drop_columns("source"), 0), older)
    with pytest.raises(SchemaError, match="events: no way from schema version 0 to 1"):
        corpus.table("events").scan()
    monkeypatch.setitem(
        MIGRATIONS,
        ("events", 0),
        lambda old: old.append_column("source", pa.array(["unknown"] * old.num_rows)),
    )
    migrated = list(corpus.rows(Event))
    assert [e.source for e in migrated] == ["yamnet"] * 3 + ["unknown"] * 3


def test_a_corpus_of_the_version_before_is_read_and_written_on(corpus: Corpus) -> None:
    text = (corpus.path / "corpus.toml").read_text()
    (corpus.path / "corpus.toml").write_text(text.replace(f"schema_version = {SCHEMA_VERSION}", "schema_version = 2"))
    corpus = Corpus.open(corpus.path)
    corpus.replace("events", EVENTS[:3])
    pq.write_table(with_version(corpus.table("events").to_arrow(), 2), part(corpus, "events"))
    corpus.append("events", EVENTS[3:5])
    assert list(corpus.rows(Event)) == list(corpus.rows(Event, pc.field("start") >= 0))
    assert sorted(corpus.rows(Event), key=EVENTS.index) == EVENTS[:5]
    corpus.replace("events", corpus.table("events").to_arrow())
    assert corpus.table("events").to_arrow().schema.metadata[VERSION_KEY] == b"3"
    assert list(corpus.rows(Rating)) == [], "a table that version 2 did not have is empty"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_file_that_is_no_table_is_named(corpus: Corpus, content: bytes) -> None:
    path = part(corpus, "events")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=r"events/part-00000\.parquet: "):
        corpus.table("events").scan()


def test_a_table_of_another_program_or_name_is_named(corpus: Corpus) -> None:
    corpus.replace("events", EVENTS)
    part(corpus, "cuts").parent.mkdir(parents=True)
    part(corpus, "events").rename(part(corpus, "cuts"))
    with pytest.raises(CorpusError, match="belongs to table 'events', not to 'cuts'"):
        corpus.table("cuts").scan()
    pq.write_table(pa.table({"x": [1]}), part(corpus, "cuts"))
    with pytest.raises(CorpusError, match="not written by this program"):
        corpus.table("cuts").scan()


# Settings


def test_a_corpus_is_created_once_and_opened_again(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="not a corpus"):
        Corpus.open(tmp_path / "none")
    made = Corpus.create(tmp_path / "c")
    assert (made.roots, made.recipe, made.recipe_hash) == ({}, None, None)
    with pytest.raises(CorpusError, match="already a corpus"):
        Corpus.create(tmp_path / "c")
    assert Corpus.open(tmp_path / "c") == made


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("schema_version = 99", "schema version 99 is newer than"),
        ("schema_version = '1'", "schema_version is '1', must be a whole number"),
        ("schema_version = ", r"corpus\.toml: "),
        ("", "schema_version is None"),
    ],
)
def test_settings_that_cannot_be_read_are_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "corpus.toml").write_text(text)
    with pytest.raises(CorpusError, match=problem):
        Corpus.open(tmp_path)


def test_roots_get_names_of_their_own(corpus: Corpus, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("My Videos!", "x/my-videos", "日本", os.fsdecode(b"50%\xff"))]
    for folder in folders:
        folder.mkdir(parents=True)
    assert [corpus.add_root(folder) for folder in folders] == ["my-videos", "my-videos-2", "root", "50"]
    (tmp_path / "link").symlink_to(folders[1])
    assert corpus.add_root(tmp_path / "link") == "my-videos-2"
    assert corpus.add_root(tmp_path / "x" / ".." / "My Videos!") == "my-videos"
    assert Corpus.open(corpus.path).roots == {
        "my-videos": folders[0],
        "my-videos-2": folders[1],
        "root": folders[2],
        "50": folders[3],
    }
    with pytest.raises(NotADirectoryError, match="must be a folder"):
        corpus.add_root(tmp_path / "none")


def test_the_recipe_is_kept_beside_the_roots(corpus: Corpus, tmp_path: Path) -> None:
    corpus.add_root(tmp_path)
    recipe = {"min_duration": 60.0, "fusion": {"speech": {"onset": 0.5}, "lanes": ["a", "b"]}}
    corpus.set_recipe(recipe, "hash")
    assert (corpus.recipe, corpus.recipe_hash) == (recipe, "hash")
    corpus.set_recipe({"min_duration": 30}, "other")
    before = (corpus.path / "corpus.toml").read_bytes()
    with pytest.raises(TypeError):
        corpus.set_recipe({"max_duration": None}, "third")
    assert (corpus.path / "corpus.toml").read_bytes() == before
    assert tomllib.loads(before.decode()) == {
        "schema_version": SCHEMA_VERSION,
        "recipe_hash": "other",
        "roots": {next(iter(corpus.roots)): str(tmp_path)},
        "recipe": {"min_duration": 30},
    }
    assert list(corpus.path.iterdir()) == [corpus.path / "corpus.toml"]


def test_a_corpus_folder_must_have_a_name_that_is_text(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="x%FF: a corpus folder's name must be valid UTF-8"):
        Corpus.create(tmp_path / os.fsdecode(b"x\xff"))


# The lock

HOLD = """
with corpus.lock("curate a long time"):
    print("locked", flush=True)
    sys.stdin.readline()
"""


def test_one_process_writes_and_the_other_is_told_who(corpus: Corpus, start_python: StartPython) -> None:
    holder = start_python(corpus, HOLD)
    assert holder.stdout is not None and holder.stdout.readline() == "locked\n"
    with (
        pytest.raises(Locked, match=rf"process {holder.pid} \(curate a long time\) is writing"),
        corpus.lock("replay"),
    ):
        pass
    holder.communicate("go on\n", timeout=60)
    with corpus.lock("replay"):
        with (
            pytest.raises(Locked, match=rf"process {os.getpid()} \(replay\) is writing"),
            corpus.lock("again"),
        ):
            pass
        second = start_python(corpus, HOLD, stderr=-1)
        assert f"process {os.getpid()} (replay)" in second.communicate(timeout=60)[1]
    with corpus.lock("and again"):
        pass


def test_a_killed_holder_holds_nothing(corpus: Corpus, start_python: StartPython) -> None:
    holder = start_python(corpus, HOLD)
    assert holder.stdout is not None and holder.stdout.readline() == "locked\n"
    holder.kill()
    holder.wait(60)
    with (
        corpus.lock("replay"),
        pytest.raises(Locked, match=rf"process {os.getpid()} \(replay\) is writing"),
        corpus.lock("again"),
    ):
        pass


# Scores


def scores_row(**changes: object) -> dict[str, object]:
    values = np.array([[0.25, np.nan], [0.5, 1.0], [0.0, 0.125]], np.float16)
    row: dict[str, object] = {
        "recording_id": "ab12",
        "detector": "yamnet",
        "version": "1",
        "key": "k1",
        "start": 0.0,
        "hop": 0.48,
        "window": 0.96,
        "labels": ["speech", "music"],
        "frames": 3,
        "values": values,
    }
    return row | changes


def test_scores_come_back_bit_for_bit(corpus: Corpus) -> None:
    tags = {
        "tag_ids": np.array([[1, 2]], np.int16),
        "tag_scores": np.array([[0.5, 0.25]], np.float16),
        "tags_per_frame": 2,
        "tag_hop": 0.96,
    }
    path = write_shard(corpus, "scores", [scores_row(**tags)])
    assert path == corpus.path / "manifests/scores/ab/ab12-yamnet-k1.parquet"
    table = read_shard(corpus, "scores", "ab12", "yamnet", "k1")
    values = table["values"][0].values.to_numpy().reshape(3, 2)
    expected = scores_row()["values"]
    assert isinstance(expected, np.ndarray) and values.dtype == np.float16
    assert values.tobytes() == expected.tobytes()
    assert table["tag_ids"][0].as_py() == [1, 2] and table["labels"][0].as_py() == ["speech", "music"]
    assert corpus.table("scores").count() == 1
    with pytest.raises(FileNotFoundError):
        read_shard(corpus, "scores", "ab12", "yamnet", "k2")


def test_columns_of_scores_are_read_alone_from_older_files_too(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_shard(corpus, "scores", [scores_row()])

    def read() -> pa.Table:
        return read_shard(corpus, "scores", "ab12", "yamnet", "k1", columns=["start", "hop"])

    assert read().to_pylist() == [{"start": 0.0, "hop": 0.48}]
    pq.write_table(with_version(pq.read_table(path).drop_columns("hop"), 0), path)
    later = pa.array([0.96])
    monkeypatch.setitem(MIGRATIONS, ("scores", 0), lambda old: old.append_column("hop", later))
    assert read().to_pylist() == [{"start": 0.0, "hop": 0.96}]


def test_columns_in_another_memory_order_are_the_same_rows(corpus: Corpus, tmp_path: Path) -> None:
    other = Corpus.create(tmp_path / "other")
    flipped = np.asfortranarray(scores_row()["values"])
    one, two = write_shard(corpus, "scores", [scores_row()]), write_shard(other, "scores", [scores_row(values=flipped)])
    assert one.read_bytes() == two.read_bytes()


def test_scores_never_change(corpus: Corpus) -> None:
    path = write_shard(corpus, "scores", [scores_row()])
    before = path.read_bytes()
    assert write_shard(corpus, "scores", [scores_row(hop=0.5)]) == path
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match=r"see manifests\.shards"):
        corpus.replace("scores", [])


def test_scores_that_do_not_fit_are_refused(corpus: Corpus) -> None:
    with pytest.raises(SchemaError, match=r"columns unknown: \['colour'\]"):
        write_shard(corpus, "scores", [scores_row(colour="red")])
    with pytest.raises(SchemaError, match=r"scores.hop: 1 of 1 rows are null"):
        write_shard(corpus, "scores", [scores_row(hop=None)])
    with pytest.raises(ValueError, match=r"'\.\./x' must be letters"):
        write_shard(corpus, "scores", [scores_row(detector="../x")])
    write_shard(corpus, "scores", [scores_row()])
    with pytest.raises(SchemaError, match="rows of 2 recordings and detectors, one file holds one"):
        write_shard(corpus, "scores", [scores_row(), scores_row(detector="silero")])
    with pytest.raises(SchemaError, match="rows of 0 recordings"):
        write_shard(corpus, "scores", [])
    path = shard_path(corpus, "scores", "ab12", "yamnet", "k1")
    path.with_name(".ab12-yamnet-k2.parquet").touch()
    assert corpus.table("scores").files() == [path]


def test_a_writer_waits_for_another_as_long_as_it_says(corpus: Corpus) -> None:
    held, free = Flag(), Flag()

    def hold() -> None:
        with corpus.lock("curate"):
            held.set()
            free.wait(30)

    other = Thread(target=hold)
    other.start()
    try:
        assert held.wait(30)
        with pytest.raises(Locked), corpus.lock("review", wait=0.2):
            pass
        Timer(0.3, free.set).start()
        with corpus.lock("review", wait=30):
            assert free.is_set()
    finally:
        free.set()
        other.join()


def test_many_who_create_one_corpus_at_once_get_the_same_one(tmp_path: Path) -> None:
    """None of them replaces what another has written since."""
    media = [tmp_path / f"media-{number}" for number in range(12)]
    for folder in media:
        folder.mkdir()
    for number in range(10):
        place, ready = tmp_path / f"corpus-{number}", Barrier(len(media))

        def begin(folder: Path, place: Path = place, ready: Barrier = ready) -> str:
            ready.wait()
            corpus = Corpus.obtain(place)
            with corpus.lock("curate", wait=10):
                return corpus.add_root(folder)

        with ThreadPoolExecutor(len(media)) as pool:
            names = list(pool.map(begin, media))
        assert Corpus.open(place).roots == dict(zip(names, media, strict=True))


def test_tables_without_their_settings_are_no_new_corpus(corpus: Corpus) -> None:
    corpus.replace("sources", [])
    (corpus.path / "corpus.toml").unlink()
    for begin in (Corpus.create, Corpus.obtain):
        with pytest.raises(
            CorpusError, match=r"no corpus.toml: restore it from a backup; without one, move manifests/"
        ):
            begin(corpus.path)


@pytest.mark.parametrize(
    "line", ["roots = 1", "roots = {m = 1}", "fits = {a = 'b'}", "recipe = 'x'", "recipe_hash = 1", "id = 2", "\x00"]
)
def test_damaged_settings_are_named_with_their_cure(corpus: Corpus, line: str) -> None:
    (corpus.path / "corpus.toml").write_text(f"schema_version = 3\n{line}\n")
    with pytest.raises(CorpusError, match=r"corpus.toml: .*restore corpus.toml from a backup"):
        Corpus.open(corpus.path)

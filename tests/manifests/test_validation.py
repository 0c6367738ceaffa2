"""Validation: a sound corpus has no faults, and of many faults at once every one is listed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests.identity import cut_id, source_id
from manifests.ledger import Ledger
from manifests.records import (
    Cut,
    CutDecision,
    Drop,
    Event,
    LedgerRow,
    Rating,
    Recording,
    Source,
    Status,
)
from manifests.schema import SCHEMAS, VERSION_KEY, to_table
from manifests.shards import write_shard
from manifests.store import Corpus, UnfinishedCommit
from manifests.validation import Fault, validate
from tests.support.made_up_annotators import Truth, a_task, a_verdict, an_answer

NAN = float("nan")


def recording(name: str, duration: float | None = 100.0, status: Status = "ok") -> Recording:
    return Recording(recording_id=name, uri=f"m:{name}", duration=duration, has_video=False, status=status)


def source(name: str, recording_id: str | None) -> Source:
    return Source(source_id=source_id(f"m:{name}"), uri=f"m:{name}", recording_id=recording_id, origin="folder")


def event(name: str, start: float, end: float, label: str = "sfx") -> Event:
    return Event(recording_id=name, start=start, end=end, label=label, source="yamnet")


def cut(name: str, start: float, end: float, decision: CutDecision = "accept", made_of: str | None = None) -> Cut:
    made = made_of or cut_id(name, round(start * 1000), round(end * 1000))
    return Cut(cut_id=made, recording_id=name, start=start, end=end, decision=decision, risk=0.125, recipe_hash="h")


def drop(item: str, kind: Any) -> Drop:
    return Drop(item=item, item_kind=kind, stage="identify", reason="vanished")


def scores(name: str, key: str = "k", **changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        "recording_id": name,
        "detector": "yamnet",
        "version": "1",
        "key": key,
        "start": 0.0,
        "hop": 0.5,
        "window": 1.0,
        "labels": ["speech", "music"],
        "frames": 200,
        "values": np.full((200, 2), 0.5, np.float16),
    }
    return row | changes


def write_raw(corpus: Corpus, name: str, rows: list[Any], number: int = 0, **null: int) -> Path:
    """Rows as another program might write them: in this order, unchecked; `null`: column=row to be null."""
    table = to_table(name, rows)
    schema = pa.schema([f.with_nullable(True) for f in SCHEMAS[name]], SCHEMAS[name].metadata)
    columns = []
    for field in schema:
        values = table[field.name].to_pylist()
        if field.name in null:
            values[null[field.name]] = None
        columns.append(pa.array(values, field.type))
    path = corpus.table(name).folder / f"part-{number:05d}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), path)
    return path


def by_key(rows: list[Any], *keys: str) -> list[Any]:
    return sorted(rows, key=lambda row: tuple(getattr(row, key) for key in keys))


@pytest.fixture
def sound(corpus: Corpus) -> Corpus:
    """A corpus without faults, on every border that is still allowed."""
    corpus.set_recipe({}, "h")
    names = ["kept", "dropped", "broken"]
    corpus.replace(
        "recordings",
        [recording("kept", 99.9996), recording("dropped", None), recording("broken", None, "unreadable")],
    )
    corpus.replace("sources", [*(source(name, name) for name in names), source("gone", None)])
    corpus.replace("events", [event("kept", 0, 99.9996), event("kept", 0, 99.9996, "music")])
    # 1.001 * 1000 is 1000.9999999999999: whole milliseconds must be told by value, not by product. The second
    # cut's end was rounded to the next millisecond.
    corpus.replace("cuts", [cut("kept", 1.001, 61.001), cut("kept", 30, 100, "reject")])
    corpus.replace("drops", [drop(source_id("m:gone"), "source"), drop("dropped", "recording")])
    write_shard(corpus, "scores", [scores("kept", values=np.tile(np.array([0, 1], np.float16), 200))])
    level = np.array([[-np.inf, 20_000]] * 200, np.float16)
    write_shard(corpus, "scores", [scores("kept", detector="level", values=level, hop=0.04, window=0.04)])
    write_shard(corpus, "scores", [scores("kept", "nan", values=np.full((200, 2), np.nan, np.float16))])
    now = datetime(2026, 1, 2, tzinfo=UTC)
    rows = [
        LedgerRow(stage="s", key="k", item="i", outcome="done", attempt=1, started_at=now, seconds=0.0) for _ in "ab"
    ]
    Ledger(corpus).append(rows)
    Ledger(corpus).append(rows)
    Ledger(corpus).compact()
    return corpus


def test_a_sound_corpus_has_no_faults(sound: Corpus, tmp_path: Path) -> None:
    assert validate(sound) == []
    assert validate(Corpus.create(tmp_path / "empty")) == []


def test_every_fault_of_rows_is_listed_at_once(corpus: Corpus) -> None:
    corpus.set_recipe({}, "h")
    write_raw(
        corpus,
        "recordings",
        by_key(
            [
                recording("a"),
                recording("b", NAN),
                recording("c", -1),
                recording("d", 50.0, "damaged"),
                replace(recording("e"), status="fine"),  # type: ignore[arg-type]
                recording("f"),
                recording("f"),
                recording("g", None, "truncated"),
                recording("h", None, "empty"),
            ],
            "recording_id",
        ),
    )
    write_raw(corpus, "sources", by_key([source("a", "a"), source("x", "x"), source("y", None)], "source_id"))
    events = [
        event("a", -1, 5),
        event("a", 3, 3),
        event("a", 5, 4),
        event("a", 6, 7, "birdsong"),
        event("a", 9, NAN),
        event("a", 10, 100.002),
        event("a", 11, 12),
        event("a", 11, 12),
        event("a", 20, 21),
        event("nowhere", 1, 2),
    ]
    write_raw(corpus, "events", events, source=8)
    wrong = cut("a", 70, 80, made_of="0123456789abcdef")
    write_raw(
        corpus,
        "cuts",
        [
            *by_key([cut("a", 0, 60), cut("d", 1, 60.0005), cut("d", 2, 61), cut("g", 0, 60, "reject")], "cut_id"),
            replace(cut("a", 3, 63), decision="maybe"),  # type: ignore[arg-type]
            wrong,
            cut("d", 100, 200),
            cut("nowhere", 0, 60),
            cut("a", 0, 60),
            cut("a", 0, NAN, made_of="timeless"),
            cut("d", 0, 1e306, made_of="endless"),
        ],
    )
    drops = [drop("z", "folder"), drop(source_id("m:y"), "recording"), drop("c", "source")]
    write_raw(corpus, "drops", drops)
    seconds = LedgerRow(
        stage="s",
        key="k",
        item="i",
        outcome="lost",  # type: ignore[arg-type]
        attempt=1,
        started_at=datetime.now(UTC),
        seconds=NAN,
    )
    write_raw(corpus, "ledger", [seconds])

    words = "not one of ok, damaged, truncated, unreadable, no_audio, empty, quarantined"
    labels = "not one of sfx, speech, singing, music, noise, artifact, silence"
    lost = "has neither an accept or review cut nor a drop"
    assert set(validate(corpus)) == {
        Fault("recordings", "b", "duration is nan, must be finite"),
        Fault("recordings", "c", "lasts -1.0 s, less than 0"),
        Fault("recordings", "e", f"status 'fine' is {words}"),
        Fault("recordings", "f", "primary key is there twice"),
        *(Fault("recordings", name, lost) for name in "bcfg"),
        Fault("sources", source_id("m:x"), "recording x is not in recordings"),
        Fault("sources", source_id("m:y"), "has neither a recording nor a drop"),
        Fault("events", "a -1.0 5.0 sfx yamnet", "starts at -1.0 s, before 0"),
        Fault("events", "a 3.0 3.0 sfx yamnet", "starts at 3.0 s, ends at 3.0 s"),
        Fault("events", "a 5.0 4.0 sfx yamnet", "starts at 5.0 s, ends at 4.0 s"),
        Fault("events", "a 6.0 7.0 birdsong yamnet", f"label 'birdsong' is {labels}"),
        Fault("events", "a 9.0 nan sfx yamnet", "end is nan, must be finite"),
        Fault("events", "a 10.0 100.002 sfx yamnet", "ends at 100.002 s, the recording lasts 100.0 s"),
        Fault("events", "a 11.0 12.0 sfx yamnet", "primary key is there twice"),
        Fault("events", "a 20.0 21.0 sfx None", "source is null"),
        Fault("events", "nowhere 1.0 2.0 sfx yamnet", "recording nowhere is not in recordings"),
        Fault("cuts", "manifests/cuts/part-00000.parquet", "rows are not sorted by primary key"),
        Fault("cuts", cut("d", 1, 60.0005).cut_id, "[1.0, 60.0005) s is not on whole milliseconds"),
        Fault("cuts", cut("d", 1, 60.0005).cut_id, "ends at 60.0005 s, the recording lasts 50.0 s"),
        Fault("cuts", cut("d", 2, 61).cut_id, "ends at 61.0 s, the recording lasts 50.0 s"),
        Fault("cuts", cut("a", 3, 63).cut_id, "decision 'maybe' is not one of accept, review, reject"),
        Fault("cuts", "0123456789abcdef", f"recording, start and end give the id {cut('a', 70, 80).cut_id}"),
        Fault("cuts", cut("d", 100, 200).cut_id, "ends at 200.0 s, the recording lasts 50.0 s"),
        Fault("cuts", cut("a", 0, 60).cut_id, "primary key is there twice"),
        Fault("cuts", "endless", "[0.0, 1e+306) s is not on whole milliseconds"),
        Fault("cuts", "endless", "ends at 1e+306 s, the recording lasts 50.0 s"),
        Fault("cuts", "timeless", "end is nan, must be finite"),
        Fault("cuts", cut("nowhere", 0, 60).cut_id, "recording nowhere is not in recordings"),
        Fault("drops", "folder z identify vanished", "item_kind 'folder' is not one of source, recording, cut"),
        Fault("ledger", "s k", "outcome 'lost' is not one of done, dropped, failed"),
        Fault("ledger", "s k", "seconds is nan, must be finite"),
    }


def test_every_fault_of_files_is_listed_at_once(sound: Corpus) -> None:
    folder = sound.path / "manifests"
    events = to_table("events", [event("kept", 1, 2)])
    good = write_raw(sound, "events", [event("kept", 3, 4)], 1).read_bytes()
    path: Callable[[int], Path] = lambda number: folder / f"events/part-{number:05d}.parquet"  # noqa: E731
    path(2).write_bytes(b"")
    path(3).write_bytes(good[:-20])
    # The footer is whole, the pages are not.
    path(4).write_bytes(good[:4] + bytes(len(good) // 3) + good[4 + len(good) // 3 :])
    pq.write_table(events.replace_schema_metadata(None), path(5))
    newer = {**events.schema.metadata, VERSION_KEY: b"99"}
    pq.write_table(events.replace_schema_metadata(newer), path(6))
    other = events.set_column(1, "start", pa.array([1], pa.int64())).rename_columns(
        ["recording_id", "start", "end", "tag", "source", "score"]
    )
    pq.write_table(other.replace_schema_metadata(events.schema.metadata), path(7))
    not_text = pa.array([b"\xff"]).view(pa.string())
    pq.write_table(events.set_column(0, events.schema.field(0), not_text), path(8))
    path(9).symlink_to(folder / "nowhere")
    (folder / "events/.part-00010.parquet.1-ab.tmp").touch()
    (sound.path / ".corpus.toml.1-ab.tmp").touch()
    (folder / "events/copy 50%.parquet").touch()
    (folder / "verdict").mkdir()
    (folder / "verdict/part-00000.parquet").touch()
    (sound.path / "ledger/part-00000.parquet").touch()
    (sound.path / "ledger/.hidden").touch()

    found = validate(sound)
    name = "manifests/events/part-{:05d}.parquet".format
    assert {fault.item for fault in found if fault.problem.startswith("unreadable: ")} == {
        name(number) for number in (2, 3, 4, 5, 6, 8, 9)
    }
    problems = {(fault.item, fault.problem) for fault in found}
    assert (name(5), "unreadable: not written by this program") in problems
    assert (name(6), "unreadable: schema version 99 is newer than 3, the newest known here") in problems
    assert {problem for item, problem in problems if item == name(7)} == {
        "column start is int64, must be double",
        "column label is missing",
        "column tag is unknown",
    }
    assert {fault for fault in found if not fault.item.startswith("manifests/events/part-")} == {
        Fault("events", "manifests/events/.part-00010.parquet.1-ab.tmp", "left over by a writer that was killed"),
        Fault("", ".corpus.toml.1-ab.tmp", "left over by a writer that was killed"),
        Fault("events", "manifests/events/copy 50%25.parquet", "no part of a table: foreign or left over"),
        Fault("", "manifests/verdict/part-00000.parquet", "no part of a table: foreign or left over"),
        Fault("ledger", "ledger/part-00000.parquet", "no part of a table: foreign or left over"),
    }


def test_every_fault_of_scores_is_listed_at_once(sound: Corpus) -> None:
    def plant(key: str, /, name: Any = "kept", **changes: object) -> str:
        return write_shard(sound, "scores", [scores(name, key, **changes)]).relative_to(sound.path).as_posix()

    half = np.full((200, 2), 0.5, np.float16)
    loud = half.copy()
    loud[3:5] = [[-0.5, 2.0], [np.inf, np.nan]]
    tags: dict[str, object] = {
        "tag_ids": np.zeros(6, np.int16),
        "tag_scores": np.full(6, 0.5, np.float16),
        "tags_per_frame": 3,
        "tag_hop": 1.0,
    }
    expected = {
        (plant("short", values=half[:-1]), "398 values are not 200 frames of 2 labels"),
        (plant("fewer", frames=-1), "400 values are not -1 frames of 2 labels"),
        (plant("fast", hop=0.039), "hop 0.039 s is more than 25 frames per second"),
        (plant("still", hop=0.0), "hop 0.0 s and window 1.0 s must be above 0"),
        (plant("wide", window=NAN), "window is nan, must be finite"),
        (plant("wide", window=NAN), "hop 0.5 s and window nan s must be above 0"),
        (plant("same", labels=["speech", "speech"]), "labels ['speech', 'speech'] must be there and differ"),
        (plant("none", labels=[], values=half[:0]), "labels [] must be there and differ"),
        (plant("loud", values=loud), "3 of 400 values are outside 0 to 1, first -0.5"),
        (plant("late", start=2.0), "200 frames of 0.5 s from 2.0 s, the recording lasts 99.9996 s"),
        (plant("lost", "nowhere"), "recording nowhere is not in recordings"),
        (plant("few", **(tags | {"tag_hop": None})), "tags are there, but tag_hop not"),
        (
            plant("odd", **(tags | {"tags_per_frame": 4})),
            "6 tag_ids and 6 tag_scores are not frames of 4 tags",
        ),
        (
            plant("one", **(tags | {"tag_ids": np.zeros(3, np.int16)})),
            "3 tag_ids and 6 tag_scores are not frames of 3 tags",
        ),
        (plant("zero", **(tags | {"tag_hop": 0.0})), "tag_hop 0.0 s must be above 0"),
        (
            plant("sure", **(tags | {"tag_scores": np.full(6, 1.5, np.float16)})),
            "6 of 6 tag_scores are outside 0 to 1, first 1.5",
        ),
    }
    assert not {fault for fault in validate(sound) if fault.item == plant("whole", **tags)}
    folder = sound.path / "manifests/scores/ke"
    moved = folder / "kept-yamnet-moved.parquet"
    moved.write_bytes((folder / "kept-yamnet-k.parquet").read_bytes())
    item = moved.relative_to(sound.path).as_posix()
    expected.add((item, "holds yamnet k of recording kept, which belongs under another name"))
    double = folder / "kept-yamnet-double.parquet"
    one = pq.read_table(folder / "kept-yamnet-k.parquet")
    pq.write_table(pa.concat_tables([one, one]), double)
    expected.add(
        (
            double.relative_to(sound.path).as_posix(),
            "holds yamnet k of recording kept, which belongs under another name",
        )
    )
    expected.add((double.relative_to(sound.path).as_posix(), "the row from 0.0 s does not follow the one before"))
    (folder / "kept-yamnet-cut.parquet").write_bytes(moved.read_bytes()[:-1])
    found = {(fault.item, fault.problem) for fault in validate(sound)}
    unreadable = {(item, problem) for item, problem in found if item.endswith("-cut.parquet")}
    assert [problem.startswith("unreadable: ") for _, problem in unreadable] == [True]
    assert found - unreadable == expected


def test_a_broken_table_makes_nothing_missing(sound: Corpus) -> None:
    path = sound.path / "manifests/recordings/part-00000.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    found = validate(sound)
    assert [(fault.table, fault.item) for fault in found] == [("recordings", "manifests/recordings/part-00000.parquet")]


def test_every_fault_of_what_people_said_is_listed_at_once(sound: Corpus) -> None:
    task = replace(a_task("t", start_ms=0, length_ms=60_000), recording_id="kept")
    answer = an_answer(task, "ann")
    verdict = replace(a_verdict(task, Truth("keep", (), None, ())), verdict_id="1")
    sound.replace("tasks", [task])
    sound.replace("annotations", [answer])
    sound.replace("verdicts", [verdict, replace(verdict, verdict_id="2", supersedes="1")])
    assert validate(sound) == []
    rating = Rating(
        rating_id="1", trial_id="t", cut_id="c", recording_id="kept", start_ms=0, end_ms=8000, system="reference",
        question="quality", score=5, preferred=True, author="ann", made_at=verdict.made_at,
    )  # fmt: skip
    sound.replace("ratings", [rating])
    sound.replace("verdicts", [verdict, replace(verdict, verdict_id="2", supersedes="1", decision="open")])
    assert validate(sound) == []
    odd: Any = "beauty"
    lost_rating = replace(rating, rating_id="4", recording_id="nowhere")
    sound.replace(
        "ratings",
        [replace(rating, score=0), replace(rating, rating_id="2", score=6), lost_rating,
         replace(rating, rating_id="3", question=odd)],
    )  # fmt: skip
    assert {(fault.table, fault.item, fault.problem) for fault in validate(sound)} == {
        ("ratings", "1", "score 0 must be 1 to 5"),
        ("ratings", "2", "score 6 must be 1 to 5"),
        ("ratings", "3", "question 'beauty' is not one of semantic_relevance, quality"),
        ("ratings", "4", "recording nowhere is not in recordings"),
    }
    sound.replace("ratings", [rating])
    sound.replace("tasks", [task, replace(task, task_key="u", start_ms=-5), replace(task, task_key="v", end_ms=0)])
    lost = replace(answer, version_id="2", task_key="gone", recording_id="nowhere")
    sound.replace("annotations", [answer, lost])
    again = [replace(verdict, verdict_id=name, supersedes=old) for name, old in (("2", "1"), ("3", "1"), ("4", "0"))]
    sound.replace("verdicts", [verdict, *again])
    assert {(fault.table, fault.problem) for fault in validate(sound)} == {
        ("tasks", "starts at -5 ms, before 0"),
        ("tasks", "starts at 0 ms, ends at 0 ms"),
        ("annotations", "recording nowhere is not in recordings"),
        ("annotations", "task_key gone is not in tasks"),
        ("verdicts", "supersedes 1, as another row does"),
        ("verdicts", "supersedes 0 is not in verdicts"),
    }


def test_cuts_and_drops_of_another_recipe_are_listed(sound: Corpus) -> None:
    (first, second) = sound.rows(Cut)
    sound.replace("cuts", [first, replace(second, recipe_hash="older")])
    drops = list(sound.rows(Drop))
    late = replace(drop("kept", "recording"), stage="decide", reason="speech", recipe_hash="h")
    sound.replace("drops", [*drops, late, replace(late, reason="music", recipe_hash="older")])
    problem = "decided by the recipe older, the active one is h: lpse replay decides again"
    assert validate(sound) == [
        Fault("cuts", second.cut_id, problem),
        Fault("drops", "recording kept decide music", problem),
    ]
    with pytest.raises(UnfinishedCommit, match="cuts of the recipe older, the active one is h: run lpse replay"):
        sound.check_finished()

"""Recordings that are shorter than any cut: identified, not scored, and scored once a recipe takes shorter cuts."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from app.report.build import write_report
from app.review.player_data import load_tracks
from curation.decision.human_evidence import HumanEvidence
from curation.media import write_media
from curation.pipeline.curate import curate, replay
from curation.pipeline.redecide import redecide
from curation.pipeline.unscored import decide_too_short
from curation.trust.whatif import WhatIf
from manifests import bounded, store
from manifests.ledger import Ledger
from manifests.recipe import load_recipe
from manifests.records import Cut, Drop, Event, LabelledSegment, Recording, Source, Verdict
from manifests.store import Corpus
from manifests.time import Segment, Timeline
from manifests.validation import validate

MINUTE = load_recipe("packaged")
HALF_SECOND = replace(MINUTE, spans=replace(MINUTE.spans, min_duration=0.5))
RATE = 8000
SAMPLES = {"second": RATE, "nearly": 60 * RATE - 8, "minute": 60 * RATE}
"""The longest but one lasts 59.999 s."""


def noise(count: int, seed: int) -> Iterator[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    for begin in range(0, count, RATE):
        yield (0.1 * rng.standard_normal(min(RATE, count - begin))).astype(np.float32)[None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `media/` and the `corpus/` that was curated of it."""
    folder = tmp_path_factory.mktemp("too_short")
    for seed, (name, count) in enumerate(SAMPLES.items()):
        (folder / "media").mkdir(exist_ok=True)
        write_media(
            folder / "media" / f"{name}.wav", audio=noise(count, seed), sample_rate=RATE, audio_codec="pcm_s16le"
        )
    curate(Corpus.create(folder / "corpus"), [folder / "media"], MINUTE, workers=1)
    return folder


@pytest.fixture
def corpus(made: Path, tmp_path: Path) -> Corpus:
    """A copy of the corpus with its media beside it."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    settings = tmp_path / "corpus" / "corpus.toml"
    settings.write_text(settings.read_text(encoding="utf-8").replace(str(made), str(tmp_path)), encoding="utf-8")
    return Corpus.open(tmp_path / "corpus")


def ids(corpus: Corpus) -> dict[str, str]:
    return {Path(row.uri.partition(":")[2]).stem: row.recording_id for row in corpus.rows(Recording)}


def scored(corpus: Corpus) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for name in ("scores", "prints") for path in corpus.table(name).files()}


def tables(corpus: Corpus) -> Mapping[str, list[Any]]:
    names = ("recordings", "cuts", "drops", "events")
    return {name: corpus.table(name).to_arrow().to_pylist() for name in names}


def verdict(recording_id: str, **columns: Any) -> Verdict:
    values: dict[str, Any] = {
        "verdict_id": f"v-{recording_id}",
        "recording_id": recording_id,
        "start_ms": 0,
        "end_ms": 1000,
        "decision": "reject",
        "method": "expert",
        "author": "ann",
        "made_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Verdict(**{**values, **columns})


def test_they_are_identified_and_not_scored(corpus: Corpus) -> None:
    known = ids(corpus)
    assert {row.recording_id: row.duration for row in corpus.rows(Recording)} == {
        known[name]: count / RATE for name, count in SAMPLES.items()
    }
    assert {row.status for row in corpus.rows(Recording)} == {"ok"}
    assert {path.name.split("-")[0] for path in scored(corpus)} == {known["minute"]}
    assert {row.item for row in Ledger(corpus).latest("score").values()} == {known["minute"]}
    details = {row.item: (row.stage, row.reason, row.detail) for row in corpus.rows(Drop)}
    assert details == {
        known["second"]: ("decide", "too_short", "lasts 1.0 s, cuts need 60 s"),
        known["nearly"]: ("decide", "too_short", "lasts 59.999 s, cuts need 60 s"),
    }
    assert [cut.recording_id for cut in corpus.rows(Cut)] == [known["minute"]]
    assert validate(corpus) == []


def test_running_again_scores_and_changes_nothing(corpus: Corpus) -> None:
    before, files = tables(corpus), scored(corpus)
    curate(corpus, [corpus.path.parent / "media"], MINUTE, workers=1)
    assert (tables(corpus), scored(corpus)) == (before, files)
    replay(corpus, MINUTE, workers=1)
    assert (tables(corpus), scored(corpus)) == (before, files)


def test_a_replay_that_takes_shorter_cuts_scores_them(corpus: Corpus, made: Path, tmp_path: Path) -> None:
    result = replay(corpus, HALF_SECOND, workers=1)
    assert result.scored["level"].recordings == 2
    fresh = Corpus.create(tmp_path / "fresh")
    curate(fresh, [corpus.path.parent / "media"], HALF_SECOND, workers=1)
    assert tables(corpus) == tables(fresh)
    assert {cut.recording_id for cut in corpus.rows(Cut)} == set(ids(corpus).values())
    assert validate(corpus) == []


def test_without_their_media_they_say_that_it_is_needed(corpus: Corpus) -> None:
    shutil.rmtree(corpus.path.parent / "media")
    replay(corpus, HALF_SECOND, workers=1)
    known = ids(corpus)
    drops = {row.item: row for row in corpus.rows(Drop)}
    for name in ("second", "nearly"):
        row = drops[known[name]]
        assert row.reason == "unscored" and row.detail is not None
        assert row.detail.endswith("which takes its media: curate its source"), row.detail


def test_scores_that_are_there_are_kept_and_used(corpus: Corpus) -> None:
    """A recipe with longer cuts later changes no score, no measure and no status."""
    replay(corpus, HALF_SECOND, workers=1)
    files, rows = scored(corpus), {row.recording_id: row for row in corpus.rows(Recording)}
    for again in range(2):
        if again:
            curate(corpus, [corpus.path.parent / "media"], MINUTE, workers=1)
        else:
            replay(corpus, MINUTE, workers=1)
        assert scored(corpus) == files
        assert {row.recording_id: row for row in corpus.rows(Recording)} == rows
        assert {row.reason for row in corpus.rows(Drop)} == {"too_short"}
    assert rows[ids(corpus)["second"]].loudness_lufs is not None


def test_a_status_that_scoring_found_stays(tmp_path: Path) -> None:
    """A recording of 2 s whose packets do not decode, scored when cuts were short."""
    path = tmp_path / "media" / "broken.flac"
    path.parent.mkdir()
    write_media(path, audio=noise(2 * RATE, 5), sample_rate=RATE, audio_codec="flac")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    path.write_bytes(data)
    corpus = Corpus.create(tmp_path / "corpus")
    curate(corpus, [path], HALF_SECOND, workers=1)
    (before,) = corpus.rows(Recording)
    assert before.status == "damaged"
    curate(corpus, [path], MINUTE, workers=1)
    (after,) = corpus.rows(Recording)
    assert after == before


def test_what_people_said_about_them_counts(corpus: Corpus) -> None:
    known = ids(corpus)
    spoken = (LabelledSegment(start=0.2, end=0.4, label="speech"),)
    new = [
        verdict(known["second"], end_ms=800, reasons=("speech",)),
        verdict(known["nearly"], decision="keep", excised=spoken),
    ]
    with corpus.lock("review"):
        redecide(corpus, [known["second"], known["nearly"]], new)
    now = tables(corpus)
    (cut,) = (row for row in corpus.rows(Cut) if row.recording_id == known["second"])
    assert (cut.start, cut.end, cut.decision, cut.reasons, cut.risk) == (0.0, 0.8, "reject", ("listener_speech",), 1.0)
    reasons = {row.item: row.reason for row in corpus.rows(Drop)}
    assert reasons[known["second"]] == reasons[cut.cut_id] == "listener_speech"
    assert reasons[known["nearly"]] == "too_short"
    assert [(row.recording_id, row.source) for row in corpus.rows(Event) if row.label == "speech"] == [
        (known["nearly"], "verdict")
    ]
    replay(corpus, MINUTE, workers=1)
    assert tables(corpus) == now
    assert validate(corpus) == []


def test_a_recording_that_nobody_judged_is_decided_as_by_empty_scores(corpus: Corpus) -> None:
    """The short way gives what the long way gives."""
    row = next(row for row in corpus.rows(Recording) if row.duration == 1.0)
    unsure = HumanEvidence(unsure=Timeline([Segment(0.0, 0.5)]))
    assert decide_too_short(row, MINUTE, people=unsure) == decide_too_short(row, MINUTE)


def test_one_that_is_long_enough_is_refused(corpus: Corpus) -> None:
    row = next(row for row in corpus.rows(Recording) if row.duration == 60.0)
    with pytest.raises(ValueError, match=r"60.0 s are enough for a cut, which needs scores"):
        decide_too_short(row, MINUTE)


def test_the_preview_of_thresholds_does_not_count_them_as_unscored(corpus: Corpus) -> None:
    preview = WhatIf(corpus)
    same = preview.compare(MINUTE)
    assert (same.before, same.unscored, same.recordings) == (same.after, 0, 3)
    assert preview.compare(HALF_SECOND).unscored == 2
    replay(corpus, HALF_SECOND, workers=1)
    compared = preview.compare(HALF_SECOND)
    assert (compared.unscored, compared.gained, compared.lost) == (0, (), ())


def test_the_report_shows_them(corpus: Corpus) -> None:
    text = write_report(corpus, corpus.path.parent / "report.html").read_text(encoding="utf-8")
    assert "59.999 s, cuts need 60 s" in text
    assert text.count("Not scored: it is too short for a cut.") == 2
    assert [row.duration for row in corpus.rows(Recording) if load_tracks(corpus, row) is not None] == [60.0]


def reads(folder: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The files that replay and validate read over `count` recordings of a second, by kind."""
    corpus = Corpus.create(folder)
    names = [f"{number:016x}" for number in range(count)]
    uris = [f"m:{name}.wav" for name in names]
    rows = [
        Recording(recording_id=name, uri=uri, duration=1.0, has_video=False, status="ok")
        for name, uri in zip(names, uris, strict=True)
    ]
    corpus.replace("recordings", rows)
    sources = [
        Source(source_id=name, uri=uri, recording_id=name, origin="folder")
        for name, uri in zip(names, uris, strict=True)
    ]
    corpus.replace("sources", sources)
    found: Counter[str] = Counter()
    opening, reading = pq.ParquetFile, bounded.read_toml

    def opened(*rest: Any, **options: Any) -> Any:
        found["parquet"] += 1
        return opening(*rest, **options)

    def read(path: Path) -> dict[str, Any]:
        found["corpus.toml"] += path.name == "corpus.toml"
        return reading(path)

    with monkeypatch.context() as patch:
        patch.setattr(pq, "ParquetFile", opened)
        patch.setattr(store, "read_toml", read)
        assert replay(corpus, MINUTE, runner=no_workers).account.recordings == count
        assert validate(corpus) == []
    assert corpus.table("drops").count() == count
    return found


def no_workers(*rest: Any, **options: Any) -> Any:
    raise AssertionError("workers were started")


def test_what_is_read_does_not_grow_with_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = reads(tmp_path / "few", 3, monkeypatch)
    assert few["parquet"] > 0 and few["corpus.toml"] > 0
    assert reads(tmp_path / "many", 300, monkeypatch) == few

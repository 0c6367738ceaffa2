"""Planted against found: known events and cuts in a real corpus give known shares."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.demo.findings import Finding, findings
from app.demo.material import Planted
from manifests.identity import cut_id
from manifests.records import Cut, CutDecision, Drop, Event, Source
from manifests.store import Corpus
from manifests.time import Segment, Timeline

YARD, NOTES = "root:videos/the yard.mp4", "root:notes.mp4"


def a_cut(recording: str, start: int, end: int, decision: CutDecision) -> Cut:
    return Cut(
        cut_id=cut_id(recording, 1000 * start, 1000 * end),
        recording_id=recording,
        start=start,
        end=end,
        decision=decision,
        reasons=(),
        risk=0.1,
        recipe_hash="f" * 16,
    )


def an_event(start: float, end: float, label: str, recording: str = "yard") -> Event:
    return Event(recording_id=recording, start=start, end=end, label=label, source="fusion", score=0.9)


@pytest.fixture
def rows(tmp_path: Path) -> dict[str, Finding]:
    corpus = Corpus.create(tmp_path / "corpus")
    corpus.replace(
        "sources",
        [
            Source(source_id="s1", uri=YARD, recording_id="yard", origin="folder"),
            Source(source_id="s2", uri=NOTES, recording_id="notes", origin="folder"),
        ],
    )
    corpus.replace(
        "events",
        [
            an_event(92, 112, "speech"),
            an_event(200, 206, "music"),
            an_event(206, 210, "singing"),
            an_event(0, 5, "silence"),
            an_event(0, 5, "speech", "another"),
        ],
    )
    cuts = [
        a_cut("yard", 5, 90, "accept"),
        a_cut("yard", 115, 180, "accept"),
        a_cut("yard", 215, 280, "review"),
    ]
    corpus.replace("cuts", cuts)
    drop = Drop(item="notes", item_kind="recording", stage="probe", reason="not_media", detail="text")
    corpus.replace("drops", [drop])
    planted = [
        Planted("the yard.mp4", 88, 108, "speech", "sample"),
        Planted("the yard.mp4", 200, 220, "music", "calm"),
        Planted("the yard.mp4", 3, 4, "sfx", "cow"),
    ]
    return {row.file: row for row in findings(corpus, planted)}


def test_shares_are_of_the_planted_seconds(rows: dict[str, Finding]) -> None:
    yard = rows["the yard.mp4"]
    assert yard.found_share("speech") == pytest.approx(16 / 20)
    assert yard.found_share("music") == pytest.approx(10 / 20), "singing counts as music"
    assert yard.found["speech"] - yard.planted["speech"] == Timeline([Segment(108, 112)])


def test_contaminated_seconds_are_those_in_accepted_cuts(rows: dict[str, Finding]) -> None:
    # 88 to 90 of the speech; the music reaches into a cut for review only.
    assert rows["the yard.mp4"].contaminated_seconds == pytest.approx(2.0)


def test_a_file_without_anything_planted_has_no_share(rows: dict[str, Finding]) -> None:
    notes = rows["notes.mp4"]
    assert notes.found_share("speech") is None
    assert notes.dropped == ("not_media",)
    assert notes.accepted == () and notes.contaminated_seconds == 0.0
    assert list(rows) == ["notes.mp4", "the yard.mp4"]

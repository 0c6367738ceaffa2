"""Human evidence outranks detectors where somebody heard, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from made_up import clean, recording, say

from curation.account import account
from curation.decide import Decided, decide
from curation.evidence import ANNOTATOR, NOBODY, Evidence, annotator_events, evidence
from manifests.recipe import Bounds, load_recipe
from manifests.records import Annotation, Region, Stretch, Verdict
from manifests.store import Corpus
from manifests.time import Segment, Timeline
from manifests.verdicts import StaleVerdict, current, record

RECIPE = load_recipe("default")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECONDS = 200.0


def verdict(start: float, end: float, decision: str = "keep", minute: int = 0, **columns: object) -> Verdict:
    made = Verdict(
        verdict_id=f"{decision} {start} {end} {minute}",
        recording_id="ab" * 8,
        start_ms=round(start * 1000),
        end_ms=round(end * 1000),
        decision=decision,  # type: ignore[arg-type]
        method="single",
        author="ann",
        made_at=NOON + timedelta(minutes=minute),
    )
    return replace(made, **columns)  # type: ignore[arg-type]


def decided(people: Evidence, *said: tuple[str, float, float, float], **bounds: Bounds) -> Decided:
    scores = clean(SECONDS)
    for what, start, end, value in said:
        say(scores, what, start, end, value)
    quality: Any = {**RECIPE.quality, **bounds}
    recipe = replace(RECIPE, quality=quality)
    return decide(recording(SECONDS), scores, recipe, people=people)


def spans(result: Decided, decision: str) -> list[tuple[float, float]]:
    return [(cut.start, cut.end) for cut in result.cuts if cut.decision == decision]


DOUBT = ("speech", 90.0, 95.0, 0.15)
CERTAIN = ("speech", 90.0, 95.0, 0.9)


def test_a_doubt_that_somebody_heard_and_kept_is_none_any_more() -> None:
    assert spans(decided(NOBODY, DOUBT), "review"), "the detectors must doubt something, else this shows nothing"
    assert spans(decided(evidence([verdict(80, 160)]), DOUBT), "accept") == [(0.0, SECONDS)]


def test_what_detectors_are_certain_of_is_kept_where_somebody_says_so() -> None:
    assert spans(decided(NOBODY, CERTAIN), "accept") != [(0.0, SECONDS)]
    assert spans(decided(evidence([verdict(80, 160)]), CERTAIN), "accept") == [(0.0, SECONDS)]


def test_elsewhere_detectors_decide() -> None:
    assert decided(evidence([verdict(0, 60)]), CERTAIN).cuts == decided(NOBODY, CERTAIN).cuts


def test_marked_contaminants_are_cut_out_with_their_guard_and_the_rest_is_kept() -> None:
    people = evidence([verdict(0, SECONDS, excised=(Stretch(start=100, end=101, label="speech"),))])
    guard = RECIPE.contaminants["speech"].guard
    result = decided(people)
    assert spans(result, "accept") == [(0.0, 100 - guard), (101 + guard, SECONDS)]
    (event,) = [row for row in result.events if row.source == "verdict"]
    assert (event.start, event.end, event.label) == (100, 101, "speech")


def test_a_span_that_was_turned_down_is_a_rejected_cut_with_the_reasons_and_a_drop() -> None:
    result = decided(evidence([verdict(70, 130, "reject", reasons=("av_mismatch",))]))
    assert spans(result, "accept") == [(0.0, 70.0), (130.0, SECONDS)]
    (rejected,) = [cut for cut in result.cuts if cut.decision == "reject"]
    assert (rejected.start, rejected.end, rejected.reasons) == (70.0, 130.0, ("listener_av_mismatch",))
    assert [(drop.item, drop.reason) for drop in result.drops] == [(rejected.cut_id, "listener_av_mismatch")]


def test_what_nobody_could_tell_stays_for_review() -> None:
    result = decided(evidence([verdict(60, 120, "unsure")]))
    (review,) = [cut for cut in result.cuts if cut.decision == "review"]
    assert review.reasons == ("listener_unsure",)
    assert review.start <= 60 and review.end >= 120


def test_quality_that_somebody_accepted_is_doubted_no_more_but_what_is_never_kept_stays_out() -> None:
    doubtful = Bounds(accept=(20_000.0, 30_000.0), keep=(0.0, 30_000.0))  # it ends at 16 kHz
    impossible = Bounds(accept=(20_000.0, 30_000.0), keep=(20_000.0, 30_000.0))
    heard = evidence([verdict(0, SECONDS)])
    assert spans(decided(NOBODY, bandwidth_hz=doubtful), "review") == [(0.0, SECONDS)]
    assert spans(decided(heard, bandwidth_hz=doubtful), "accept") == [(0.0, SECONDS)]
    assert spans(decided(heard, bandwidth_hz=impossible), "reject") == [(0.0, SECONDS)]


def test_where_two_overlap_the_later_one_counts() -> None:
    early, late = verdict(0, 100, "reject"), verdict(50, 150, minute=5)
    both = evidence([late, early])
    assert both.cleared == Timeline([Segment(50, 150)])
    assert both.refused == Timeline([Segment(0, 50)])
    taken_back = evidence([replace(early, decision="keep"), replace(late, decision="reject")])
    assert taken_back.cleared == Timeline([Segment(0, 50)])
    doubted = evidence([replace(early, decision="unsure"), late])
    assert (doubted.unsure, doubted.cleared) == (Timeline([Segment(0, 50)]), Timeline([Segment(50, 150)]))
    assert evidence([early, replace(late, made_at=NOON - timedelta(minutes=1))]).refused == Timeline([Segment(0, 100)])


def test_a_bound_between_two_milliseconds_leaves_no_doubt_behind() -> None:
    scores = clean(SECONDS)
    say(scores, "speech", 90.0, SECONDS, 0.15)
    # heard up to the last whole millisecond before the end of what is doubted
    heard = evidence([verdict(0, SECONDS - 0.001)])
    result = decide(recording(SECONDS), scores, RECIPE, people=heard)
    assert [(cut.start, cut.end, cut.decision) for cut in result.cuts] == [(0.0, SECONDS, "accept")]


def test_one_persons_marks_are_events_of_their_own_and_take_no_time_from_anybody() -> None:
    row = Annotation(
        version_id="v1",
        annotation_id="a",
        task_key="t",
        recording_id="ab" * 8,
        start_ms=0,
        end_ms=60_000,
        annotator="ann@example.org",
        forged=False,
        state="submitted",
        ground_truth=False,
        regions=(Region(region_id="r", start=5, end=7, label="speech", origin="manual"),),
        created_at=NOON,
        updated_at=NOON,
        pulled_at=NOON,
        result="[]",
    )
    (event,) = annotator_events([row])
    assert (event.source, event.start, event.end) == (ANNOTATOR + "ann@example.org", 5, 7)
    assert account(recording(60), [event], [])["speech"] == 0
    gone = replace(row, version_id="v2", state="deleted", updated_at=NOON + timedelta(minutes=1))
    assert annotator_events([gone, row]) == []
    assert annotator_events([replace(row, forged=True)]) == []


def test_a_verdict_is_superseded_once_and_never_changed(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    first = verdict(0, 60)
    second = verdict(0, 60, "reject", minute=1, supersedes=first.verdict_id)
    record(corpus, [first])
    record(corpus, [second])
    assert current(corpus.table("verdicts").rows()) == [second]
    with pytest.raises(StaleVerdict, match=r"superseded by .*: ann decided reject"):
        record(corpus, [verdict(0, 60, "unsure", minute=2, supersedes=first.verdict_id)])
    third, fourth = (verdict(0, 60, word, minute=3, supersedes=second.verdict_id) for word in ("unsure", "keep"))
    with pytest.raises(StaleVerdict, match="superseded by"):
        record(corpus, [third, fourth])  # two at once cannot take one place either
    with pytest.raises(StaleVerdict, match="not there"):
        record(corpus, [verdict(0, 60, "unsure", minute=2, supersedes="nothing")])
    assert current(corpus.table("verdicts").rows()) == [second]

"""Human evidence outranks detectors where somebody heard, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from curation.catalog.accounting import outcomes_of
from curation.decision.decide import Decided, decide
from curation.decision.human_evidence import ANNOTATOR, NO_EVIDENCE, HumanEvidence, annotator_events, evidence_of
from manifests.identity import cut_id
from manifests.recipe import Bounds, load_recipe
from manifests.records import TRIMMED, Annotation, Drop, LabelledSegment, Region, Verdict
from manifests.schema import to_table
from manifests.store import Corpus
from manifests.time import Segment, Timeline
from manifests.verdicts import StaleVerdict, current, record
from tests.support.made_up_scores import clean, recording, say

RECIPE = load_recipe("packaged")
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


def decided(people: HumanEvidence, *said: tuple[str, float, float, float], **bounds: Bounds) -> Decided:
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
    assert spans(decided(NO_EVIDENCE, DOUBT), "review"), "the detectors must doubt something, else this shows nothing"
    assert spans(decided(evidence_of([verdict(80, 160)]), DOUBT), "accept") == [(0.0, SECONDS)]


def test_what_detectors_are_certain_of_is_kept_where_somebody_says_so() -> None:
    assert spans(decided(NO_EVIDENCE, CERTAIN), "accept") != [(0.0, SECONDS)]
    assert spans(decided(evidence_of([verdict(80, 160)]), CERTAIN), "accept") == [(0.0, SECONDS)]


def test_elsewhere_detectors_decide() -> None:
    assert decided(evidence_of([verdict(0, 60)]), CERTAIN).cuts == decided(NO_EVIDENCE, CERTAIN).cuts


def test_marked_contaminants_are_cut_out_with_their_guard_and_the_rest_is_kept() -> None:
    people = evidence_of([verdict(0, SECONDS, excised=(LabelledSegment(start=100, end=101, label="speech"),))])
    guard = RECIPE.contaminants["speech"].padding
    result = decided(people)
    assert spans(result, "accept") == [(0.0, 100 - guard), (101 + guard, SECONDS)]
    (event,) = [row for row in result.events if row.source == "verdict"]
    assert (event.start, event.end, event.label) == (100, 101, "speech")


def test_a_span_that_was_turned_down_is_a_rejected_cut_with_the_reasons_and_a_drop() -> None:
    result = decided(evidence_of([verdict(70, 130, "reject", reasons=("av_mismatch",))]))
    assert spans(result, "accept") == [(0.0, 70.0), (130.0, SECONDS)]
    (rejected,) = [cut for cut in result.cuts if cut.decision == "reject"]
    assert (rejected.start, rejected.end, rejected.reasons) == (70.0, 130.0, ("listener_av_mismatch",))
    assert [(drop.item, drop.reason) for drop in result.drops] == [(rejected.cut_id, "listener_av_mismatch")]


def test_what_nobody_could_tell_stays_for_review() -> None:
    result = decided(evidence_of([verdict(60, 120, "unsure")]))
    (review,) = [cut for cut in result.cuts if cut.decision == "review"]
    assert review.reasons == ("listener_unsure",)
    assert review.start <= 60 and review.end >= 120


def test_quality_that_somebody_accepted_is_doubted_no_more_but_what_is_never_kept_stays_out() -> None:
    uncertain = Bounds(accept=(20_000.0, 30_000.0), keep=(0.0, 30_000.0))  # it ends at 16 kHz
    impossible = Bounds(accept=(20_000.0, 30_000.0), keep=(20_000.0, 30_000.0))
    heard = evidence_of([verdict(0, SECONDS)])
    assert spans(decided(NO_EVIDENCE, bandwidth_hz=uncertain), "review") == [(0.0, SECONDS)]
    assert spans(decided(heard, bandwidth_hz=uncertain), "accept") == [(0.0, SECONDS)]
    assert spans(decided(heard, bandwidth_hz=impossible), "reject") == [(0.0, SECONDS)]


def trim(start: float, end: float, left: tuple[float, float], minute: int = 0) -> Verdict:
    away = [(start, left[0]), (left[1], end)]
    excised = tuple(LabelledSegment(start=a, end=b, label=TRIMMED) for a, b in away if a < b)
    return verdict(start, end, minute=minute, excised=excised)


def test_what_a_trim_leaves_is_a_cut_of_its_own_and_nothing_is_heard_in_the_rest() -> None:
    people = evidence_of([trim(0, 130, (10, 110))])
    assert people.excised == {}
    result = decided(people, ("speech", 40.0, 42.0, 0.15))
    assert spans(result, "accept") == [(10.0, 110.0), (130.0, SECONDS)], "no guard around what was cut away"
    assert [cut.parent_cut_id for cut in result.cuts] == [cut_id("ab" * 8, 0, 130_000), None]
    assert [row for row in result.events if row.source == "verdict"] == []
    # without the trim the two are one: neither may reach into the other
    assert spans(decided(NO_EVIDENCE), "accept") == [(0.0, SECONDS)]
    assert spans(decided(evidence_of([trim(0, 100, (10, 100))])), "accept") == [(10.0, 100.0), (100.0, SECONDS)]


def test_a_later_trim_takes_from_an_earlier_one_and_other_words_do_not() -> None:
    first, second = trim(0, 200, (0, 180)), trim(0, 180, (20, 180), minute=1)
    both = evidence_of([first, second])
    assert [(one.span, tuple(one.left)) for one in both.trims] == [(Segment(0, 180), (Segment(20, 180),))]
    assert both.trimmed == Timeline([Segment(0, 20), Segment(180, 200)])
    doubted = decided(evidence_of([first, verdict(50, 60, "unsure", minute=1)]))
    assert doubted.cuts[0].parent_cut_id == cut_id("ab" * 8, 0, 200_000)
    assert all(cut.end <= 180 for cut in doubted.cuts)
    untrimmed = evidence_of([first, verdict(0, 200, minute=1, supersedes=first.verdict_id)])
    assert (untrimmed.trims, untrimmed.trimmed) == ((), Timeline())


def test_a_recording_of_which_trims_leave_too_little_says_so() -> None:
    (drop,) = decided(evidence_of([trim(0, SECONDS, (70, 100))])).drops
    assert (drop.item_kind, drop.reason) == ("recording", "trimmed")


def test_an_open_row_decides_nothing_wherever_it_lies() -> None:
    kept = verdict(0, 100, "reject")
    note = verdict(50, 150, "open", minute=5, comment="wind")
    assert evidence_of([kept, note]) == evidence_of([kept])
    assert evidence_of([note]) == NO_EVIDENCE
    assert evidence_of([kept, verdict(0, 100, "open", minute=5, supersedes=kept.verdict_id)]) == NO_EVIDENCE


def test_rejected_spans_that_touch_stay_two_cuts() -> None:
    people = evidence_of([verdict(0, 70, "reject", reasons=("music",)), verdict(70, 140, "reject")])
    found = [(cut.start, cut.end, cut.reasons) for cut in decided(people).cuts if cut.decision == "reject"]
    assert found == [(0.0, 70.0, ("listener_music",)), (70.0, 140.0, ("listener_reject",))]


def test_a_rejected_rest_of_less_than_a_millisecond_is_no_cut() -> None:
    people = evidence_of([verdict(60, SECONDS + 0.001, "reject"), verdict(0, SECONDS, minute=1)])
    long = replace(recording(SECONDS), duration=SECONDS + 0.0006)
    result = decide(long, clean(SECONDS + 1), RECIPE, people=people)
    assert [cut.decision for cut in result.cuts] == ["accept"]


def test_where_two_overlap_the_later_one_counts() -> None:
    early, late = verdict(0, 100, "reject"), verdict(50, 150, minute=5)
    both = evidence_of([late, early])
    assert both.cleared == Timeline([Segment(50, 150)])
    assert both.refused == Timeline([Segment(0, 50)])
    taken_back = evidence_of([replace(early, decision="keep"), replace(late, decision="reject")])
    assert taken_back.cleared == Timeline([Segment(0, 50)])
    doubted = evidence_of([replace(early, decision="unsure"), late])
    assert (doubted.unsure, doubted.cleared) == (Timeline([Segment(0, 50)]), Timeline([Segment(50, 150)]))
    assert evidence_of([early, replace(late, made_at=NOON - timedelta(minutes=1))]).refused == Timeline(
        [Segment(0, 100)]
    )


def test_a_bound_between_two_milliseconds_leaves_no_doubt_behind() -> None:
    scores = clean(SECONDS)
    say(scores, "speech", 90.0, SECONDS, 0.15)
    # heard up to the last whole millisecond before the end of what is doubted
    heard = evidence_of([verdict(0, SECONDS - 0.001)])
    result = decide(recording(SECONDS), scores, RECIPE, people=heard)
    assert [(cut.start, cut.end, cut.decision) for cut in result.cuts] == [(0.0, SECONDS, "accept")]


def test_regions_of_one_annotator_are_events_of_their_own() -> None:
    row = Annotation(
        version_id="v1",
        annotation_id="a",
        task_key="t",
        recording_id="ab" * 8,
        start_ms=0,
        end_ms=60_000,
        annotator="ann@example.org",
        edited_by_other=False,
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
    own = recording(60)
    dropped = Drop(item=own.recording_id, item_kind="recording", stage="decide", reason="too_short")
    rows: dict[str, list[Any]] = {
        "recordings": [own],
        "events": [event],
        "cuts": [],
        "drops": [dropped],
        "duplicates": [],
    }
    (outcomes,) = outcomes_of({name: to_table(name, table) for name, table in rows.items()}).to_pylist()
    assert outcomes["speech"] == 0 and outcomes["too_short"] == 60
    gone = replace(row, version_id="v2", state="deleted", updated_at=NOON + timedelta(minutes=1))
    assert annotator_events([gone, row]) == []
    assert annotator_events([replace(row, edited_by_other=True)]) == []


def test_a_verdict_is_superseded_once_and_never_changed(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    first = verdict(0, 60)
    second = verdict(0, 60, "reject", minute=1, supersedes=first.verdict_id)
    record(corpus, [first])
    record(corpus, [second])
    assert current(corpus.rows(Verdict)) == [second]
    with pytest.raises(StaleVerdict, match=r"superseded by .*: ann decided reject"):
        record(corpus, [verdict(0, 60, "unsure", minute=2, supersedes=first.verdict_id)])
    third, fourth = (verdict(0, 60, word, minute=3, supersedes=second.verdict_id) for word in ("unsure", "keep"))
    with pytest.raises(StaleVerdict, match="superseded by"):
        record(corpus, [third, fourth])  # two at once cannot take one place either
    with pytest.raises(StaleVerdict, match="not there"):
        record(corpus, [verdict(0, 60, "unsure", minute=2, supersedes="nothing")])
    assert current(corpus.rows(Verdict)) == [second]

"""From windows to spans to rows, which are only ever added."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.support.made_up_votes as made_up
from annotation.consensus import (
    Conflict,
    ConsensusResult,
    ConsensusSettings,
    Spans,
    Window,
    collect_votes,
    decide,
    group_spans,
    new_verdicts,
    window_of,
)
from annotation.consensus.spans import PERSONAL
from manifests.identity import digest
from manifests.records import Annotation, LabelledSegment, Task, Verdict, VerdictMethod
from manifests.schema import to_records, to_table
from manifests.verdicts import ASKED

a_task, an_answer, at = made_up.a_task, made_up.an_answer, made_up.at

SPAN = (0, 300_000)
FIRST: Task = a_task(0, 151_000, "label", SPAN)
SECOND: Task = a_task(149_000, 300_000, "label", SPAN)
SETTLING: Task = a_task(0, 151_000, "adjudicate", SPAN)
SETTLING_SECOND: Task = a_task(149_000, 300_000, "adjudicate", SPAN)
TASKS = (FIRST, SECOND, SETTLING, SETTLING_SECOND)
WHOLE = Window("r1", *SPAN)


def spans_of(answers: Sequence[Annotation], tasks: Sequence[Task] = TASKS) -> Spans:
    return group_spans(tasks, decide(collect_votes(tasks, answers)))


def rows_of(
    answers: Sequence[Annotation], existing: Sequence[Verdict] = (), tasks: Sequence[Task] = TASKS
) -> list[Verdict]:
    return new_verdicts(spans_of(answers, tasks), existing)


def extents(rows: Sequence[Verdict]) -> list[tuple[int, int]]:
    return [(row.start_ms, row.end_ms) for row in rows]


def stretch(start: float, end: float, label: str = "speech") -> LabelledSegment:
    return LabelledSegment(start=float(start), end=float(end), label=label)


def a_row(extent: Window = WHOLE, method: VerdictMethod = "expert", minutes: float = 5, **options: Any) -> Verdict:
    said: dict[str, Any] = {"decision": "keep", "author": "zoe", "verdict_id": f"{method}-{extent}-{minutes}"} | options
    return Verdict(
        recording_id=extent.recording_id,
        start_ms=extent.start_ms,
        end_ms=extent.end_ms,
        method=method,
        made_at=at(minutes),
        **said,
    )


# heard or not


def test_a_span_is_heard_when_its_windows_cover_it() -> None:
    half = [an_answer(FIRST, "ann")]
    (incomplete,) = spans_of(half).incomplete
    assert incomplete.span == WHOLE
    assert incomplete.missing == ((151_000, 300_000),)
    assert incomplete.conflicts == ()
    spans = spans_of([*half, an_answer(SECOND, "ann")])
    assert spans.incomplete == ()
    assert [one.window for one in spans.complete[WHOLE]] == [window_of(FIRST), window_of(SECOND)]


def test_a_conflict_leaves_a_span_incomplete() -> None:
    answers = [an_answer(FIRST, "ann"), an_answer(FIRST, "bob", "reject"), an_answer(SECOND, "ann")]
    spans = spans_of(answers)
    (incomplete,) = spans.incomplete
    assert incomplete.missing == ((0, 149_000),)
    assert [one.cause for one in incomplete.conflicts] == ["1 keep, 1 reject"]
    assert new_verdicts(spans, ()) == []


def test_nobody_has_heard_a_span_without_answers() -> None:
    (incomplete,) = spans_of([]).incomplete
    assert incomplete.missing == (SPAN,)


def test_other_windows_over_the_same_span_do() -> None:
    """A later round with other windows: it is enough that outcomes cover the span."""
    anew = a_task(*SPAN, "agreement", SPAN)
    spans = spans_of([an_answer(FIRST, "ann"), an_answer(anew, "bob")], (*TASKS, anew))
    assert set(spans.complete) == {WHOLE}


# rows


def test_windows_that_say_the_same_are_one_row() -> None:
    answers = [
        an_answer(FIRST, "ann", "reject", ["speech"], [(1, 2, "speech"), (149.5, 150.5, "speech")], minutes=3),
        an_answer(SECOND, "ann", "reject", ["speech"], [(150.0, 155.0, "speech"), (200, 201, "speech")], minutes=1),
    ]
    (row,) = rows_of(answers)
    excised = (stretch(1, 2), stretch(149.5, 155.0), stretch(200, 201))
    assert row == Verdict(
        verdict_id=digest(
            "verdict", "r1", 0, 300_000, "keep", ["speech"], [[one.start, one.end, "speech"] for one in excised],
            "single", "ann", None,
        ),
        recording_id="r1",
        start_ms=0,
        end_ms=300_000,
        decision="keep",
        reasons=("speech",),
        excised=excised,
        method="single",
        confidence=None,
        author="ann",
        made_at=at(3),
    )  # fmt: skip


def test_the_author_of_a_consensus_is_everybody_and_its_confidence_the_least() -> None:
    answers = [an_answer(FIRST, name) for name in ("cat", "bob")]
    answers += [
        an_answer(SECOND, name, verdict) for name, verdict in (("ann", "keep"), ("bob", "keep"), ("dan", "reject"))
    ]
    (row,) = rows_of(answers)
    assert row.author == "consensus of ann, bob, cat, dan"
    assert row.confidence == pytest.approx(2 / 3)
    assert row.method == "majority"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([("ann", "keep", ())], [("ann", "reject", ())]),
        ([("ann", "reject", ("other",))], [("ann", "reject", ())]),
        ([("ann", "keep", ())], [("bob", "keep", ())]),
        ([("ann", "keep", ())], [("ann", "keep", ()), ("bob", "keep", ())]),
    ],
)
def test_windows_that_differ_are_a_row_each(first: Any, second: Any) -> None:
    answers = [an_answer(FIRST, *said) for said in first] + [an_answer(SECOND, *said) for said in second]
    assert extents(rows_of(answers)) == [(0, 151_000), (149_000, 300_000)]


def test_an_adjudicated_window_does_not_speak_for_the_span() -> None:
    answers = [an_answer(FIRST, "ann"), an_answer(FIRST, "bob", "reject"), an_answer(SECOND, "ann")]
    rows = rows_of([*answers, an_answer(SETTLING, "zoe", minutes=5)])
    assert [(row.method, row.author) for row in rows] == [("adjudicator", "zoe"), ("single", "ann")]


def test_one_person_as_annotator_and_as_adjudicator_is_two_authors() -> None:
    rows = rows_of([an_answer(SETTLING, "ann"), an_answer(SECOND, "ann")])
    assert [row.method for row in rows] == ["adjudicator", "single"]


def test_rows_fit_the_table() -> None:
    answers = [an_answer(FIRST, name, marked=[(1, 2, "speech")]) for name in ("ann", "bob")]
    rows = rows_of([*answers, an_answer(SECOND, "ann")])
    again = list(to_records("verdicts", to_table("verdicts", rows).to_batches()))
    assert again == rows
    assert rows_of([*answers, an_answer(SECOND, "ann")], again) == []


# rows that are there already

KEEP = [an_answer(FIRST, "ann"), an_answer(SECOND, "ann")]
REJECT = [an_answer(FIRST, "ann", "reject", minutes=1), an_answer(SECOND, "ann", "reject", minutes=1)]
MIXED = [KEEP[0], REJECT[1]]


def test_unchanged_evidence_gives_no_row() -> None:
    rows = rows_of(KEEP)
    assert len(rows) == 1
    assert rows_of(KEEP, rows) == []
    later = [replace(answer, updated_at=at(9)) for answer in KEEP]
    assert rows_of(later, rows) == []


def test_changed_evidence_takes_the_place_of_the_current_row() -> None:
    (kept,) = rows_of(KEEP)
    (rejected,) = rows_of(REJECT, [kept])
    assert (rejected.decision, rejected.supersedes) == ("reject", kept.verdict_id)
    (back,) = rows_of(KEEP, [kept, rejected])
    assert (back.decision, back.supersedes) == ("keep", rejected.verdict_id)
    assert len({kept.verdict_id, rejected.verdict_id, back.verdict_id}) == 3


def test_other_stretches_are_other_evidence() -> None:
    (kept,) = rows_of(KEEP)
    (row,) = rows_of([KEEP[0], an_answer(SECOND, "ann", marked=[(200, 201, "speech")])], [kept])
    assert (row.excised, row.supersedes) == ((stretch(200, 201),), kept.verdict_id)


def test_windows_that_part_take_the_place_of_their_span() -> None:
    (whole,) = rows_of(KEEP)
    parts = rows_of(MIXED, [whole])
    assert extents(parts) == [(0, 151_000), (149_000, 300_000)]
    assert [row.supersedes for row in parts] == [whole.verdict_id, None]
    assert rows_of(MIXED, [whole, *parts]) == []


def test_a_span_with_rows_of_its_windows_goes_on_with_such() -> None:
    parts = rows_of(MIXED)
    (row,) = rows_of(KEEP, parts)
    assert extents([row]) == [(149_000, 300_000)]
    assert row.supersedes == parts[1].verdict_id
    assert rows_of(KEEP, [*parts, row]) == []


@pytest.mark.parametrize("method", PERSONAL)
def test_a_consensus_takes_nobodys_place_and_stands_beside_nobody(method: VerdictMethod) -> None:
    for answers in (REJECT, MIXED):
        assert rows_of(answers, [a_row(method=method, minutes=-9)]) == []
    over_more = a_row(Window("r1", 0, 900_000), method)
    assert rows_of(REJECT, [over_more]) == []
    elsewhere = a_row(Window("r2", *SPAN), method), a_row(Window("r1", 1, 300_000), method)
    assert len(rows_of(REJECT, elsewhere)) == 1


def test_a_persons_row_over_a_window_leaves_the_other_to_the_consensus() -> None:
    rows = rows_of(REJECT, [a_row(window_of(FIRST))])
    assert extents(rows) == [(149_000, 300_000)]
    assert rows[0].supersedes is None


def test_a_person_gives_way_to_a_later_person() -> None:
    answers = [an_answer(task, "zoe", "reject", minutes=7) for task in (SETTLING, SETTLING_SECOND)]
    expert = a_row(minutes=6)
    (row,) = rows_of(answers, [expert])
    assert (row.method, row.supersedes) == ("adjudicator", expert.verdict_id)
    for minutes in (7, 8):
        assert rows_of(answers, [a_row(minutes=minutes)]) == []


def test_a_person_may_overrule_another_on_a_part_but_not_all_of_it() -> None:
    expert = a_row(minutes=6)
    answers = [*KEEP, an_answer(SETTLING, "yan", "reject", minutes=7)]
    (row,) = rows_of(answers, [expert])
    assert (extents([row]), row.author, row.supersedes) == ([(0, 151_000)], "yan", None)
    assert rows_of(answers, [expert, row]) == []


def test_a_person_speaks_first() -> None:
    """The shorter span comes first in time, but an adjudicator has settled all around it."""
    inside: Task = a_task(0, 100_000, "audit", (0, 100_000))
    answers = [an_answer(task, "zoe", "reject", minutes=5) for task in (SETTLING, SETTLING_SECOND)]
    rows = rows_of([*answers, an_answer(inside, "ann")], tasks=(*TASKS, inside))
    assert [(row.end_ms, row.author) for row in rows] == [(300_000, "zoe")]


def test_an_adjudicator_takes_the_place_of_a_consensus() -> None:
    (whole,) = rows_of(KEEP)
    answers = [an_answer(task, "zoe", "reject", minutes=-5) for task in (SETTLING, SETTLING_SECOND)]
    (row,) = rows_of(answers, [whole])
    assert row.supersedes == whole.verdict_id


def test_what_somebody_took_back_is_not_said_again() -> None:
    """A reviewer's row over a part of it named the row of the span."""
    (whole,) = rows_of(KEEP)
    review = a_row(Window("r1", 0, 100_000), "reviewer", decision="reject", supersedes=whole.verdict_id)
    assert rows_of(KEEP, [whole, review]) == []
    assert len(rows_of(REJECT, [whole, review])) == 1


def test_superseded_rows_do_not_count() -> None:
    (whole,) = rows_of(KEEP)
    expert = a_row(supersedes="gone")
    gone = a_row(verdict_id="gone", minutes=-1, method="reviewer")
    assert rows_of(KEEP, [gone, expert]) == []
    single = a_row(method="single", supersedes=expert.verdict_id)
    (row,) = rows_of(REJECT, [gone, expert, single])
    assert row.supersedes == single.verdict_id
    assert whole.supersedes is None


def test_of_several_current_rows_the_latest_is_named() -> None:
    rows = [a_row(method="single", minutes=2), a_row(method="single", minutes=8), a_row(method="single", minutes=4)]
    (row,) = rows_of(REJECT, rows)
    assert row.supersedes == rows[1].verdict_id


def test_spans_may_share_a_window() -> None:
    alone: Task = a_task(0, 151_000, "audit", (0, 151_000))
    tasks = (*TASKS, alone)
    answers = [*MIXED, an_answer(alone, "ann", minutes=1)]
    rows = rows_of(answers, tasks=tasks)
    assert sorted(extents(rows)) == [(0, 151_000), (149_000, 300_000)]
    assert rows_of(answers, rows, tasks) == []


def test_a_window_that_is_a_span_of_its_own_has_a_row_of_its_own() -> None:
    alone: Task = a_task(149_000, 300_000, "audit", (149_000, 300_000))
    rows = rows_of(KEEP, tasks=(*TASKS, alone))
    assert extents(rows) == [(0, 151_000), (149_000, 300_000)]
    assert rows_of(KEEP, rows, (*TASKS, alone)) == []


def test_spans_that_share_a_window_part_together() -> None:
    """The second window says something else than the third, so it has a row: the span before goes by windows too."""
    ahead = a_task(149_000, 300_000, "label", (149_000, 450_000)), a_task(298_000, 450_000, "label", (149_000, 450_000))
    answers = [*KEEP, an_answer(ahead[1], "ann", "reject")]
    rows = rows_of(answers, tasks=(*TASKS, *ahead))
    assert extents(rows) == [(0, 151_000), (149_000, 300_000), (298_000, 450_000)]
    assert rows_of(answers, rows, (*TASKS, *ahead)) == []


def test_the_same_stretch_is_told_once() -> None:
    """It is a window of one span, and another span in several windows that more people heard."""
    inside = [a_task(*ends, "audit", (0, 151_000)) for ends in ((0, 151_000), (0, 100_000), (98_000, 151_000))]
    tasks = (*TASKS, *inside)
    answers = [an_answer(FIRST, name) for name in ("ann", "bob")] + [an_answer(SECOND, "ann", "reject")]
    answers += [an_answer(task, name) for task in inside[1:] for name in ("cat", "dan")]
    rows = rows_of(answers, tasks=tasks)
    assert [(row.start_ms, row.author) for row in rows] == [(0, "consensus of ann, bob, cat, dan"), (149_000, "ann")]
    assert rows_of(answers, rows, tasks) == []


# laws

AHEAD = (149_000, 450_000)
ALL_TASKS: list[Task] = [
    *TASKS,
    a_task(*SPAN, "audit", SPAN),
    a_task(0, 151_000, "gold"),
    a_task(0, 151_000, "gold", (0, 151_000)),
    a_task(149_000, 300_000, "gold", AHEAD),
    a_task(298_000, 450_000, "gold", AHEAD),
    a_task(*AHEAD, "audit", (0, 450_000)),
    a_task(0, 151_000, "audit", (0, 450_000)),
]

saying = st.tuples(
    st.sampled_from(ALL_TASKS),
    st.sampled_from("ab"),
    st.sampled_from(["keep", "reject", "unsure"]),
    st.sampled_from([(), ("other",)]),
)
rounds = st.lists(st.lists(saying, min_size=1, max_size=4), min_size=1, max_size=6)
outsiders = st.lists(
    st.tuples(
        st.sampled_from([WHOLE, window_of(FIRST), window_of(SECOND)]),
        st.sampled_from(PERSONAL),
        st.integers(0, 6),
    ),
    max_size=2,
)


@given(rounds, outsiders, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=300)
def test_a_table_that_grows_keeps_its_laws(steps: Any, outside: Any, rng: random.Random) -> None:
    tasks = [*ALL_TASKS]
    table = [
        a_row(extent, method, minutes, verdict_id=f"outside-{number}")
        for number, (extent, method, minutes) in enumerate(outside)
    ]
    answers: list[Annotation] = []
    for minutes, step in enumerate(steps):
        answers += [an_answer(task, name, verdict, why, minutes=minutes) for task, name, verdict, why in step]
        results = decide(collect_votes(tasks, answers), ConsensusSettings())
        spans = group_spans(tasks, results)
        before = {row.verdict_id: row for row in table}
        gone = {row.supersedes for row in table}
        new = new_verdicts(spans, table)
        shuffled = [*table]
        rng.shuffle(shuffled)
        rng.shuffle(tasks)
        assert new_verdicts(spans, shuffled) == new
        for row in new:
            if row.supersedes is not None:
                old = before[row.supersedes]  # never a row of the same batch
                assert row.supersedes not in gone
                gone.add(row.supersedes)
                if old.method in PERSONAL:
                    assert row.method in PERSONAL
                    assert row.made_at > old.made_at
                assert old.start_ms <= row.start_ms
                assert row.end_ms <= old.end_ms
        table += new
        assert len({row.verdict_id for row in table}) == len(table)
        assert new_verdicts(spans, table) == []
        for span in spans.complete:
            covered = [(one.window.start_ms, one.window.end_ms) for one in spans.complete[span]]
            assert min(covered)[0] <= span.start_ms and max(end for _, end in covered) >= span.end_ms
        assert all(isinstance(one, ConsensusResult | Conflict) for one in results.values())


# what reviewers said in the app


def test_the_answer_to_a_reviewers_question_takes_its_place() -> None:
    question = a_row(method="reviewer", minutes=1, decision="unsure", reasons=(ASKED,))
    (row,) = rows_of([an_answer(FIRST, "ann", minutes=2), an_answer(SECOND, "ann", minutes=2)], [question])
    assert (row.decision, row.supersedes) == ("keep", question.verdict_id)
    doubt = replace(question, reasons=())
    assert rows_of([an_answer(FIRST, "ann", minutes=2), an_answer(SECOND, "ann", minutes=2)], [doubt]) == []


def test_a_comment_stands_against_nothing_and_stays() -> None:
    answers = [an_answer(FIRST, "ann"), an_answer(SECOND, "ann")]
    note = a_row(method="reviewer", minutes=9, decision="open", comment="wind")
    (row,) = rows_of(answers, [note])
    assert row.supersedes is None
    assert rows_of(answers, [note, row]) == []


def test_what_a_reviewer_took_back_is_not_said_again_but_something_new_is() -> None:
    answers = [an_answer(FIRST, "ann"), an_answer(SECOND, "ann")]
    (row,) = rows_of(answers)
    undone = a_row(method="reviewer", minutes=9, decision="open", supersedes=row.verdict_id)
    assert rows_of(answers, [row, undone]) == []
    other = [an_answer(FIRST, "ann", "reject", minutes=10), an_answer(SECOND, "ann", "reject", minutes=10)]
    (new,) = rows_of(other, [row, undone])
    assert (new.decision, new.supersedes) == ("reject", undone.verdict_id)
    slip = a_row(method="reviewer", minutes=8, decision="reject")
    back = a_row(method="reviewer", minutes=9, decision="open", supersedes=slip.verdict_id)
    (row,) = rows_of(answers, [slip, back])  # a slip that was undone keeps nobody from speaking
    assert row.supersedes == back.verdict_id

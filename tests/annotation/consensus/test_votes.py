"""Which answers count as votes."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tests.support.made_up_votes as made_up
from annotation.consensus import Votes, Window, collect_votes, window_of
from manifests.records import Annotation, Task

a_task, an_answer = made_up.a_task, made_up.an_answer

TASK: Task = a_task()
WINDOW = Window("r1", 0, 60_000)


def votes_of(*answers: Annotation, tasks: tuple[Task, ...] = (TASK,)) -> Votes:
    return collect_votes(tasks, answers)


def said(votes: Votes, window: Window = WINDOW) -> dict[str, str]:
    return {name: vote.judgement for name, vote in votes.by_window.get(window, {}).items()}


def test_the_latest_version_of_an_answer_counts() -> None:
    first = an_answer(TASK, "ann", "keep", minutes=1)
    second = an_answer(TASK, "ann", "reject", minutes=2)
    assert said(votes_of(second, first)) == {"ann": "reject"}


def test_of_versions_changed_at_one_time_the_one_pulled_last_counts() -> None:
    first = an_answer(TASK, "ann", "keep", minutes=1, pulled=5)
    second = an_answer(TASK, "ann", "reject", minutes=1, pulled=10)
    assert said(votes_of(second, first)) == {"ann": "reject"}


def test_when_it_was_changed_counts_more_than_when_it_was_pulled() -> None:
    first = an_answer(TASK, "ann", "keep", minutes=1, pulled=9)
    second = an_answer(TASK, "ann", "reject", minutes=2, pulled=5)
    assert said(votes_of(second, first)) == {"ann": "reject"}


@pytest.mark.parametrize("state", ["deleted", "skipped"])
def test_what_was_taken_back_is_no_vote(state: Any) -> None:
    first = an_answer(TASK, "ann", "keep", minutes=1)
    last = an_answer(TASK, "ann", "keep", minutes=2, state=state)
    assert votes_of(first, last) == Votes({}, {})


def test_a_forged_answer_is_no_vote_and_is_listed() -> None:
    own = an_answer(TASK, "ann", "keep", minutes=1)
    edited_by_other = an_answer(TASK, "ann", "reject", minutes=2, edited_by_other=True)
    votes = votes_of(own, edited_by_other)
    assert votes.by_window == {}
    assert votes.edited_by_other == (edited_by_other,)
    again = an_answer(TASK, "ann", "reject", minutes=3, edited_by_other=True)
    assert votes_of(edited_by_other, again).edited_by_other == (again,)


def test_marking_an_answer_as_the_known_one_forges_nothing() -> None:
    own = an_answer(TASK, "ann", "keep", minutes=1)
    starred = replace(
        own, version_id="v2", updated_by="boss", edited_by_other=True, ground_truth=True, updated_at=made_up.at(2)
    )
    assert said(votes_of(own, starred)) == {"ann": "keep"}
    changed = replace(starred, regions=made_up.regions([(1.0, 2.0, "speech")]))
    assert said(votes_of(own, changed)) == {}


@pytest.mark.parametrize("verdict", [None, "Keep", ""])
def test_no_verdict_is_no_vote_and_is_listed(verdict: str | None) -> None:
    answer = an_answer(TASK, "ann", verdict)
    votes = votes_of(answer)
    assert votes.by_window == {}
    assert votes.unanswered == (answer,)


def test_answers_to_unknown_tasks_are_listed() -> None:
    answer = an_answer(a_task(0, 50_000), "ann")
    votes = votes_of(answer)
    assert votes.by_window == {}
    assert votes.unplanned == (answer,)


def test_tasks_over_one_window_pool_their_votes() -> None:
    tasks = tuple(a_task(purpose=purpose) for purpose in ("label", "agreement", "audit", "gold"))
    answers = [an_answer(task, name) for task, name in zip(tasks, "abcd", strict=True)]
    assert said(votes_of(*answers, tasks=tasks)) == dict.fromkeys("abcd", "keep")


def test_one_vote_a_person_and_window_the_latest() -> None:
    label, audit = a_task(purpose="label"), a_task(purpose="audit")
    answers = an_answer(label, "ann", "keep", minutes=3), an_answer(audit, "ann", "reject", minutes=2)
    assert said(votes_of(*answers, tasks=(label, audit))) == {"ann": "keep"}


def test_windows_are_told_apart_by_recording_start_and_end() -> None:
    tasks = a_task(), a_task(recording="r2"), a_task(0, 59_000), a_task(1_000)
    votes = votes_of(*(an_answer(task, "ann") for task in tasks), tasks=tasks)
    assert set(votes.by_window) == {window_of(task) for task in tasks}
    assert len(votes.by_window) == 4


def test_adjudicators_are_no_voters_and_the_latest_counts() -> None:
    task = a_task(purpose="adjudicate")
    first, second = an_answer(task, "zoe", "keep", minutes=9), an_answer(task, "ann", "reject", minutes=8)
    votes = votes_of(an_answer(TASK, "ann"), first, second, tasks=(TASK, task))
    assert said(votes) == {"ann": "keep"}
    assert votes.adjudicated[WINDOW].annotator == "zoe"


def test_marks_are_contaminants_inside_the_window_on_whole_milliseconds() -> None:
    task = a_task(10_000, 20_000)
    marked = [
        (9.0, 11.0004, "speech"),
        (19.9996, 21.0, "music"),  # nothing of it is left inside on whole milliseconds
        (5.0, 10.0, "speech"),
        (12.0, 13.0, "sfx"),
        (14.0, 15.0, "noise"),
        (10.5, 12.0, "speech"),
    ]
    votes = votes_of(an_answer(task, "ann", marked=marked), tasks=(task,))
    assert votes.by_window[Window("r1", 10_000, 20_000)]["ann"].marks == {
        "speech": ((10_000, 11_000), (10_500, 12_000)),
    }


def test_reasons_count_once_and_in_order() -> None:
    votes = votes_of(an_answer(TASK, "ann", "reject", ["speech", "music", "speech"]))
    assert votes.by_window[WINDOW]["ann"].reasons == ("music", "speech")


@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rng: random.Random) -> None:
    tasks = [a_task(), a_task(purpose="label"), a_task(purpose="adjudicate")]
    answers = [
        an_answer(rng.choice(tasks), rng.choice("abc"), rng.choice(["keep", "reject", None]), minutes=minutes)
        for minutes in range(12)
    ]
    expected = collect_votes(tasks, answers)
    rng.shuffle(tasks)
    rng.shuffle(answers)
    assert collect_votes(tasks, answers) == expected

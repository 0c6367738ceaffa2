"""The account: no second is lost or counted twice, and every dropped item is counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.catalog.accounting import (
    DECISIONS,
    DUPLICATE,
    EXCLUDING,
    OUTCOMES,
    CorpusAccount,
    CutTotal,
    DropTotal,
    corpus_account,
    read_account,
)
from manifests.identity import cut_id
from manifests.records import Cut, CutDecision, Drop, Duplicate, Event, ItemKind, Recording, Status
from manifests.schema import to_table
from manifests.store import Corpus


def recording(duration: float | None, name: str = "r", status: Status = "ok") -> Recording:
    return Recording(recording_id=name, uri=f"media:{name}", duration=duration, has_video=False, status=status)


def event(label: str, start: float, end: float, name: str = "r", source: str = "fusion") -> Event:
    return Event(recording_id=name, start=start, end=end, label=label, source=source)


def cut(decision: CutDecision, start: float, end: float, name: str = "r") -> Cut:
    return Cut(
        cut_id=cut_id(name, round(start * 1000), round(end * 1000)),
        recording_id=name,
        start=start,
        end=end,
        decision=decision,
        risk=0.0,
        recipe_hash="0" * 16,
    )


def copy(start: float, end: float, name: str = "r") -> Duplicate:
    return Duplicate(recording_id=name, kept_id="kept", method="audio", offset=0.0, start=start, end=end)


def drop(kind: ItemKind, item: str, stage: str, reason: str) -> Drop:
    return Drop(item=item, item_kind=kind, stage=stage, reason=reason)


DECIDED = drop("recording", "r", "decide", "speech")  # as if without a cut: the recording was decided on


def account(
    recordings: Sequence[Recording],
    events: Sequence[Event] = (),
    cuts: Sequence[Cut] = (),
    drops: Sequence[Drop] = (DECIDED,),
    duplicates: Sequence[Duplicate] = (),
) -> CorpusAccount:
    rows = {"recordings": recordings, "events": events, "cuts": cuts, "drops": drops, "duplicates": duplicates}
    return corpus_account({name: to_table(name, own) for name, own in rows.items()})


def positive(found: CorpusAccount) -> dict[str, float]:
    assert tuple(found.seconds) == OUTCOMES
    return {outcome: value for outcome, value in found.seconds.items() if value}


def test_each_second_has_one_outcome() -> None:
    events = [event("speech", 10, 20), event("music", 15, 30), event("silence", 95, 100)]
    assert positive(account([recording(100.0)], events, [cut("accept", 31, 91)])) == {
        "accept": 60.0,
        "speech": 10.0,
        "music": 10.0,
        "silence": 5.0,
        "too_short": 15.0,
    }


def test_an_event_inside_a_cut_belongs_to_the_cut() -> None:
    found = account([recording(80.0)], [event("singing", 5, 9)], [cut("review", 0, 70), cut("reject", 70, 80)])
    assert positive(found) == {"review": 70.0, "reject": 10.0}


def test_sound_effects_and_noise_claim_nothing() -> None:
    found = account([recording(9.0)], [event("sfx", 0, 5), event("noise", 4, 9)])
    assert positive(found) == {"too_short": 9.0}


def test_regions_of_single_annotators_claim_nothing() -> None:
    found = account([recording(9.0)], [event("speech", 0, 5, source="annotator:ann"), event("music", 4, 6)])
    assert positive(found) == {"music": 2.0, "too_short": 7.0}


def test_a_copy_claims_its_time_unless_a_cut_overlaps_it() -> None:
    cuts, copies = [cut("accept", 0, 60)], [copy(50, 70), copy(80, 100)]
    found = account([recording(100.0)], [event("speech", 75, 85)], cuts, duplicates=copies)
    assert positive(found) == {"accept": 60.0, "duplicate": 20.0, "speech": 5.0, "too_short": 15.0}


@pytest.mark.parametrize("duration", [None, 0.0])
def test_a_recording_without_a_duration_has_no_seconds(duration: float | None) -> None:
    assert positive(account([recording(duration)])) == {}


spans = st.tuples(st.integers(0, 120), st.integers(1, 60)).map(lambda s: (s[0], s[0] + s[1]))
labels = st.sampled_from([*EXCLUDING, "sfx", "noise"])
names = st.sampled_from("ab")
cut_lists = st.lists(st.tuples(names, st.sampled_from(DECISIONS), spans), max_size=5)
event_lists = st.lists(st.tuples(names, labels, spans, st.sampled_from(["fusion", "annotator:ann"])), max_size=8)


@settings(deadline=None)
@given(duration=st.floats(0.04, 150.0), events=event_lists, cuts=cut_lists)
def test_the_outcomes_sum_to_the_duration(
    duration: float,
    events: list[tuple[str, str, tuple[int, int], str]],
    cuts: list[tuple[str, CutDecision, tuple[int, int]]],
) -> None:
    found = account(
        [recording(duration, "a"), recording(70.0, "b")],
        [event(label, *span, name, source) for name, label, span, source in events],
        [cut(decision, *span, name) for name, decision, span in cuts],
    )
    for name, whole in (("a", duration), ("b", 70.0)):
        assert all(seconds >= 0 for seconds in found.by_recording[name].values())
        assert sum(found.by_recording[name].values()) == pytest.approx(whole, abs=1e-9)
    assert found.duration == pytest.approx(duration + 70.0)


@settings(deadline=None)
@given(
    durations=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    events=event_lists,
    cuts=cut_lists,
    copies=st.lists(st.tuples(names, spans), max_size=3),
    dropped=st.sets(names),
)
def test_it_agrees_with_counting_second_by_second(
    durations: tuple[int, int],
    events: list[tuple[str, str, tuple[int, int], str]],
    cuts: list[tuple[str, CutDecision, tuple[int, int]]],
    copies: list[tuple[str, tuple[int, int]]],
    dropped: set[str],
) -> None:
    found = account(
        [recording(float(length), name) for name, length in zip("ab", durations, strict=True)],
        [event(label, *span, name, source) for name, label, span, source in events],
        [cut(decision, *span, name) for name, decision, span in cuts],
        [drop("recording", name, "decide", "speech") for name in sorted(dropped)],
        [copy(*span, name) for name, span in copies],
    )
    for name, length in zip("ab", durations, strict=True):
        own_cuts = [(decision, span) for owner, decision, span in cuts if owner == name]
        claims: list[tuple[str, tuple[int, int]]] = [*own_cuts]
        claims += [(label, span) for owner, label, span, source in events if owner == name and source == "fusion"]
        claims += [
            (DUPLICATE, (start, end))
            for owner, (start, end) in copies
            if owner == name and not any(start < last and first < end for _, (first, last) in own_cuts)
        ]
        outcome_of = np.full(length, "too_short", dtype="<U10")
        for outcome in reversed((*DECISIONS, DUPLICATE, *EXCLUDING)):
            for claimed, (start, end) in claims:
                if claimed == outcome:
                    outcome_of[start:end] = outcome
        if not own_cuts and name not in dropped:
            outcome_of[:] = "undecided"
        expected = {outcome: pytest.approx(np.count_nonzero(outcome_of == outcome)) for outcome in OUTCOMES}
        assert found.by_recording[name] == expected


def corpus_rows() -> dict[str, list[object]]:
    cuts = [
        cut("accept", 0, 60, "kept"),
        cut("accept", 130, 200, "kept"),
        cut("reject", 0, 90, "blind"),
    ]
    return {
        "recordings": [
            recording(200.0, "kept"),
            recording(100.0, "talk"),
            recording(70.0, "mute", "no_audio"),
            recording(None, "torn", "unreadable"),
            recording(90.0, "blind"),
            recording(65.0, "new"),
        ],
        "events": [event("speech", 0, 80, "talk"), event("music", 100, 130, "kept")],
        "cuts": [*cuts],
        "drops": [
            drop("recording", "talk", "decide", "speech"),
            drop("recording", "mute", "score", "no_audio_stream"),
            drop("recording", "torn", "identify", "unreadable"),
            drop("recording", "torn", "score", "unreadable"),
            drop("recording", "new", "decide", "unscored"),
            drop("source", "gone", "identify", "vanished"),
            drop("source", "gone too", "identify", "vanished"),
            drop("source", "talk", "identify", "not_media"),  # the id of a recording, but of another kind
            drop("cut", cuts[-1].cut_id, "decide", "no_video"),
        ],
        "duplicates": [],
    }


def check_corpus(total: CorpusAccount) -> None:
    assert total.recordings == 6
    assert total.duration == pytest.approx(525.0)
    assert positive(total) == pytest.approx(
        {"accept": 130.0, "reject": 90.0, "speech": 80.0, "music": 30.0, "too_short": 60.0, "undecided": 135.0}
    )
    assert total.by_recording["mute"]["undecided"] == 70.0
    assert sum(total.by_recording["torn"].values()) == 0.0
    assert total.cuts == {
        "accept": CutTotal(2, 130.0),
        "review": CutTotal(0, 0.0),
        "reject": CutTotal(1, 90.0),
    }
    assert total.drops == (
        DropTotal("recording", "speech", 1, 100.0),
        DropTotal("cut", "no_video", 1, 90.0),
        DropTotal("recording", "no_audio_stream", 1, 70.0),
        DropTotal("recording", "unscored", 1, 65.0),
        DropTotal("source", "vanished", 2, None),
        DropTotal("recording", "unreadable", 1, None),
        DropTotal("source", "not_media", 1, None),
    )


def test_a_corpus_adds_up_and_counts_its_drops() -> None:
    check_corpus(corpus_account({name: to_table(name, rows) for name, rows in corpus_rows().items()}))


def test_the_account_of_a_corpus_is_that_of_its_tables(tmp_path: Path) -> None:
    corpus = Corpus.create(tmp_path / "corpus")
    assert read_account(corpus).recordings == 0
    for name, rows in corpus_rows().items():
        corpus.replace(name, rows)
    check_corpus(read_account(corpus))


@pytest.mark.parametrize("reason", ["unscored", "worker_crashed", "internal_error"])
def test_what_failed_on_the_way_to_a_decision_is_undecided(reason: str) -> None:
    total = account([recording(200.0, "r")], drops=[drop("recording", "r", "decide", reason)])
    assert positive(total) == {"undecided": 200.0}
    total = account([recording(200.0, "r")], drops=[drop("recording", "r", "decide", "too_short")])
    assert positive(total) == {"too_short": 200.0}


def test_an_empty_corpus_has_an_account_too() -> None:
    total = account([], drops=[])
    assert (total.recordings, total.duration, total.drops, total.by_recording) == (0, 0.0, (), {})
    assert total.cuts["accept"] == CutTotal(0, 0.0)

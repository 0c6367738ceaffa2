"""The account: no second is lost or counted twice, and every input that did not make it is counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.catalog.accounting import DECISIONS, EXCLUDING, OUTCOMES, CutTotal, DropTotal, account, corpus_account
from manifests.identity import cut_id
from manifests.records import Cut, CutDecision, Drop, Event, ItemKind, Recording, Status


def recording(duration: float | None, name: str = "r", status: Status = "ok") -> Recording:
    return Recording(recording_id=name, uri=f"media:{name}", duration=duration, has_video=False, status=status)


def event(label: str, start: float, end: float, name: str = "r") -> Event:
    return Event(recording_id=name, start=start, end=end, label=label, source="fusion")


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


def drop(kind: ItemKind, item: str, stage: str, reason: str) -> Drop:
    return Drop(item=item, item_kind=kind, stage=stage, reason=reason)


def positive(seconds: dict[str, float]) -> dict[str, float]:
    assert tuple(seconds) == OUTCOMES
    return {fate: value for fate, value in seconds.items() if value}


def test_each_second_goes_to_one_fate() -> None:
    events = [event("speech", 10, 20), event("music", 15, 30), event("silence", 95, 100)]
    cuts = [cut("accept", 31, 91)]
    assert positive(account(recording(100.0), events, cuts)) == {
        "accept": 60.0,
        "speech": 10.0,
        "music": 10.0,
        "silence": 5.0,
        "too_short": 15.0,
    }


def test_a_doubtful_event_inside_a_cut_belongs_to_the_cut() -> None:
    fates = account(recording(80.0), [event("singing", 5, 9)], [cut("review", 0, 70), cut("reject", 70, 80)])
    assert positive(fates) == {"review": 70.0, "reject": 10.0}


def test_sound_effects_and_noise_claim_nothing() -> None:
    assert positive(account(recording(9.0), [event("sfx", 0, 5), event("noise", 4, 9)], [])) == {"too_short": 9.0}


@pytest.mark.parametrize("duration", [None, 0.0])
def test_a_recording_without_a_duration_has_no_hours(duration: float | None) -> None:
    assert positive(account(recording(duration), [], [])) == {}


spans = st.tuples(st.integers(0, 120), st.integers(1, 60)).map(lambda s: (s[0], s[0] + s[1]))
labels = st.sampled_from([*EXCLUDING, "sfx", "noise"])


@given(
    duration=st.floats(0.04, 150.0),
    events=st.lists(st.tuples(labels, spans), max_size=8),
    cuts=st.lists(st.tuples(st.sampled_from(DECISIONS), spans), max_size=5),
)
def test_the_fates_sum_to_the_duration(
    duration: float,
    events: list[tuple[str, tuple[int, int]]],
    cuts: list[tuple[CutDecision, tuple[int, int]]],
) -> None:
    fates = account(recording(duration), [event(la, *s) for la, s in events], [cut(d, *s) for d, s in cuts])
    assert all(seconds >= 0 for seconds in fates.values())
    assert sum(fates.values()) == pytest.approx(duration, abs=1e-9)


@given(
    duration=st.integers(1, 150),
    events=st.lists(st.tuples(labels, spans), max_size=8),
    cuts=st.lists(st.tuples(st.sampled_from(DECISIONS), spans), max_size=5),
)
def test_it_agrees_with_counting_second_by_second(
    duration: int, events: list[tuple[str, tuple[int, int]]], cuts: list[tuple[CutDecision, tuple[int, int]]]
) -> None:
    claims: Sequence[tuple[str, tuple[int, int]]] = [*cuts, *events]
    fate_of = np.full(duration, "too_short", dtype="<U10")
    for fate in reversed((*DECISIONS, *EXCLUDING)):
        for claimed, (start, end) in claims:
            if claimed == fate:
                fate_of[start:end] = fate
    fates = account(recording(float(duration)), [event(la, *s) for la, s in events], [cut(d, *s) for d, s in cuts])
    assert fates == {fate: pytest.approx(np.count_nonzero(fate_of == fate)) for fate in OUTCOMES}


def test_a_corpus_adds_up_and_counts_what_did_not_make_it() -> None:
    recordings = [
        recording(200.0, "kept"),
        recording(100.0, "talk"),
        recording(70.0, "mute", "no_audio"),
        recording(None, "torn", "unreadable"),
        recording(90.0, "blind"),
        recording(65.0, "new"),
    ]
    events = [event("speech", 0, 80, "talk"), event("music", 100, 130, "kept")]
    cuts = [
        cut("accept", 0, 60, "kept"),
        cut("accept", 130, 200, "kept"),
        cut("reject", 0, 90, "blind"),
    ]
    rejected = cuts[-1].cut_id
    drops = [
        drop("recording", "talk", "decide", "speech"),
        drop("recording", "mute", "score", "no_audio_stream"),
        drop("recording", "torn", "identify", "unreadable"),
        drop("recording", "torn", "score", "unreadable"),
        drop("recording", "new", "decide", "unscored"),
        drop("source", "gone", "identify", "vanished"),
        drop("source", "gone too", "identify", "vanished"),
        drop("cut", rejected, "decide", "no_video"),
    ]
    total = corpus_account(recordings, events, cuts, drops)

    assert total.recordings == 6
    assert total.duration == pytest.approx(525.0)
    assert positive(dict(total.seconds)) == pytest.approx(
        {"accept": 130.0, "reject": 90.0, "speech": 80.0, "music": 30.0, "too_short": 60.0, "unheard": 135.0}
    )
    assert total.by_recording["mute"]["unheard"] == 70.0
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
    )


def test_an_empty_corpus_has_an_account_too() -> None:
    total = corpus_account([], [], [], [])
    assert (total.recordings, total.duration, total.drops) == (0, 0.0, ())

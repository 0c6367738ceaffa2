"""Who is kept: from matches, durations and a rank alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import curation.duplicates.groups as groups
from curation.duplicates import Kind, Match, Rule, copied_time, duplicates
from curation.duplicates.groups import _Piece, one_to_one
from manifests.records import Duplicate
from manifests.time import Segment, Timeline


def match(one: str, other: str, start: float, end: float, offset: float = 0.0, kind: Kind = "audio") -> Match:
    if one > other:
        one, other, start, end, offset = other, one, start + offset, end + offset, -offset
    return Match(one, other, kind, start, end, offset, 0.9)


def row(recording_id: str, kept_id: str, method: Kind, offset: float, start: float, end: float) -> Duplicate:
    return Duplicate(recording_id=recording_id, kept_id=kept_id, method=method, offset=offset, start=start, end=end)


def by_name(name: str) -> str:
    return name


def first(*names: str) -> Callable[[str], tuple[int, str]]:
    return lambda name: (names.index(name) if name in names else len(names), name)


def test_of_two_equal_ones_the_better_ranked_stays() -> None:
    matches = [match("a", "b", 4, 180, -4)]
    durations = {"a": 180.0, "b": 176.0}
    assert duplicates(matches, durations, by_name) == [row("b", "a", "audio", 4, 0, 176)]
    assert duplicates(matches, durations, first("b")) == [row("a", "b", "audio", -4, 4, 180)]


@pytest.mark.parametrize("rank", [first("long"), first("short")])
def test_an_excerpt_goes_whatever_its_rank(rank: Callable[[str], tuple[int, str]]) -> None:
    matches = [match("long", "short", 5000, 5030, -5000)]
    rows = duplicates(matches, {"long": 10800.0, "short": 30.0}, rank)
    assert rows == [row("short", "long", "audio", 5000, 0, 30)]


def test_both_parts_of_a_compilation_go() -> None:
    matches = [match("whole", "one", 0, 250), match("whole", "two", 300, 550, -300)]
    rows = duplicates(matches, {"whole": 600.0, "one": 250.0, "two": 250.0}, first("one", "two"))
    assert [(r.recording_id, r.kept_id, r.offset) for r in rows] == [("one", "whole", 0), ("two", "whole", 300)]


def test_two_long_ones_that_share_an_excerpt_both_stay() -> None:
    durations = {"excerpt": 30.0, "one": 1000.0, "two": 900.0}
    matches = [
        match("excerpt", "one", 0, 30, 500),
        match("excerpt", "two", 0, 30, 100),
        match("one", "two", 500, 530, -400),
    ]
    rows = duplicates(matches, durations, by_name)
    assert rows == [row("excerpt", "one", "audio", 500, 0, 30)]


def test_of_several_kept_ones_the_one_that_holds_most_is_named() -> None:
    durations = {"excerpt": 30.0, "one": 1000.0, "two": 900.0}
    matches = [match("excerpt", "one", 0, 20, 500), match("excerpt", "two", 0, 28, 100)]
    assert [r.kept_id for r in duplicates(matches, durations, by_name)] == ["two"]


@pytest.mark.parametrize(
    ("overlap", "dropped"), [(29.9, False), (30.0, True), (60.0, True)], ids=["under", "on", "over"]
)
def test_the_share_of_the_shorter_decides(overlap: float, dropped: bool) -> None:
    rows = duplicates([match("a", "b", 0, overlap)], {"a": 100.0, "b": 60.0}, by_name)
    assert [r.recording_id for r in rows] == (["b"] if dropped else [])


@pytest.mark.parametrize(("overlap", "dropped"), [(9.9, False), (10.0, True)], ids=["under", "on"])
def test_so_many_seconds_are_needed_in_one_piece(overlap: float, dropped: bool) -> None:
    rows = duplicates([match("a", "b", 0, overlap)], {"a": 12.0, "b": 12.0}, by_name)
    assert bool(rows) == dropped
    assert bool(duplicates([match("a", "b", 0, overlap)], {"a": 12.0, "b": 12.0}, by_name, Rule(min_overlap=5.0)))


def test_the_pieces_of_a_recut_copy_count_together() -> None:
    matches = [match("a", "b", 0, 20), match("a", "b", 40, 55, -20), match("a", "b", 70, 85, 0)]
    durations = {"a": 100.0, "b": 100.0}
    assert duplicates(matches, durations, by_name) == [row("b", "a", "audio", 0, 0, 20)]
    assert duplicates(matches[:2], durations, by_name) == []


def test_a_sample_used_again_and_again_counts_once() -> None:
    """As the 18 s of one sea that a file of 64 s has twice and one of 170 s three times."""
    uses = [(12.5, 30.5), (43.0, 61.0)]
    matches = [match("a", "b", start, end, to - start) for start, end in uses for to in (0.0, 61.0, 122.0)]
    assert duplicates(matches, {"a": 64.0, "b": 170.0}, by_name) == []
    assert duplicates(matches, {"a": 36.0, "b": 170.0}, by_name) != []


def test_one_without_a_match_to_the_kept_one_points_there_along_the_chain() -> None:
    matches = [match("a", "b", 10, 100, -10), match("b", "c", 5, 80, -5)]
    rows = duplicates(matches, {"a": 100.0, "b": 100.0, "c": 90.0}, by_name)
    assert rows == [row("b", "a", "audio", 10, 0, 90), row("c", "a", "audio", 15, 0, 75)]


def test_a_chain_along_which_too_little_arrives_ends() -> None:
    matches = [match("a", "b", 40, 100, -40), match("b", "c", 40, 100, -40)]
    rows = duplicates(matches, {"a": 100.0, "b": 100.0, "c": 100.0}, by_name)
    assert [(r.recording_id, r.kept_id) for r in rows] == [("b", "a")]


def test_a_chain_along_which_less_than_the_least_overlap_arrives_ends() -> None:
    matches = [match("a", "b", 3, 15, -3), match("b", "c", 3, 15, -3)]
    rows = duplicates(matches, {"a": 15.0, "b": 15.0, "c": 15.0}, by_name)
    assert [(r.recording_id, r.kept_id) for r in rows] == [("b", "a")]
    rows = duplicates(matches, {"a": 15.0, "b": 15.0, "c": 15.0}, by_name, Rule(min_overlap=9.0))
    assert [(r.recording_id, r.kept_id) for r in rows] == [("b", "a"), ("c", "a")]


def test_the_method_is_that_of_the_longer_overlap() -> None:
    durations = {"a": 100.0, "b": 100.0}
    sound, sight = match("a", "b", 0, 80), match("a", "b", 0, 90, 0.2, "picture")
    assert [r.method for r in duplicates([sound, sight], durations, by_name)] == ["picture"]
    assert [r.method for r in duplicates([sound], durations, by_name)] == ["audio"]


def test_a_recording_without_duration_is_named() -> None:
    with pytest.raises(ValueError, match="recording b has a match but no duration"):
        duplicates([match("a", "b", 0, 20)], {"a": 20.0}, by_name)


def test_copied_time_is_every_piece_that_a_kept_one_holds() -> None:
    matches = [
        match("a", "b", 0, 20),
        match("a", "b", 40, 100, -20),
        match("a", "b", 5, 30, 0.2, "picture"),
        match("b", "c", 85, 95),
    ]
    rows = duplicates(matches, {"a": 100.0, "b": 100.0, "c": 500.0}, by_name)
    assert [(r.recording_id, r.kept_id) for r in rows] == [("b", "a")]
    assert copied_time("b", rows, matches) == Timeline([Segment(0, 80), Segment(85, 95)])
    assert copied_time("b", rows, matches[:3]) == Timeline([Segment(0, 80)])
    assert copied_time("a", rows, matches) == Timeline()


def test_what_no_kept_one_holds_is_left_in_one_of_the_others() -> None:
    matches = [match("a", "b", 0, 60), match("a", "c", 0, 60), match("b", "c", 0, 90)]
    rows = duplicates(matches, {"a": 60.0, "b": 100.0, "c": 100.0}, by_name)
    assert [(r.recording_id, r.kept_id) for r in rows] == [("b", "a"), ("c", "a")]
    assert copied_time("b", rows, matches) == Timeline([Segment(0, 60)])
    assert copied_time("c", rows, matches) == Timeline([Segment(0, 90)])


def test_copied_time_of_a_compilation_is_what_any_kept_one_holds() -> None:
    matches = [match("whole", "one", 0, 400), match("whole", "two", 400, 600, -400)]
    rows = duplicates(matches, {"whole": 600.0, "one": 400.0, "two": 200.0}, first("one", "whole"))
    assert [(r.recording_id, r.kept_id) for r in rows] == [("whole", "one")]
    assert copied_time("whole", rows, matches) == Timeline([Segment(0, 600)])


def test_copied_time_along_a_chain_is_what_arrives() -> None:
    matches = [match("a", "b", 10, 100, -10), match("b", "c", 5, 80, -5)]
    rows = duplicates(matches, {"a": 100.0, "b": 100.0, "c": 90.0}, by_name)
    assert copied_time("c", rows, matches) == Timeline([Segment(0, 75)])


def test_pieces_are_counted_without_what_is_tied_to_them() -> None:
    pieces = [_Piece(0, 20, 0), _Piece(15, 40, 100), _Piece(0, 9, 50)]
    assert one_to_one(pieces, 10) == (_Piece(15, 40, 100), _Piece(0, 15, 0))


def test_pieces_that_lead_in_a_circle_leave_slivers_and_no_error() -> None:
    """Two recordings that share loops in another order: rounding leaves time shorter than floats lie apart there."""
    for seed in range(50):
        draw = random.Random(seed)
        offsets = [offset + draw.uniform(-0.05, 0.05) for offset in (48.43, -6.02, -76.48)]
        spans = [(21.28, 65.76), (65.76, 76.384), (91.168, 136.736)]
        pieces = [_Piece(*span, offset) for span, offset in zip(spans, offsets, strict=True)]
        assert one_to_one(pieces, 10)


def test_a_pair_that_cannot_be_compared_is_named_and_keeps_no_other_from_its_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = groups.one_to_one

    def broken(pieces: Iterable[_Piece], least: float) -> tuple[_Piece, ...]:
        held = list(pieces)
        if held[0].offset == 7:
            raise ValueError("a fault of ours")
        return real(held, least)

    monkeypatch.setattr(groups, "one_to_one", broken)
    matches = [match("a", "b", 0, 90), match("c", "d", 0, 90, 7)]
    durations = dict.fromkeys("abcd", 100.0)
    with pytest.raises(ValueError, match="a fault of ours"):
        duplicates(matches, durations, by_name)
    faults: list[tuple[str, str, str]] = []
    rows = duplicates(matches, durations, by_name, on_fault=lambda *one: faults.append((*one[:2], str(one[2]))))
    assert [(r.recording_id, r.kept_id) for r in rows] == [("b", "a")]
    assert faults == [("c", "d", "a fault of ours")]


# laws

NAMES = "abcdef"
names = st.sampled_from(NAMES)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Match], dict[str, float]]:
    """Recordings cut from one long tape, and the true matches among them, some left out."""
    starts = {name: draw(st.integers(0, 200)) for name in NAMES}
    durations = {name: float(draw(st.integers(5, 150))) for name in NAMES}
    matches = []
    for one in NAMES:
        for other in NAMES:
            begin = max(starts[one], starts[other])
            end = min(starts[one] + durations[one], starts[other] + durations[other])
            if one < other and end - begin >= 8 and draw(st.integers(0, 9)) > 1:
                kind: Kind = draw(st.sampled_from(["audio", "picture"]))
                matches.append(
                    match(one, other, begin - starts[one], end - starts[one], starts[one] - starts[other], kind)
                )
    return matches, durations


@settings(max_examples=300)
@given(cases(), st.permutations(NAMES), st.randoms())
def test_laws_of_groups(case: tuple[list[Match], dict[str, float]], order: list[str], random: object) -> None:
    matches, durations = case
    rank, rule = first(*order), Rule()
    rows = duplicates(matches, durations, rank, rule)
    dropped = [row.recording_id for row in rows]
    assert dropped == sorted(set(dropped))
    shuffled = list(matches)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert duplicates(shuffled, durations, rank, rule) == rows
    kept = set(NAMES) - set(dropped)
    for row in rows:
        assert row.kept_id in kept
        assert row.end - row.start >= rule.min_overlap - 1e-6
        assert row.end - row.start >= rule.min_share * durations[row.recording_id] - 1e-6
        assert row.start >= -1e-6 and row.end <= durations[row.recording_id] + 1e-6
        assert row.start + row.offset >= -1e-6 and row.end + row.offset <= durations[row.kept_id] + 1e-6
        assert copied_time(row.recording_id, rows, matches).covers(Segment(row.start, row.end))
    for one in matches:
        seconds, pair = one.end - one.start, (one.recording_id, one.other_id)
        shares = {name: seconds / durations[name] for name in pair}
        if seconds >= rule.min_overlap and kept.issuperset(pair):
            # of two that are kept, neither covers the other
            assert max(shares.values()) < rule.min_share
        for row in rows:
            # what goes in favour of a direct match is what is covered; where both are, it is not the better ranked
            if {row.recording_id, row.kept_id} == set(pair) and shares[row.kept_id] >= rule.min_share:
                assert shares[row.recording_id] >= rule.min_share


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(1, 60), st.integers(-50, 50)), max_size=6))
def test_counted_pieces_never_share_a_second_on_either_side(raw: list[tuple[int, int, int]]) -> None:
    pieces = [_Piece(float(start), float(start + length), float(offset)) for start, length, offset in raw]
    chosen = one_to_one(pieces, 10)
    mine = Timeline(Segment(p.start, p.end) for p in chosen)
    theirs = Timeline(Segment(p.start + p.offset, p.end + p.offset) for p in chosen)
    total = sum(p.seconds for p in chosen)
    assert mine.duration == pytest.approx(total) and theirs.duration == pytest.approx(total)
    assert all(p.seconds >= 10 for p in chosen)
    assert bool(chosen) == any(length >= 10 for _, length, _ in raw)


fractions = st.floats(0, 200).map(lambda seconds: round(seconds, 3))
jitter = st.floats(-0.05, 0.05)
loops = st.lists(st.tuples(fractions, fractions.map(lambda s: 10 + s), st.integers(-100, 100), jitter), max_size=6)


@settings(max_examples=500)
@given(loops, st.sampled_from([1e-9, 0.5, 10.0]))
def test_no_pieces_of_any_offsets_raise_or_count_a_second_twice(
    raw: list[tuple[float, float, int, float]], least: float
) -> None:
    pieces = [_Piece(start, start + length, offset + by) for start, length, offset, by in raw]
    chosen = one_to_one(pieces, least)
    for side in ([(p.start, p.end) for p in chosen], [(p.start + p.offset, p.end + p.offset) for p in chosen]):
        held = Timeline(Segment(*span) for span in side)
        assert held.duration == pytest.approx(sum(p.seconds for p in chosen), abs=1e-6)
    assert bool(chosen) == bool(pieces)


@settings(max_examples=300)
@given(loops)
def test_no_matches_of_any_offsets_raise(raw: list[tuple[float, float, int, float]]) -> None:
    matches = [match("a", "b", start, start + length, offset + by) for start, length, offset, by in raw]
    rows = duplicates(matches, {"a": 500.0, "b": 500.0}, by_name)
    for one in rows:
        assert one.segment.duration >= 10 - 1e-6
        assert copied_time(one.recording_id, rows, matches).covers(one.segment)

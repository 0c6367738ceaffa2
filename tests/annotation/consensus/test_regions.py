"""Where contaminants are: laws, and a count of every millisecond."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.consensus import weigh_marks
from annotation.consensus.regions import Contested, WeighedMarks, merged, sweep, without
from annotation.consensus.votes import Marks, Span

LENGTH = 60
spans = st.integers(0, LENGTH - 1).flatmap(lambda start: st.tuples(st.just(start), st.integers(start + 1, LENGTH)))
own_marks = st.dictionaries(st.sampled_from(["speech", "music"]), st.lists(spans, max_size=4).map(tuple))
marks_of_all = st.lists(own_marks, min_size=1, max_size=5).map(lambda rows: dict(zip("abcde", rows, strict=False)))
some_weights = st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=5, max_size=5)


def cells(marked: tuple[Span, ...] | list[Span]) -> set[int]:
    return {at for start, end in marked for at in range(start, end)}


def runs(covered: set[int]) -> tuple[Span, ...]:
    starts = sorted(at for at in covered if at - 1 not in covered)
    ends = sorted(at + 1 for at in covered if at + 1 not in covered)
    return tuple(zip(starts, ends, strict=True))


def counted(marks: dict[str, Marks], weights: dict[str, float], slack_ms: int) -> WeighedMarks:
    """The same, millisecond by millisecond."""
    labels = sorted({label for own in marks.values() for label in own})
    total = sum(weights.values())
    by = {
        label: {
            at: [name for name, own in marks.items() if at in cells(own.get(label, ()))]
            for at in range(-slack_ms, LENGTH + slack_ms)
        }
        for label in labels
    }
    agreed = {
        label: {at for at, names in here.items() if names and 2 * sum(weights[name] for name in names) >= total}
        for label, here in by.items()
    }
    near = {at + step for here in agreed.values() for at in here for step in range(-slack_ms, slack_ms + 1)}
    contested = [
        Contested(label, start, end, max(len(by[label][at]) for at in range(start, end)))
        for label in labels
        for start, end in runs({at for at, names in by[label].items() if names} - agreed[label] - near)
    ]
    return WeighedMarks(
        {label: runs(here) for label, here in agreed.items() if here},
        tuple(sorted(contested, key=lambda one: (one.start_ms, one.end_ms, one.label))),
    )


@given(marks_of_all, st.integers(0, 12))
def test_counting_milliseconds_gives_the_same(marks: dict[str, Marks], slack_ms: int) -> None:
    assert weigh_marks(marks, slack=slack_ms / 1000) == counted(marks, dict.fromkeys(marks, 1.0), slack_ms)


@given(marks_of_all, some_weights, st.integers(0, 12))
def test_counting_milliseconds_by_weight_gives_the_same(
    marks: dict[str, Marks], numbers: list[float], slack_ms: int
) -> None:
    weights = dict(zip(marks, numbers, strict=False))
    even = weights if any(weights.values()) else dict.fromkeys(marks, 1.0)
    assert weigh_marks(marks, weights, slack_ms / 1000) == counted(marks, even, slack_ms)


@given(marks_of_all)
def test_what_all_marked_is_agreed_and_what_nobody_did_is_not(marks: dict[str, Marks]) -> None:
    heard = weigh_marks(marks, slack=0.0)
    for label in ("speech", "music"):
        own = [cells(one.get(label, ())) for one in marks.values()]
        agreed = cells(heard.agreed.get(label, ()))
        assert set.intersection(*own) <= agreed <= set.union(*own)
        contested = cells([(one.start_ms, one.end_ms) for one in heard.contested if one.label == label])
        assert contested <= set.union(*own) - agreed


@given(marks_of_all, some_weights, st.randoms(use_true_random=False))
def test_the_order_of_annotators_and_spans_does_not_matter(
    marks: dict[str, Marks], numbers: list[float], rng: random.Random
) -> None:
    weights = dict(zip(marks, numbers, strict=False))
    names = list(marks)
    rng.shuffle(names)
    turned = {name: {label: tuple(reversed(own)) for label, own in [*marks[name].items()][::-1]} for name in names}
    assert weigh_marks(turned, {name: weights[name] for name in names}) == weigh_marks(marks, weights)


@given(marks_of_all)
def test_a_sweep_says_who_marked_what(marks: dict[str, Marks]) -> None:
    own = {name: one.get("speech", ()) for name, one in marks.items()}
    stretches = sweep(own, dict.fromkeys(own, 1.0))
    for one in stretches:
        assert one.start_ms < one.end_ms
        assert one.share == pytest.approx(len(one.by) / len(own))
        for at in range(one.start_ms, one.end_ms):
            assert one.by == tuple(sorted(name for name, marked in own.items() if at in cells(marked)))
    covered = [cells([(one.start_ms, one.end_ms)]) for one in stretches]
    assert sum(len(one) for one in covered) == len(set().union(*covered)) == len(set().union(*map(cells, own.values())))
    assert all((a.end_ms, a.by) != (b.start_ms, b.by) for a, b in pairwise(stretches))


# by hand


def speech(*marked: Span) -> Marks:
    return {"speech": marked}


def test_a_tie_counts_as_present() -> None:
    assert weigh_marks({"a": speech((100, 200)), "b": {}}) == WeighedMarks({"speech": ((100, 200),)}, ())


def test_one_of_three_is_contested() -> None:
    heard = weigh_marks({"a": speech((12_300, 14_000)), "b": {}, "c": {}})
    assert heard == WeighedMarks({}, (Contested("speech", 12_300, 14_000, 1),))


def test_edges_within_the_slack_are_not_contested() -> None:
    both = speech((5_000, 6_000))
    heard = weigh_marks({"a": both, "b": both, "c": speech((4_000, 7_000))})
    assert heard == WeighedMarks({"speech": ((5_000, 6_000),)}, ())
    longer = weigh_marks({"a": both, "b": both, "c": speech((3_999, 7_002))})
    assert longer.contested == (Contested("speech", 3_999, 4_000, 1), Contested("speech", 7_000, 7_002, 1))


def test_the_slack_is_around_all_that_is_agreed() -> None:
    both = {"speech": ((0, 1_000),), "music": ((10_000, 11_000), (20_000, 21_000))}
    third = speech((0, 2_000), (9_000, 12_000), (19_000, 22_000))
    assert weigh_marks({"a": both, "b": both, "c": third}).contested == ()
    assert [one.start_ms for one in weigh_marks({"a": both, "b": both, "c": third}, slack=0.5).contested] == [
        1_500, 9_000, 11_500, 19_000, 21_500,
    ]  # fmt: skip


def test_time_that_goes_for_another_label_is_not_contested() -> None:
    sung = {"singing": ((1_000, 9_000),)}
    heard = weigh_marks({"a": sung, "b": sung, "c": {"music": ((1_000, 9_000),)}})
    assert heard == WeighedMarks({"singing": ((1_000, 9_000),)}, ())


def test_weights_decide_and_all_zero_is_even() -> None:
    marks = {"a": speech((0, 10)), "b": {}, "c": {}}
    assert weigh_marks(marks, {"a": 3.0, "b": 1.0, "c": 1.0}).agreed == {"speech": ((0, 10),)}
    assert weigh_marks(marks, {"a": 0.1, "b": 1.0, "c": 1.0}, slack=0.0).contested
    assert weigh_marks(marks, dict.fromkeys("abc", 0.0), slack=0.0).contested


def test_the_most_at_one_time_are_counted() -> None:
    marks = {"a": speech((0, 30)), "b": speech((10, 20)), "c": {}, "d": {}, "e": {}}
    assert weigh_marks(marks, slack=0.0).contested == (Contested("speech", 0, 30, 2),)


@given(st.lists(spans, max_size=6), st.lists(spans, max_size=6))
def test_spans_without_holes(first: list[Span], second: list[Span]) -> None:
    assert merged(first) == runs(cells(first))
    assert without(merged(first), merged(second)) == runs(cells(first) - cells(second))

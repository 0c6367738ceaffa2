"""The order of clips: every one once an epoch, shared out without loss, the same wherever one begins."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from model.errors import ModelError
from model.training.batching import BatchOrder, StepPlan, Steps
from model.training.condition_dropout import apply_mask, draw_mask
from model.training.ema import WeightAverage

CUTS = [range(3), range(3, 4), range(4, 11), range(11, 16)]


def plans(order: BatchOrder, epoch: int) -> list[StepPlan]:
    return [order.at(epoch * order.steps_per_epoch + i) for i in range(order.steps_per_epoch)]


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 5),
)
def test_each_clip_comes_once_an_epoch(lengths: list[int], batch: int, group: int, world: int, epoch: int) -> None:
    batch = max(batch, world)
    firsts = [sum(lengths[:i]) for i in range(len(lengths))]
    cuts = [range(first, first + length) for first, length in zip(firsts, lengths, strict=True)]
    ranks = [plans(BatchOrder(cuts, batch, group, 3, rank, world), epoch) for rank in range(world)]
    whole = plans(BatchOrder(cuts, batch, group, 3), epoch)
    seen: Counter[int] = Counter()
    for step, parts in enumerate(zip(*ranks, strict=True)):
        counted = [clip for part in parts for clip, weight in zip(part.clips, part.weights, strict=True) if weight]
        # what the processes take is what one would have taken, in its order
        assert tuple(counted) == whole[step].clips
        assert all(part.clips and part.epoch == epoch for part in parts)
        # the mean over processes of weighted sums is the mean over clips
        assert sum(sum(part.weights) for part in parts) / world == pytest.approx(1.0)
        assert len({weight for part in parts for weight in part.weights if weight}) == 1
        seen.update(counted)
    assert seen == Counter(range(sum(lengths)))
    assert all(len(plan.clips) == batch for plan in whole[:-1])


def test_any_step_is_found_without_those_before_it() -> None:
    order = BatchOrder(CUTS, 4, 2, seed=1)
    walked = [order.at(step) for step in range(20)]
    assert [BatchOrder(CUTS, 4, 2, seed=1).at(step) for step in range(19, -1, -1)] == walked[::-1]
    assert list(Steps(BatchOrder(CUTS, 4, 2, seed=1), 7, 20)) == walked[7:]
    assert len(Steps(order, 7, 20)) == 13
    assert len(Steps(order, 20, 20)) == 0


def test_epochs_and_seeds_differ() -> None:
    one = BatchOrder(CUTS, 16, 2, seed=1)
    clips = {one.at(step).clips for step in range(5)} | {BatchOrder(CUTS, 16, 2, seed=2).at(0).clips}
    assert len(clips) == 6
    assert [one.at(step).epoch for step in range(3)] == [0, 1, 2]


def test_clips_of_a_cut_stand_together_in_groups() -> None:
    (plan,) = plans(BatchOrder([range(6), range(6, 12), range(12, 18)], 18, 3, seed=0), 0)
    groups = [plan.clips[i : i + 3] for i in range(0, 18, 3)]
    assert all(len({clip // 6 for clip in group}) == 1 for group in groups)
    cuts = [group[0] // 6 for group in groups]
    assert cuts != sorted(cuts)  # and groups of different cuts are mixed
    assert any(list(group) != sorted(group) for group in groups)


def test_a_process_without_clips_stands_in_for_nothing() -> None:
    last = [BatchOrder([range(5)], 4, 4, 0, rank, 3).at(1) for rank in range(3)]
    assert [len(plan.clips) for plan in last] == [1, 1, 1]
    assert [plan.weights for plan in last] == [(3.0,), (0.0,), (0.0,)]


def test_what_cannot_be_ordered_is_refused() -> None:
    with pytest.raises(ModelError, match="no clips"):
        BatchOrder([range(0)], 4, 2, 0)
    with pytest.raises(ModelError, match=r"batch 2: 3 processes .* set batch to 3 or more"):
        BatchOrder(CUTS, 2, 2, 0, 0, 3)


def test_which_conditions_stay() -> None:
    uniform = torch.tensor([[0.05, 0.5, 0.5], [0.5, 0.05, 0.5], [0.5, 0.5, 0.05], [0.1, 0.1, 0.1]])
    there = torch.tensor([True, True, True, True])
    first, second = draw_mask(uniform, 0.1, 1, there), draw_mask(uniform, 0.1, 2, there)
    assert first.visual.tolist() == first.sync.tolist() == [False, True, True, True]
    assert second.visual.tolist() == [False, True, True, True]
    assert second.sync.tolist() == [True, False, True, True]
    assert first.text.tolist() == second.text.tolist() == [True, True, False, True]
    blind = draw_mask(uniform, 0.0, 2, torch.tensor([True, False, True, False]))
    assert blind.visual.tolist() == blind.sync.tolist() == [True, False, True, False]
    assert blind.text.all()


def test_nulls_come_as_often_as_asked() -> None:
    uniform = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(0))
    keep = draw_mask(uniform, 0.1, 2, torch.ones(20_000, dtype=torch.bool))
    left_out = [1 - stays.float().mean().item() for stays in (keep.visual, keep.sync, keep.text)]
    assert left_out == pytest.approx([0.1] * 3, abs=0.01)
    both = (~keep.visual & ~keep.sync).float().mean().item()
    assert both == pytest.approx(0.01, abs=0.004)


def test_empty_vectors_stand_in_row_by_row() -> None:
    values, empty = torch.ones(3, 2, 4), torch.zeros(3, 2, 4)
    found = apply_mask(values, torch.tensor([True, False, True]), empty)
    assert found.mean((1, 2)).tolist() == [1.0, 0.0, 1.0]


def test_the_average_of_weights() -> None:
    weight = nn.Parameter(torch.zeros(2))
    average = WeightAverage([weight], 0.5)
    expected = 0.0
    for n in range(1, 9):
        weight.data.fill_(float(n))
        average.update()
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * n
    with average.applied():
        assert weight.tolist() == pytest.approx([expected] * 2)
    assert weight.tolist() == [8.0, 8.0]
    with average.applied():  # it is the average still
        assert weight.tolist() == pytest.approx([expected] * 2)


def test_weights_come_back_after_an_error() -> None:
    weight = nn.Parameter(torch.zeros(1))
    average = WeightAverage([weight], 0.9)
    weight.data.fill_(3.0)
    with pytest.raises(RuntimeError), average.applied():
        assert weight.item() == 0.0
        raise RuntimeError
    assert weight.item() == 3.0

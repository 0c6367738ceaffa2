"""Choose the clips of each step: from seed and epoch alone, so that any step can be computed directly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from ..errors import ModelError


@dataclass(frozen=True)
class StepPlan:
    """The clips of one process in one step, by number in the cache, and their weights in the loss.

    A weight is processes x 1 / clips of the step, so that the mean of all processes' sums is the mean over the step's
    clips. A process without a clip of its own computes one with weight 0, since all must take part.
    """

    step: int
    epoch: int
    clips: tuple[int, ...]
    weights: tuple[float, ...]


def shared(clips: Sequence[int], step: int, epoch: int, rank: int, world: int) -> StepPlan:
    """The share of process `rank` of `world` in a step's clips; neighbours stay together."""
    mine = np.array_split(np.asarray(clips, np.int64), world)[rank].tolist()
    if not mine:
        return StepPlan(step, epoch, (int(clips[0]),), (0.0,))
    return StepPlan(step, epoch, tuple(mine), (world / len(clips),) * len(mine))


class BatchOrder:
    """Batches of `batch` clips over epochs, with every clip once per epoch.

    `cuts`: the clips of each cut. In each epoch the clips of a cut are shuffled and divided into groups of
    `clips_per_cut`, the groups of all cuts are shuffled, and batches are filled with them in this order; the last batch
    of an epoch may be smaller. Raises ModelError for no clips and for batches smaller than the number of processes.
    """

    def __init__(
        self, cuts: Sequence[Sequence[int]], batch: int, clips_per_cut: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        self._cuts = [np.asarray(cut, np.int64) for cut in cuts if len(cut)]
        if not self._cuts:
            raise ModelError("no clips to train on")
        if batch < world:
            raise ModelError(
                f"batch {batch}: {world} processes need at least a clip each; set batch to {world} or more"
            )
        self._batch, self._group, self._seed, self._rank, self._world = batch, clips_per_cut, seed, rank, world
        self.clips = sum(map(len, self._cuts))
        self._epoch: tuple[int, NDArray[np.int64]] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches per epoch."""
        return -(-self.clips // self._batch)

    def at(self, step: int) -> StepPlan:
        """The clips of this process in `step`, from 0."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        clips = self._shuffled(epoch)[batch * self._batch : (batch + 1) * self._batch]
        return shared(clips.tolist(), step, epoch, self._rank, self._world)

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        """All clips, in the epoch's order."""
        if self._epoch is None or self._epoch[0] != epoch:
            draw = np.random.default_rng([self._seed, epoch])
            groups = []
            for cut in self._cuts:
                clips = draw.permutation(cut)
                groups += [clips[i : i + self._group] for i in range(0, len(clips), self._group)]
            order = draw.permutation(len(groups))
            self._epoch = epoch, np.concatenate([groups[i] for i in order])
        return self._epoch[1]


class Steps(Sampler[StepPlan]):
    """Samples the plans of steps first, first + 1 … last - 1, for a DataLoader."""

    def __init__(self, order: BatchOrder, first: int, last: int) -> None:
        self._order, self._first, self._last = order, first, last

    def __len__(self) -> int:
        return max(0, self._last - self._first)

    def __iter__(self) -> Iterator[StepPlan]:
        return (self._order.at(step) for step in range(self._first, self._last))

"""Batches of mixtures, made in worker processes while the network trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ...detectors.purity.frontend import features
from ..mixing.draw import Drawer
from ..mixing.scene import Labels, MixRules, Scene, scene
from ..sources.pool import Pool, Split
from .annotated import Examples


class Batch(NamedTuple):
    """Inputs and labels of n scenes: log-mel (n, frames * 8, 64), fine (n, frames, 1024), labels (n, frames, 3)."""

    mel: Tensor
    fine: Tensor
    present: Tensor
    weights: Tensor
    levels: Tensor


def example(made: Scene) -> tuple[NDArray[np.float16], NDArray[np.float16], Labels]:
    """The inputs, in half precision for the way between processes, and the labels of a scene."""
    mel, fine = features(made.sound)
    return mel.astype(np.float16), fine.astype(np.float16), made.labels


def collated(items: list[tuple[NDArray[np.float16], NDArray[np.float16], Labels]]) -> Batch:
    """Several examples as one batch."""
    mel, fine, labels = zip(*items, strict=True)
    return Batch(
        torch.from_numpy(np.stack(mel)),
        torch.from_numpy(np.stack(fine)),
        *(torch.from_numpy(np.stack(part)) for part in zip(*labels, strict=True)),
    )


@dataclass(frozen=True)
class Scenes(Dataset[tuple[NDArray[np.float16], NDArray[np.float16], Labels]]):
    """Scenes by number: number i is the same in every run with the same seed, pool, factors and rules."""

    pool: Path
    split: Split
    seed: int
    frames: int
    count: int
    rules: MixRules
    factors: Mapping[str, float]
    first: int = 0
    annotated: Path | None = None
    annotated_share: float = 0.0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[NDArray[np.float16], NDArray[np.float16], Labels]:
        rng = np.random.default_rng([self.seed, self.first + index])
        examples = self._examples()
        if examples.rows and rng.random() < self.annotated_share:
            return example(examples.draw(rng, self.frames))
        return example(scene(rng, self._drawer(), self.frames, self.rules))

    def _examples(self) -> Examples:
        known = _EXAMPLES.get(self.annotated)
        if known is None:
            known = NO_EXAMPLES if self.annotated is None else Examples.open(self.annotated, self.split)
            _EXAMPLES[self.annotated] = known
        return known

    def _drawer(self) -> Drawer:
        known = _DRAWERS.get(id(self))
        if known is None:
            _DRAWERS.clear()
            known = _DRAWERS[id(self)] = Drawer(Pool.open(self.pool), self.split, self.factors)
        return known


NO_EXAMPLES = Examples(np.zeros(0, np.int16), ())
_EXAMPLES: dict[Path | None, Examples] = {}
_DRAWERS: dict[int, Drawer] = {}
"""The drawer of this process's dataset: opened once, after the fork."""


def batches(scenes: Scenes, batch: int, workers: int) -> Iterator[Batch]:
    """All batches of the scenes in order, made `workers` processes ahead (0: in this process)."""
    loader = DataLoader(
        scenes,
        batch_size=batch,
        num_workers=workers,
        collate_fn=collated,
        prefetch_factor=6 if workers else None,
        worker_init_fn=_one_thread,
        generator=torch.Generator(),  # else each loader takes a number from the generator of the dropout
    )
    yield from loader


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)

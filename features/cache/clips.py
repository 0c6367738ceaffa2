"""A PyTorch dataset over a cache for notebooks, and a sampler of batches that stay within one cut.

`lpse train` has its own: `model.training.TrainingClips` draws noise and conditions per clip, and its batches resume.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from .reader import FeatureCache

Batch = dict[str, Tensor]


class CutClips(Dataset[Batch]):
    """The clips of a cache's cuts, of one `split` (None: all), as a map-style dataset.

    `has_video`: True selects cuts with video, False those without, None all. `columns`: see `FeatureCache.take`. A
    DataLoader fetches a batch at once, already stacked:
    `DataLoader(clips, batch_sampler=CutBatches(clips, 16), collate_fn=CutClips.collate)`.
    """

    def __init__(
        self,
        cache: FeatureCache,
        split: str | None = None,
        has_video: bool | None = True,
        columns: Sequence[str] | None = None,
    ) -> None:
        self.cache, self.columns = cache, columns
        cuts = cache.cuts.select(["split", "has_video"]).to_pylist()
        self._ranges = [
            cache.clips_of(row)
            for row, cut in enumerate(cuts)
            if split in (None, cut["split"]) and has_video in (None, cut["has_video"])
        ]
        self._indices = np.array([index for clips in self._ranges for index in clips], np.int64)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Batch:
        return {name: values[0] for name, values in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> Batch:
        """A stacked batch; DataLoader calls this instead of `__getitem__`."""
        return self.cache.take(self._indices[indices], self.columns)

    @staticmethod
    def collate(batch: Any) -> Batch:
        """Return the batch, which `__getitems__` has stacked."""
        return cast(Batch, batch)

    def cuts(self) -> list[range]:
        """The clips of each cut, by their numbers in this dataset."""
        ends = np.cumsum([len(clips) for clips in self._ranges]).tolist()
        return [range(end - len(clips), end) for end, clips in zip(ends, self._ranges, strict=True)]


class CutBatches(Sampler[list[int]]):
    """Sample batches of up to `batch_size` clips, each batch from one cut.

    With `shuffle`, the order of cuts and of the clips within a cut is drawn from `seed` and the epoch; call `set_epoch`
    before each epoch. A cut with more clips than `batch_size` gives several successive batches.
    """

    def __init__(self, clips: CutClips, batch_size: int, *, shuffle: bool = True, seed: int = 0) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size {batch_size}; must be at least 1")
        self._cuts, self._size, self._shuffle, self._seed, self._epoch = clips.cuts(), batch_size, shuffle, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Select the epoch: the same epoch has the same order on every machine."""
        self._epoch = epoch

    def __len__(self) -> int:
        return sum(-(-len(cut) // self._size) for cut in self._cuts)

    def __iter__(self) -> Iterator[list[int]]:
        draw = np.random.default_rng([self._seed, self._epoch])
        order = draw.permutation(len(self._cuts)) if self._shuffle else np.arange(len(self._cuts))
        for cut in order.tolist():
            clips = np.array(self._cuts[cut])
            if self._shuffle:
                draw.shuffle(clips)
            for first in range(0, len(clips), self._size):
                yield clips[first : first + self._size].tolist()

"""The features of a cut that the corpus's cache has: no media is decoded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from features.cache import FeatureCache

from ..adapters import CachedVideo
from .plan import ClipPlan

_SAME_SECONDS = 0.0015  # cuts lie on whole milliseconds


class CachedCut(CachedVideo):
    """A cut as `VideoFeatureSource`, read from a cache."""

    def __init__(self, cache: FeatureCache, cut_id: str) -> None:
        row = cache.cuts["cut_id"].to_pylist().index(cut_id)
        super().__init__(cache, row)
        self.starts = cache.take(self._clips, []).pop("start").numpy() - cache.cuts["start"][row].as_py()

    def holds(self, plan: ClipPlan) -> bool:
        """True if the clips of a plan are those of the cache."""
        wanted = np.array([clip.start for clip in plan.clips])
        return wanted.shape == self.starts.shape and bool(np.all(np.abs(wanted - self.starts) < _SAME_SECONDS))

    def local(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """See `VideoFeatureSource`."""
        taken = self._cache.take([self._clips[number] for number in numbers], ["visual", "sync"])
        return taken["visual"].float(), taken["sync"].float()

    def text(self) -> Tensor:
        """The vectors of the cut's caption, float32 (L, Dt)."""
        return self._cache.take([self._clips[0]], ["text"])["text"][0].float()

"""A cut whose features are in the corpus's cache: nothing is decoded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from features.cache import FeatureCache

from ..adapters import VideoFeatures
from .plan import ClipPlan

_SAME_SECONDS = 0.0015  # cuts lie on whole milliseconds


class CachedCut:
    """What the cache holds of a cut, asked for as of a film that was looked at (`looking.Looked`)."""

    def __init__(self, cache: FeatureCache, cut_id: str) -> None:
        self._cache, self._cut = cache, cut_id
        self._clips = cache.clips_of(cut_id)
        start = cache.cuts["start"][cache.cuts["cut_id"].to_pylist().index(cut_id)].as_py()
        self.starts = cache.take(self._clips, []).pop("start").numpy() - start

    def holds(self, plan: ClipPlan) -> bool:
        """Whether the clips of a plan are those that are kept."""
        wanted = np.array([clip.start for clip in plan.clips])
        return wanted.shape == self.starts.shape and bool(np.all(np.abs(wanted - self.starts) < _SAME_SECONDS))

    def local(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """See `looking.Looked`."""
        found = self._cache.take([self._clips[number] for number in numbers], ["visual", "sync"])
        return found["visual"].float(), found["sync"].float()

    def text(self) -> Tensor:
        """The vectors of the cut's caption, (L, Dt)."""
        return self._cache.take([self._clips[0]], ["text"])["text"][0].float()

    def whole(self, text: Tensor, needs: frozenset[str]) -> VideoFeatures:
        """See `looking.Looked`."""
        means = self._cache.take([self._clips[0]], ["visual_mean", "sync_mean"]) if "means" in needs else {}
        sequences = self._cache.whole(self._cut) if "whole" in needs else {}
        clips = self._cache.take(self._clips, ["sync"])["sync"].float() if "clips" in needs else None
        return VideoFeatures(
            text,
            visual_mean=means["visual_mean"][0].float() if means else None,
            sync_mean=means["sync_mean"][0].float() if means else None,
            visual_all=sequences.get("visual_all"),
            sync_all=sequences.get("sync_all"),
            clips_sync=clips,
        )

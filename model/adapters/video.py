"""The features of whole videos: one form, one way to read them, from a feature cache or from a video just encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from features.cache import FeatureCache


@dataclass(frozen=True)
class VideoFeatures:
    """The features of one whole video; those that a configuration does not need are None (`AdapterConfig.needs`).

    "means": `visual_mean` (Dv,) over all frames, `sync_mean` (S, Ds) over clips. "whole": `visual_all` (T, Dv),
    `sync_all` (T, Ds), which may be mapped from disk. "clips": `clips_sync` (K, S, Ds). `text` (L, Dt).
    """

    text: Tensor
    visual_mean: Tensor | None = None
    sync_mean: Tensor | None = None
    visual_all: Tensor | None = None
    sync_all: Tensor | None = None
    clips_sync: Tensor | None = None


class WholeVideo(Protocol):
    """A video whose features can be read part by part, rounded to the number type of the cache."""

    def means(self) -> tuple[Tensor, Tensor]:
        """Visual mean over all frames (Dv,), sync mean over the clips of the 8-s grid (S, Ds); float32."""
        ...

    def sequences(self) -> tuple[Tensor, Tensor]:
        """All visual (T, Dv) and all sync vectors (T, Ds), in the cache's number type."""
        ...

    def sync_clips(self) -> Tensor:
        """The sync vectors of the clips of the 8-s grid, float32 (K, S, Ds)."""
        ...


def video_features(video: WholeVideo, text: Tensor, needs: frozenset[str]) -> VideoFeatures:
    """Read of a video the features that adapters need (`AdapterConfig.needs`); `text` (L, Dt) is the caption's."""
    visual_mean, sync_mean = video.means() if "means" in needs else (None, None)
    visual_all, sync_all = video.sequences() if "whole" in needs else (None, None)
    clips_sync = video.sync_clips() if "clips" in needs else None
    return VideoFeatures(text, visual_mean, sync_mean, visual_all, sync_all, clips_sync)


class CachedVideo:
    """The video of a cut whose features are in a cache; `cut` is its row in `cache.cuts`.

    A cut without video has zeros, as its clips have; the condition mask hides them.
    """

    def __init__(self, cache: FeatureCache, cut: int) -> None:
        self._cache, self._cut = cache, cut
        self._clips = cache.clips_of(cut)

    def means(self) -> tuple[Tensor, Tensor]:
        """See `WholeVideo`."""
        means = self._cache.take([self._clips[0]], ["visual_mean", "sync_mean"])
        return means["visual_mean"][0].float(), means["sync_mean"][0].float()

    def sequences(self) -> tuple[Tensor, Tensor]:
        """See `WholeVideo`."""
        whole, spec = self._cache.whole(self._cut), self._cache.spec
        assert spec.visual is not None and spec.sync is not None
        visual, sync = whole["visual_all"], whole["sync_all"]
        if not len(visual):
            visual = visual.new_zeros(len(self._clips) * spec.visual.length, visual.shape[1])
            sync = sync.new_zeros(len(self._clips) * spec.sync.length, sync.shape[1])
        return visual, sync

    def sync_clips(self) -> Tensor:
        """See `WholeVideo`."""
        return self._cache.take(self._clips, ["sync"])["sync"].float()

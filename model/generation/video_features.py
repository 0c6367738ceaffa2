"""One look at a film: decoded once, encoded as it comes, spooled, and then asked for clip by clip."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from features.encoders import CLIP_SECONDS, FrameLayout, VideoEncoder
from features.encoders.frames import FrameBuffer, FrameRun, clip_starts, frames_of

from ..adapters import VideoFeatures
from .feature_file import FeatureFile
from .plan import ClipPlan

STREAMS = ("visual", "sync")


class VideoFeatureSource(Protocol):
    """What was seen of a film."""

    def local(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Visual (B, V, Dv) and sync (B, S, Ds) vectors of clips of the plan, by number, float32."""
        ...

    def whole(self, text: Tensor, needs: frozenset[str]) -> VideoFeatures:
        """What adapters are told of the whole, as far as they need it (`AdapterConfig.needs`); `text` (L, Dt)."""
        ...


@dataclass(frozen=True)
class FeatureSlice:
    """Where a stream's vectors lie: `count` of them from `first` on in the spool `name`."""

    name: str
    first: int
    count: int


class EncodedVideo:
    """A film that was looked at: its vectors on disk, in a folder that outlives it.

    Windows of pictures do not know of clips: a clip on the 8-s grid is a stretch of the whole film's vectors, the very
    ones it would get alone. A clip elsewhere has pictures of its own.
    """

    def __init__(
        self,
        spools: Mapping[str, FeatureFile],
        clips: Mapping[str, Sequence[FeatureSlice]],
        grid: Sequence[FeatureSlice],
    ) -> None:
        self._spools, self._clips, self._grid = spools, clips, grid

    def local(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """See `VideoFeatureSource`."""
        visual, sync = (torch.stack([self._read(self._clips[name][n]) for n in numbers]) for name in STREAMS)
        return visual, sync

    def whole(self, text: Tensor, needs: frozenset[str]) -> VideoFeatures:
        """See `VideoFeatureSource`. Raises ValueError when the whole was not asked for while encoding."""
        if needs and not self._grid:
            raise ValueError("the film was looked at clip by clip, not as a whole")
        means, whole, clips = (name in needs for name in ("means", "whole", "clips"))
        return VideoFeatures(
            text,
            visual_mean=self._means[0] if means else None,
            sync_mean=self._means[1] if means else None,
            visual_all=self._spools["visual"].mapped() if whole else None,
            sync_all=self._spools["sync"].mapped() if whole else None,
            clips_sync=torch.stack([self._read(one) for one in self._grid]) if clips else None,
        )

    @cached_property
    def _means(self) -> tuple[Tensor, Tensor]:
        """The visual mean over all pictures (Dv,), the sync mean over the clips of the grid (S, Ds)."""
        visual = self._spools["visual"]
        total = torch.zeros(visual.dimension, dtype=torch.float64)
        for first in range(0, visual.count, 1024):
            total += visual.read(first, min(1024, visual.count - first)).double().sum(0)
        sync = torch.zeros(self._grid[0].count, self._spools["sync"].dimension, dtype=torch.float64)
        for one in self._grid:
            sync += self._read(one).double()
        return (total / visual.count).float(), (sync / len(self._grid)).float()

    def _read(self, stretch: FeatureSlice) -> Tensor:
        return self._spools[stretch.name].read(stretch.first, stretch.count)


def encode_video(
    path: str | os.PathLike[str],
    start: float,
    plan: ClipPlan,
    encoders: Mapping[str, VideoEncoder],
    folder: Path,
    *,
    windows: int,
    whole: bool = True,
    tell: Callable[[float], None] = lambda seconds: None,
) -> EncodedVideo:
    """Look at the film that begins `start` seconds into the file at `path`, with the encoders "visual" and "sync".

    `folder`: an empty one, for the spools. `windows`: how many of an encoder's windows pictures are handed over for at
    a time. `whole`: adapters will ask for it. `tell` hears the seconds that are done. Raises MediaError where there are
    no pictures, ModelError where an encoder gives no numbers.
    """
    grid = [round(begin, 3) for begin in clip_starts(0.0, plan.seconds, CLIP_SECONDS)] or [0.0]
    runs: dict[str, FrameRun] = {}
    clips: dict[str, list[FeatureSlice]] = {}
    grid_sync: list[FeatureSlice] = []
    for stream in STREAMS:
        layout = _Layout(stream, _pictures(encoders[stream]), start, plan)
        clips[stream] = [layout.stretch(clip.start, clip.number) for clip in plan.clips]
        if whole and stream == "sync":
            grid_sync = [layout.stretch(begin, None) for begin in grid]
        if whole:
            layout.run(stream, 0.0, plan.milliseconds)
        runs |= layout.runs
    spools = {name: FeatureFile(folder / f"{name}.f32", _of(name, encoders).spec.dimension) for name in runs}
    try:
        _encode(path, runs, spools, encoders, windows, lambda share: tell(share * plan.seconds))
    finally:
        for spool in spools.values():
            spool.close()
    return EncodedVideo(spools, clips, grid_sync)


class _Layout:
    """Which runs of pictures one stream takes, and where the vectors of each clip will be."""

    def __init__(self, stream: str, pictures: FrameLayout, start: float, plan: ClipPlan) -> None:
        self.runs: dict[str, FrameRun] = {}
        self._stream, self._pictures, self._start, self._plan = stream, pictures, start, plan
        self._length = pictures.length(min(plan.milliseconds, CLIP_SECONDS * 1000) * pictures.fps // 1000)

    def run(self, name: str, begin: float, milliseconds: int) -> None:
        """A run of pictures from `begin` seconds of the film on."""
        count = milliseconds * self._pictures.fps // 1000
        self.runs[name] = FrameRun(self._pictures, self._start + begin, count)

    def stretch(self, begin: float, number: int | None) -> FeatureSlice:
        """The vectors of a clip that begins at `begin`: of the whole film's where they fit, else of its own run."""
        place, rest = divmod(round(begin * 1000, 3), CLIP_SECONDS * 1000)
        if rest == 0 and (begin + CLIP_SECONDS) * 1000 <= max(self._plan.milliseconds, CLIP_SECONDS * 1000):
            self.run(self._stream, 0.0, self._plan.milliseconds)
            a_clip = CLIP_SECONDS * self._pictures.fps * self._pictures.vectors // self._pictures.stride
            return FeatureSlice(self._stream, int(place) * a_clip, self._length)
        # the last clip of the grid may be one of the plan's, too
        name = f"{self._stream} at {begin:.6f}"
        if name not in self.runs:
            self.run(name, begin, CLIP_SECONDS * 1000)
        return FeatureSlice(name, 0, self._length)


def _encode(
    path: str | os.PathLike[str],
    runs: Mapping[str, FrameRun],
    spools: Mapping[str, FeatureFile],
    encoders: Mapping[str, VideoEncoder],
    windows: int,
    tell: Callable[[float], None],
) -> None:
    """Every picture once through the decoder, into the chunks that want it; a chunk is held while its run lasts."""
    total, done = sum(run.count for run in runs.values()), 0
    chunks: dict[str, FrameBuffer] = {}
    came = dict.fromkeys(runs, 0)
    for name, picture, times in frames_of(path, runs):
        if name not in chunks:
            run = runs[name]
            # no more room than the run can fill
            fitting = 1 + max(0, run.count - run.pictures.window) // run.pictures.stride
            chunks[name] = FrameBuffer(run.pictures, min(windows, fitting))
        for chunk in chunks[name].push(picture, times):
            spools[name].add(_of(name, encoders).encode(chunk))
            tell(done / total)
        done += times
        came[name] += times
        if came[name] == runs[name].count:
            for chunk in chunks.pop(name).finish():
                spools[name].add(_of(name, encoders).encode(chunk))
    tell(1.0)


def _of(name: str, encoders: Mapping[str, VideoEncoder]) -> VideoEncoder:
    return encoders[name.split(" ")[0]]


def _pictures(encoder: VideoEncoder) -> FrameLayout:
    if encoder.spec.pictures is None:
        raise ValueError(f"{encoder.spec.name} sees no pictures")
    return encoder.spec.pictures

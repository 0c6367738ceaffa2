"""Turns contaminant probabilities into excluded time and uncertain time, which needs review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from manifests.recipe import Recipe
from manifests.scores import FrameScores
from manifests.time import Segment, Timeline

from .events import contaminant_events, faults, rejected_events, silences, uncertain_time
from .fusion import HOP, Fused
from .human_evidence import NO_EVIDENCE, HumanEvidence
from .spans import pure_spans

ProbabilityTracks = Mapping[str, NDArray[np.float32]]
UNSURE = "unsure"  # the label of time that people judged as unsure


@dataclass(frozen=True)
class Exclusions:
    """Excluded and uncertain time of a recording under a recipe, for one set of probabilities.

    `found`: events other than sound effects, by label. `excluded`: the time that no cut may touch. `uncertain`: the
    time that a person must judge, by contaminant; under UNSURE, time that people judged as unsure.
    """

    found: Mapping[str, Timeline] = field(repr=False)
    excluded: Timeline
    uncertain: Mapping[str, Timeline]

    @property
    def uncertain_time(self) -> Timeline:
        """The time that a person must judge, of all contaminants."""
        return Timeline(segment for timeline in self.uncertain.values() for segment in timeline)


def find_exclusions(
    probabilities: ProbabilityTracks,
    fused: Fused,
    level: FrameScores,
    recipe: Recipe,
    copied: Timeline,
    people: HumanEvidence = NO_EVIDENCE,
) -> Exclusions:
    """Exclusions under `probabilities`, one bound of `fused`; `copied` is the time that another recording contains.

    Where people judged, they decide about contaminants and probabilities do not; silence and faults are measured and
    remain. Larger probabilities never exclude less: every step is monotone.
    """
    whole = Segment(0.0, fused.count * HOP)
    found: dict[str, Timeline] = {
        name: contaminant_events(probabilities[name], one) for name, one in recipe.contaminants.items()
    }
    found["silence"] = silences(level, recipe.silence)
    found["artifact"] = faults(level, recipe.artifacts)
    found = {label: timeline.crop(whole) for label, timeline in found.items()}
    parts = [found["silence"].pad(-recipe.silence.edge), found["artifact"].pad(recipe.artifacts.padding), copied]
    for name, contaminant in recipe.contaminants.items():
        parts.append(
            rejected_events(probabilities[name], found[name], contaminant).pad(contaminant.padding) - people.settled
        )
        parts.append(people.excised.get(name, Timeline.EMPTY).pad(contaminant.padding))
    parts += [people.refused, people.trimmed]
    excluded = Timeline(segment for part in parts for segment in part) | Timeline.from_mask(fused.unscored, HOP)
    uncertain: dict[str, Timeline] = {
        name: uncertain_time(probabilities[name], one) - people.settled for name, one in recipe.contaminants.items()
    }
    uncertain[UNSURE] = people.unsure
    return Exclusions(found, excluded, uncertain)


@dataclass(frozen=True)
class Assessment:
    """The exclusions to decide with, and the time in which missing scores could change them.

    `candidates`: the spans that could still give cuts. `unsettled`: those of them in which more scores could change the
    result; `exclusions` assumes the worst there.
    """

    exclusions: Exclusions
    candidates: Timeline
    unsettled: Timeline


def assess(
    fused: Fused,
    level: FrameScores,
    recipe: Recipe,
    duration: float,
    copied: Timeline = Timeline.EMPTY,
    people: HumanEvidence = NO_EVIDENCE,
) -> Assessment:
    """Assess a recording of `duration` seconds, scored completely or in part.

    Time excluded under the lower bounds stays excluded for any missing scores. A span is settled if the upper bounds
    give the same exclusions in it: then more scores cannot change its cuts.
    """
    whole = Segment(0.0, duration)
    low = find_exclusions(fused.lower, fused, level, recipe, copied, people)
    candidates = pure_spans(whole, low.excluded, recipe.spans.min_duration)
    if not fused.open.any():
        return Assessment(low, candidates, Timeline())
    high = find_exclusions(fused.upper, fused, level, recipe, copied, people)
    undecided = Timeline.from_mask(fused.open, HOP) - people.settled

    def settled(span: Segment) -> bool:
        pairs = [
            (low.excluded, high.excluded),
            *((low.uncertain[name], high.uncertain[name]) for name in low.uncertain),
        ]
        return not undecided.crop(span) and all(one.crop(span) == other.crop(span) for one, other in pairs)

    unsettled = Timeline(span for span in candidates if not settled(span))
    cautious = Exclusions(
        low.found,
        low.excluded | (high.excluded & unsettled),
        {name: low.uncertain[name] | (high.uncertain[name] & unsettled) for name in low.uncertain},
    )
    return Assessment(cautious, candidates, unsettled)

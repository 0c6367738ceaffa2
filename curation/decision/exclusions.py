"""What is in a recording besides its sound effects, and what that means for cuts: the exclusions and the doubts."""

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
UNSURE = "unsure"  # the doubt about what people heard without being able to tell


@dataclass(frozen=True)
class Exclusions:
    """A recording under a recipe, for one set of probabilities.

    `found`: what is heard besides sound effects, by label. `excluded`: the time no cut may touch. `uncertain`: what a
    person has to hear, by contaminant, and as UNSURE what people heard and could not tell.
    """

    found: Mapping[str, Timeline] = field(repr=False)
    excluded: Timeline
    uncertain: Mapping[str, Timeline]

    @property
    def uncertain_time(self) -> Timeline:
        """What a person has to hear, whatever it may be."""
        return Timeline(segment for timeline in self.uncertain.values() for segment in timeline)


def find_exclusions(
    probabilities: ProbabilityTracks,
    fused: Fused,
    level: FrameScores,
    recipe: Recipe,
    copied: Timeline,
    people: HumanEvidence = NO_EVIDENCE,
) -> Exclusions:
    """The judgement over `probabilities`, one bound of `fused`; `copied` is what another recording holds, too.

    Where people heard, contaminants are what they say, whatever the probabilities are; silence and faults are measured
    and stay. Larger probabilities never exclude less: every step is monotone.
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
    """The judgement to decide by, and where it stands on what was not heard yet.

    `candidates`: the spans that could still give cuts. `unsettled`: those of them about which more hearing could
    change something; there `exclusions` assumes the worst.
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
    """The judgement over a recording of `duration` seconds, whether all its detectors heard all of it or not.

    What is excluded under the lower bounds stays so whatever the others would say. A span is settled when under the
    upper bounds nothing in it is exclusions otherwise: then hearing more cannot change its cuts.
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

"""Decides over a recording that is shorter than any cut, and was therefore never scored."""

from __future__ import annotations

import numpy as np

from manifests.recipe import Recipe
from manifests.records import Measured, Recording
from manifests.scores import FrameScores
from manifests.time import Timeline

from ..decision.decide import Decided, draft, finish, too_short_drop
from ..decision.fusion import HOP, Fused, cell_count
from ..decision.human_evidence import NO_EVIDENCE, HumanEvidence
from ..decision.spans import is_too_short
from ..detectors.level import LABELS

_NO_LEVEL = FrameScores(0.0, HOP, HOP, LABELS, np.zeros((0, len(LABELS)), np.float16))


def decide_too_short(
    recording: Recording,
    recipe: Recipe,
    copied: Timeline = Timeline.EMPTY,
    people: HumanEvidence = NO_EVIDENCE,
) -> Decided:
    """The decision without scores: no measures, and no cuts but those that people rejected, at risk 1.

    Raises ValueError for a recording that is long enough for a cut.
    """
    duration = recording.duration or 0.0
    if not is_too_short(duration, recipe.spans.min_duration):
        raise ValueError(f"recording {recording.recording_id}: {duration} s are enough for a cut, which needs scores")
    if not duration or people == NO_EVIDENCE:
        return Decided((), (), (too_short_drop(recording, recipe),), Measured())
    count = cell_count(duration)
    track = np.full(count, np.nan, np.float32)
    never = {str(name): track for name in recipe.contaminants}
    return finish(draft(recording, Fused(count, never, never), {"level": _NO_LEVEL}, recipe, copied, people), None)

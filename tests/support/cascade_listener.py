"""The costly detectors of a cascade, played from scores that are known in advance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from curation.decision.cascade import pending_time
from curation.decision.fusion import scored_seconds
from manifests.recipe import Recipe
from manifests.scores import FrameScores
from manifests.time import Segment, Timeline

BLOCK = 15.0  # seconds that a detector hears at once


class Listener:
    """Plays the costly detectors: they hear in whole blocks, as they do on real files."""

    def __init__(self, truth: Mapping[str, FrameScores], seconds: float, recipe: Recipe) -> None:
        self.truth, self.seconds, self.recipe = truth, seconds, recipe
        self.known = {name: scores for name, scores in truth.items() if name not in recipe.cascade}
        self.rounds = 0

    def hear(self, name: str, wanted: Timeline) -> None:
        truth = self.truth[name]
        if name not in self.known:
            self.known[name] = replace(truth, values=np.full_like(truth.values, np.nan))
        padded = wanted.pad(truth.hop, truth.window + truth.hop)
        for block in np.arange(0.0, self.seconds, BLOCK):
            if padded.overlapping(Segment(float(block), float(block) + BLOCK)):
                starts = np.arange(len(truth)) * truth.hop
                inside = (starts >= block) & (starts < block + BLOCK)
                self.known[name].values[inside] = truth.values[inside]

    def settle(self) -> Mapping[str, FrameScores]:
        while needs := pending_time(self.known, self.recipe, self.seconds):
            self.rounds += 1
            assert self.rounds < 20, needs
            for name, wanted in needs.items():
                before = scored_seconds(self.known.get(name))
                self.hear(name, wanted)
                assert scored_seconds(self.known[name]) > before  # asked for what it had not heard
        return self.known

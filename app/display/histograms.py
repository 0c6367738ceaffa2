"""The histograms of the report: lengths and risks of cuts, and the distribution of their signal measures."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from curation.decision.quality import av_difference
from manifests.recipe import MeasureName, Recipe
from manifests.records import Cut, Recording

from .measures import MEASURES, MeasureText
from .text import clock

LENGTH_BINS, RISK_BINS, QUALITY_BINS = 12, 20, 24
NOTHING = "nothing"  # stands for the decision over a recording without a cut


@dataclass(frozen=True)
class Bars:
    """A histogram: items by decision in each bin, and the text at both ends of the axis.

    `marks`: place (0 to 1) and text of the recipe's bounds. `unmeasured`: items without a value.
    """

    title: str
    counts: Sequence[Mapping[str, int]]
    first: str
    last: str
    marks: Sequence[tuple[float, str]] = ()
    unmeasured: int = 0

    @property
    def highest(self) -> int:
        """The fullest bin."""
        return max((sum(bin.values()) for bin in self.counts), default=0)


def cut_bars(cuts: Sequence[Cut], recipe: Recipe) -> list[Bars]:
    """Lengths and risks of the cuts."""
    if not cuts:
        return []
    low, high = recipe.spans.min_duration, recipe.spans.max_duration
    lengths = [(cut.decision, (cut.end - cut.start - low) / (high - low)) for cut in cuts]
    risks = [(cut.decision, cut.risk) for cut in cuts]
    return [
        Bars("Length of cuts", binned(lengths, LENGTH_BINS), clock(low), clock(high)),
        Bars("Risk of cuts", binned(risks, RISK_BINS), "0", "1"),
    ]


def quality_bars(cuts: Sequence[Cut], recordings: Iterable[Recording], recipe: Recipe) -> list[Bars]:
    """The distribution of each measure over the cuts, and over the recordings without a cut."""
    by_id = {recording.recording_id: recording for recording in recordings}
    cutless = [row for key, row in by_id.items() if key not in {cut.recording_id for cut in cuts}]
    bars = []
    for name, text in MEASURES.items():
        values: list[tuple[str, float | None]] = [
            (cut.decision, _value(name, cut, by_id.get(cut.recording_id))) for cut in cuts
        ]
        values += [(NOTHING, _value(name, row, row)) for row in cutless if row.loudness_lufs is not None]
        known = [(decision, value) for decision, value in values if value is not None]
        if known:
            bars.append(_bars(name, text, known, recipe, len(values) - len(known)))
    return bars


def _value(name: MeasureName, item: Cut | Recording, recording: Recording | None) -> float | None:
    if name == "av_difference":
        return av_difference(recording) if recording else None
    value: float | None = getattr(item, name)
    return value


def _bars(
    name: MeasureName, text: MeasureText, known: Sequence[tuple[str, float]], recipe: Recipe, unmeasured: int
) -> Bars:
    bounds = recipe.quality[name].accept if name in recipe.quality else ()
    edges = [edge for edge in bounds if math.isfinite(edge)]
    # the axis holds the bounds too: the distance to them is what the histogram is read for
    low, high = min([*edges, *(value for _, value in known)]), max([*edges, *(value for _, value in known)])
    high = max(high, low + (1 if text.value(low) == text.value(high) else 1e-3))
    share = [(decision, (value - low) / (high - low)) for decision, value in known]
    # nothing can lie on the other side of a bound of 0
    marks = [((edge - low) / (high - low), text.value(edge)) for edge in edges if edge != 0 or low < 0 < high]
    return Bars(text.title, binned(share, QUALITY_BINS), text.value(low), text.value(high), marks, unmeasured)


def binned(values: Iterable[tuple[str, float]], bins: int) -> list[dict[str, int]]:
    """Counts by decision in equal bins over 0 to 1; a value beyond them counts in the first or the last bin."""
    counts: list[dict[str, int]] = [defaultdict(int) for _ in range(bins)]
    for decision, value in values:
        counts[min(max(int(value * bins), 0), bins - 1)][decision] += 1
    return [dict(bin) for bin in counts]

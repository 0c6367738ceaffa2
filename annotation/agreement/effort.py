"""Measures the annotators' working time, and how they change pre-labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from manifests.records import Annotation, Task

from .bootstrap import Bootstrap, ratio
from .figures import Estimate, Measure

UNKNOWN = "the number of pre-labelled regions is unknown"


def times(work: Iterable[tuple[Task, Annotation]]) -> dict[Measure, Estimate]:
    """Working time in seconds per task, and per minute of its audio: medians, with the quartiles as low and high."""
    known = [(answer.lead_time, task) for task, answer in work if answer.lead_time is not None]
    seconds = [lead for lead, _ in known]
    per_minute = [lead / ((task.end_ms - task.start_ms) / 60_000) for lead, task in known]
    return {"lead_time": _quartiles(seconds), "lead_time_per_minute": _quartiles(per_minute)}


def _quartiles(values: Sequence[float]) -> Estimate:
    if not values:
        return Estimate(None, note="working times are missing")
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return Estimate(middle, low, high, len(values))


def acceptance(
    answers: Iterable[tuple[str, Annotation]], predicted: Mapping[str, int], boot: Bootstrap
) -> dict[Measure, Estimate]:
    """Acceptance of pre-labelled regions, over answers with their task's key; tasks not in `predicted` are left out.

    kept, changed, removed: shares of the pre-labelled regions; they sum to 1. added: share of the answers' regions that
    were drawn by hand. `units` are regions, intervals come from drawing answers.
    """
    rows = []
    for key, answer in answers:
        if key in predicted:
            origins = [region.origin for region in answer.regions]
            kept, changed = origins.count("prediction"), origins.count("prediction-changed")
            given = max(predicted[key], kept + changed)  # a pre-label that was copied on the page is returned twice
            rows.append((kept, changed, given - kept - changed, origins.count("manual"), given, len(origins)))
    if not rows:
        return dict.fromkeys(("kept", "changed", "removed", "added"), Estimate(None, note=UNKNOWN))
    terms = np.array(rows, np.float64)
    shares: dict[Measure, tuple[int, int, str]] = {
        "kept": (0, 4, "no region was pre-labelled"),
        "changed": (1, 4, "no region was pre-labelled"),
        "removed": (2, 4, "no region was pre-labelled"),
        "added": (3, 5, "no answer has a region"),
    }
    estimates: dict[Measure, Estimate] = {}
    for name, (above, below, nothing) in shares.items():
        counted = terms[terms[:, below] > 0]
        if not len(counted):
            estimates[name] = Estimate(None, note=nothing)
            continue
        share = boot.estimate(counted[:, [above, below]], lambda sums: ratio(sums[..., 0], sums[..., 1]))
        estimates[name] = replace(share, units=int(terms[:, below].sum()))
    return estimates

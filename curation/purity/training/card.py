"""The model card of a run: its sources and their licences, its settings, and the validation figures over time."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from manifests.files import write_beside

from ...detectors.purity.frontend import HOP, RATE
from ..evaluation.tables import draw_curve
from ..sources.pool import KINDS, Pool, Source, total_hours
from .loop import LOG
from .settings import TrainSettings

CARD, CURVE = "card.md", "curve.png"


def mixture_hours(settings: TrainSettings, steps: int) -> float:
    """Hours of mixtures in a number of steps."""
    return steps * settings.batch * settings.frames * HOP / RATE / 3600


def write_card(folder: Path, weights: Path, pool: Path, settings: TrainSettings, parameters: int) -> Path:
    """Write `card.md` and `curve.png` of the run in `folder`, whose network is exported as `weights`.

    Returns the card's path.
    """
    curve = validation_curve(folder / LOG)
    lines = [
        *_head(weights, settings, parameters, max(curve, default=0)),
        *source_lines(Pool.open(pool, doubtful=True).sources),
        *_curve_lines(curve, settings),
    ]
    if curve:
        draw_curve({mixture_hours(settings, step): figures for step, figures in curve.items()}, folder / CURVE)
    path = folder / CARD
    with write_beside(path) as file:
        file.write(("\n".join(lines) + "\n").encode())
    return path


def validation_curve(log: Path) -> dict[int, Mapping[str, float]]:
    """The validation figures of a run by step; of a step that was taken twice, the later ones."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    return {row["step"]: row["validation"] for row in rows if "validation" in row}


def source_lines(sources: Sequence[Source]) -> Iterator[str]:
    """Tables of the sources of a pool: by kind and split, and the licences of what is trained on."""
    used = [one for one in sources if not one.doubt]
    yield from ("", "## Sources", "", "| kind | split | sources | hours | packages |", "|---|---|---|---|---|")
    for kind, split, count, hours in total_hours(used):
        packages = {one.package for one in used if (one.kind, one.split) == (kind, split)}
        yield f"| {kind} | {split} | {count:,} | {hours:.2f} | {len(packages)} |"
    yield from ("", f"{len(sources) - len(used):,} sources are left out, each with a reason.")
    hours_of: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(KINDS, 0.0))
    for one in used:
        if one.split == "train":
            hours_of[_plain(one.licence)][one.kind] += one.seconds / 3600
    yield from ("", f"| licence, hours trained on | {' | '.join(KINDS)} |", "|---" * (1 + len(KINDS)) + "|")
    for licence, of_kind in sorted(hours_of.items(), key=lambda pair: -sum(pair[1].values())):
        yield f"| {licence} | " + " | ".join(f"{of_kind[kind]:.2f}" for kind in KINDS) + " |"


def _plain(licence: str) -> str:
    """The licences of a source that is made of several, each once and without the name of its package."""
    parts = {re.sub(r" \([^)]*\)", "", part).strip() for part in licence.split(";")}
    return "; ".join(sorted(parts))


def _head(weights: Path, settings: TrainSettings, parameters: int, steps: int) -> Iterator[str]:
    data = weights.read_bytes()
    yield from ("# Model card of a purity network", "")
    yield f"- Weights: {len(data) / 1e6:.1f} MB, SHA-256 {hashlib.sha256(data).hexdigest()}; {parameters:,} parameters"
    yield f"- Trained from: {'a finished run' if settings.start == 'run' else settings.start}"
    yield (
        f"- {steps:,} steps of {settings.batch} mixtures of {settings.frames * HOP / RATE:.1f} s: "
        f"{mixture_hours(settings, steps):.0f} h; seed {settings.seed}"
    )
    yield f"- {settings.rounds} rounds, with hard negatives of up to {settings.hard_factor:g} times the weight"


def _curve_lines(curve: Mapping[int, Mapping[str, float]], settings: TrainSettings) -> Iterator[str]:
    if not curve:
        return
    names = list(curve[max(curve)])
    yield from (
        "",
        "## Validation",
        "",
        "Recall of seconds at 1 % false alarms, on sources that are not trained on.",
        "",
    )
    yield f"| hours of mixtures | {' | '.join(names)} |"
    yield "|---" * (1 + len(names)) + "|"
    for step, figures in sorted(curve.items()):
        cells = " | ".join(f"{figures[name]:.2f}" for name in names)
        yield f"| {mixture_hours(settings, step):.0f} | {cells} |"
    yield from ("", f"![Validation recall against hours of mixtures]({CURVE})")

"""The purity figures as plain text, JSON, and a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..sources.pool import Kind
from .bench import FALSE_ALARMS, LEVELS_DB, Figures
from .clips import Extent
from .endtoend import Share

# what issue and model card ask for: kind, level, extent, least recall at 1 % false alarms
ASKED: Mapping[tuple[Kind, float, Extent], float] = {
    ("speech", -5.0, "short"): 0.85,
    ("speech", -10.0, "short"): 0.55,
    ("music", -5.0, "short"): 0.70,
    ("music", -12.0, "short"): 0.40,
    ("music", -12.0, "long"): 0.80,
}


def recall_lines(figures: Figures) -> Iterator[str]:
    """Tables of recall by level, one for each kind, extent and share of false alarms."""
    rows = {(one.system, *one.task, one.false_alarms): one for one in figures.recalls}
    tasks = dict.fromkeys((one.task.kind, one.task.extent) for one in figures.recalls)
    for kind, extent in tasks:
        systems = dict.fromkeys(one.system for one in figures.recalls if one.task.kind == kind)
        levels = [level for level in LEVELS_DB if any(key[1:4] == (kind, level, extent) for key in rows)]
        for share in FALSE_ALARMS:
            length = "3-8 s" if extent == "short" else "15-19 s, tracks averaged over 15 s"
            yield f"{kind}, events of {length}, {100 * share:.0f} % false alarms: recall of seconds (of events)"
            yield f"  {'dB over the sound effects':<26}" + "".join(f"{level:>+12.0f}" for level in levels) + "   area"
            for system in systems:
                cells = [rows[system, kind, level, extent, share] for level in levels]
                text = "".join(f"{one.seconds:>6.2f} ({one.events:.2f})"[:13].rjust(12) for one in cells)
                yield f"  {system:<26}{text}   {cells[-1].area:.2f}"
            asked = [ASKED.get((kind, level, extent)) if share == FALSE_ALARMS[0] else None for level in levels]
            if any(asked):
                yield f"  {'asked':<26}" + "".join(f"{'' if one is None else f'{one:.2f}':>12}" for one in asked)
            yield ""


def class_lines(figures: Figures, systems: Sequence[str]) -> Iterator[str]:
    """False alarms by class of sound: per cent of pure seconds over the threshold of 1 % of all of them."""
    chosen = [name for name in figures.by_class if name.rsplit(" ", 1)[0] in systems]
    classes = sorted({name for one in chosen for name in figures.by_class[one]})
    yield f"false alarms by class of sound in a clip, per cent of its seconds ({figures.pure} pure clips)"
    yield f"  {'':<18}" + "".join(f"{name:>18}" for name in chosen)
    for name in classes:
        cells = (figures.by_class[one].get(name, 0.0) for one in chosen)
        yield f"  {name:<18}" + "".join(f"{100 * value:>18.1f}" for value in cells)
    yield ""


def share_lines(title: str, systems: Mapping[str, Mapping[str, Share]]) -> Iterator[str]:
    """Lines on what each system's cuts keep, by row: seconds, contamination, yield."""
    yield title
    width = max([24, *(len(row) for rows in systems.values() for row in rows)])
    for system, rows in systems.items():
        yield f"  {system:<{width}} {'kept s':>9} {'contaminated':>13} {'yield':>7}"
        for name, one in rows.items():
            part = "-" if math.isnan(one.contamination) else f"{100 * one.contamination:.2f} %"
            yielded = "-" if math.isnan(one.yielded) else f"{one.yielded:.2f}"
            yield f"    {name:<{width - 2}} {one.kept:>9.0f} {part:>13} {yielded:>7}"
    yield ""


def figures_json(figures: Figures) -> dict[str, Any]:
    """All figures as plain values."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(figures)))
    return plain


def draw(figures: Figures, path: Path, systems: Sequence[str]) -> None:
    """A picture of recall of seconds against level at 1 % false alarms, one panel for speech and one for music."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axis, kind in zip(axes, ("speech", "music"), strict=True):
        for number, system in enumerate(systems):
            points = sorted(
                (one.task.level_db, one.seconds)
                for one in figures.recalls
                if (one.system, one.task.kind, one.task.extent, one.false_alarms) == (system, kind, "short", 0.01)
            )
            if points:
                own = system == "purity"
                axis.plot(*zip(*points, strict=True), marker="o", markersize=4, linewidth=2.4 if own else 1.2,
                          label=system, color=f"C{number}", zorder=3 if own else 2)  # fmt: skip
        axis.set_title(f"{kind}, events of 3-8 s", fontsize=10)
        axis.set_xlabel("dB over the sound effects")
        axis.grid(alpha=0.3)
        axis.set_ylim(0, 1)
    axes[0].set_ylabel("recall of seconds at 1 % false alarms")
    axes[0].legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def draw_curve(curve: Mapping[float, Mapping[str, float]], path: Path) -> None:
    """A picture of validation figures, by name, against hours of mixtures, that of "mean" bold."""
    pyplot = _pyplot()
    figure, axis = pyplot.subplots(figsize=(6.5, 3.4), layout="constrained")
    hours = sorted(curve)
    for name in curve[hours[-1]]:
        style: dict[str, Any] = {"color": "black", "linewidth": 2.6} if name == "mean" else {}
        axis.plot(hours, [curve[hour][name] for hour in hours], marker="o", markersize=3, label=name, **style)
    axis.set_xlabel("hours of mixtures")
    axis.set_ylabel("recall at 1 % false alarms")
    axis.set_ylim(0, 1)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, ncols=2)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _pyplot() -> Any:
    """matplotlib without a screen."""
    from ...backends.matplotlib_home import matplotlib_elsewhere

    with matplotlib_elsewhere():
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

    return pyplot

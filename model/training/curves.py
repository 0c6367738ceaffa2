"""Plot the curves of a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from curation.backends.matplotlib_home import matplotlib_elsewhere
from manifests.files import write_beside

from .run_folder import CURVES, Record

_SMOOTHED = 0.9  # of the loss, which jumps from batch to batch


def draw_curves(folder: Path, records: Sequence[Record]) -> None:
    """Write `curves.png`: loss and validation loss, learning rate, and seam metrics."""
    with matplotlib_elsewhere():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        seams = sorted({name for record in records for name in record if name.startswith("seam")})
        rows = [["loss", "validation_loss"], ["lr"], *([seams] if seams else [])]
        figure = Figure(figsize=(8, 3 * len(rows)), layout="constrained")
        FigureCanvasAgg(figure)
        for index, names in enumerate(rows):
            axes = figure.add_subplot(len(rows), 1, index + 1)
            for name in names:
                steps, values = _series(records, name)
                if not steps:
                    continue
                if name == "loss":
                    axes.plot(steps, values, color="0.75", linewidth=0.8)
                    values = _smooth(values)
                axes.plot(steps, values, marker="o" if len(steps) < 30 else None, markersize=3, label=name)
            axes.set_xlabel("step")
            axes.grid(alpha=0.3)
            if axes.lines:
                axes.legend()
        with write_beside(folder / CURVES) as file:
            figure.savefig(file, format="png", dpi=100)


def _series(records: Sequence[Record], name: str) -> tuple[list[int], list[float]]:
    points = [(record["step"], record[name]) for record in records if name in record]
    return [step for step, _ in points], [value for _, value in points]


def _smooth(values: Sequence[float]) -> list[float]:
    """Exponential moving average, corrected for its start."""
    smoothed, mean, weight = [], 0.0, 0.0
    for value in values:
        mean, weight = _SMOOTHED * mean + value, _SMOOTHED * weight + 1
        smoothed.append(mean / weight)
    return smoothed

"""The energy about the joins of a sound, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.backends.matplotlib_home import matplotlib_elsewhere
from model.metrics.seams import LOG_FLOOR, WINDOW_SECONDS, rel


def draw(path: Path, about: Mapping[str, NDArray[np.floating]]) -> None:
    """Level about the joins, and how it changes from each 10 ms to the next: what is a seam stands out at 0.

    `about`: (joins, frames) by name, mean squares of frames of 10 ms, as many before a join as after it.
    """
    with matplotlib_elsewhere():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    level, change = figure.subplots(2, 1, sharex=True)
    for name, energies in about.items():
        if not len(energies):
            continue
        decibels = 10 * np.log10(energies + LOG_FLOOR)
        frames = energies.shape[1] // 2
        starts = WINDOW_SECONDS * np.arange(-frames, frames)
        relative = (decibels - decibels.mean(axis=1, keepdims=True)).mean(axis=0)
        level.plot(starts + WINDOW_SECONDS / 2, relative, label=name, linewidth=1.0)
        pairs = np.stack([energies[:, :-1].ravel(), energies[:, 1:].ravel()], axis=1)
        change.plot(starts[1:], rel(pairs).reshape(len(energies), -1).mean(axis=0), linewidth=1.0)
    level.set_ylabel("level less its mean (dB)")
    change.set_ylabel("rel: change within 10 ms")
    change.set_xlabel("seconds from the join")
    change.set_ylim(bottom=0)
    for axes in (level, change):
        axes.grid(alpha=0.3)
    level.legend()
    figure.savefig(path, dpi=120)

"""The validation figure: recall at 1 % false alarms on fixed clips of sources that are not trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...detectors.purity.frontend import HOP, RATE
from ..evaluation.clips import Clip, Task, clips
from ..evaluation.recall import second_means, threshold_at
from ..mixing.draw import Drawer
from ..mixing.scene import LABELS, MixRules
from ..network.network import PurityNetwork
from ..sources.pool import Pool, Split
from .data import example

FALSE_ALARMS = 0.01
TASKS = (
    Task("speech", -5.0, "short"), Task("speech", -10.0, "short"), Task("music", -5.0, "short"),
    Task("music", -12.0, "short"), Task("music", -12.0, "throughout"), Task("singing", -5.0, "short"),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Ready:
    mel: Tensor = field(repr=False)
    fine: Tensor = field(repr=False)
    truth: NDArray[np.bool_] = field(repr=False)
    task: Task | None


class Validation:
    """Fixed clips of one split: `pure` without contamination, `each` per task."""

    def __init__(self, pool: Path, split: Split, frames: int, *, pure: int = 96, each: int = 24, seed: int = 7) -> None:
        drawer = Drawer(Pool.open(pool), split)
        made = clips(drawer, frames, TASKS, pure=pure, each=each, seed=seed, rules=MixRules(codec=0.1))
        self._clips = [_ready(clip) for clip in made]

    def figures(self, network: PurityNetwork, device: str = "cpu") -> dict[str, float]:
        """Recall of seconds by task at FALSE_ALARMS, and "mean" over all tasks."""
        network.eval()
        tracks = [_tracks(network, clip, device) for clip in self._clips]
        pure = [track for track, clip in zip(tracks, self._clips, strict=True) if clip.task is None]
        result: dict[str, float] = {}
        for task in dict.fromkeys(clip.task for clip in self._clips if clip.task is not None):
            column = LABELS.index(task.kind)
            threshold = threshold_at([track[column] for track in pure], FALSE_ALARMS)
            found = [
                track[column][clip.truth] > threshold
                for track, clip in zip(tracks, self._clips, strict=True)
                if clip.task == task
            ]
            result[str(task)] = float(np.mean(np.concatenate(found)))
        result["mean"] = float(np.mean(list(result.values())))
        return result


def _ready(clip: Clip) -> _Ready:
    mel, fine, _ = example(clip.scene)
    return _Ready(torch.from_numpy(mel), torch.from_numpy(fine), clip.truth, clip.task)


def _tracks(network: PurityNetwork, clip: _Ready, device: str) -> list[NDArray[np.float32]]:
    """Mean log-odds per second of each label."""
    with torch.no_grad():
        out = network(clip.mel.to(device).float()[None], clip.fine.to(device).float()[None])
    values = out.log_odds[0].cpu().numpy()
    return [second_means(values[:, column], HOP / RATE) for column in range(len(LABELS))]

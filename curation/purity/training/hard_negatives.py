"""Hard negatives: sound effects in which the network finds what is not there are drawn more often."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from ...detectors.purity.frontend import HOP, features
from ..mixing.draw import Drawer, filled
from ..network.network import PurityNetwork
from ..sources.pool import Pool

FRAMES = 32  # 2.6 s of each source
BATCH = 24
FIRST_SEED = 11


def false_alarms(
    network: PurityNetwork, pool: Pool, indices: list[int], device: str = "cpu", seed: int = FIRST_SEED
) -> dict[str, float]:
    """The network's highest mean probability of any label over 2.6 s of each effect, by SHA-256."""
    drawer = Drawer(pool, "train")
    result: dict[str, float] = {}
    network.eval()
    for begin in range(0, len(indices), BATCH):
        chosen = indices[begin : begin + BATCH]
        inputs = []
        for index in chosen:
            sound = filled(np.random.default_rng([seed, index]), drawer, index, FRAMES * HOP)
            inputs.append(features(sound * np.float32(0.3 / (np.max(np.abs(sound)) + 1e-6))))
        mel = torch.from_numpy(np.stack([one for one, _ in inputs])).to(device)
        fine = torch.from_numpy(np.stack([one for _, one in inputs])).to(device)
        with torch.no_grad():
            found = torch.sigmoid(network(mel, fine).log_odds).mean(1).amax(1).cpu().numpy()
        for index, value in zip(chosen, found.tolist(), strict=True):
            result[pool.sources[index].sha256] = value
    return result


def weighed_again(
    network: PurityNetwork, folder: Path, before: Mapping[str, float], hard_factor: float, device: str = "cpu"
) -> dict[str, float]:
    """New factors of the training split's effects: 1 at or below their median false alarm, `hard_factor` at 1.

    Half of the old factor is kept, so that a source that was learned does not vanish at once.
    """
    pool = Pool.open(folder)
    return factors_of(false_alarms(network, pool, pool.indices("effects", "train"), device), before, hard_factor)


def factors_of(found: Mapping[str, float], before: Mapping[str, float], hard_factor: float) -> dict[str, float]:
    """Factors by the false alarms found, 0 to 1, and the factors before; see `weighed_again`."""
    usual = float(np.median(list(found.values()))) if found else 0.0
    scale = max(1.0 - usual, 1e-6)
    return {
        name: round(0.5 * before.get(name, 1.0) + 0.5 * (1 + (hard_factor - 1) * max(value - usual, 0) / scale), 4)
        for name, value in found.items()
    }

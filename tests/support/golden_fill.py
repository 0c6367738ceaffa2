"""Weights and figures of the golden files: how the networks were filled, and what they gave."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.support import ROOT

GOLDEN = ROOT / "tests" / "features" / "golden"


def golden(name: str, folder: Path = GOLDEN) -> Any:
    """A golden file's content; fails where the file is missing."""
    return json.loads((folder / name).read_text(encoding="utf-8"))


def normal(seed: int, *shape: int) -> Tensor:
    """Standard normal float32 numbers of NumPy's legacy generator."""
    return torch.from_numpy(np.asarray(np.random.RandomState(seed).standard_normal(shape), np.float32))


def fill(layout: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A state of the given names and shapes, filled by the rule that the golden figures were made with."""
    names = sorted(layout)

    def filled(seed: int) -> Tensor:
        name, shape = names[seed], layout[names[seed]]
        values = normal(seed, *shape)
        if name.endswith(("norm.weight", "norm1.weight", "norm2.weight", "latent_std")):
            return values.mul_(0.1).add_(1)
        if len(shape) >= 2 and not any(word in name for word in ("empty", "pos_emb", "token", "latent_mean")):
            return values.mul_((shape[0] / values.numel()) ** 0.5)
        return values.mul_(0.1)

    # drawing takes most of the time, and NumPy draws without the interpreter's lock
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        return dict(zip(names, pool.map(filled, range(len(names))), strict=True))


def figures(tensor: Tensor) -> dict[str, list[float]]:
    """The figures that a golden file keeps of a tensor."""
    flat = tensor.double().flatten()
    half = flat.numel() // 2
    return {
        "mean": [flat.mean().item()],
        "std": [flat.std().item()],
        "first": flat[:6].tolist(),
        "last": flat[-6:].tolist(),
        "mid": flat[half : half + 4].tolist(),
    }


def relative_error(tensor: Tensor, expected: Mapping[str, Any]) -> float:
    """The largest difference of any figure, as a part of that figure."""
    assert list(tensor.shape) == expected["shape"]
    found = figures(tensor)
    wanted = {name: np.atleast_1d(np.asarray(expected[name], np.float64)) for name in found}
    assert all(len(values) == len(wanted[name]) for name, values in found.items())
    return max(float((np.abs(values - wanted[name]) / np.abs(wanted[name])).max()) for name, values in found.items())

"""Flow matching: straight paths from noise to data (Lipman et al. 2023, arXiv 2210.02747; MMAudio with sigma_min 0)."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_times(
    batch: int, generator: torch.Generator | None = None, mean: float = 0.0, deviation: float = 1.0
) -> Tensor:
    """Draw times (batch,) in (0, 1) to train at: the logistic function of a normal variable (Esser et al. 2024).

    By default most are in the middle, as in MMAudio; a negative mean moves them towards the noise, where the properties
    of a whole clip are decided. Drawn on the CPU, so that every device trains at the same times (arXiv 2403.03206).
    """
    return (mean + deviation * torch.randn(batch, generator=generator)).sigmoid()


def interpolate(noise: Tensor, data: Tensor, t: Tensor) -> Tensor:
    """Points on the paths from `noise` to `data` (B, ...) at times t (B,)."""
    at = t.reshape(-1, *(1 for _ in data.shape[1:])).to(data)
    return (1 - at) * noise + at * data


def target(noise: Tensor, data: Tensor) -> Tensor:
    """Velocity of the path, the same at every time: the network's target."""
    return data - noise

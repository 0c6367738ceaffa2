"""Flow matching: straight paths from noise to data (Lipman et al. 2023, arXiv 2210.02747; MMAudio with sigma_min 0)."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_times(
    batch: int, generator: torch.Generator | None = None, mean: float = 0.0, deviation: float = 1.0
) -> Tensor:
    """Times (batch,) in (0, 1) to train at: the logistic function of a normal variable of that mean and deviation.

    By default most are in the middle, as MMAudio's; a negative mean brings them towards the noise, where what is the
    same all through a clip is decided. Drawn on the CPU, so that every device trains at the same ones (Esser et al.
    2024, arXiv 2403.03206).
    """
    return (mean + deviation * torch.randn(batch, generator=generator)).sigmoid()


def interpolate(noise: Tensor, data: Tensor, t: Tensor) -> Tensor:
    """Where the path from `noise` to `data` (B, ...) is at times t (B,)."""
    at = t.reshape(-1, *(1 for _ in data.shape[1:])).to(data)
    return (1 - at) * noise + at * data


def target(noise: Tensor, data: Tensor) -> Tensor:
    """The velocity of the path, the same at every time: what the network learns."""
    return data - noise

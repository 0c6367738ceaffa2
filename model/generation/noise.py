"""The noise that each clip begins with: the same on every device, whatever is generated beside it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .plan import ClipPlan


def clip_noises(plan: ClipPlan, channels: int, seed: int, *, shared: bool = False) -> Iterator[Tensor]:
    """float32 (L, channels) of every clip: clip i's is drawn from `seed` + i on the CPU.

    `shared`: all clips begin with that of clip 0. In latent stitching a clip takes the noise of the one before where
    they overlap: an instant has one noise, whichever clip makes it.
    """
    before: tuple[int, Tensor] | None = None
    for clip in plan.clips:
        drawn = noise(seed if shared else seed + clip.number, plan.lengths.latent, channels)
        if before is not None and plan.stitch == "latent":
            first, earlier = before
            common = earlier[clip.latent - first :]
            drawn = torch.cat([common, drawn[len(common) :]])
        before = clip.latent, drawn
        yield drawn


def noise(seed: int, length: int, channels: int) -> Tensor:
    """Standard normal (length, channels), float32."""
    return torch.randn(length, channels, generator=torch.Generator().manual_seed(seed))

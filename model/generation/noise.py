"""Initial noise of clips: the same on every device and in any batch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .plan import ClipPlan


def clip_noises(plan: ClipPlan, channels: int, seed: int, *, shared: bool = False) -> Iterator[Tensor]:
    """Yield the noise of every clip, float32 (L, channels); that of clip i is drawn from `seed` + i on the CPU.

    With `shared` all clips have the noise of clip 0. In latent stitching overlapping clips share the noise of the
    overlap: an instant has the same noise in both.
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

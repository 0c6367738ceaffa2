"""Conditions that are left out at random, so that the network also learns what sounds like without them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..adapters import ConditionMask


def draw_mask(uniform: Tensor, null: float, version: int, has_video: Tensor) -> ConditionMask:
    """Which conditions stay, from three numbers in [0, 1) a clip, (B, 3): of pictures, of sync, of text.

    Each is left out with probability `null`. In version 1 of the base sync goes where the pictures go (MMAudio drops
    the video as one), in version 2 each goes by itself. Clips for which `has_video` (B,) is False keep neither.
    """
    stays = uniform >= null
    visual, text = stays[:, 0], stays[:, 2]
    sync = visual if version == 1 else stays[:, 1]
    return ConditionMask(visual=visual & has_video, sync=sync & has_video, text=text)


def apply_mask(values: Tensor, keep: Tensor, empty: Tensor) -> Tensor:
    """`values` (B, T, D) where `keep` (B,) is True, `empty` (B, T, D) elsewhere."""
    return torch.where(keep[:, None, None], values, empty.to(values.dtype))

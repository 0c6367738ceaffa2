"""Condition dropout: leave out conditions at random, so that the network also learns the flow without them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..adapters import ConditionMask


def draw_mask(uniform: Tensor, null: float, version: int, has_video: Tensor) -> ConditionMask:
    """The mask of conditions, from three uniform numbers in [0, 1) per clip, (B, 3): for visual, sync and text.

    Each is dropped with probability `null`. In version 1 of the base sync is dropped with the visual condition, as in
    MMAudio; in version 2 they are independent. Clips without video (`has_video` (B,) False) have neither.
    """
    stays = uniform >= null
    visual, text = stays[:, 0], stays[:, 2]
    sync = visual if version == 1 else stays[:, 1]
    return ConditionMask(visual=visual & has_video, sync=sync & has_video, text=text)


def apply_mask(values: Tensor, keep: Tensor, empty: Tensor) -> Tensor:
    """`values` (B, T, D) where `keep` (B,) is True, `empty` (B, T, D) elsewhere."""
    return torch.where(keep[:, None, None], values, empty.to(values.dtype))

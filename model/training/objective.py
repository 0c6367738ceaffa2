"""The trained module: from a batch to the loss of each clip."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from features.encoders import Precision

from ..adapters import Adapters
from ..flow import interpolate, target
from ..mmaudio import MMAudio
from .condition_dropout import apply_mask
from .data import Batch
from .settings import Ends


class Objective(nn.Module):
    """Base and adapters; the loss is the mean squared error of the velocity of the flow, weighted at the `ends`.

    For `precision` "bfloat16" a frozen base is converted to bfloat16 and adapters stay in float32; a trained base
    (`trains_base`) keeps float32 weights and computes under autocast.
    """

    def __init__(
        self,
        base: MMAudio,
        adapters: Adapters | None,
        trains_base: bool,
        precision: Precision,
        ends: Ends | None = None,
    ) -> None:
        super().__init__()
        self.base, self.adapters = base, adapters
        self._ends = ends or Ends()
        self._autocasts = trains_base and precision == "bfloat16"
        constant = {"latent_mean", "latent_std", "empty_string_feat"}
        for name, values in base.named_parameters():
            values.requires_grad_(trains_base and name not in constant)
        if not trains_base:
            base.eval()
            if precision == "bfloat16":
                _into_bfloat16(base)
        if adapters is not None:
            adapters.requires_grad_(True)

    def forward(self, batch: Batch, even: bool = False) -> Tensor:
        """The loss of each clip, (B,), float32; with `even`, its ends have the same weight as the rest."""
        with torch.autocast(batch.data.device.type, torch.bfloat16, enabled=self._autocasts):
            base, keep = self.base, batch.keep
            data = base.normalize(batch.data)
            clip, sync, text = base.empty(len(data))
            conditions = base.conditions(
                apply_mask(batch.clip.to(data.dtype), keep.visual, clip),
                apply_mask(batch.sync.to(data.dtype), keep.sync, sync),
                apply_mask(batch.text.to(data.dtype), keep.text, text),
            )
            if self.adapters is not None and batch.inputs is not None:
                conditions = self.adapters(conditions, batch.inputs, base.sync_pos_emb, keep)
            velocity = base.flow(interpolate(batch.noise, data, batch.t), batch.t, conditions)
        errors = (velocity.float() - target(batch.noise, data)).square().mean(2)
        losses: Tensor = errors.mean(1) if even else errors @ shares(self._ends, errors.shape[1]).to(errors)
        return losses


def shares(ends: Ends, count: int) -> Tensor:
    """The weight of each of a clip's latents in the loss, (count,), 1 in all."""
    from_end = torch.minimum(torch.arange(count), torch.arange(count).flip(0))
    weights = torch.where(from_end < ends.latents, ends.weight, 1.0)
    return weights / weights.sum()


def _into_bfloat16(base: MMAudio) -> None:
    """Convert all weights but the latents' mean and deviation, which would round the data."""
    kept = {name: getattr(base, name).detach().clone() for name in ("latent_mean", "latent_std")}
    base.to(torch.bfloat16)
    for name, values in kept.items():
        getattr(base, name).data = values


def weighted(losses: Tensor, weight: Tensor) -> Tensor:
    """The process's part of the loss: its mean over processes is the mean over the step's clips.

    A clip of weight 0 does not count even if its loss is NaN.
    """
    return torch.where(weight > 0, losses * weight, 0.0).sum()


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that training changes."""
    return [values for values in module.parameters() if values.requires_grad]

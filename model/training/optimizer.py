"""AdamW over the trained parameters; adapters and base have their own rate and decay."""

from __future__ import annotations

import torch
from torch import nn

from .settings import TrainingSettings

AUTOCAST_EPSILON = 1e-6


def adamw(objective: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    """The optimizer; the schedule's `factor` multiplies each group's `rate`.

    Fused: one kernel for all weights, if the device has it.
    """
    chosen = settings.optimizer
    eps = chosen.eps
    if settings.trains_base and settings.precision == "bfloat16":
        eps = max(eps, AUTOCAST_EPSILON)
    groups = []
    for prefix, rate, decay in (
        ("adapters.", chosen.lr, chosen.weight_decay),
        ("base.", chosen.base_lr, chosen.base_weight_decay),
    ):
        named = [(n, p) for n, p in objective.named_parameters() if n.startswith(prefix) and p.requires_grad]
        if named:
            weights = [values for _, values in named]
            groups.append({"params": weights, "lr": rate, "rate": rate, "weight_decay": decay})
    return torch.optim.AdamW(groups, betas=(chosen.beta1, chosen.beta2), eps=eps, fused=True)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Set each group's learning rate to its rate times `factor`; returns that of the first group."""
    for group in optimizer.param_groups:
        group["lr"] = group["rate"] * factor
    return float(optimizer.param_groups[0]["lr"])

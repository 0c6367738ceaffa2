"""Number types of networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import nn

from .base import EncoderSpec

Precision = Literal["float32", "bfloat16"]

TYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def place(network: nn.Module, device: torch.device | str, precision: Precision) -> None:
    """Move a network to `device` and convert its weights to `precision`, in place."""
    network.to(torch.device(device), TYPES[precision])


def in_precision(spec: EncoderSpec, precision: Precision) -> EncoderSpec:
    """`spec` for a run in `precision`, which is part of the version. Raises ValueError for unknown precisions."""
    if precision not in TYPES:
        raise ValueError(f"{spec.name}: precision {precision!r}: known are {', '.join(TYPES)}")
    return spec if precision == "float32" else replace(spec, version=f"{spec.version}-{precision}")

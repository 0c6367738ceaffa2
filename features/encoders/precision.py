"""The number type in which a network runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import nn

from .base import EncoderSpec

Precision = Literal["float32", "bfloat16"]

TYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def place(network: nn.Module, device: torch.device | str, precision: Precision) -> None:
    """Move a network to `device` and make its weights `precision`, in place."""
    network.to(torch.device(device), TYPES[precision])


def in_precision(spec: EncoderSpec, precision: Precision) -> EncoderSpec:
    """`spec` of the encoder as it runs in `precision`, which is part of its version. Raises ValueError for others."""
    if precision not in TYPES:
        raise ValueError(f"{spec.name}: precision {precision!r}: known are {', '.join(TYPES)}")
    return spec if precision == "float32" else replace(spec, version=f"{spec.version}-{precision}")

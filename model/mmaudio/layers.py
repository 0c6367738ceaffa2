"""Layers of the blocks. Sequences are (B, T, channels) throughout, in convolutions too."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import HEAD, swiglu_width

THETA = 10_000.0  # of the rotary positions and of the embedding of time
NORM_EPSILON = 1e-5


class _Neighbours(torch.autograd.Function):
    """Each time step beside those around it: (B, T, C) -> (B, T, kernel C), zeros beyond the ends."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: int) -> Tensor:
        ctx.kernel, length = kernel, x.shape[1]
        padded = F.pad(x, (0, 0, kernel // 2, kernel // 2))
        return torch.cat([padded[:, k : k + length] for k in range(kernel)], dim=-1)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (given,), kernel = gradients, ctx.kernel
        batch, length, channels = given.shape
        gradient = given.new_zeros(batch, length + kernel - 1, channels // kernel)
        for k, part in enumerate(given.chunk(kernel, dim=-1)):
            gradient[:, k : k + length] += part
        return gradient[:, kernel // 2 : kernel // 2 + length], None


def neighbours(x: Tensor, kernel: int) -> Tensor:
    """(B, T, C) -> (B, T, kernel C): the inputs of a convolution of that kernel at each step."""
    around: Tensor = _Neighbours.apply(x, kernel)  # type: ignore[no-untyped-call]
    return around


class Convolution(nn.Conv1d):
    """A convolution over time, zero-padded to keep the length, as one matrix product with channels innermost.

    On a CPU that is 1.2 to 1.4 times as fast as `torch.nn`, which has channels outside. The weights keep their shape
    (outputs, inputs, kernel), but lie in memory as the product reads them; `lay_out` puts them into that order.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
        self.lay_out()

    def lay_out(self) -> None:
        """Put loaded weights into the memory order of the product; this changes only the speed."""
        self.weight.data = self.weight.data.transpose(1, 2).contiguous().transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, inputs) -> (B, T, outputs)."""
        return self.product(neighbours(x, self.kernel_size[0]))

    def product(self, around: Tensor) -> Tensor:
        """Output of `neighbours` -> (B, T, outputs)."""
        return F.linear(around, self.weight.transpose(1, 2).flatten(1), self.bias)


def lay_out(network: nn.Module) -> None:
    """Call `Convolution.lay_out` for every convolution of a network."""
    for module in network.modules():
        if isinstance(module, Convolution):
            module.lay_out()


class SwiGlu(nn.Module):
    """w2(silu(w1 x) * w3 x), without biases (Shazeer 2020, "GLU variants improve transformer")."""

    def __init__(self, channels: int, width: int | None = None) -> None:
        super().__init__()
        inner = width or swiglu_width(channels)
        self.w1 = nn.Linear(channels, inner, bias=False)
        self.w2 = nn.Linear(inner, channels, bias=False)
        self.w3 = nn.Linear(channels, inner, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, channels) -> the same shape."""
        mixed: Tensor = self.w2(F.silu(self.w1(x)) * self.w3(x))
        return mixed


class ConvSwiGlu(nn.Module):
    """SwiGLU with convolutions over time."""

    def __init__(self, channels: int, kernel: int, width: int | None = None) -> None:
        super().__init__()
        inner = width or swiglu_width(channels)
        self.w1 = Convolution(channels, inner, kernel, bias=False)
        self.w2 = Convolution(inner, channels, kernel, bias=False)
        self.w3 = Convolution(channels, inner, kernel, bias=False)

    def forward(self, x: Tensor, present: Tensor | None = None) -> Tensor:
        """(B, T, channels) -> the same shape; `present` (B, T, 1): elsewhere the hidden layer is zero too."""
        around = neighbours(x, self.w1.kernel_size[0])  # once for both
        hidden = F.silu(self.w1.product(around)) * self.w3.product(around)
        mixed: Tensor = self.w2(hidden if present is None else hidden * present)
        return mixed


def normalized(x: Tensor) -> Tensor:
    """LayerNorm without weights."""
    return F.layer_norm(x, x.shape[-1:], eps=NORM_EPSILON)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Adaptive layer norm (Peebles & Xie 2023, "Scalable diffusion models with transformers")."""
    x = normalized(x)
    return torch.addcmul(x + shift, x, scale)


class Modulation(nn.Sequential):
    """SiLU and a linear map (index 1 in released files) to `vectors` vectors of `channels`."""

    def __init__(self, channels: int, vectors: int) -> None:
        super().__init__(nn.SiLU(), nn.Linear(channels, vectors * channels))
        self.vectors = vectors

    def of(self, activated: Tensor, rows: Tensor | None) -> tuple[Tensor, ...]:
        """(B, S, channels) after the SiLU, which all blocks share -> vectors of (B, S, channels) each.

        With `rows` (N,), indices below S, the vectors are (B, N, channels) each.
        """
        modulation: Tensor = self[1](activated)
        return (modulation if rows is None else modulation.index_select(1, rows)).chunk(self.vectors, dim=-1)


Rotation = tuple[Tensor, Tensor]


def _frequencies(channels: int, device: torch.device) -> Tensor:
    """1 down to nearly 1 / THETA, (channels / 2,): rounded as in the training of released weights."""
    return 1.0 / THETA ** (torch.arange(0, channels, 2, device=device, dtype=torch.float32) / channels)


def rotation(length: int, scale: float, device: torch.device) -> Rotation:
    """Cosines and sines (length, HEAD / 2), float32, of rotary positions 0 .. length - 1 times `scale`.

    Su et al. 2021, "RoFormer". Computed when needed: as buffers they would follow the network into bfloat16.
    """
    angles = torch.arange(length, device=device, dtype=torch.float32)[:, None] * (_frequencies(HEAD, device) * scale)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotate (B, heads, T, HEAD); neighbouring channels are the two coordinates; computed in float32."""
    cos, sin = rotation
    even, odd = x.float().reshape(*x.shape[:-1], -1, 2).unbind(-1)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).to(x.dtype)


class Heads(nn.Module):
    """Queries, keys and values of one stream; the output projection is part of the block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(channels, 3 * channels)
        self.q_norm = nn.RMSNorm(HEAD)
        self.k_norm = nn.RMSNorm(HEAD)

    def forward(self, x: Tensor, rotation: Rotation | None) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, channels) -> three of (B, heads, T, HEAD)."""
        # the three are interleaved: row 3c + j of the weights gives channel c of query, key, value
        query, key, value = self.qkv(x).reshape(*x.shape[:2], -1, HEAD, 3).permute(4, 0, 2, 1, 3)
        # under autocast weights have another type than the values
        query = F.rms_norm(query, (HEAD,), self.q_norm.weight.to(query.dtype))
        key = F.rms_norm(key, (HEAD,), self.k_norm.weight.to(key.dtype))
        return (query, key, value) if rotation is None else (rotate(query, rotation), rotate(key, rotation), value)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(B, heads, T, HEAD) each -> (B, T, channels)."""
    return F.scaled_dot_product_attention(query, key, value.contiguous()).transpose(1, 2).flatten(2)


class TimeEmbedding(nn.Module):
    """Embeds the time of the flow, 0 to 1."""

    def __init__(self, channels: int, version: int) -> None:
        super().__init__()
        # version 1 embeds the unscaled t in slow waves; version 2 makes them 10,000 times as fast
        self.frequencies, self.speed = (256, 1.0) if version == 1 else (channels, THETA)
        first, last = nn.Linear(self.frequencies, channels), nn.Linear(channels, channels)
        self.mlp = nn.Sequential(first, nn.SiLU(), last)

    def forward(self, t: Tensor) -> Tensor:
        """(B,) -> (B, channels)."""
        angles = t.float()[:, None] * (self.speed * _frequencies(self.frequencies, t.device))
        waves = torch.cat((angles.cos(), angles.sin()), dim=1)
        embedded: Tensor = self.mlp(waves.to(next(self.mlp.parameters()).dtype))
        return embedded

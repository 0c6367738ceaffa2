"""Synchformer's visual branch (Iashin et al. 2024, arXiv 2401.16423; https://github.com/v-iashin/Synchformer).

A vision transformer whose attention is divided between time and space (MotionFormer's layout), over windows of 16
frames at 25 per second, then one transformer layer that pools the 196 places of each of 8 time steps into a vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .released import fill, layout_of, read_tensors

WINDOW, STRIDE = 16, 8  # frames
TUBE = 2  # frames that make one token
STEPS = WINDOW // TUBE  # vectors per window
SIDE, PATCH = 224, 16  # pixels
PLACES = (SIDE // PATCH) ** 2
PREFIX = "vfeat_extractor."
NORM_EPSILON = 1e-6


@dataclass(frozen=True)
class SynchformerShape:
    """Sizes of the network; the defaults are the released ones."""

    width: int = 768
    heads: int = 12
    blocks: int = 12
    hidden: int = 3072


class PatchEmbedding(nn.Module):
    """Gives the convolution into patches the name that it has in the released file."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.proj = convolution


class DividedAttention(nn.Module):
    """Attention of every token over the class token and its group: its place at all times, or its time's places.

    The class token, as a query, attends to all tokens once.
    """

    def __init__(self, shape: SynchformerShape, across: Literal["time", "space"]) -> None:
        super().__init__()
        self.heads, self.across = shape.heads, across
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.proj = nn.Linear(shape.width, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1 + STEPS * PLACES, width) -> the same shape."""
        # (q|k|v, N, head, token, channel)
        split = self.qkv(x).view(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = split[0], split[1], split[2]
        first = F.scaled_dot_product_attention(query[:, :, :1], key, value)
        queries, keys, values = (self._grouped(part[:, :, 1:]) for part in split)
        count = queries.shape[0] // x.shape[0]
        keys, values = (
            torch.cat([cls[:, :, :1].repeat_interleave(count, dim=0), group], dim=2)
            for cls, group in ((key, keys), (value, values))
        )
        rest = F.scaled_dot_product_attention(queries, keys, values)
        joined = torch.cat([first.transpose(1, 2), self._ungrouped(rest, x.shape[0])], dim=1)
        out: Tensor = self.proj(joined.flatten(2))
        return out

    def _grouped(self, part: Tensor) -> Tensor:
        """(N, head, STEPS * PLACES, channel) -> (N * groups, head, members, channel)."""
        spread = torch.unflatten(part, 2, (STEPS, PLACES))
        order = (0, 3, 1, 2, 4) if self.across == "time" else (0, 2, 1, 3, 4)
        return spread.permute(order).flatten(0, 1)

    def _ungrouped(self, part: Tensor, windows: int) -> Tensor:
        """(N * groups, head, members, channel) -> (N, STEPS * PLACES, head, channel)."""
        spread = torch.unflatten(part, 0, (windows, -1))
        order = (0, 3, 1, 2, 4) if self.across == "time" else (0, 1, 3, 2, 4)
        return spread.permute(order).flatten(1, 2)


class Perceptron(nn.Module):
    """Two linear layers around an exact GELU."""

    def __init__(self, shape: SynchformerShape) -> None:
        super().__init__()
        self.fc1 = nn.Linear(shape.width, shape.hidden)
        self.fc2 = nn.Linear(shape.hidden, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """Attention over time, attention over space, perceptron: each normalised before, added after."""

    def __init__(self, shape: SynchformerShape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.width, eps=NORM_EPSILON)
        self.attn = DividedAttention(shape, "space")
        self.timeattn = DividedAttention(shape, "time")
        self.norm2 = nn.LayerNorm(shape.width, eps=NORM_EPSILON)
        self.mlp = Perceptron(shape)
        self.norm3 = nn.LayerNorm(shape.width, eps=NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """(N, tokens, width) -> the same shape."""
        x = x + self.timeattn(self.norm3(x))
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class JointProjection(nn.Module):
    """Gives the projections of torch's multi-head attention the names that they have in the released file."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)


class PlaceAggregator(nn.Module):
    """One transformer layer of which only the class token is computed: places of one time step -> one vector."""

    def __init__(self, shape: SynchformerShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.self_attn = JointProjection(shape.width)
        self.linear1 = nn.Linear(shape.width, shape.hidden)
        self.linear2 = nn.Linear(shape.hidden, shape.width)
        self.norm1 = nn.LayerNorm(shape.width, eps=NORM_EPSILON)
        self.norm2 = nn.LayerNorm(shape.width, eps=NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """(N, PLACES, width) -> (N, width)."""
        cls = self.cls_token.expand(len(x), -1, -1)
        normed = self.norm1(torch.cat([cls, x], dim=1))
        width = x.shape[2]
        weight, bias = self.self_attn.in_proj_weight, self.self_attn.in_proj_bias
        query = self._heads(F.linear(normed[:, :1], weight[:width], bias[:width]))
        key, value = (self._heads(part) for part in F.linear(normed, weight[width:], bias[width:]).chunk(2, dim=2))
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        gathered = cls + self.self_attn.out_proj(attended)
        out: Tensor = gathered + self.linear2(F.gelu(self.linear1(self.norm2(gathered))))
        return out[:, 0]

    def _heads(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, 2, (self.heads, -1)).transpose(1, 2)


class VisualTransformer(nn.Module):
    """Windows of frames -> one vector for every two frames."""

    def __init__(self, shape: SynchformerShape) -> None:
        super().__init__()
        width = shape.width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + PLACES, width))
        self.temp_embed = nn.Parameter(torch.zeros(1, STEPS, width))
        # for single frames: part of the released file, not used
        self.patch_embed = PatchEmbedding(nn.Conv2d(3, width, PATCH, PATCH))
        tube = (TUBE, PATCH, PATCH)
        self.patch_embed_3d = PatchEmbedding(nn.Conv3d(3, width, tube, tube))
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.blocks))
        self.norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.spatial_attn_agg = PlaceAggregator(shape)

    def forward(self, x: Tensor) -> Tensor:
        """(N, WINDOW, 3, SIDE, SIDE) -> (N, STEPS, width)."""
        patches = self.patch_embed_3d.proj(x.transpose(1, 2)).flatten(3).permute(0, 2, 3, 1)  # (N, step, place, width)
        patches = patches + self.pos_embed[:, None, 1:] + self.temp_embed[:, :, None]
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        tokens = torch.cat([cls, patches.flatten(1, 2)], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        steps = self.norm(tokens[:, 1:]).unflatten(1, (STEPS, PLACES)).flatten(0, 1)
        out: Tensor = self.spatial_attn_agg(steps).unflatten(0, (-1, STEPS))
        return out


class Synchformer(nn.Module):
    """The visual branch: called on (B, S, 16, 3, 224, 224), pixels from -1 to 1, it gives (B, S, 8, width).

    Windows are computed independently, `batch` at a time: memory is bounded for any B and S (about 90 MB per window in
    float32). Runs in the type of its weights, gives float32. Raises ValueError for another shape, NaN or
    infinite pixels.
    """

    def __init__(self, shape: SynchformerShape | None = None, batch: int = 4) -> None:
        super().__init__()
        self.shape = shape or SynchformerShape()
        self.batch = batch
        self.vfeat_extractor = VisualTransformer(self.shape)

    def forward(self, windows: Tensor) -> Tensor:
        """(B, S, 16, 3, 224, 224) -> float32 (B, S, 8, width)."""
        expected = (WINDOW, 3, SIDE, SIDE)
        if windows.ndim != 6 or tuple(windows.shape[2:]) != expected or not windows.is_floating_point():
            raise ValueError(
                f"synchformer: needs floating-point (batch, windows, {', '.join(map(str, expected))}), "
                f"got {windows.dtype} {tuple(windows.shape)}"
            )
        flat = windows.flatten(0, 1)
        vectors = [self._batch(flat[begin : begin + self.batch]) for begin in range(0, len(flat), self.batch)]
        none = flat.new_empty(0, STEPS, self.shape.width, dtype=torch.float32)
        return torch.cat(vectors or [none]).view(*windows.shape[:2], STEPS, self.shape.width)

    def _batch(self, windows: Tensor) -> Tensor:
        if not bool(torch.isfinite(windows).all()):
            raise ValueError("synchformer: the pixels have NaN or infinite values")
        vectors: Tensor = self.vfeat_extractor(windows.to(self.vfeat_extractor.norm.weight.dtype))
        return vectors.float()

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """uint8 (F, 3, 224, 224) at 25 per second -> float32 (8 S, width) on the network's device, window after window.

        S = (F - 16) // 8 + 1 windows; no windows for fewer than 16 frames. Frames are moved and converted as they are
        needed.
        """
        if tuple(frames.shape[1:]) != (3, SIDE, SIDE) or frames.dtype != torch.uint8:
            raise ValueError(
                f"synchformer: needs uint8 (frames, 3, 224, 224), got {frames.dtype} {tuple(frames.shape)}"
            )
        device = self.vfeat_extractor.norm.weight.device
        count = max(0, (len(frames) - WINDOW) // STRIDE + 1)
        vectors = torch.empty(count, STEPS, self.shape.width, device=device)
        for begin in range(0, count, self.batch):
            end = min(count, begin + self.batch)
            pixels = frames[begin * STRIDE : (end - 1) * STRIDE + WINDOW].to(device).float() / 127.5 - 1.0
            windows = pixels.unfold(0, WINDOW, STRIDE).permute(0, 4, 1, 2, 3)  # a view: no frame is stored twice
            vectors[begin:end] = self._batch(windows)
        return vectors.flatten(0, 1)


def load_synchformer(path: Path) -> Synchformer:
    """The network with the weights of a released file, without its audio parts, on the CPU.

    Raises ModelUnavailable, in one line, for a file that cannot be read or has another layout.
    """
    with torch.device("meta"):
        network = Synchformer()
    layout = layout_of(network)
    fill(network, read_tensors(path, "synchformer", layout, wanted=lambda name: name.startswith(PREFIX)))
    return network

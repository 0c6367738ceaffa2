"""Sync vectors without weights: a descriptor of motion (its place, direction and time) at Synchformer's rate.

Frames are taken at 25 per second, stretched to 96 x 96; luma is 0..1. Windows of 16 frames, 8 apart, give 8 vectors
each: vector k of window j covers frames 8j + 2k and 8j + 2k + 1 and describes the changes *into* them, each from the
frame before. A change that begins with frame f is in the vectors that cover f and in no others; a flash in frame f
alone is also a change into f + 1 and so, if f is odd, in the next vector too. A window does not depend on frames
outside its 16: the change into its first frame is only in the window before.

A vector has 96 dimensions, between -1 and 1, and zero without change. For each of 4 x 4 cells, row by row:

    0-15   energy: root-mean-square change of luma, the stronger of the two changes
    16-31  level: mean change of luma over both, positive where the cell brightens
    32-47  right: displacement, as a share of the width per frame, mean of both changes
    48-63  down: displacement, as a share of the height per frame, likewise
    64-79  rise: energy of the second change minus that of the first (the time within 80 ms)

and for the whole frame:

    80, 81  energy of the first and of the second change
    82, 83  level of the first and of the second change (a flash, a cut to black)
    84, 85  mean brightening and mean darkening (which cancel out in the level)
    86      share of pixels that change by more than 0.05
    87, 88  root-mean-square change of colour: Cb, Cr
    89, 90  centre of the change, right of and below the middle of the frame
    91, 92  right, down: displacement of the whole (a pan), mean of the cells
    93, 94  divergence (things that come nearer) and turn (clockwise) of the cells' displacements about the middle
    95      root-mean-square displacement of the cells about that of the whole (things that move before the camera)

Displacement is estimated in each cell by least squares on brightness constancy (Lucas & Kanade 1981), coarse to fine on
two levels (Bouguet 2001), on covariances rather than products, so that switching on a light is not motion. Energies x
are compressed as log(1 + 100 x) / log(101), displacements as tanh(12 x): 1 % of the frame gives 0.12, 10 % gives 0.83.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from curation.backends.weights import ModelSetup

from .base import EncoderSpec, FrameLayout, check_frames

VERSION = "1"
GRID = 4
DIMENSION = 96
LAYOUT = FrameLayout(fps=25, side=96, fit="stretch", window=16, stride=8, vectors=8)
RIDGE = 1e-4  # luma per pixel, squared: below such gradients a cell is flat, and its displacement goes to zero
REACH = 6.0  # pixels at each level: an estimate beyond it has left the neighbourhood where gradients are valid
REFINEMENTS = 2  # per level
CHANGED = 0.05  # of luma 0..1: above the noise of cameras and codecs
COMPRESSION, STEEPNESS = 100.0, 12.0
CHUNK = 256  # changes at a time: 70 MB


def compressed(energy: Tensor) -> Tensor:
    """0..1 -> 0..1, so that small changes count and large ones do not drown them; odd about zero."""
    return energy.sign() * torch.log1p(COMPRESSION * energy.abs()) / math.log1p(COMPRESSION)


def displacements(before: Tensor, after: Tensor) -> Tensor:
    """Displacement of each cell, (n, 2, 4, 4), right and down as shares of the frame, from luma (n, S, S)."""
    flow = before.new_zeros((len(before), 2, GRID, GRID))
    for shrink in (2, 1):
        first, second = (_smooth(F.avg_pool2d(luma[:, None], shrink)) for luma in (before, after))
        limit = REACH * shrink / LAYOUT.side
        for _ in range(REFINEMENTS):
            flow = flow + _step(first, _moved_back(second, flow)).clamp(-limit, limit)
    return flow


def _step(first: Tensor, second: Tensor) -> Tensor:
    """One step of least squares between luma (n, 1, s, s), as shares of the frame."""
    size = first.shape[-1]
    # both frames' mean gradient: symmetric in time, and of second order
    mean = F.pad((first + second) / 2, (1, 1, 1, 1), mode="replicate")
    right = (mean[..., 1:-1, 2:] - mean[..., 1:-1, :-2]) / 2
    down = (mean[..., 2:, 1:-1] - mean[..., :-2, 1:-1]) / 2
    change = second - first

    def covariance(a: Tensor, b: Tensor) -> Tensor:
        return _cells(a * b) - _cells(a) * _cells(b)

    xx, yy, xy = covariance(right, right) + RIDGE, covariance(down, down) + RIDGE, covariance(right, down)
    xt, yt = covariance(right, change), covariance(down, change)
    # with the ridge at least RIDGE squared for any frame
    determinant = (xx * yy - xy * xy).clamp_min(RIDGE * RIDGE)
    return torch.cat([xy * yt - yy * xt, xy * xt - xx * yt], dim=1) / determinant[:, :1] / size


def _moved_back(luma: Tensor, flow: Tensor) -> Tensor:
    """Undo the motion `flow` of (n, 1, s, s); the flow is interpolated between the middles of the cells."""
    size = luma.shape[-1]
    middles = (torch.arange(size, device=luma.device) * 2 + 1) / size - 1
    shift = 2 * F.interpolate(flow, size=(size, size), mode="bilinear", align_corners=False)
    grid = torch.stack([middles[None, None, :] + shift[:, 0], middles[None, :, None] + shift[:, 1]], dim=-1)
    moved = F.grid_sample(luma, grid, mode="bilinear", padding_mode="border", align_corners=False)
    # without rounding where nothing moves: a still image gives zeros
    return torch.where((shift == 0).all(1, keepdim=True), luma, moved)


def _smooth(luma: Tensor) -> Tensor:
    """Binomial filter over 5 x 5 pixels: gradients of noise and of edges sharper than a pixel are misleading."""
    for vertical in (False, True):
        sides = (0, 0, 2, 2) if vertical else (2, 2, 0, 0)
        padded = F.pad(luma, sides, mode="replicate")
        size = luma.shape[-1]
        taps = [padded.narrow(2 if vertical else 3, k, size) for k in range(5)]
        luma = (taps[0] + taps[4] + 4 * (taps[1] + taps[3]) + 6 * taps[2]) / 16
    return luma


def _cells(values: Tensor) -> Tensor:
    """Mean of each cell, (n, c, s, s) -> (n, c, 4, 4)."""
    return F.avg_pool2d(values, values.shape[-1] // GRID)


def changes(frames: Tensor) -> dict[str, Tensor]:
    """Every measure of the change from each frame to the next, uint8 (n + 1, 3, S, S) -> (n, size of the measure)."""
    red, green, blue = (frames.float() / 255).unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    cb, cr = (blue - luma) / 1.772, (red - luma) / 1.402
    change = luma.diff(dim=0)[:, None]
    size = change.abs()
    flow = displacements(luma[:-1], luma[1:])
    whole = flow.mean((2, 3), keepdim=True)
    around = flow - whole
    x = (torch.arange(GRID, device=frames.device) * 2 + 1) / GRID - 1  # the cells' middles, -1 to 1
    y = x[:, None]
    spread = 2 * x.square().mean()
    weight = _cells(size)[:, 0]
    return {
        "energy": _cells(change.square()).sqrt().flatten(1),
        "level": _cells(change).flatten(1),
        "flow": flow.flatten(1),
        "energy of all": change.square().mean((2, 3)).sqrt(),
        "level of all": change.mean((2, 3)),
        "brighter": change.clamp_min(0).mean((2, 3)),
        "darker": (-change).clamp_min(0).mean((2, 3)),
        "changed": (size > CHANGED).float().mean((2, 3)),
        "colour": torch.stack([plane.diff(dim=0).square().mean((1, 2)).sqrt() for plane in (cb, cr)], dim=1),
        "moment": torch.stack([(weight * x).mean((1, 2)), (weight * y).mean((1, 2))], dim=1),
        "weight": weight.mean((1, 2))[:, None],
        "whole": whole.flatten(1),
        # slopes of the linear field that fits the cells best
        "divergence": (around[:, 0] * x + around[:, 1] * y).mean((1, 2))[:, None] / spread,
        "turn": (around[:, 1] * x - around[:, 0] * y).mean((1, 2))[:, None] / spread,
        "apart": around.square().sum(1).mean((1, 2)).sqrt()[:, None],
    }


def vectors(measures: dict[str, Tensor], windows: int) -> Tensor:
    """The vectors of the windows, (8 windows, 96), from the changes (n, size) of n + 1 frames."""
    device = measures["energy"].device
    starts = torch.arange(windows, device=device)[:, None] * LAYOUT.stride
    covered = torch.arange(LAYOUT.vectors, device=device) * (LAYOUT.window // LAYOUT.vectors)
    into_second = (starts + covered).flatten()
    into_first = (into_second - 1).clamp_min(0)
    # the change into a window's first frame lies outside the window
    known = (covered > 0).float().repeat(windows)[:, None]

    def pair(name: str) -> tuple[Tensor, Tensor]:
        return measures[name][into_first] * known, measures[name][into_second]

    def mean(name: str) -> Tensor:
        first, second = pair(name)
        return (first + second) / (1 + known)

    energy = [compressed(one) for one in pair("energy")]
    parts = [
        torch.maximum(*energy),
        compressed(mean("level")),
        torch.tanh(STEEPNESS * mean("flow")),
        (energy[1] - energy[0]) * known,
        *(compressed(one) for one in pair("energy of all")),
        *(compressed(one) for one in pair("level of all")),
        compressed(mean("brighter")),
        compressed(mean("darker")),
        mean("changed"),
        compressed(mean("colour")),
        mean("moment") / mean("weight").clamp_min(1e-6),
        *(torch.tanh(STEEPNESS * mean(name)) for name in ("whole", "divergence", "turn", "apart")),
    ]
    return torch.cat(parts, dim=1)


def spec(setup: ModelSetup) -> EncoderSpec:
    """The encoder's description; it needs no files."""
    vectors_per_second = LAYOUT.fps * LAYOUT.vectors / LAYOUT.stride
    return EncoderSpec("motion", VERSION, "sync", vectors_per_second, DIMENSION, 192, LAYOUT)


class Motion:
    """Vectors of windows; on a CPU bit for bit the same with any frames around a window."""

    def __init__(self, setup: ModelSetup, device: torch.device | str = "cpu") -> None:
        self.spec = spec(setup)
        self.device = torch.device(device)

    @torch.no_grad()
    def encode(self, frames: Tensor) -> Tensor:
        """uint8 (F, 3, 96, 96) RGB -> float32 (8 S, 96) of S = floor((F - 16) / 8) + 1 windows, none of fewer than 16.

        Raises ValueError for frames of another shape or type.
        """
        check_frames("motion", frames, LAYOUT.side)
        windows = LAYOUT.length(len(frames)) // LAYOUT.vectors
        if not windows:
            return torch.empty((0, DIMENSION), device=self.device)
        used = (windows - 1) * LAYOUT.stride + LAYOUT.window
        chunks = [changes(frames[i : min(i + CHUNK + 1, used)].to(self.device)) for i in range(0, used - 1, CHUNK)]
        return vectors({name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0]}, windows)

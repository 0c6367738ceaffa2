"""Embeddings of sound effects by aisfx (Mathews et al., ISMIR 2022, weights CC BY 4.0), for Fréchet distances.

The network is the nine-layer CNN of the DCASE 2018 baselines (Kong et al., https://arxiv.org/abs/1808.00773), trained
on nine libraries of effects; the weights are part of the package `aisfx`, whose classifiers are left out. Its
input is the spectrogram it was trained on, Essentia's (https://essentia.upf.edu: EasyLoader, whose two gains cancel,
FrameCutter, Windowing, Spectrum, MelBands), not the other one in the package: frames of 2048 samples, 1024
apart, the first one centred on the first sample; power in 96 bands whose triangles are even on the mel scale and sum to
1; log10(1 + 10^4 x), divided by the largest value of the training set. The level of the audio matters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from curation.backends.weights import packaged_file, weights_hash
from curation.media import resampled

CODE = 1
SAMPLE_RATE, FRAME, HOP, BANDS = 44_100, 2048, 1024, 96
WINDOW_FRAMES, STEP_FRAMES = 100, 50  # 2.3 s, every 1.2 s
WIDTHS = (64, 128, 256, 512)
DIMENSION = WIDTHS[-1]
LARGEST = 9.457798957824707  # of the training set's spectrograms: aisfx/preprocessing.py
SHIFT = 1e4
BATCH = {"cpu": 4, "cuda": 64}  # windows; more at once are slower on a CPU, whose caches they overflow


class Block(nn.Module):
    """Two 3x3 convolutions, each normalized and rectified, then max pooling over `pool` x `pool`."""

    def __init__(self, inputs: int, width: int, pool: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T, F) -> (B, width, T // pool, F // pool)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.max_pool2d(x, self.pool) if self.pool > 1 else x


class EmbeddingNet(nn.Module):
    """The network; its state dict is the part `embedding_net` of the packaged one."""

    def __init__(self) -> None:
        super().__init__()
        inputs = 1
        for number, width in enumerate(WIDTHS, start=1):
            setattr(self, f"conv_block{number}", Block(inputs, width, 1 if number == len(WIDTHS) else 2))
            inputs = width

    def forward(self, spectrograms: Tensor) -> Tensor:
        """(B, T, 96) -> (B, 512), not negative: mean over frequency, maximum over time."""
        x = spectrograms[:, None]
        for block in self.children():
            x = block(x)
        return x.mean(3).amax(2)


def weights_path() -> Path:
    """The packaged checkpoint. Raises ModelUnavailable, with how to get it, if it is missing."""
    return packaged_file("aisfx", "models/checkpoint.pth", "--no-deps aisfx==0.1.2")


def load() -> EmbeddingNet:
    """The network with the packaged weights, in evaluation mode. Raises ModelUnavailable without them."""
    network = EmbeddingNet().eval()
    network.load_state_dict(_packaged(weights_path()))
    return network


def _packaged(path: Path) -> dict[str, Any]:
    """The weights of the embedding network. The file also has nine classifiers, with sizes as numpy numbers."""
    scalar = import_module("numpy._core.multiarray").scalar
    # only the types that numpy's numbers are pickled as are allowed
    with torch.serialization.safe_globals([(scalar, "numpy.core.multiarray.scalar"), np.dtype, np.dtypes.Int64DType]):
        weights, _ = torch.load(path, map_location="cpu", weights_only=True)
    part = "embedding_net."
    return {name.removeprefix(part): value for name, value in weights.items() if name.startswith(part)}


@cache
def filter_bank() -> Tensor:
    """float32 (96, 1025): triangles on the mel scale (HTK's, 0 to 22050 Hz), each with a sum of 1."""
    spacing = SAMPLE_RATE / FRAME
    top = _mel(SAMPLE_RATE / 2)
    edges = np.linspace(0.0, top, BANDS + 2)
    hertz = 700.0 * (10.0 ** (edges / 2595.0) - 1.0)
    bins = np.arange(FRAME // 2 + 1)
    mels = np.array([_mel(spacing * k) for k in bins])
    low, centre, high = (edges[k : BANDS + k, None] for k in range(3))
    triangles = np.minimum((mels - low) / (centre - low), (high - mels) / (high - centre)).clip(0.0)
    # Essentia ends a band at the bin nearest to its upper edge, and excludes that bin even if it lies inside
    triangles[bins >= np.floor(hertz[2:, None] / spacing + 0.5)] = 0.0
    return torch.from_numpy((triangles / triangles.sum(axis=1, keepdims=True)).astype(np.float32))


def _mel(hertz: float) -> float:
    return 2595.0 * math.log10(1.0 + hertz / 700.0)


def spectrogram(samples: Tensor) -> Tensor:
    """Samples (n,) at 44.1 kHz -> (1 + (n - 2048) // 1024, 96), about 0 to 1: whole frames from the first sample on."""
    window = torch.hann_window(FRAME, periodic=False, device=samples.device)
    spectrum = torch.fft.rfft(samples.unfold(0, FRAME, HOP) * window)
    power = torch.view_as_real(spectrum).square().sum(-1)
    return torch.log10(1.0 + SHIFT * (power @ filter_bank().to(samples.device).T)) / LARGEST


def windows_in(samples: int) -> int:
    """Number of windows of `samples` samples at 44.1 kHz: those full of frames, but at least one."""
    return max(0, (1 + math.ceil(samples / HOP) - WINDOW_FRAMES) // STEP_FRAMES) + 1 if samples else 0


class SfxEmbedding:
    """Embeds windows of 2.3 s, one every 1.2 s; memory does not grow with the length."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.version = f"{CODE}-{weights_hash(weights_path())}"
        self.device = torch.device(device)
        self._network = fused(load()).to(self.device)
        self._batch = BATCH.get(self.device.type, BATCH["cpu"])

    @torch.no_grad()
    def embed(self, audio: NDArray[np.floating], sample_rate: int = SAMPLE_RATE) -> NDArray[np.float32]:
        """Audio (samples,) at `sample_rate` Hz -> (`windows_in` of it at 44.1 kHz, 512).

        Audio shorter than a window is padded with silence. Raises ValueError for another shape, no samples, NaN or
        infinite samples.
        """
        if audio.ndim != 1 or not len(audio) or not np.isfinite(audio).all():
            raise ValueError(f"aisfx: audio of shape {audio.shape}, must be finite (samples,), at least one")
        samples = resampled(np.asarray(audio, np.float32), sample_rate, SAMPLE_RATE)
        embedded = [self._network(batch).cpu().numpy() for batch in self._batches(torch.from_numpy(samples))]
        return np.concatenate(embedded)

    def _batches(self, samples: Tensor) -> Iterator[Tensor]:
        """Spectrograms of windows, (at most a batch, 100, 96)."""
        count = windows_in(len(samples))
        for first in range(0, count, self._batch):
            windows = min(self._batch, count - first)
            frames = STEP_FRAMES * (windows - 1) + WINDOW_FRAMES
            begin = STEP_FRAMES * first * HOP - FRAME // 2  # the first frame's centre is the first sample
            end = begin + (frames - 1) * HOP + FRAME
            part = samples[max(begin, 0) : end]
            part = F.pad(part, (max(-begin, 0), end - max(begin, 0) - len(part)))
            yield spectrogram(part.to(self.device)).unfold(0, WINDOW_FRAMES, STEP_FRAMES).transpose(1, 2).contiguous()


def fused(network: EmbeddingNet) -> EmbeddingNet:
    """Fuse each normalization into its convolution, in place; returns the network in evaluation mode."""
    for block in network.children():
        assert isinstance(block, Block)
        for number in (1, 2):
            convolution, normalization = (getattr(block, f"{kind}{number}") for kind in ("conv", "bn"))
            setattr(block, f"conv{number}", fuse_conv_bn_eval(convolution, normalization))
            setattr(block, f"bn{number}", nn.Identity())
    return network

"""MMAudio's autoencoder of log-mel spectrograms (https://github.com/hkchengrex/MMAudio), in its released layout.

One-dimensional convolutions over time that preserve magnitude (Karras et al. 2024, arXiv 2312.02696): every weight is
normalised per output channel, features are normalised per frame, sums and activations are rescaled. There is one latent
for two mel frames. Axes are (batch, channel or band, time), arithmetic is float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...audio.mel import MODES, Mode
from .released import fill, layout_of, read_tensors

UNIT_EPSILON = 1e-4
SILU_SCALE = 0.596  # root mean square of silu over normal input
NEW_PART = 0.3  # of a residual sum
RESIDUAL_BLOCKS = {"encoder": 2, "decoder": 3}  # per level
WIDTHS = (1, 2, 4)  # of the levels, in units of `channels`
CLIP = 256.0
LOG_VARIANCE_RANGE = (-30.0, 20.0)


@dataclass(frozen=True)
class VaeShape:
    """`bands` of the mel, `channels` of the widest-in-time level, `latent` channels of the bottleneck."""

    bands: int
    channels: int
    latent: int


SHAPES: MappingProxyType[Mode, VaeShape] = MappingProxyType(
    {
        "16k": VaeShape(bands=MODES["16k"].bands, channels=384, latent=20),
        "44k": VaeShape(bands=MODES["44k"].bands, channels=512, latent=40),
    }
)


def unit(x: Tensor, dims: Sequence[int]) -> Tensor:
    """`x` divided by its root mean square over `dims`; the epsilon is outside the root, which matters."""
    return x / (UNIT_EPSILON + x.square().mean(tuple(dims), keepdim=True).sqrt())


def activation(x: Tensor) -> Tensor:
    """silu, rescaled to keep unit variance."""
    return F.silu(x) / SILU_SCALE


def mix(x: Tensor, new: Tensor) -> Tensor:
    """A residual sum of unit variance."""
    mixed: Tensor = torch.lerp(x, new, NEW_PART) / ((1 - NEW_PART) ** 2 + NEW_PART**2) ** 0.5
    return mixed


class Convolution(nn.Module):
    """Bias-free convolution over time, zero-padded to keep the length; `fold` normalises its weight in place."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel))

    @torch.no_grad()
    def fold(self) -> None:
        """Replace the weight by its normalised value."""
        self.weight.copy_(unit(self.weight.float(), (1, 2)) / self.weight[0].numel() ** 0.5)

    def forward(self, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        """(B, inputs, T) -> (B, outputs, T)."""
        return F.conv1d(x, self.weight * gain, padding=self.weight.shape[2] // 2)


class ResidualBlock(nn.Module):
    """Two convolutions beside a normalised trunk."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = Convolution(inputs, outputs, 3)
        self.conv2 = Convolution(outputs, outputs, 3)
        self.nin_shortcut = Convolution(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T) -> (B, outputs, T)."""
        x = unit(x, (1,))
        new = self.conv2(activation(self.conv1(activation(x))))
        return mix(x if self.nin_shortcut is None else self.nin_shortcut(x), new)


class Attention(nn.Module):
    """One head over all times; queries, keys and values are normalised over their channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.qkv = Convolution(channels, 3 * channels, 1)
        self.proj_out = Convolution(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        # the three are interleaved: channel 3c + j is channel c of query, key, value
        query, key, value = unit(self.qkv(x).unflatten(1, (-1, 3)), (1,)).permute(2, 0, 3, 1).contiguous()
        attended = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])[:, 0]
        return mix(x, self.proj_out(attended.mT))


class Downsample(nn.Module):
    """Halves time: the mean of neighbours between two pointwise convolutions; an odd last frame is lost."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = Convolution(channels, channels, 1)
        self.conv2 = Convolution(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T // 2)."""
        # linear and pointwise: averaging first gives the same and halves the work
        out: Tensor = self.conv2(self.conv1(F.avg_pool1d(x, 2)))
        return out


class Upsample(nn.Module):
    """Doubles time: every frame twice, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Convolution(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, 2 T)."""
        out: Tensor = self.conv(x.repeat_interleave(2, dim=2))
        return out


class Level(nn.Module):
    """Residual blocks of one width; `downsample` or `upsample` is set where time changes after them."""

    def __init__(self, inputs: int, outputs: int, blocks: int) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResidualBlock(inputs if i == 0 else outputs, outputs) for i in range(blocks))
        self.downsample: Downsample | None = None
        self.upsample: Upsample | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T) -> (B, outputs, T, T // 2 or 2 T)."""
        for block in self.block:
            x = block(x).clamp(-CLIP, CLIP)
        for resample in (self.downsample, self.upsample):
            x = x if resample is None else resample(x)
        return x


class Middle(nn.Module):
    """The widest part, the only one with attention across all times."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels)
        self.attn_1 = Attention(channels)
        self.block_2 = ResidualBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        widest: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return widest.clamp(-CLIP, CLIP)


class Encoder(nn.Module):
    """Standardised mel (B, bands, T) -> mean and log-variance (B, 2 latent, T // 2)."""

    def __init__(self, shape: VaeShape) -> None:
        super().__init__()
        widths = [shape.channels * width for width in WIDTHS]
        self.learnable_gain = nn.Parameter(torch.zeros(()))
        self.conv_in = Convolution(shape.bands, widths[0], 3)
        self.down = nn.ModuleList(
            Level(widths[max(i - 1, 0)], width, RESIDUAL_BLOCKS["encoder"]) for i, width in enumerate(widths)
        )
        self.down[0].downsample = Downsample(widths[0])
        self.mid = Middle(widths[-1])
        self.conv_out = Convolution(widths[-1], 2 * shape.latent, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, bands, T) -> (B, 2 latent, T // 2)."""
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        out: Tensor = self.conv_out(activation(self.mid(x)), 1 + self.learnable_gain)
        return out


class Decoder(nn.Module):
    """Latents (B, latent, T) -> standardised mel (B, bands, 2 T)."""

    def __init__(self, shape: VaeShape) -> None:
        super().__init__()
        widths = [shape.channels * width for width in WIDTHS]
        self.learnable_gain = nn.Parameter(torch.zeros(()))
        self.conv_in = Convolution(shape.latent, widths[-1], 3)
        self.mid = Middle(widths[-1])
        self.up = nn.ModuleList(
            Level(widths[min(i + 1, len(widths) - 1)], width, RESIDUAL_BLOCKS["decoder"])
            for i, width in enumerate(widths)
        )
        self.up[1].upsample = Upsample(widths[1])
        self.conv_out = Convolution(widths[0], shape.bands, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, latent, T) -> (B, bands, 2 T)."""
        x = self.mid(self.conv_in(x))
        for level in reversed(self.up):
            x = level(x)
        out: Tensor = self.conv_out(activation(x), 1 + self.learnable_gain)
        return out


class Autoencoder(nn.Module):
    """Log-mel to latents and back. Load released weights, then call `remove_weight_norm` once, then encode or decode.

    Loading weights undoes the folding: a loaded state is assumed to be a released, unfolded one.
    """

    data_mean: Tensor
    data_std: Tensor

    def __init__(self, shape: VaeShape) -> None:
        super().__init__()
        self.shape = shape
        self.folded = False
        self.register_buffer("data_mean", torch.zeros(1, shape.bands, 1))
        self.register_buffer("data_std", torch.ones(1, shape.bands, 1))
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape)
        self.register_load_state_dict_post_hook(_unfolded)  # type: ignore[no-untyped-call]

    def remove_weight_norm(self) -> None:
        """Replace every weight by its normalised value, in place; names stay. Raises RuntimeError the second time.

        A second pass would shrink the weights by about 0.1 %, through the epsilon.
        """
        if self.folded:
            raise RuntimeError("autoencoder: weight normalisation has already been removed")
        for module in self.modules():
            if isinstance(module, Convolution):
                module.fold()
        self.folded = True

    def encode(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (B, latent, T // 2) of the latents of log-mel (B, bands, T), T >= 2.

        Raises RuntimeError before `remove_weight_norm`, ValueError for another shape, NaN or infinite values.
        """
        self._check(mel, "mel", self.shape.bands, 2)
        mean, log_variance = self.encoder((mel.float() - self.data_mean) / self.data_std).chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE).mul(0.5).exp()

    def decode(self, latents: Tensor) -> Tensor:
        """Log-mel (B, bands, 2 T) of latents (B, latent, T); raises as `encode` does."""
        self._check(latents, "latents", self.shape.latent, 1)
        decoded: Tensor = self.decoder(latents.float()) * self.data_std + self.data_mean
        return decoded

    def _check(self, x: Tensor, name: str, channels: int, shortest: int) -> None:
        if not self.folded:
            raise RuntimeError("autoencoder: call remove_weight_norm() once, after loading the weights")
        if x.ndim != 3 or x.shape[1] != channels or x.shape[2] < shortest or not x.is_floating_point():
            raise ValueError(
                f"autoencoder: {name} must be floating-point (batch, {channels}, time >= {shortest}), "
                f"got {x.dtype} {tuple(x.shape)}"
            )
        if not bool(torch.isfinite(x).all()):
            raise ValueError(f"autoencoder: the {name} have NaN or infinite values")


def _unfolded(network: nn.Module, _keys: object) -> None:
    assert isinstance(network, Autoencoder)
    network.folded = False


def build_vae(mode: Mode) -> Autoencoder:
    """The autoencoder of a mel mode in its released layout, with new weights. Raises ValueError for another mode."""
    if mode not in SHAPES:
        raise ValueError(f"autoencoder: mode {mode!r}: known are {', '.join(SHAPES)}")
    return Autoencoder(SHAPES[mode])


def load_vae(path: Path, mode: Mode) -> Autoencoder:
    """The autoencoder with released weights, folded, ready to run on the CPU.

    Raises ModelUnavailable, in one line, for a file that cannot be read or has another layout.
    """
    with torch.device("meta"):
        network = build_vae(mode)
    fill(network, read_tensors(path, f"vae_{mode}", layout_of(network), wanted=lambda name: True))
    network.remove_weight_norm()
    return network

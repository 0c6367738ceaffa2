"""Audio as MMAudio's latents: log-mel, then the autoencoder's posterior. Two rates: 16 kHz and 44.1 kHz."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from curation.backends.weights import ModelSetup

from ..audio.mel import Mode, mel_spectrogram
from .base import EncoderSpec, weights_version
from .latents import latent_spec
from .networks.autoencoder import SHAPES, load_vae

CODE = 1


@dataclass(frozen=True)
class Release:
    """A released file and its MD5."""

    file: str
    md5: str

    @property
    def source(self) -> str:
        """The place to download it from."""
        return f"MMAudio's release v0.1 (https://github.com/hkchengrex/MMAudio, MD5 {self.md5})"


RELEASES: MappingProxyType[Mode, Release] = MappingProxyType(
    {
        "16k": Release("v1-16.pth", "69f56803f59a549a1a507c93859fd4d7"),
        "44k": Release("v1-44.pth", "fab020275fa44c6589820ce025191600"),
    }
)


def weights_file(setup: ModelSetup, mode: Mode) -> Path:
    """The released file. Raises ModelUnavailable if it is missing."""
    release = RELEASES[mode]
    return setup.weights_file(f"vae_{mode}", release.file, release.source)


def _spec(setup: ModelSetup, mode: Mode) -> EncoderSpec:
    return latent_spec(f"vae_{mode}", weights_version(weights_file(setup, mode), CODE), mode, SHAPES[mode].latent)


def spec_16k(setup: ModelSetup) -> EncoderSpec:
    """The 16 kHz encoder's description. Raises ModelUnavailable if the weights are missing."""
    return _spec(setup, "16k")


def spec_44k(setup: ModelSetup) -> EncoderSpec:
    """The 44.1 kHz encoder's description. Raises ModelUnavailable if the weights are missing."""
    return _spec(setup, "44k")


class _Vae:
    """From a waveform to the mean and standard deviation of its latents; from latents to a log-mel spectrogram."""

    mode: Mode

    def __init__(self, setup: ModelSetup, device: torch.device | str = "cpu") -> None:
        self.spec = _spec(setup, self.mode)
        self.device = torch.device(device)
        self.network = load_vae(weights_file(setup, self.mode), self.mode).to(self.device)

    @torch.no_grad()
    def encode(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """(samples,) at `spec.sample_rate` -> mean and standard deviation, float32 (T, C), T = samples // hop // 2.

        Raises ValueError for another shape, NaN or infinite samples, and fewer samples than one latent needs.
        """
        if waveform.ndim != 1:
            raise ValueError(f"{self.spec.name}: needs a waveform (samples,), got {tuple(waveform.shape)}")
        mean, deviation = self.network.encode(mel_spectrogram(waveform[None].to(self.device), self.mode))
        return mean[0].T.contiguous(), deviation[0].T.contiguous()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (T, C) -> log-mel (bands, 2 T), float32, for a vocoder of this mel mode."""
        if latents.ndim != 2:
            raise ValueError(f"{self.spec.name}: needs latents (time, channels), got {tuple(latents.shape)}")
        return self.network.decode(latents.T[None].to(self.device))[0]


class Vae16k(_Vae):
    """The 16 kHz autoencoder: 20 channels, 31.25 latents per second."""

    mode: Mode = "16k"


class Vae44k(_Vae):
    """The 44.1 kHz autoencoder: 40 channels, 43.07 latents per second."""

    mode: Mode = "44k"

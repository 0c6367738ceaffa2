"""Vocoders: from a codec's latents to audio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from curation.backends.weights import ModelSetup, ModelUnavailable
from features.audio.mel import Mode
from features.encoders import EncoderSpec, MelCodec, WaveformCodec, open_audio_encoder

from ..errors import ModelError
from .stitch import FadeCurve

_MODES: dict[str, Mode] = {"vae_16k": "16k", "vae_44k": "44k"}


@dataclass(frozen=True)
class Vocoder:
    """Turns latents (T, C) of the codec `spec` into audio, float32 (2 T hop,) on the CPU, within -1 and 1.

    `fade`: the curve for crossfading two waveforms of the same latents, made in different clips. A network gives the
    same waveform twice; reconstructed phases differ.
    """

    spec: EncoderSpec
    fade: FadeCurve
    waveform: Callable[[Tensor], Tensor]

    @property
    def sample_rate(self) -> int:
        """Sample rate in hertz."""
        assert self.spec.sample_rate is not None
        return self.spec.sample_rate

    def __call__(self, latents: Tensor) -> Tensor:
        """Latents (T, C) -> float32 (2 T hop,), without gradients.

        Raises ValueError for another shape, ModelError for NaN or infinite latents.
        """
        if latents.ndim != 2 or latents.shape[1] != self.spec.dimension:
            raise ValueError(f"{self.spec.name}: latents {tuple(latents.shape)}, not (T, {self.spec.dimension})")
        if not bool(torch.isfinite(latents).all()):
            raise ModelError(f"{self.spec.name}: the network gave NaN or infinite latents")
        with torch.no_grad():
            return self.waveform(latents).detach().float().cpu()


def open_vocoder(name: str, setup: ModelSetup, device: str = "cpu") -> Vocoder:
    """The vocoder of the codec `name`: BigVGAN for the autoencoders, phase reconstruction for the mel codecs.

    Raises ModelUnavailable, with how to get it, for a missing package or file.
    """
    if name in _MODES:
        mode = _MODES[name]
        from .bigvgan import load_bigvgan, weights_file

        path = weights_file(setup, mode)  # before the autoencoder, which takes long to open
        autoencoder = open_audio_encoder(name, setup, device)
        assert isinstance(autoencoder, MelCodec)
        decode = autoencoder.decode
        network: nn.Module = load_bigvgan(path, mode).to(torch.device(device))
        return Vocoder(autoencoder.spec, "amplitude", lambda latents: network(decode(latents)[None])[0, 0])
    codec = open_audio_encoder(name, setup, device)
    if not isinstance(codec, WaveformCodec):
        raise ModelUnavailable(f"{name}: has no way back from latents to audio")
    return Vocoder(codec.spec, "power", codec.waveform)

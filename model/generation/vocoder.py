"""From a codec's latents to sound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from curation.backends.weights import ModelSetup, ModelUnavailable
from features.audio.mel import Mode
from features.encoders import EncoderSpec, open_encoder

from ..errors import ModelError
from .stitch import FadeCurve

_MODES: dict[str, Mode] = {"vae_16k": "16k", "vae_44k": "44k"}


@dataclass(frozen=True)
class Vocoder:
    """Latents (T, C) of the codec `spec` -> its waveform, float32 (2 T hop,) on the CPU, within -1 and 1.

    `law`: how two waveforms of the same latents, made in different clips, are to be crossfaded. A network gives the
    same twice; reconstructed phases differ.
    """

    spec: EncoderSpec
    law: FadeCurve
    waveform: Callable[[Tensor], Tensor]

    @property
    def sample_rate(self) -> int:
        """In hertz."""
        assert self.spec.sample_rate is not None
        return self.spec.sample_rate

    def __call__(self, latents: Tensor) -> Tensor:
        """See above; nothing is kept for gradients. Raises ValueError for another shape, ModelError for NaN."""
        if latents.ndim != 2 or latents.shape[1] != self.spec.dimension:
            raise ValueError(f"{self.spec.name}: latents {tuple(latents.shape)}, not (T, {self.spec.dimension})")
        if not bool(torch.isfinite(latents).all()):
            raise ModelError(f"{self.spec.name}: the network gave NaN or infinite latents")
        with torch.no_grad():
            return self.waveform(latents).detach().float().cpu()


def open_vocoder(name: str, setup: ModelSetup, device: str = "cpu") -> Vocoder:
    """The way back from the codec `name`; the autoencoders' is theirs and BigVGAN.

    Raises ModelUnavailable, with how to get it, for what is missing here.
    """
    if name in _MODES:
        mode = _MODES[name]
        from .bigvgan import load_bigvgan, weights_file

        path = weights_file(setup, mode)  # before the autoencoder, which takes long to open
        codec = open_encoder(name, setup, device)
        network: nn.Module = load_bigvgan(path, mode).to(torch.device(device))
        return Vocoder(codec.spec, "amplitude", lambda latents: network(codec.decode(latents)[None])[0, 0])
    codec = open_encoder(name, setup, device)
    if not hasattr(codec, "waveform"):
        raise ModelUnavailable(f"{name}: is no codec of sound")
    return Vocoder(codec.spec, "power", codec.waveform)

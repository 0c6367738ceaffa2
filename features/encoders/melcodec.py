"""An audio codec without downloads: principal components of log-mel spectra, and back by phase reconstruction.

Two successive frames of `features.audio.mel.mel_spectrogram` (80 or 128 bands) make a vector of 160 or 256 values. Its
first 20 or 40 principal components, each divided by its standard deviation, are a latent: of the size and rate of
MMAudio's, with about zero mean and unit variance. A codec is a fit over a frozen list of cuts, stored as one file. It
adds no noise: its standard deviation is zero, and a sample of a latent is its mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from curation.backends.weights import ModelSetup, ModelUnavailable
from manifests.bounded import parse_json
from manifests.files import write_beside

from ..audio.griffin_lim import waveform as reconstructed
from ..audio.mel import MODES, MelMode, Mode, mel_spectrogram
from .base import EncoderSpec
from .latents import FRAMES, latent_spec

CODE = 1
FILE = "codec.safetensors"
FORMAT = f"lpse melcodec {CODE}"
RESOLVED = 1e-9  # the least variance of a component, as a share of the first one's


@dataclass(frozen=True)
class Codec:
    """Principal components of pairs of log-mel frames.

    `mean` (2 bands,); `components` (latents, 2 bands), orthonormal rows in falling order of `scale` (latents,), the
    standard deviations along them; all float32. `explained`: the share of the variance that they explain. `count`: the
    number of latents that it was fitted on.
    """

    mode: Mode
    mean: Tensor
    components: Tensor
    scale: Tensor
    explained: float
    count: int

    def latents(self, log_mel: Tensor) -> Tensor:
        """(bands, T) -> (T // 2, latents); an odd last frame is left out."""
        return (_pairs(log_mel) - self.mean) @ self.components.T / self.scale

    def log_mel(self, latents: Tensor) -> Tensor:
        """(T, latents) -> (bands, 2 T), clamped to the floor of silence."""
        pairs = (latents * self.scale) @ self.components + self.mean
        bands = MODES[self.mode].bands
        return pairs.reshape(-1, bands).T.clamp_min(MODES[self.mode].silence)

    def to(self, device: torch.device) -> Codec:
        """The codec on another device."""
        tensors = (self.mean.to(device), self.components.to(device), self.scale.to(device))
        return Codec(self.mode, *tensors, self.explained, self.count)


LATENTS: MappingProxyType[Mode, int] = MappingProxyType({"16k": 20, "44k": 40})


def _mode(mode: str) -> tuple[Mode, MelMode]:
    for name, mel in MODES.items():
        if name == mode:
            return name, mel
    raise ValueError(f"melcodec: no mode {mode!r}: known are {', '.join(MODES)}")


def _pairs(log_mel: Tensor) -> Tensor:
    """(bands, T) -> (T // 2, 2 bands), the earlier frame first."""
    count = log_mel.shape[1] // FRAMES
    return log_mel[:, : count * FRAMES].T.reshape(count, -1)


def fit(waveforms: Iterable[Tensor], mode: str) -> Codec:
    """Fit a codec to waveforms, float32 (samples,) each, at the sample rate of `mode`, "16k" or "44k".

    Mean and covariance are summed in float64, with one waveform in memory at a time. A component's largest weight is
    positive, so that its sign is the same in every fit to the same audio. Waveforms too short for a latent add nothing.
    Raises ValueError for an invalid waveform, for less audio than a covariance needs (6 s in all), and for audio too
    uniform for that number of components.
    """
    mode, mel = _mode(mode)
    size, wanted = FRAMES * mel.bands, LATENTS[mode]
    count = 0
    total = torch.zeros(size, dtype=torch.float64)
    products = torch.zeros((size, size), dtype=torch.float64)
    for k, samples in enumerate(waveforms):
        if samples.ndim == 1 and len(samples) < FRAMES * mel.hop:
            continue
        # counted from silence: products are small where there is little, and no digits are lost
        pairs = _pairs(_log_mel(samples, mode, f"waveform {k}")).cpu().double() - mel.silence
        count += len(pairs)
        total += pairs.sum(0)
        products += pairs.T @ pairs
    if count < size:
        raise ValueError(f"melcodec_{mode}: {count} latents are too few for a fit, which needs at least {size}")
    mean = total / count
    variances, directions = torch.linalg.eigh(products / count - mean.outer(mean))
    variances, components = variances.flip(0), directions.T.flip(0)[:wanted]
    # below what a float32 spectrum resolves there is no direction, only rounding
    if not variances[wanted - 1] > RESOLVED * variances[0]:
        raise ValueError(f"melcodec_{mode}: the audio is too uniform for {wanted} components")
    peaks = components.gather(1, components.abs().argmax(1, keepdim=True))
    return Codec(
        mode,
        (mean + mel.silence).float(),
        (components * peaks.sign()).float().contiguous(),
        variances[:wanted].sqrt().float(),
        float(variances[:wanted].sum() / variances.clamp_min(0).sum()),
        count,
    )


def _log_mel(samples: Tensor, mode: Mode, what: str) -> Tensor:
    """(bands, samples // hop). Raises ValueError for an invalid waveform."""
    if samples.dtype != torch.float32 or samples.ndim != 1:
        raise ValueError(f"melcodec_{mode}: {what} is {samples.dtype} {tuple(samples.shape)}, not float32 (samples,)")
    try:
        return mel_spectrogram(samples[None], mode)[0]
    except ValueError as error:
        raise ValueError(f"melcodec_{mode}: {what}: {error}") from error


def save(codec: Codec, folder: Path) -> None:
    """Write the codec into `folder`."""
    from safetensors.torch import save as packed

    facts = {"format": FORMAT, "mode": codec.mode, "explained": codec.explained, "count": codec.count}
    tensors = {"mean": codec.mean, "components": codec.components, "scale": codec.scale}
    with write_beside(folder / FILE) as file:
        # one note: several would be written in any order, and equal codecs would be different files
        file.write(packed(tensors, {"codec": json.dumps(facts, sort_keys=True)}))


def load(folder: Path) -> Codec:
    """The codec in `folder`. Raises ValueError for a damaged file and for a codec of another version."""
    from safetensors import SafetensorError

    path = folder / FILE
    try:
        return _loaded(path)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        message = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path}: not a codec, or damaged: {message}") from error


def _loaded(path: Path) -> Codec:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        facts = parse_json((file.metadata() or {})["codec"])
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']!r}, not {FORMAT!r}")
        mode, mel = _mode(facts["mode"])
        size = FRAMES * mel.bands
        shapes = {"mean": (size,), "components": (LATENTS[mode], size), "scale": (LATENTS[mode],)}
        # copies: else they stay in the file, and a process that overwrites it would crash this one
        tensors = {name: file.get_tensor(name).clone() for name in shapes if name in file.keys()}  # noqa: SIM118
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != shape or tensor.dtype != torch.float32:
            raise ValueError(f"{name} is {tensor.dtype} {tuple(tensor.shape)}, not torch.float32 {shape}")
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} has NaN or infinite values")
    if not bool((tensors["scale"] > 0).all()):
        raise ValueError("scale has values that are not positive")
    return Codec(mode, **tensors, explained=float(facts["explained"]), count=int(facts["count"]))


def _active(setup: ModelSetup, mode: Mode) -> tuple[Path, str]:
    """The active fit: its folder and its hash."""
    name = f"melcodec_{mode}"
    hash = dict(setup.active).get(name)
    if setup.fits is None or not hash:
        raise ModelUnavailable(f"{name} has not been fitted: run lpse refit {name} --corpus DIR")
    folder = setup.fits / f"{name}-{hash}"
    if not (folder / FILE).is_file():
        raise ModelUnavailable(f"{folder / FILE} is missing: run lpse refit {name} --corpus DIR")
    return folder, hash


def _spec(setup: ModelSetup, mode: Mode) -> EncoderSpec:
    return latent_spec(f"melcodec_{mode}", f"{CODE}-{_active(setup, mode)[1]}", mode, LATENTS[mode])


def spec_16k(setup: ModelSetup) -> EncoderSpec:
    """The 16 kHz codec's description. Raises ModelUnavailable if it has not been fitted."""
    return _spec(setup, "16k")


def spec_44k(setup: ModelSetup) -> EncoderSpec:
    """The 44.1 kHz codec's description. Raises ModelUnavailable if it has not been fitted."""
    return _spec(setup, "44k")


class _MelCodec:
    """The active codec of a corpus: from a waveform to latents, from latents to a log-mel spectrogram or a waveform."""

    mode: Mode

    def __init__(self, setup: ModelSetup, device: torch.device | str = "cpu") -> None:
        self.spec = _spec(setup, self.mode)
        self.device = torch.device(device)
        folder, _ = _active(setup, self.mode)
        try:
            codec = load(folder)
        except ValueError as error:
            raise ModelUnavailable(f"{error}: run lpse refit {self.spec.name} --corpus DIR") from error
        if codec.mode != self.mode:
            raise ValueError(f"{folder / FILE}: codec for {codec.mode}, not for {self.mode}")
        self.codec = codec.to(self.device)

    @torch.no_grad()
    def encode(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """float32 (samples,) -> mean and standard deviation (zero) of the latents, float32 (T, C) each.

        T = samples // hop // 2. Raises ValueError for another shape or type, NaN or infinite samples, and a waveform
        too short for the spectrogram's reflected ends.
        """
        mean = self.codec.latents(_log_mel(waveform.to(self.device), self.mode, "the waveform"))
        return mean, torch.zeros_like(mean)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (T, C) -> log-mel (bands, 2 T), float32. Raises ValueError for another shape, type, NaN, infinity."""
        width = self.spec.dimension
        if latents.ndim != 2 or latents.shape[1] != width or not latents.is_floating_point():
            given = f"{latents.dtype} {tuple(latents.shape)}"
            raise ValueError(f"{self.spec.name}: latents are {given}, not floating-point (T, {width})")
        if not bool(torch.isfinite(latents).all()):
            raise ValueError(f"{self.spec.name}: latents have NaN or infinite values")
        return self.codec.log_mel(latents.to(self.device).float())

    @torch.no_grad()
    def waveform(self, latents: Tensor) -> Tensor:
        """Latents (T, C) -> samples (2 T hop,) at `spec.sample_rate`, phases reconstructed; errors as of `decode`."""
        return reconstructed(self.decode(latents), self.mode)


class MelCodec16k(_MelCodec):
    """The 16 kHz codec: 20 components, 31.25 latents per second."""

    mode: Mode = "16k"


class MelCodec44k(_MelCodec):
    """The 44.1 kHz codec: 40 components, 43.07 latents per second."""

    mode: Mode = "44k"

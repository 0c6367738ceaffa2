"""Log-mel spectrograms as MMAudio computes them (https://github.com/hkchengrex/MMAudio), in two modes.

Amplitude, not power, goes through the filter bank: Slaney's scale, each band divided by its width in hertz, as in
librosa's default. Everything is float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Mode = Literal["16k", "44k"]

AMPLITUDE_EPSILON = 1e-9  # under the root: keeps the gradient finite in silence
FLOOR = 1e-5  # of a band's value, before the logarithm
LINEAR_HERTZ_PER_MEL = 200 / 3  # Slaney's scale is linear below 1000 Hz (15 mel) ...
LOG_START_HERTZ, LOG_START_MEL = 1000.0, 15.0
LOG_STEP = math.log(6.4) / 27  # ... and logarithmic above


@dataclass(frozen=True)
class MelMode:
    """One front end: `sample_rate` in hertz; `n_fft` (also the window) and `hop` in samples; `bands` up from 0 Hz.

    `fmax`: the top of the highest band, in hertz. `log_base`: 10, or None for the natural logarithm.
    """

    sample_rate: int
    n_fft: int
    hop: int
    bands: int
    fmax: float
    log_base: float | None

    @property
    def silence(self) -> float:
        """Value of a band in digital silence: the logarithm of the floor."""
        return math.log10(FLOOR) if self.log_base == 10 else math.log(FLOOR)

    @property
    def pad(self) -> int:
        """Samples reflected at each end."""
        return (self.n_fft - self.hop) // 2

    @property
    def bins(self) -> int:
        """Bins of the one-sided spectrum."""
        return self.n_fft // 2 + 1


MODES: MappingProxyType[Mode, MelMode] = MappingProxyType(
    {
        "16k": MelMode(sample_rate=16_000, n_fft=1024, hop=256, bands=80, fmax=8000.0, log_base=10.0),
        "44k": MelMode(sample_rate=44_100, n_fft=2048, hop=512, bands=128, fmax=22_050.0, log_base=None),
    }
)


def _mel_of(hertz: float) -> float:
    if hertz < LOG_START_HERTZ:
        return hertz / LINEAR_HERTZ_PER_MEL
    return LOG_START_MEL + math.log(hertz / LOG_START_HERTZ) / LOG_STEP


@cache
def _filter_bank(mode: Mode) -> Tensor:
    parameters = MODES[mode]
    mels = np.linspace(_mel_of(0.0), _mel_of(parameters.fmax), parameters.bands + 2)
    above = LOG_START_HERTZ * np.exp(LOG_STEP * (mels - LOG_START_MEL))
    edges = np.where(mels < LOG_START_MEL, mels * LINEAR_HERTZ_PER_MEL, above)[:, None]
    bins = np.arange(parameters.bins) * parameters.sample_rate / parameters.n_fft
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.maximum(0.0, np.minimum((bins - lower) / (centre - lower), (upper - bins) / (upper - centre)))
    return torch.from_numpy((triangles * 2.0 / (upper - lower)).astype(np.float32))


def filter_bank(mode: Mode) -> Tensor:
    """A copy of the mel filters, float32 (bands, n_fft // 2 + 1), computed in float64."""
    return _filter_bank(mode).clone()


@cache
def _on_device(mode: Mode, device: torch.device) -> tuple[Tensor, Tensor]:
    window = torch.hann_window(MODES[mode].n_fft, periodic=True, dtype=torch.float64).float()
    return window.to(device), _filter_bank(mode).to(device)


def _mode(mode: str) -> MelMode:
    for name, parameters in MODES.items():
        if name == mode:
            return parameters
    raise ValueError(f"mel mode {mode!r}: known are {', '.join(MODES)}")


def mel_spectrogram(waveform: Tensor, mode: Mode) -> Tensor:
    """Log-mel amplitudes (B, bands, samples // hop) of floating-point `waveform` (B, samples) at the mode's rate.

    Samples beyond +-1 are clipped. Raises ValueError for another shape or type, for NaN or infinite samples, and for a
    waveform too short for the reflected ends (`pad` + 1 samples).
    """
    parameters = _mode(mode)
    if waveform.ndim != 2 or not waveform.is_floating_point():
        raise ValueError(f"mel {mode}: needs floating-point (batch, samples), got {_described(waveform)}")
    if waveform.shape[1] <= parameters.pad:
        raise ValueError(f"mel {mode}: {waveform.shape[1]} samples, needs more than {parameters.pad}")
    if not bool(torch.isfinite(waveform).all()):
        raise ValueError(f"mel {mode}: the waveform has NaN or infinite samples")
    window, bank = _on_device(mode, waveform.device)
    clipped = waveform.float().clamp(-1.0, 1.0)
    padded = F.pad(clipped[:, None], (parameters.pad, parameters.pad), mode="reflect")[:, 0]
    with torch.autocast(waveform.device.type, enabled=False):
        spectrum = torch.stft(
            padded, parameters.n_fft, parameters.hop, window=window, center=False, onesided=True, return_complex=True
        )
        amplitude = torch.view_as_real(spectrum).square().sum(-1).add(AMPLITUDE_EPSILON).sqrt()
        bands = (bank @ amplitude).clamp_min(FLOOR)
    return bands.log() if parameters.log_base is None else bands.log10()


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"

"""Waveforms from mel spectrograms without a vocoder: amplitudes by non-negative least squares, phases by Griffin-Lim.

The fast variant (Perraudin, Balazs & Søndergaard 2013, "A fast Griffin-Lim algorithm"), on the same frames as
`features.audio.mel`, so that a spectrogram of T frames gives T * hop samples. The frames at the ends extend beyond the
waveform, into its reflection, and so they do here: without it the last 10 ms of a clip are quieter by 3 dB, audible at
joins.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .mel import FLOOR, MODES, Mode, filter_bank

MOMENTUM = 0.99  # Perraudin et al., section 4: the best of those that converge
ITERATIONS = 32
UPDATES = 50  # of the amplitudes
SEED = 20_130_101  # of the initial phases
ABOVE_SILENCE = 1e-4  # more than float32 rounds
CEILING = 100.0  # twice the most that audio within -1 and 1 can give a band
TINY = 1e-12


def amplitudes(log_mel: Tensor, mode: Mode) -> Tensor:
    """Log-mel amplitudes (bands, T) -> amplitudes of the bins (n_fft // 2 + 1, T), not negative.

    Non-negative least squares by multiplicative updates (Lee & Seung 2001), which begin with each band spread over
    its bins. A band at the floor of the logarithm counts as silent; bins outside all bands are zero.
    """
    parameters = MODES[mode]
    if log_mel.ndim != 2 or len(log_mel) != parameters.bands or not log_mel.is_floating_point():
        given = f"{log_mel.dtype} {tuple(log_mel.shape)}"
        raise ValueError(f"log-mel {mode}: is {given}, not floating-point ({parameters.bands}, T)")
    if not bool(torch.isfinite(log_mel).all()):
        raise ValueError(f"log-mel {mode}: has NaN or infinite values")
    bank = filter_bank(mode).to(log_mel.device)
    base = parameters.log_base
    bands = log_mel.float().exp() if base is None else base ** log_mel.float()
    bands = torch.where(log_mel > parameters.silence + ABOVE_SILENCE, bands - FLOOR, 0.0).clamp(0.0, CEILING)
    projected = bank.T @ bands
    gram = bank.T @ bank
    estimate = projected / (bank.sum(1) @ bank).clamp_min(TINY)[:, None]
    for _ in range(UPDATES):
        estimate = estimate * projected / (gram @ estimate).clamp_min(TINY)
    return estimate


class _Frames:
    """The Fourier transform of `features.audio.mel`, reflected ends included, and its least-squares inverse."""

    def __init__(self, mode: Mode, count: int, device: torch.device) -> None:
        self._mode, self._count = MODES[mode], count
        self._window = torch.hann_window(self._mode.n_fft, device=device)
        # the sum of overlapping squared windows; at the very ends of the padded signal it is zero
        self._weight = self._overlapped(self._window.square()[:, None].expand(-1, count)).clamp_min(1e-3)

    def spectrum(self, signal: Tensor) -> Tensor:
        """Samples (T * hop,) -> complex (bins, T); a signal too short for its reflection is padded with silence."""
        window, mode = self._window, self._mode
        way = "reflect" if len(signal) > mode.pad else "constant"
        padded = F.pad(signal[None], (mode.pad, mode.pad), way)[0]
        return torch.stft(padded, mode.n_fft, mode.hop, window=window, center=False, return_complex=True)

    def signal(self, spectrum: Tensor) -> Tensor:
        """Complex (bins, T) -> the samples (T * hop,) whose spectrum is nearest."""
        mode = self._mode
        frames = torch.fft.irfft(spectrum, mode.n_fft, dim=0) * self._window[:, None]
        return (self._overlapped(frames) / self._weight)[mode.pad : mode.pad + self._count * mode.hop]

    def _overlapped(self, frames: Tensor) -> Tensor:
        length = (self._count - 1) * self._mode.hop + self._mode.n_fft
        folded = F.fold(frames[None], (1, length), (1, self._mode.n_fft), stride=(1, self._mode.hop))
        return folded.flatten()


def waveform(log_mel: Tensor, mode: Mode, iterations: int = ITERATIONS) -> Tensor:
    """Log-mel amplitudes (bands, T) -> float32 samples (T * hop,) within -1 and 1, the same on every call.

    Raises ValueError for another shape or type and for NaN or infinite values.
    """
    magnitude = amplitudes(log_mel, mode)
    count = magnitude.shape[1]
    if not count:
        return magnitude.new_zeros(0)
    frames = _Frames(mode, count, magnitude.device)
    # drawn on the CPU: the devices' generators differ
    phase = torch.rand(magnitude.shape, generator=torch.Generator().manual_seed(SEED)) * (2 * torch.pi)
    estimate = magnitude * torch.polar(torch.ones_like(phase), phase).to(magnitude.device)
    before = torch.zeros_like(estimate)
    for _ in range(iterations):
        consistent = frames.spectrum(frames.signal(estimate))
        ahead = consistent + MOMENTUM * (consistent - before)
        estimate, before = magnitude * ahead / ahead.abs().clamp_min(TINY), consistent
    return frames.signal(estimate).clamp(-1.0, 1.0)

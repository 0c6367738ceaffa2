import math

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from features.audio.mel import MODES, Mode, filter_bank, mel_spectrogram
from tests.support.golden_fill import golden, normal, relative_error

SAMPLES: dict[Mode, int] = {"16k": 128_000, "44k": 353_280}


def by_definition(waveform: NDArray[np.float64], mode: Mode) -> NDArray[np.float64]:
    """The mel spectrogram (bands, frames) in float64, frame by frame, with librosa's filters."""
    p = MODES[mode]
    pad = (p.n_fft - p.hop) // 2
    padded = np.pad(np.clip(waveform, -1, 1), pad, mode="reflect")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(p.n_fft) / p.n_fft)
    starts = range(0, len(padded) - p.n_fft + 1, p.hop)
    spectra = np.stack([np.fft.rfft(padded[start : start + p.n_fft] * hann) for start in starts], axis=1)
    amplitude = np.sqrt(np.abs(spectra) ** 2 + 1e-9)
    bank = librosa.filters.mel(sr=p.sample_rate, n_fft=p.n_fft, n_mels=p.bands, fmin=0, fmax=p.fmax, dtype=np.float64)
    bands = np.maximum(bank @ amplitude, 1e-5)
    return np.asarray(np.log10(bands) if mode == "16k" else np.log(bands))


@pytest.mark.parametrize("mode", MODES)
def test_the_golden_figures_are_met(mode: Mode) -> None:
    waveform = np.tanh(np.random.RandomState(1301).standard_normal((1, SAMPLES[mode])) * 0.3)
    mel = mel_spectrogram(torch.from_numpy(waveform).float(), mode)
    assert mel.shape == (1, MODES[mode].bands, SAMPLES[mode] // MODES[mode].hop)
    assert relative_error(mel, golden("golden_encoders.json")[f"mel_{mode}"]) < 1e-4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("level", [3.0, 0.1, 1e-5])  # clipped, ordinary, near the two epsilons
def test_it_is_what_its_definition_says(mode: Mode, level: float) -> None:
    waveform = level * normal(7, 2, 20 * MODES[mode].hop + 13)
    mel = mel_spectrogram(waveform, mode)
    for row, found in zip(waveform.double().numpy(), mel, strict=True):
        np.testing.assert_allclose(found.numpy(), by_definition(row, mode), atol=2e-5)


@pytest.mark.parametrize(("mode", "silence"), [("16k", -5.0), ("44k", -11.5129)])
def test_silence(mode: Mode, silence: float) -> None:
    mel = mel_spectrogram(torch.zeros(1, 8000), mode)
    torch.testing.assert_close(mel, torch.full_like(mel, silence), rtol=0, atol=5e-5)
    assert MODES[mode].silence == pytest.approx(silence, abs=5e-5)


@pytest.mark.parametrize("mode", MODES)
def test_the_filters_are_librosas(mode: Mode) -> None:
    p = MODES[mode]
    theirs = librosa.filters.mel(sr=p.sample_rate, n_fft=p.n_fft, n_mels=p.bands, fmin=0, fmax=p.fmax)
    assert filter_bank(mode).dtype == torch.float32
    np.testing.assert_allclose(filter_bank(mode).numpy(), theirs, rtol=0, atol=1e-7 * theirs.max())


def test_a_caller_may_change_its_filters() -> None:
    filter_bank("16k").zero_()
    assert filter_bank("16k").sum() > 0


@pytest.mark.parametrize(
    ("waveform", "mode", "message"),
    [
        (torch.zeros(8000), "16k", "mel 16k: needs floating-point (batch, samples), got float32 (8000,)"),
        (torch.zeros(1, 8000, dtype=torch.int16), "44k", "mel 44k: needs floating-point (batch, samples), got int16"),
        (torch.zeros(1, 384), "16k", "mel 16k: 384 samples, needs more than 384"),
        (torch.full((1, 8000), math.nan), "16k", "mel 16k: the waveform has NaN or infinite samples"),
        (torch.full((1, 8000), math.inf), "44k", "mel 44k: the waveform has NaN or infinite samples"),
        (torch.zeros(1, 8000), "48k", "mel mode '48k': known are 16k, 44k"),
    ],
)
def test_what_it_refuses(waveform: torch.Tensor, mode: Mode, message: str) -> None:
    with pytest.raises(ValueError, match=r"^mel") as caught:
        mel_spectrogram(waveform, mode)
    assert message in str(caught.value)


def test_the_shortest_waveform() -> None:
    assert mel_spectrogram(torch.zeros(1, 385), "16k").shape == (1, 80, 1)

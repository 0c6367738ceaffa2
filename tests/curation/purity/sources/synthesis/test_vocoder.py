"""The vocoder and the singing made with it: pitch, envelope and notes, measured by means that are not its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curation.purity.sources.pool import RATE
from curation.purity.sources.synthesis.signals import Wave, level, noise, resonate, stack
from curation.purity.sources.synthesis.singing import Sung, hertz, nuclei, sing
from curation.purity.sources.synthesis.vocoder import HOP, analyse, pitch_of, resynthesise


def vowel(seconds: float, pitch: float, formants: tuple[float, float] = (700.0, 1200.0)) -> Wave:
    """A voice on one vowel."""
    n = round(seconds * RATE)
    drift = pitch * (1 + 0.01 * np.sin(np.arange(n) / RATE * 9))
    source = stack(drift, n, [1 / k for k in range(1, 60)])
    return level(resonate(source, [*formants, 2600.0], [90.0, 110.0, 160.0], [1.0, 0.6, 0.3])) * 0.1


def syllables(count: int, pitch: float = 130.0) -> Wave:
    """Speech: hissing consonants of 0.08 s, each before a vowel of 0.16 s."""
    rng = np.random.default_rng(0)
    parts = []
    for number in range(count):
        parts += [
            0.02 * noise(rng, round(0.08 * RATE), 0, 2500),
            vowel(0.16, pitch, ((700, 1200), (320, 2200))[number % 2]),
        ]
    return np.concatenate([*parts, np.zeros(RATE // 10)])


def measured_pitch(x: Wave) -> float:
    """The pitch in Hz that explains the spectrum of `x` best: the highest mean of ten harmonics."""
    size = 1 << 16
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x)), size)) ** 0.5
    grid = 80 * 2 ** (np.arange(0, 3.0, 1 / 600))
    at = grid[:, None] * np.arange(1, 11)
    return float(grid[np.interp(at, np.arange(size // 2 + 1) * RATE / size, spectrum).mean(1).argmax()])


def test_the_pitch_of_a_voice_is_found_and_noise_has_none() -> None:
    n = 2 * RATE
    course = 150 + 60 * np.sin(np.arange(n) / RATE * 3)
    voice = resonate(stack(course, n, [1 / k for k in range(1, 40)]), [600.0, 1500.0], [100.0, 150.0], [1.0, 0.5])
    found = pitch_of(voice)[5:-5]
    cents = 1200 * np.log2(found / course[::HOP][5 : 5 + len(found)])
    assert np.isnan(found).mean() < 0.02
    assert np.nanmedian(np.abs(cents)) < 6 and np.nanmax(np.abs(cents)) < 60
    assert np.isnan(pitch_of(noise(np.random.default_rng(1), RATE))).mean() > 0.95


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_breath_is_the_share_of_noise(share: float) -> None:
    n = 2 * RATE
    tone = level(stack(180.0, n, [1.0] * 5))  # to 900 Hz: the first band
    mixed = tone * (1 - share**2) ** 0.5 + share * noise(np.random.default_rng(2), n, 0, 60, 950)
    assert float(np.median(analyse(mixed).breath[20:-20, 0])) == pytest.approx(share, abs=0.06)


def test_a_voice_comes_back_at_its_own_pitch_level_and_colour() -> None:
    x = vowel(1.0, 140.0)
    voice = analyse(x)
    y = resynthesise(np.random.default_rng(3), voice, np.arange(len(voice), dtype=float), voice.pitch)
    inside = slice(RATE // 5, 4 * RATE // 5)
    assert abs(1200 * np.log2(measured_pitch(y[inside]) / measured_pitch(x[inside]))) < 10
    assert 20 * np.log10(y[inside].std() / x[inside].std()) == pytest.approx(0, abs=1.5)

    def bands(z: Wave) -> Wave:
        power = np.abs(np.fft.rfft(z[inside] * np.hanning(len(z[inside])))) ** 2
        return np.array([10 * np.log10(part.sum()) for part in np.array_split(power[: len(power) // 2], 8)])

    assert np.abs(bands(y) - bands(x)).max() < 4


def test_the_envelope_of_a_flat_spectrum_has_no_trace_of_its_harmonics() -> None:
    voice = analyse(stack(210.0, RATE, [1.0] * 36, np.random.default_rng(0)))
    inside = voice.envelope[30:-30, 40:400]  # 600 Hz to 6.2 kHz
    assert inside.std(axis=1).max() < 0.01  # 0.1 dB


def test_a_steady_high_voice_is_not_rough() -> None:
    n = RATE
    voice = analyse(stack(437.0, n, [1.0] * 16))  # a period of 36.6 samples
    voice = replace(voice, breath=np.zeros_like(voice.breath))
    sung = resynthesise(np.random.default_rng(0), voice, np.arange(len(voice), dtype=float), np.full(len(voice), 437.0))
    power = np.abs(np.fft.rfft(sung[2000:14000] * np.hanning(12000), 1 << 16)) ** 2

    def at(frequency: float) -> float:
        first = round((frequency - 20) / RATE * (1 << 16))
        return float(power[first : first + 160].max())

    for number in range(6, 13):
        assert 10 * np.log10(at(437 * number) / at(437 * (number + 0.5))) > 30


def test_another_pitch_keeps_the_formants_and_another_size_moves_them() -> None:
    voice = analyse(vowel(1.0, 120.0, (800.0, 1300.0)))
    at = np.arange(len(voice), dtype=float)
    high = resynthesise(np.random.default_rng(4), voice, at, voice.pitch * 1.6)
    large = resynthesise(np.random.default_rng(4), voice, at, voice.pitch * 1.6, size=0.8)
    assert measured_pitch(high[3000:13000]) == pytest.approx(192, rel=0.01)

    def centre(z: Wave) -> float:
        power = np.abs(np.fft.rfft(z[3000:13000])) ** 2
        f = np.fft.rfftfreq(10000, 1 / RATE)
        inside = f < 2000
        return float((f * power)[inside].sum() / power[inside].sum())

    assert centre(large) / centre(high) == pytest.approx(0.8, abs=0.08)


def test_each_syllable_is_a_nucleus() -> None:
    found = nuclei(analyse(syllables(7)))
    assert len(found) == 7
    for number, (first, last) in enumerate(found):
        begin = number * 0.24 + 0.08
        assert abs(first * HOP / RATE - begin) < 0.04 and abs(last * HOP / RATE - begin - 0.16) < 0.04


def test_notes_are_sung_on_pitch_and_in_time() -> None:
    tune = [57.0, 60.0, 64.0, 62.0, 55.0, 60.0]
    notes = [Sung(0.3 + 0.7 * number, 0.65, pitch) for number, pitch in enumerate(tune)]
    sung = sing(np.random.default_rng(5), syllables(4), notes)  # the syllables come again
    for note in notes:
        inside = sung[round((note.start + 0.15) * RATE) : round((note.start + 0.5) * RATE)]
        assert abs(1200 * np.log2(measured_pitch(inside) / hertz(note.pitch))) < 40
    early = sung[: round(0.1 * RATE)]
    assert np.abs(early).max(initial=0) < 0.05 * np.abs(sung).max()


def test_a_rest_is_silent_and_speech_without_vowels_is_not_sung() -> None:
    notes = [Sung(0.2, 0.4, 60.0), Sung(2.0, 0.5, 62.0)]
    sung = sing(np.random.default_rng(6), syllables(2), notes)
    assert np.abs(sung[round(1.0 * RATE) : round(1.6 * RATE)]).max() < 1e-3 * np.abs(sung).max()
    assert len(sing(np.random.default_rng(6), noise(np.random.default_rng(7), RATE), notes)) == 0


def test_singing_follows_from_its_seed() -> None:
    notes = [Sung(0.1, 0.6, 60.0), Sung(0.8, 0.6, 64.0)]
    one, same, other = (sing(np.random.default_rng(seed), syllables(2), notes) for seed in (8, 8, 9))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one[:8000], other[:8000])

"""Sound effects from formulas: partials and tones where they belong, the same from the same seed, never clipped."""

from __future__ import annotations

import numpy as np
import pytest

from curation.purity.sources.pool import RATE
from curation.purity.sources.synthesis.alarms import two_tone
from curation.purity.sources.synthesis.effects import EFFECTS, HELD_OUT, effect, jobs
from curation.purity.sources.synthesis.engines import combustion, mains_hum
from curation.purity.sources.synthesis.impacts import BELL, bell_body, ticking
from curation.purity.sources.synthesis.jobs import finished
from curation.purity.sources.synthesis.signals import Wave

LATE = {
    "train-horn", "ship-horn", "howl", "songbird", "woodpecker", "church-bell", "wind-chimes", "hooting", "harsh-call",
}  # fmt: skip
"""Effects that may begin after up to 3 s."""


def spectrum(x: Wave) -> tuple[Wave, Wave]:
    """Frequencies in Hz and magnitudes in dB under the highest."""
    size = np.abs(np.fft.rfft(x * np.hanning(len(x)), 1 << 18))
    return np.asarray(np.fft.rfftfreq(1 << 18, 1 / RATE)), 20 * np.log10(size / size.max() + 1e-9)


def strongest(x: Wave, low: float, high: float) -> float:
    """The frequency of the highest peak between two frequencies."""
    f, size = spectrum(x)
    inside = (f > low) & (f < high)
    return float(f[inside][size[inside].argmax()])


@pytest.mark.parametrize("prime", [180.0, 440.0])
def test_the_partials_of_a_bell_are_where_they_were_asked(prime: float) -> None:
    bell = bell_body(np.random.default_rng(1), prime, 3.0, detune=0.0)[: 2 * RATE]
    f, size = spectrum(bell)
    for ratio in BELL[:7]:
        near = (f > prime * ratio * 0.97) & (f < prime * ratio * 1.03)
        assert abs(f[near][size[near].argmax()] / (prime * ratio) - 1) < 0.003
    between = (f > prime * 1.02) & (f < prime * BELL[2] * 0.98)
    assert size[between].max() < -25  # no harmonic filling


def test_high_partials_of_a_bell_fade_first() -> None:
    bell = bell_body(np.random.default_rng(2), 400.0, 4.0, detune=0.0)

    def balance(x: Wave) -> float:
        f, size = spectrum(x)
        return float(size[(f > 1500)].max() - size[(f < 500)].max())

    assert balance(bell[2 * RATE : 3 * RATE]) < balance(bell[: RATE // 2]) - 15


def test_the_siren_has_its_two_tones_in_turn() -> None:
    siren = two_tone(np.random.default_rng(3), 4 * RATE, low=440.0, high=585.0, period=1.0)
    for half in range(8):
        part = siren[round((half * 0.5 + 0.05) * RATE) : round((half * 0.5 + 0.45) * RATE)]
        assert abs(strongest(part, 380, 700) - (585.0 if half % 2 else 440.0)) < 4


def test_the_firing_of_an_engine_follows_its_speed_and_cylinders() -> None:
    rpm = np.full(4 * RATE, 1500.0)
    engine = combustion(np.random.default_rng(4), len(rpm), rpm, 4, roughness=0.0)
    # four strokes, four cylinders: two pulses per revolution, 50 per second
    envelope = np.abs(np.fft.rfft(np.abs(engine) - np.abs(engine).mean()))
    f = np.fft.rfftfreq(len(engine), 1 / RATE)
    inside = (f > 20) & (f < 70)
    assert abs(f[inside][envelope[inside].argmax()] - 50) < 1


def test_the_hum_of_the_mains_is_at_50_or_60_hz_and_its_multiples() -> None:
    for seed in range(2):
        f, size = spectrum(mains_hum(np.random.default_rng(seed), 3 * RATE // 2))
        peak = f[size.argmax()]
        assert min(abs(peak / k / base - 1) for base in (50, 60) for k in range(1, 13)) < 0.005


def test_a_clock_ticks_evenly() -> None:
    x = np.abs(ticking(np.random.default_rng(6), 20 * RATE))
    power = np.convolve(x, np.ones(80) / 80, "same")[::80]
    onsets = np.flatnonzero((power[1:-1] > power.max() * 0.2) & (power[1:-1] > 3 * power[:-2])) / 200
    gaps = np.diff(onsets[np.r_[True, np.diff(onsets) > 0.06]])
    assert len(gaps) > 10
    assert np.median(np.abs(gaps / np.median(gaps) - 1)) < 0.1


@pytest.mark.parametrize("name", EFFECTS)
def test_each_effect_sounds_and_is_bounded(name: str) -> None:
    n = (16 if name in LATE else 6) * RATE // 5
    x = EFFECTS[name](np.random.default_rng(7), n)
    assert x.shape == (n,)
    assert np.isfinite(x).all()
    peak = int(np.abs(finished(x, -16.0).astype(int)).max())
    assert 100 < peak < 32767 * 0.9


def test_a_path_is_repeated_exactly_and_another_seed_differs() -> None:
    first = effect("beeps", 5)
    assert first.dtype == np.int16 and 5 * RATE <= len(first) <= 30 * RATE
    np.testing.assert_array_equal(first, effect("beeps", 5))
    assert not np.array_equal(first[: 5 * RATE], effect("beeps", 6)[: 5 * RATE])


def test_an_effect_is_in_one_split_only() -> None:
    rows = jobs(3)
    assert len(rows) == 3 * len(EFFECTS) and len({row.path for row in rows}) == len(rows)
    assert {row.kind for row in rows} == {"effects"}
    assert {row.category for row in rows if row.split == "val"} == HELD_OUT
    assert not HELD_OUT & {row.category for row in rows if row.split == "train"}
    assert set(EFFECTS) > HELD_OUT

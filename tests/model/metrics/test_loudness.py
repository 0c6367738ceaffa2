"""Loudness against the cases of EBU Tech 3341 and another meter."""

from __future__ import annotations

import numpy as np
import pyloudnorm
import pytest
from numpy.typing import NDArray

from model.metrics import loudness


def tone(*parts: tuple[float, float], rate: int = 48_000) -> NDArray[np.float64]:
    """1 kHz at (dBFS of the peak, seconds) after each other."""
    each = [10 ** (d / 20) * np.sin(2 * np.pi * 1000 * np.arange(round(s * rate)) / rate) for d, s in parts]
    return np.concatenate(each)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(-23.0, 20)], -23.0),  # Tech 3341, case 1
        ([(-33.0, 20)], -33.0),  # 2
        ([(-36.0, 10), (-23.0, 60), (-36.0, 10)], -23.0),  # 3: the relative gate
        ([(-72.0, 10), (-36.0, 10), (-23.0, 60), (-36.0, 10), (-72.0, 10)], -23.0),  # 4: the absolute one
    ],
)
def test_the_cases_of_tech_3341(parts: list[tuple[float, float]], expected: float) -> None:
    assert loudness(np.tile(tone(*parts), (2, 1)), 48_000) == pytest.approx(expected, abs=0.1)


# they draw the high shelf differently near half the sample rate
@pytest.mark.parametrize(("rate", "tolerance"), [(16_000, 0.2), (44_100, 0.1)])
def test_another_meter_agrees(rate: int, tolerance: float) -> None:
    draw = np.random.default_rng(rate)
    swell = np.interp(np.arange(12 * rate) / rate, [0, 3, 6, 9, 12], [0.3, 0.01, 0.1, 0.001, 0.2])
    mono = 0.3 * swell * draw.standard_normal(12 * rate)
    expected = pyloudnorm.Meter(rate).integrated_loudness(mono)
    assert loudness(mono, rate) == pytest.approx(expected, abs=tolerance)
    assert loudness(mono[None], rate) == loudness(mono, rate)


def test_a_gain_is_heard_as_itself() -> None:
    sound = 0.1 * np.random.default_rng(1).standard_normal(5 * 44_100)
    quiet, loud = loudness(sound, 44_100), loudness(2 * sound, 44_100)
    assert quiet is not None and loud is not None and loud - quiet == pytest.approx(6.02, abs=0.02)


def test_blocks_that_the_sound_does_not_fill_do_not_count() -> None:
    # counted, the three blocks before 400 ms would bring it down by 0.6 LU
    assert loudness(np.tile(tone((-23.0, 0.5)), (2, 1)), 48_000) == pytest.approx(-23.0, abs=0.15)


def test_silence_and_what_is_too_short() -> None:
    assert loudness(np.zeros(48_000), 48_000) == -70.0
    assert loudness(tone((-20.0, 0.39)), 48_000) is None
    assert loudness(np.zeros(0), 48_000) is None


@pytest.mark.parametrize("sound", [np.full(48_000, np.nan), np.full(48_000, np.inf), np.zeros((1, 1, 48_000))])
def test_other_sounds_are_refused(sound: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match=r"^loudness: audio of shape .*must be finite"):
        loudness(sound, 48_000)

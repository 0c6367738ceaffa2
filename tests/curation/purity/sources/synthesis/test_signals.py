"""The parts that sounds are made of: levels, bands, moving filters, placing, and their clock."""

from __future__ import annotations

import numpy as np
import pytest

from curation.purity.sources.pool import RATE
from curation.purity.sources.synthesis.signals import (
    Wave,
    band,
    clicks,
    crossings,
    decay,
    gain_frames,
    level,
    moving_filter,
    noise,
    place,
    pulse,
    regular,
    resonate,
    smooth,
    stack,
    through,
    tone,
    wander,
)


def rms(x: Wave) -> float:
    return float(np.sqrt(np.mean(x**2)))


def test_a_band_keeps_what_is_inside_and_removes_what_is_outside() -> None:
    inside, outside = tone(1000.0, RATE), tone(4000.0, RATE)
    assert rms(band(inside, 500, 2000)) == pytest.approx(rms(inside), rel=0.02)
    assert rms(band(outside, 500, 2000)) < 0.08 * rms(outside)


def test_noise_falls_by_its_slope() -> None:
    x = np.abs(np.fft.rfft(noise(np.random.default_rng(0), 1 << 17, 6.0))) ** 2
    f = np.fft.rfftfreq(1 << 17, 1 / RATE)
    low, high = (x[(f > a) & (f < 2 * a)].mean() for a in (500, 2000))
    assert 10 * np.log10(low / high) == pytest.approx(12, abs=1)  # two octaves


def test_a_moving_filter_of_gain_one_changes_nothing_and_one_that_closes_silences() -> None:
    x = noise(np.random.default_rng(1), RATE)
    times, f = gain_frames(RATE)
    np.testing.assert_allclose(moving_filter(x, np.ones((len(times), f.shape[1]))), x, atol=1e-9)
    closing = np.broadcast_to(times < 0.5, (len(times), f.shape[1])).astype(float)
    y = moving_filter(x, closing)
    np.testing.assert_allclose(y[: RATE // 2 - 600], x[: RATE // 2 - 600], atol=1e-9)
    assert np.abs(y[RATE // 2 + 600 :]).max() < 1e-9


def test_harmonics_above_the_top_are_left_out() -> None:
    x = stack(1500.0, RATE, [1.0] * 10)
    size = np.abs(np.fft.rfft(x * np.hanning(RATE))) / RATE * 4
    assert [round(float(size[1500 * k]), 2) for k in (1, 2, 3, 4, 5)] == [1, 1, 1, 1, 0.33]  # 7500 Hz fades to 7600
    assert size[7601:].max() < 0.01


def test_grains_lie_where_they_are_placed() -> None:
    grain = np.array([1.0, 0.5])
    x = place(RATE, [0.25, 0.99999, 2.0], [grain], [2.0, 1.0, 1.0])
    assert x[RATE // 4 : RATE // 4 + 2].tolist() == [2.0, 1.0]
    assert np.flatnonzero(x).tolist() == [4000, 4001]  # what begins at the end or after it is cut
    pair = clicks(RATE, [0.1 + 0.25 / RATE], 1.0)
    assert pair[1600] == pytest.approx(0.75) and pair[1601] == pytest.approx(0.25)


def test_a_response_follows_each_click() -> None:
    x = through(clicks(RATE, [0.1, 0.5], [1.0, 2.0]), decay(RATE, 0.1))
    assert x[8000 + 200] == pytest.approx(2 * x[1600 + 200], rel=1e-6)
    assert abs(x[1500]) < 1e-9


def test_a_resonance_passes_its_centre() -> None:
    centre, beside = (rms(resonate(tone(f, RATE), [800.0], [50.0], [1.0])[RATE // 2 :]) for f in (800.0, 1600.0))
    assert centre == pytest.approx(0.5**0.5, rel=0.05)
    assert beside < 0.06


def test_curves_stay_between_their_bounds_and_edges_are_soft() -> None:
    curve = wander(np.random.default_rng(2), 3 * RATE, 0.2, 0.5, 2.0)
    assert 0.5 <= curve.min() < 0.8 and 1.25 < curve.max() <= 2.0
    assert np.abs(np.diff(curve)).max() < 0.01
    edge = pulse(1000, 0.01, 0.02)
    assert edge[0] == 0 and edge[-1] < 0.001 and edge[500] == 1
    assert smooth([0, 1], [2, 4], np.array([-1.0, 0.5, 9.0])).tolist() == [2, 3, 4]


def test_beats_are_regular_and_crossings_count_cycles() -> None:
    beats = regular(np.random.default_rng(3), 10 * RATE, 0.5, 0.0, first=0.25)
    assert beats.tolist() == (np.arange(20) * 0.5 + 0.25).tolist()
    assert len(crossings(np.cumsum(np.full(RATE, 7.001)) / RATE)) == 7
    assert level(np.zeros(10)).tolist() == [0.0] * 10

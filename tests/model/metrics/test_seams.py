"""Seams: joins with known answers, white noise against its figures, and sound that comes in pieces and from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation.media import MediaError
from model.metrics import SeamMeter, SeamMetrics, clip_joins, control_times, energies, file_energies, rms_difference
from model.metrics.seams import log, rel, rms

RATE = 44_100
WINDOW = 441


def noise(count: int, seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal(count)


def steps(*levels: float, count: int = RATE) -> NDArray[np.float64]:
    """`count` samples of each constant level, one after the other."""
    return np.repeat(np.array(levels), count)


def test_energies_are_the_mean_squares_of_ten_milliseconds_on_either_side() -> None:
    sound = steps(0.5, -0.25, 0.0)
    assert energies(sound, RATE, [1.0, 2.0]).tolist() == [[0.25, 0.0625], [0.0625, 0.0]]
    # one sample further away is not heard, one nearer is
    for at, heard in ((RATE - WINDOW - 1, 0), (RATE - WINDOW, 1), (RATE - 1, 1), (RATE, 2), (RATE + WINDOW, 0)):
        click = np.zeros(2 * RATE)
        click[at] = 1.0
        expected = [1 / WINDOW if heard == side else 0.0 for side in (1, 2)]
        assert energies(click, RATE, [1.0])[0].tolist() == pytest.approx(expected)


def test_the_three_forms_of_a_known_join() -> None:
    known = np.array([[0.01, 0.04], [0.09, 0.01], [0.0, 0.0], [1.0, 0.0]])
    assert rel(known).tolist() == pytest.approx([0.6, 0.8, 0.0, 1.0])
    expected = [np.log10(4), np.log10(9), 0.0, 8.0]
    assert log(known).tolist() == pytest.approx(expected, abs=1e-5)
    assert rms(known).tolist() == pytest.approx([0.1, 0.2, 0.0, 1.0])
    seams = SeamMetrics.of(known)
    assert seams.count == 4 and seams.rel == pytest.approx(0.6) and seams.rms == pytest.approx(0.325)
    assert seams.log == pytest.approx(np.mean(expected), abs=1e-5)


@pytest.mark.parametrize(("gain", "expected"), [(1.0, 0.038), (1.2, 0.181), (2.0, 0.599)])
def test_white_noise_has_the_figures_of_the_specification(gain: float, expected: float) -> None:
    joins = 2000
    sound = noise(joins * 2 * WINDOW).reshape(joins, 2, WINDOW)
    sound[:, 1] *= gain
    times = [(2 * k + 1) * WINDOW / RATE for k in range(joins)]
    assert SeamMetrics.of(energies(sound.ravel(), RATE, times)).rel == pytest.approx(expected, abs=0.002)


@given(st.floats(0.01, 100.0), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_only_rms_hears_how_loud_a_sound_is(gain: float, seed: int) -> None:
    found = np.random.default_rng(seed).uniform(0.01, 1.0, (20, 2))
    assert rel(gain**2 * found) == pytest.approx(rel(found), rel=1e-6)
    assert log(gain**2 * found) == pytest.approx(log(found), abs=0.01)
    assert rms(gain**2 * found) == pytest.approx(gain * rms(found), rel=1e-6)
    assert rel(found[:, ::-1]) == pytest.approx(rel(found)) and rel(found).max() <= 1.0


def test_the_difference_from_the_real_sound_is_taken_join_by_join() -> None:
    generated, real = np.array([[0.04, 0.25], [0.01, 0.01]]), np.array([[0.09, 0.09], [0.01, 0.09]])
    assert rms_difference(generated, real) == pytest.approx((0.3 + 0.2) / 2)  # of means it would be 0.05
    with pytest.raises(ValueError, match=r"^seams: 1 joins against 2$"):
        rms_difference(generated[:1], real)


@given(st.lists(st.integers(1, 3000), max_size=30), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_pieces_give_what_the_whole_gives(sizes: list[int], seed: int) -> None:
    rate, sound = 8000, noise(20_000, seed)
    times = [0.01, 1.0, 1.003, 2.49]  # windows that touch both ends, and two that overlap
    meter = SeamMeter(times, rate)
    begin = 0
    for size in [*sizes, len(sound)]:
        meter.push(sound[begin : begin + size])
        begin += size
    assert meter.finish() == pytest.approx(energies(sound, rate, times), rel=1e-12)


def test_times_keep_their_order() -> None:
    sound = steps(0.5, 0.25, 1.0)
    assert (energies(sound, RATE, [2.0, 1.0]) == energies(sound, RATE, [1.0, 2.0])[::-1]).all()


def test_the_sample_rate_says_how_many_samples_ten_milliseconds_are() -> None:
    sound = steps(1.0, 0.0, count=160)
    sound[:80] = 0.0
    assert energies(sound, 16_000, [0.01]).tolist() == [[0.5, 0.0]]
    assert energies(sound, 8000, [0.02]).tolist() == [[1.0, 0.0]]


def test_a_file_is_heard_as_the_mean_of_its_channels(tmp_path: Path) -> None:
    left, right = 0.2 * noise(25 * 8000, 1), 0.1 * noise(25 * 8000, 2)
    path = tmp_path / "two.wav"
    soundfile.write(path, np.stack([left, right], axis=1), 8000, "FLOAT")
    times = [0.5, 9.995, 10.0, 10.004, 20.0, 24.9]  # about where blocks meet, too
    expected = energies((left + right) / 2, 8000, times)
    assert file_energies(path, times) == pytest.approx(expected, rel=1e-5)


def test_files_that_cannot_be_measured_are_named(tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, np.zeros(8000), 8000)
    with pytest.raises(
        ValueError, match=r"short\.wav: seams: the audio lasts 1\.000 s; a join at 1\.000 s needs 0\.01 s"
    ):
        file_energies(path, [0.5, 1.0])
    (tmp_path / "none.wav").write_bytes(b"no sound")
    with pytest.raises(MediaError):
        file_energies(tmp_path / "none.wav", [0.5])


def test_joins_without_room_are_refused() -> None:
    sound = steps(1.0)
    assert len(energies(sound, RATE, [0.01, 0.99])) == 2
    with pytest.raises(ValueError, match=r"^seams: a join at 0\.009 s has no 0\.01 s before it$"):
        energies(sound, RATE, [0.5, 0.009])
    with pytest.raises(
        ValueError, match=r"^seams: the audio lasts 1\.000 s; a join at 0\.991 s needs 0\.01 s after it$"
    ):
        energies(sound, RATE, [0.5, 0.991])
    with pytest.raises(ValueError, match=r"must be \(samples,\)"):
        energies(sound[None], RATE, [0.5])
    with pytest.raises(ValueError, match=r"^seams: 1e-06 s are less than a sample at 44100 Hz$"):
        SeamMeter([0.5], RATE, 1e-6)


def test_without_joins_there_is_no_figure() -> None:
    found = SeamMetrics.of(energies(steps(1.0), RATE, []))
    assert found.count == 0 and np.isnan([found.rel, found.log, found.rms]).all()
    assert np.isnan(rms_difference(np.zeros((0, 2)), np.zeros((0, 2))))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(7.0, []), (8.0, []), (8.001, [8.0]), (16.0, [8.0]), (60.0, [8.0, 16.0, 24.0, 32.0, 40.0, 48.0, 56.0])],
)
def test_clips_meet_every_eight_seconds(seconds: float, expected: list[float]) -> None:
    assert clip_joins(seconds) == expected


def test_rounding_makes_no_join_at_the_end() -> None:
    assert clip_joins(3 * 8.2, 8.2) == [8.2, 16.4]
    assert clip_joins(sum([0.1] * 240)) == [8.0, 16.0]  # 24 s and a bit of float


def test_the_control_keeps_away_from_joins_and_ends_and_reaches_all_else() -> None:
    joins = clip_joins(60.0)
    times = np.array(control_times(60.0, joins, 20_000, seed=3))
    distance = np.abs(times[:, None] - np.array([0.0, *joins, 60.0])).min(axis=1)
    assert len(times) == 20_000 and distance.min() >= 0.5 and (np.diff(times) >= 0).all()
    # as many in every second that is allowed: 7 stretches of 7 s, and one of 3 s
    counts = np.histogram(times, [0.5, 7.5, 8.5, 15.5, 56.5, 59.5])[0]
    assert counts.tolist() == pytest.approx(
        [20_000 * 7 / 52, 0, 20_000 * 7 / 52, 20_000 * 35 / 52, 20_000 * 3 / 52], rel=0.07
    )
    assert control_times(60.0, joins, 5, seed=3) == control_times(60.0, joins, 5, seed=3)
    assert control_times(60.0, joins, 5, seed=3) != control_times(60.0, joins, 5, seed=4)


def test_the_control_asks_for_room() -> None:
    assert control_times(1.1, [], 1)[0] == pytest.approx(0.55, abs=0.05)
    with pytest.raises(ValueError, match=r"^seams: no time in 1 s is 0\.5 s from every join and end$"):
        control_times(1.0, [], 1)


def test_a_seam_shows_at_the_joins_and_not_in_the_control() -> None:
    seconds = 60.0
    joins = clip_joins(seconds)
    sound = 0.1 * noise(round(seconds * RATE))
    for number, at in enumerate(joins):
        sound[round(at * RATE) : round((at + 8) * RATE)] *= (2.0, 1.0)[number % 2]
    control = SeamMetrics.of(energies(sound, RATE, control_times(seconds, joins, 200)))
    found = SeamMetrics.of(energies(sound, RATE, joins))
    assert found.rel == pytest.approx(0.6, abs=0.06) and control.rel == pytest.approx(0.038, abs=0.006)

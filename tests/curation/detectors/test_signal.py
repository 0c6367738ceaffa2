"""Loudness and channels: the cases of EBU Tech 3341, another meter, and channels broken on purpose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation.decision.measures import integrated_loudness
from curation.detectors import ModelSetup, signal
from curation.detectors.scorer import Scorer
from curation.media import MomentaryLoudness, audio_blocks, write_media
from manifests.scores import FrameScores
from tests.support import signals as sounds

RATE: int = sounds.RATE
Float = NDArray[np.floating]


def tone(*parts: tuple[float, float], rate: int = RATE, channels: int = 2) -> Float:
    """1 kHz at (dBFS of the peak, seconds) after each other, the same in all channels."""
    return np.tile(np.concatenate([sounds.sine(1000, s, 10 ** (d / 20), rate) for d, s in parts]), (channels, 1))


def signal_of(samples: Float, rate: int = RATE, layout: str = "", **options: Any) -> FrameScores:
    scores: FrameScores = sounds.heard("signal", samples, rate, layout, **options)
    return scores


def integrated(samples: Float, rate: int = RATE, layout: str = "") -> float:
    lane = signal_of(samples, rate, layout).track("loudness_lufs")
    found = integrated_loudness(lane[~np.isnan(lane)])
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(-23.0, 20)], -23.0),  # Tech 3341, case 1
        ([(-33.0, 20)], -33.0),  # 2
        ([(-36.0, 10), (-23.0, 60), (-36.0, 10)], -23.0),  # 3: the relative gate
        ([(-72.0, 10), (-36.0, 10), (-23.0, 60), (-36.0, 10), (-72.0, 10)], -23.0),  # 4: the absolute one
        ([(-26.0, 20), (-20.0, 20.1), (-26.0, 20)], -23.0),  # 5
    ],
)
def test_the_cases_of_tech_3341(parts: list[tuple[float, float]], expected: float) -> None:
    assert integrated(tone(*parts)) == pytest.approx(expected, abs=0.1)


def test_channels_weigh_as_the_standard_says() -> None:
    left, right, centre, low, back_left, back_right = (10 ** (d / 20) for d in (-28, -28, -24, -3, -30, -30))
    gains = np.array([left, right, centre, low, back_left, back_right])[:, None]
    assert integrated(gains * sounds.sine(1000, 20), layout="5.1") == pytest.approx(-23.0, abs=0.1)  # case 6
    one = np.zeros((6, 5 * RATE))
    for channel, expected in enumerate([-26.0, -26.0, -26.0, None, -24.5, -24.5]):
        alone = one.copy()
        alone[channel] = sounds.sine(1000, 5, 10 ** (-23 / 20))
        assert integrated(alone, layout="5.1") == pytest.approx(-70.0 if expected is None else expected, abs=0.1)


@pytest.mark.parametrize(("channels", "layout"), [(1, "mono"), (3, ""), (6, ""), (8, "7.1"), (10, "")])
def test_every_number_of_channels_is_measured(channels: int, layout: str) -> None:
    silent = np.zeros((channels, 2 * RATE))
    silent[0] = sounds.sine(1000, 2, 10 ** (-23 / 20))
    assert integrated(silent, layout=layout) == pytest.approx(-26.0, abs=0.1)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 96_000, 192_000])
def test_loudness_at_every_rate(rate: int) -> None:
    assert integrated(tone((-23.0, 5), rate=rate), rate) == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize("seed", [1, 2])
def test_loudness_agrees_with_another_meter(rate: int, seed: int) -> None:
    import pyloudnorm

    swell = np.interp(np.arange(rate * 20) / rate, [0, 5, 9, 12, 20], [0.001, 0.2, 0.02, 0.3, 0.0005])
    stereo = np.stack([sounds.falling(20, 500, 6, 0.3, seed + i, rate) * swell for i in (0, 10)])
    expected = pyloudnorm.Meter(rate).integrated_loudness(stereo.T)
    assert integrated(stereo, rate) == pytest.approx(expected, abs=0.1)


def test_a_frame_hears_the_next_400_ms() -> None:
    samples = np.zeros((2, 4 * RATE))
    samples[:, 2 * RATE : round(2.4 * RATE)] = tone((-23.0, 0.4))
    lane = signal_of(samples).track("loudness_lufs")
    assert len(lane) == 40 and np.isnan(lane).tolist() == [False] * 37 + [True] * 3
    assert lane[20] == pytest.approx(-23.0, abs=0.2) and np.nanargmax(lane) == 20
    assert lane[16] == signal.FLOOR_LUFS and lane[17] > -40
    assert lane[18] == pytest.approx(-26.0, abs=0.3)


def test_the_clock_holds_where_100_ms_are_no_whole_number_of_samples() -> None:
    samples = np.zeros((1, 601 * 11_025))
    samples[:, 600 * 11_025 :] = 0.2 * sounds.sine(1000, 1, rate=11_025)
    lane = signal_of(samples, 11_025).track("loudness_lufs")
    assert len(lane) == 6010 and not np.isnan(lane[:6006]).any()
    assert lane[5995] < -100 and lane[6000] == pytest.approx(-17.0, abs=0.5)


@given(st.sampled_from([1, 2, 3, 7]), st.sampled_from([8_000, 11_025, 44_100]), st.floats(0.5, 12.0))
@settings(deadline=None, max_examples=15)
def test_scores_do_not_depend_on_the_blocks(block_seconds: int, rate: int, seconds: float) -> None:
    stereo = np.stack([sounds.noise(seconds, 0.1, 1, rate), sounds.noise(seconds, 0.1, 2, rate)])
    whole, blocks = signal_of(stereo, rate, block_seconds=20), signal_of(stereo, rate, block_seconds=block_seconds)
    assert len(whole) == int(np.ceil(stereo.shape[1] / rate * 10 - 1e-9))
    np.testing.assert_array_equal(whole.values, blocks.values)


def test_the_meter_says_nothing_without_sound() -> None:
    meter = MomentaryLoudness(RATE, "stereo", 2)
    assert meter.push(np.zeros((2, 0), np.float32)) == [] and meter.finish() == []


def test_a_file_is_measured_with_its_own_layout(tmp_path: Path) -> None:
    path = tmp_path / "six.flac"
    six = np.zeros((6, 3 * RATE), np.float32)
    six[3] = sounds.sine(50, 3, 0.5)  # nothing but the low-frequency channel
    six[0] = sounds.sine(1000, 3, 10 ** (-23 / 20))
    write_media(path, audio=[six], sample_rate=RATE, audio_codec="flac")
    assert next(audio_blocks(path)).layout == "5.1"
    scores = Scorer(ModelSetup()).score(path, ["level", "signal"]).scores["signal"]
    assert np.nanmedian(scores.track("loudness_lufs")) == pytest.approx(-26.0, abs=0.1)


# channels


def channels(*waves: Float, layout: str = "") -> dict[str, float]:
    scores = signal_of(np.stack(waves), layout=layout)
    return {label: float(np.median(scores.track(label)[:10])) for label in scores.labels[1:]}


def one(seed: int = 1) -> Float:
    wave: Float = sounds.noise(2, 0.1, seed)
    return wave


def test_independent_channels_lose_three_decibels_and_nothing_is_wrong() -> None:
    found = channels(one(1), one(2))
    assert found == {
        "dc": pytest.approx(0, abs=2e-3),
        "dead": 0,
        "copied": 0,
        "mono_loss_db": pytest.approx(3.01, abs=0.1),
    }


def test_offset_has_its_sign_and_is_the_largest_channels() -> None:
    assert channels(one(1) + 0.01, one(2) - 0.04)["dc"] == pytest.approx(-0.04, abs=2e-3)
    assert channels(np.full(2 * RATE, 0.25))["dc"] == pytest.approx(0.25, abs=1e-3)


@pytest.mark.parametrize("rest", [0.0, 1e-4])
def test_a_channel_without_sound_is_dead_while_another_sounds(rest: float) -> None:
    hiss = rest * sounds.noise(2, 1.0, 9)
    found = channels(one(), hiss + 0.02)  # its offset is no sound
    assert (found["dead"], found["copied"]) == (1, 0)
    assert found["mono_loss_db"] == pytest.approx(3.01, abs=0.1)
    assert channels(hiss, hiss)["dead"] == 0
    assert channels(one(1), 0.01 * one(2))["dead"] == 0  # quiet is not dead


def test_the_low_frequency_channel_may_be_silent() -> None:
    silent = np.zeros(2 * RATE)
    rest = [one(seed) for seed in range(5)]
    assert channels(*rest[:3], silent, *rest[3:], layout="5.1")["dead"] == 0
    assert channels(*rest[:2], silent, *rest[2:], layout="5.1")["dead"] == 1
    assert channels(*rest[:3], silent, *rest[3:])["dead"] == 1  # nobody said what it is


def test_copies_are_counted_to_60_decibels() -> None:
    other = one(2)
    assert channels(one(), one())["copied"] == 1
    assert channels(one(), one() + 0.0007 * other)["copied"] == 1
    assert channels(one(), one() + 0.0014 * other)["copied"] == 0
    assert channels(one(1), one(2), one(1), one(1))["copied"] == 2
    assert channels(one(), -one())["copied"] == 0
    assert channels(one(), one())["mono_loss_db"] == pytest.approx(0, abs=0.01)


def test_channels_that_cancel_lose_all() -> None:
    assert channels(one(), -one())["mono_loss_db"] == signal.MAX_LOSS_DB
    for rest in (0.02, 0.002, 0.0025):
        nearly = channels(one() + 0.02, -one() + rest * one(2) + 0.02)["mono_loss_db"]
        assert nearly == pytest.approx(min(60, -20 * np.log10(rest / 2)), abs=0.1)
    assert channels(one())["mono_loss_db"] == 0


def test_silence_is_no_fault() -> None:
    silent = np.zeros(2 * RATE)
    assert channels(silent, silent) == {"dc": 0, "dead": 0, "copied": 0, "mono_loss_db": 0}

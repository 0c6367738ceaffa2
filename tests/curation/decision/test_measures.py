"""Any span's measures from kept scores: what was planted is measured, what nobody measured is None."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation.decision.measures import integrated_loudness, measure
from manifests.records import Measured
from manifests.scores import FrameScores
from manifests.time import Segment
from tests.support import signals as sounds

RATE: int = sounds.RATE
AUDIO = ("loudness_lufs", "dc", "dead_channels", "copied_channels", "mono_loss_db")
LEVEL = ("clipped", "bandwidth_hz", "dropouts")
PICTURE = ("still_share", "scene_cuts")


def scores_of(samples: NDArray[np.floating], rate: int = RATE) -> dict[str, FrameScores]:
    return {name: sounds.heard(name, samples, rate) for name in ("level", "signal")}


def stereo(seconds: float, rms: float = 0.1) -> NDArray[np.float64]:
    return np.stack([sounds.noise(seconds, rms, seed) for seed in (1, 2)])


def test_a_healthy_recording_measures_well() -> None:
    found = measure(scores_of(stereo(20)), Segment(3.0, 17.0))
    power_lufs = found.loudness_lufs
    assert power_lufs is not None and -18 < power_lufs < -10
    assert found == Measured(
        loudness_lufs=power_lufs,
        clipped=0.0,
        bandwidth_hz=24_000.0,
        dc=pytest.approx(0.0, abs=1e-3),  # type: ignore[arg-type]
        dead_channels=0,
        copied_channels=0,
        mono_loss_db=pytest.approx(3.0, abs=0.1),  # type: ignore[arg-type]
        dropouts=0.0,
    )


@pytest.mark.parametrize(
    ("names", "known"),
    [(["level"], LEVEL), (["signal"], AUDIO), (["picture"], PICTURE), ([], ())],
)
def test_what_nobody_measured_is_none(names: list[str], known: tuple[str, ...]) -> None:
    picture = FrameScores(0.0, 1.0, 1.0, ("still", "cut"), np.zeros((20, 2), np.float16))
    scores = {name: one for name, one in {**scores_of(stereo(20)), "picture": picture}.items() if name in names}
    found = asdict(measure(scores, Segment(0.0, 20.0)))
    assert {name for name, value in found.items() if value is not None} == set(known)


def test_seconds_nobody_scored_do_not_count() -> None:
    values = np.full((20, 2), np.nan, np.float16)
    values[5:10] = np.array([[1, 0], [1, 1], [0, 0], [0, 0], [0.5, 1]])
    picture = FrameScores(0.0, 1.0, 1.0, ("still", "cut"), values)
    found = measure({"picture": picture}, Segment(0.0, 20.0))
    assert (found.still_share, found.scene_cuts) == (0.5, 2 / 5 * 60)
    assert measure({"picture": picture}, Segment(12.0, 20.0)).still_share is None
    found = measure({"picture": picture}, Segment(5.0, 7.0))
    assert (found.still_share, found.scene_cuts) == (1.0, 30.0)


# loudness


def test_only_blocks_inside_the_span_are_heard() -> None:
    """What lies beside the span is 40 dB louder: one block that reaches over would show."""
    quiet = np.tile(sounds.sine(1000, 20, 10 ** (-43 / 20)), (2, 1))
    quiet[:, : 5 * RATE] *= 100
    quiet[:, 10 * RATE :] *= 100
    scores = scores_of(quiet)
    assert measure(scores, Segment(5.2, 9.9)).loudness_lufs == pytest.approx(-43.0, abs=0.1)
    assert measure(scores, Segment(5.0, 10.1)).loudness_lufs == pytest.approx(-9.0, abs=0.1)  # a quarter of a block
    assert measure(scores, Segment(6.0, 6.3)).loudness_lufs is None  # shorter than a block


def test_silence_has_the_loudness_of_the_gate() -> None:
    assert measure(scores_of(np.zeros((2, 5 * RATE))), Segment(0.0, 5.0)).loudness_lufs == -70.0


@given(st.lists(st.floats(-119, 0), min_size=1, max_size=200))
def test_gating_is_that_of_the_standard(blocks: list[float]) -> None:
    """Written out block by block, as in BS.1770-4, equations 5 to 7."""
    found = integrated_loudness(np.array(blocks, np.float32))
    power = [10 ** ((float(np.float32(loudness)) + 0.691) / 10) for loudness in blocks]
    above = [p for p in power if -0.691 + 10 * np.log10(p) > -70]
    if not above:
        assert found == -70.0
        return
    gate = -0.691 + 10 * np.log10(sum(above) / len(above)) - 10
    kept = [p for p in above if -0.691 + 10 * np.log10(p) > gate]
    assert found == pytest.approx(-0.691 + 10 * np.log10(sum(kept) / len(kept)), abs=1e-6)


def test_no_blocks_have_no_loudness() -> None:
    assert integrated_loudness(np.zeros(0, np.float32)) is None


# real recorded sound


@pytest.fixture(scope="module")
def recorded(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NDArray[np.float32]]:
    """40 s of animals recorded in mono at 48 kHz, at about -22 dBFS."""
    from app.demo.sounds import WHEELS, DemoError, load_sounds

    cache = getattr(pytestconfig, "cache", None)  # kept between runs, unless the user wants none
    folder = cache.mkdir("sounds") if cache else tmp_path_factory.mktemp("sounds")
    try:
        found = load_sounds(folder, WHEELS[:1])
    except DemoError as error:
        pytest.skip(f"no recordings: {error}")
    # MP3 decoders begin with some silence: a hole wherever two of them meet
    clips = [found[name].samples[RATE // 10 : -RATE // 10] for name in ("duck", "frog", "sheep", "cow", "rooster")]
    levelled = [clip * 0.08 / np.sqrt(np.mean(clip**2)) for clip in clips]
    yield np.clip(np.resize(np.concatenate(levelled), 40 * RATE), -0.99, 0.99).astype(np.float32)


def test_real_sound_has_no_faults(recorded: NDArray[np.float32]) -> None:
    found = measure(scores_of(recorded), Segment(0.0, 40.0))
    assert found.clipped == pytest.approx(0.0, abs=1e-4) and found.dropouts == 0.0
    assert found.bandwidth_hz is not None and found.bandwidth_hz > 14_000
    assert (found.dead_channels, found.copied_channels, found.mono_loss_db) == (0, 0, 0.0)
    assert found.dc == pytest.approx(0.0, abs=5e-3)


def test_faults_planted_in_real_sound_are_measured(recorded: NDArray[np.float32]) -> None:
    whole = Segment(0.0, 40.0)
    limit = np.quantile(np.abs(recorded), 0.95)
    clipped = sounds.sixteen_bits(np.clip(recorded, -limit, limit) * 0.7 / limit)
    assert measure(scores_of(clipped), whole).clipped == pytest.approx(0.05, rel=0.1)
    low = soxr.resample(soxr.resample(recorded, RATE, 8_000), 8_000, RATE)
    assert measure(scores_of(sounds.sixteen_bits(low)), whole).bandwidth_hz == pytest.approx(4_000, rel=0.06)
    assert measure(scores_of(recorded + 0.04), whole).dc == pytest.approx(0.04, abs=5e-3)
    turned = measure(scores_of(np.stack([recorded, -recorded])), whole)
    assert (turned.mono_loss_db, turned.copied_channels) == (60.0, 0)
    dead = measure(scores_of(np.stack([recorded, 0 * recorded])), whole)
    assert (dead.dead_channels, dead.copied_channels) == (1, 0)
    quieter = measure(scores_of(recorded / 10), whole).loudness_lufs
    assert quieter == pytest.approx((measure(scores_of(recorded), whole).loudness_lufs or 0) - 20, abs=0.1)
    loud = [at for at in np.arange(1.0, 39.0, 1.7).tolist() if np.sqrt(np.mean(_around(recorded, at) ** 2)) > 0.03]
    assert len(loud) >= 5
    for at in loud:
        recorded = recorded.copy()
        recorded[round(at * RATE) : round((at + 0.05) * RATE)] = 0
    found = measure(scores_of(recorded), whole).dropouts
    assert found == pytest.approx(len(loud) * 1.5, rel=0.25)


def _around(wave: NDArray[np.float32], at: float) -> NDArray[np.float32]:
    """What is heard 30 ms before and after a hole of 50 ms, the quieter of both."""
    first, end, near = round(at * RATE), round((at + 0.05) * RATE), round(0.03 * RATE)
    return min(wave[first - near : first], wave[end : end + near], key=lambda part: float(np.mean(part**2)))


# shares and counts


def test_clipping_is_measured_inside_the_span() -> None:
    wave = sounds.falling(20, 300, 12)
    limit = np.quantile(np.abs(wave), 0.95)
    wave[10 * RATE :] = np.clip(wave[10 * RATE :], -limit, limit)
    scores = scores_of(sounds.sixteen_bits(wave))
    assert measure(scores, Segment(0.0, 10.0)).clipped == 0.0
    assert measure(scores, Segment(10.0, 20.0)).clipped == pytest.approx(0.05, rel=0.1)
    assert measure(scores, Segment(0.0, 20.0)).clipped == pytest.approx(0.025, rel=0.1)


def test_a_channel_that_dies_is_found_and_a_pause_of_it_is_not() -> None:
    both = stereo(60)
    both[1, 52 * RATE :] = 0
    assert measure(scores_of(both), Segment(0.0, 60.0)).dead_channels == 1
    pause = stereo(60)
    pause[1, 30 * RATE : 34 * RATE] = 0
    assert measure(scores_of(pause), Segment(0.0, 60.0)).dead_channels == 0


def test_silence_has_neither_dead_nor_copied_channels() -> None:
    both = stereo(20)
    both[:, RATE:] = 0
    both[1] = 0  # the only sound is on one channel
    assert measure(scores_of(both), Segment(0.0, 20.0)).dead_channels == 1
    assert measure(scores_of(np.zeros((2, 5 * RATE))), Segment(0.0, 5.0)).dead_channels == 0


def test_copied_channels_are_copied_most_of_the_time() -> None:
    both = stereo(20)
    both[1, 6 * RATE :] = both[0, 6 * RATE :]
    assert measure(scores_of(both), Segment(0.0, 20.0)).copied_channels == 1
    assert measure(scores_of(both), Segment(0.0, 10.0)).copied_channels == 0


def test_channels_that_cancel_for_a_while_are_found() -> None:
    both = stereo(20)
    both[1, 16 * RATE :] = -both[0, 16 * RATE :]
    found = measure(scores_of(both), Segment(0.0, 20.0)).mono_loss_db
    assert found == 60.0
    assert measure(scores_of(both), Segment(0.0, 15.0)).mono_loss_db == pytest.approx(3.0, abs=0.1)


def test_an_offset_is_one_whatever_its_sign_and_infrasound_is_none() -> None:
    t = np.arange(20 * RATE) / RATE
    assert measure(scores_of(stereo(20) - 0.03), Segment(0.0, 20.0)).dc == pytest.approx(0.03, abs=1e-3)
    surge = 0.3 * np.sin(2 * np.pi * 0.31 * t)
    assert measure(scores_of(stereo(20) + surge), Segment(0.0, 20.0)).dc == pytest.approx(0.0, abs=0.02)


def test_dropouts_are_counted_by_the_minute() -> None:
    wave = sounds.falling(30, 300, 6, 0.1)
    for time in (3.0, 11.0, 19.0, 27.0):
        wave[round(time * RATE) : round((time + 0.1) * RATE)] = 0
    scores = scores_of(wave)
    assert measure(scores, Segment(0.0, 30.0)).dropouts == 8.0
    assert measure(scores, Segment(0.0, 15.0)).dropouts == 8.0
    assert measure(scores, Segment(4.0, 10.0)).dropouts == 0.0


# bandwidth


def levels(bandwidth: list[float], edge: list[float]) -> dict[str, FrameScores]:
    """Level scores with these values in kHz, a second each."""
    lanes = np.zeros((25 * len(edge), 8), np.float16)
    names = ("peak_dbfs", "rms_dbfs", "zero", "clipped", "bandwidth_khz", "edge_khz", "gap", "dropout")
    lanes[:, 4], lanes[:, 5] = np.repeat(bandwidth, 25), np.repeat(edge, 25)
    return {"level": FrameScores(0.0, 0.04, 0.04, names, lanes)}


@pytest.mark.parametrize(
    ("bandwidth", "edge", "expected"),
    [
        ([4.0] * 20, [4.0] * 20, 4000),  # upsampled
        ([4.0] * 10 + [24.0] * 10, [4.0] * 10 + [2.0] * 10, 4000),  # upsampled, dull half of the time
        ([4.0] * 10 + [24.0] * 10, [4.0] * 10 + [0.0] * 10, 4000),  # silent half of the time
        ([4.0] * 10 + [24.0] * 10, [4.0] * 10 + [9.0] * 10, 24000),  # others go beyond
        ([4.0] * 18 + [24.0] * 2, [4.0] * 18 + [9.0] * 2, 4000),  # a click or two does not clear it
        ([4.0] + [24.0] * 19, [4.0] + [2.0] * 19, 24000),  # a cliff now and then is an encoder's
        ([4.0] * 10 + [15.5] * 10, [4.0] * 10 + [15.5] * 10, 15500),  # of cliffs the highest counts
        ([24.0] * 5, [1.0] * 5, 24000),  # dull
        ([24.0] * 5, [0.0] * 5, 24000),  # silent
    ],
)
def test_the_bandwidth_is_what_the_seconds_agree_on(bandwidth: list[float], edge: list[float], expected: int) -> None:
    scores = levels([*bandwidth, 24.0], [*edge, 0.0])
    assert measure(scores, Segment(0.0, float(len(edge)))).bandwidth_hz == pytest.approx(expected, rel=1e-3)

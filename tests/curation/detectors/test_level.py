"""Level, clipping, bandwidth and dropouts on signals whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation.detectors import level, spectrum
from curation.media import audio_blocks, write_media
from manifests.scores import FrameScores
from tests.support import signals as sounds

RATE: int = sounds.RATE


def level_of(samples: NDArray[np.floating], rate: int = RATE, **options: Any) -> FrameScores:
    scores: FrameScores = sounds.heard("level", samples, rate, **options)
    return scores


def test_level_of_a_full_scale_sine() -> None:
    scores = level_of(sounds.sine(1000, 2))
    assert len(scores) == 50
    np.testing.assert_allclose(scores.track("rms_dbfs"), -3.01, atol=0.05)
    np.testing.assert_allclose(scores.track("peak_dbfs"), 0.0, atol=0.05)
    assert scores.track("clipped").max() == 0 and scores.track("zero").max() < 0.03


def test_the_peak_may_be_a_negative_one() -> None:
    samples = np.full(RATE, 0.1)
    samples[1000] = -0.5
    assert level_of(samples).track("peak_dbfs")[0] == pytest.approx(-6.02, abs=0.01)


def test_silence_counts_as_zero_and_a_dead_channel_does_not() -> None:
    tone = sounds.sine(440, 1, 0.1)
    half = np.where(np.arange(RATE) < RATE // 2, tone, 0)
    scores = level_of(np.stack([half, half]))
    assert scores.track("zero")[:12].max() < 0.05 and scores.track("zero")[13:].min() == 1
    assert scores.track("rms_dbfs")[-1] == level.FLOOR_DBFS
    assert level_of(np.stack([tone, np.zeros_like(tone)])).track("zero").max() < 0.05


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 192_000])
def test_frames_meet_at_every_rate(rate: int) -> None:
    scores = level_of(np.zeros(rate + rate // 2), rate)
    assert len(scores) == 38 and scores.hop == 0.04


def test_gaps_are_marked_where_they_are() -> None:
    scores = level_of(np.full(RATE * 7, 0.1), gaps=[(0.4, 0.8), (4.6, 5.4)])
    lost = scores.track("gap")
    expected = np.zeros(175)
    expected[10:20] = expected[115:135] = 1
    np.testing.assert_array_equal(lost, expected)


@pytest.mark.parametrize("rate", [11_025, 48_000])
def test_scores_do_not_depend_on_the_blocks(rate: int) -> None:
    rng = np.random.default_rng(1)
    samples = np.clip(sounds.noise(13.37, 0.3, rate=rate), -0.6, 0.6)
    for time in (5.0, *rng.uniform(6, 12, 6)):  # one right at a border: its first step belongs to it
        samples[int(time * rate) : int((time + 0.3) * rate)] = 0
    samples = np.stack([samples, samples * 0.5])
    one, five, all_ = (level_of(samples, rate, block_seconds=n) for n in (1, 5, 20))
    assert one.track("dropout").max() == 1 and one.track("clipped").max() > 0
    np.testing.assert_array_equal(one.values, all_.values)
    np.testing.assert_array_equal(five.values, all_.values)


# clipping


@pytest.mark.parametrize("top", [1.0, 0.7, 0.1])
@pytest.mark.parametrize("hertz", [50, 100, 997])
def test_flat_tops_are_clipping_wherever_they_are(top: float, hertz: float) -> None:
    loud = np.clip(1.3 * sounds.sine(hertz, 2), -1, 1) * top
    share = 2 * np.arccos(1 / 1.3) / np.pi
    assert level_of(sounds.sixteen_bits(loud)).track("clipped").mean() == pytest.approx(share, abs=0.02)


@given(st.floats(0.001, 0.3), st.floats(0.08, 1.0), st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_the_ratio_of_clipped_samples_errs_to_the_low_side(share: float, gain: float, seed: int) -> None:
    """Never above the truth, little below it; tops too short or too shallow to be flat are what is missing.

    Noise that was never clipped has a top as flat as a clipper's in one of a few hundred draws.
    """
    wave = sounds.falling(2, 300, 12, seed=seed)
    limit = np.quantile(np.abs(wave), 1 - share)
    clipped = sounds.sixteen_bits(np.clip(wave, -limit, limit) / limit * gain)
    found = float(level_of(clipped).track("clipped").mean(dtype=np.float64))
    assert found <= share * 1.01 + 2e-4
    assert found >= share * (0.7 if share >= 0.01 else 0.4)
    whole = sounds.sixteen_bits(wave / np.abs(wave).max() * gain)
    assert level_of(whole).track("clipped").max() < 0.004  # one such top, of a second


def test_a_soft_clipper_clips_where_it_is_flat() -> None:
    driven = sounds.falling(4, 300, 12) * 12
    soft = np.where(np.abs(driven) < 1.5, driven - 4 / 27 * driven**3, np.sign(driven))  # flat from 1.5 on
    flat = float(np.mean(np.abs(driven) >= 1.5))
    assert 0.05 < flat < 0.5
    assert level_of(sounds.sixteen_bits(0.9 * soft)).track("clipped").mean() == pytest.approx(flat, rel=0.1)


def test_a_channel_that_clips_counts_for_itself() -> None:
    loud = np.clip(2 * sounds.sine(100, 1), -1, 1)
    one, both = level_of(np.stack([loud, sounds.sine(100, 1, 0.5)])), level_of(np.stack([loud, loud]))
    assert both.track("clipped").mean() == pytest.approx(2 / 3, abs=0.02)
    assert one.track("clipped").mean() == pytest.approx(1 / 3, abs=0.02)


def test_two_samples_at_the_top_are_no_clipping() -> None:
    pairs = np.tile(np.array([0.9, 0.9, -0.9, -0.9]), 12_000)
    assert level_of(pairs).track("clipped").max() == 0
    triples = np.tile(np.array([0.9, 0.9, 0.9, -0.2]), 12_000)
    assert level_of(triples).track("clipped").min() == pytest.approx(0.75, abs=0.01)


def honest_loud_sounds() -> dict[str, tuple[NDArray[np.float64], int]]:
    t = np.arange(RATE * 2) / RATE
    rumble = sounds.falling(4, 30, 24)
    square = np.sum([np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 41, 2)], axis=0)
    droop = np.exp(-((t * 240) % 1) * 0.5) * np.sign(np.sin(2 * np.pi * 120 * t))
    low = sounds.falling(4, 400, 12, rate=8000)
    low /= np.abs(low).max()
    deep = sounds.falling(1, 65.2, 24, seed=584, rate=11_025)
    deep /= np.abs(deep).max()
    return {
        "rumble at full scale": (sounds.sixteen_bits(rumble / np.abs(rumble).max()), RATE),
        "deep tone": (sounds.sixteen_bits(sounds.sine(16, 4, 0.999)), RATE),
        "impulses": (np.sum([np.where(t >= at, np.exp(-(t - at) * 300), 0.0) for at in (0.2, 0.9, 1.5)], axis=0), RATE),
        "square, no higher than 5 kHz": (sounds.sixteen_bits(0.6 * square), RATE),
        "square that droops": (sounds.sixteen_bits(0.9 * droop), RATE),
        "nearly flat tops": (0.9 * (np.sin(2 * np.pi * 60 * t) + np.sin(2 * np.pi * 180 * t) / 9), RATE),
        "8 bits at 8 kHz": (np.round(low * 127) / 128, 8000),
        "8 bits held at 48 kHz": (np.repeat(np.round(low * 127) / 128, 6), RATE),
        "8 bits, quiet": (np.round(low * 9) / 128, 8000),
        "7 bits, deep": (np.round(deep * 0.172 * 63) / 64, 11_025),
    }


@pytest.mark.parametrize("name", honest_loud_sounds())
def test_loud_but_honest_sound_is_not_clipped(name: str) -> None:
    samples, rate = honest_loud_sounds()[name]
    assert level_of(samples, rate).track("clipped").mean() < 1e-3


# bandwidth


def bandwidth_of(samples: NDArray[np.floating], rate: int = RATE) -> float:
    return float(np.median(level_of(samples, rate).track("bandwidth_khz"))) * 1000


def coded(tmp_path: Path, mono: NDArray[np.floating], rate: int, codec: str) -> NDArray[np.float32]:
    suffix = {"aac": ".m4a", "libmp3lame": ".mp3", "libopus": ".ogg"}[codec]
    path = tmp_path / f"sound{suffix}"
    stereo = np.stack([mono, mono]).astype(np.float32)
    write_media(path, audio=[stereo], sample_rate=rate, audio_codec=codec, audio_bitrate=96_000)
    return np.concatenate([block.native for block in audio_blocks(path, ())], axis=1)


@pytest.mark.parametrize("codec", [None, "aac", "libmp3lame", "libopus"])
@pytest.mark.parametrize("resampler", ["soxr", "FFmpeg"])
@pytest.mark.parametrize(("low", "high"), [(8_000, 48_000), (16_000, 48_000), (22_050, 44_100)])
def test_sound_from_a_low_rate_is_narrow(
    tmp_path: Path, low: int, high: int, resampler: str, codec: str | None
) -> None:
    source = sounds.sixteen_bits(sounds.falling(4, 500, 6, rate=low))
    up = soxr.resample(source, low, high) if resampler == "soxr" else sounds.by_ffmpeg(source, low, high)
    up = sounds.sixteen_bits(up)
    found = up if codec is None else coded(tmp_path, up, high, codec) if (codec, high) != ("libopus", 44_100) else up
    # FFmpeg's short filter lets mirror images through, up to a sixth above
    assert bandwidth_of(found, high) == pytest.approx(low / 2, rel=0.16 if resampler == "FFmpeg" else 0.06)


@pytest.mark.parametrize("codec", [None, "aac", "libmp3lame", "libopus"])
@pytest.mark.parametrize(
    ("corner", "slope"),
    [
        (60, 12),
        (100, 18),
        (100, 24),
        (500, 18),
        (500, 24),
        (30, 36),
        (1500, 36),
    ],  # rumble, thunder, wind through a windshield
)
def test_dull_sound_is_not_narrow(tmp_path: Path, corner: float, slope: float, codec: str | None) -> None:
    dull = sounds.sixteen_bits(sounds.falling(4, corner, slope))
    assert bandwidth_of(dull if codec is None else coded(tmp_path, dull, RATE, codec)) == RATE / 2


def test_a_whale_over_the_sea_is_not_narrow() -> None:
    t = np.arange(RATE * 4) / RATE
    song = sum(0.1 / k * np.sin(2 * np.pi * k * (400 * t + 20 * np.sin(2 * np.pi * 0.4 * t))) for k in range(1, 7))
    for sea in (0.01, 0.002):
        assert bandwidth_of(sounds.sixteen_bits(song + sounds.falling(4, 100, 6, sea))) == RATE / 2


@pytest.mark.parametrize("hertz", [3000, 5000, 9000])
def test_a_lone_whistle_is_no_cliff(hertz: float) -> None:
    whistle = sounds.sine(hertz, 3, 0.1) + sounds.falling(3, 200, 18, 0.05)
    assert bandwidth_of(sounds.sixteen_bits(whistle)) == RATE / 2


def test_full_noise_and_silence_have_the_full_band() -> None:
    assert bandwidth_of(sounds.noise(3)) == RATE / 2
    quiet = level_of(np.zeros(RATE * 2))
    assert quiet.track("bandwidth_khz").min() == 24 and quiet.track("edge_khz").max() == 0


@pytest.mark.parametrize("cutoff", [3_500, 8_000, 16_000])
def test_bandwidth_finds_the_cliff(cutoff: int) -> None:
    spectrum_ = np.fft.rfft(sounds.noise(3, 1.0, 3))
    spectrum_[np.fft.rfftfreq(RATE * 3, 1 / RATE) > cutoff] = 0
    scores = level_of(0.05 * np.fft.irfft(spectrum_))
    assert np.median(scores.track("bandwidth_khz")) * 1000 == pytest.approx(cutoff, abs=350)
    assert np.median(scores.track("edge_khz")) * 1000 == pytest.approx(cutoff, abs=350)


def test_an_encoders_low_pass_reads_as_what_it_is(tmp_path: Path) -> None:
    assert bandwidth_of(coded(tmp_path, sounds.noise(4), RATE, "aac")) == pytest.approx(16_000, abs=1_500)


def test_the_edge_is_the_highest_frequency_heard() -> None:
    both = sounds.sine(1000, 2, 0.2) + sounds.sine(7050, 2, 0.001)
    _, edge = spectrum.bandwidths(both.astype(np.float32), RATE)
    assert edge[0] == pytest.approx(7_100, abs=200)


# dropouts


def dropouts_in(samples: NDArray[np.floating], rate: int = RATE) -> list[tuple[float, float]]:
    """Runs of frames with a dropout in them: (start of the first, seconds inside)."""
    lane = level_of(samples, rate).track("dropout")
    edges = np.flatnonzero(np.diff(lane > 0, prepend=False, append=False))
    return [
        (a * 0.04, float(lane[a:b].sum()) * 0.04)
        for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    ]


def surf(seconds: float = 12, seed: int = 1) -> NDArray[np.float64]:
    return np.asarray(sounds.falling(seconds, 300, 6, 0.08, seed) + sounds.noise(seconds, 0.002, seed + 1))


@pytest.mark.parametrize("kind", ["zeros", "held"])
@pytest.mark.parametrize("seconds", [0.005, 0.02, 0.06, 0.5, 1.9])
def test_dropouts_are_found_where_they_are(kind: str, seconds: float) -> None:
    samples, times = surf(), (1.502, 4.99, 8.0101)
    for time in times:
        first = round(time * RATE)
        samples[first : first + round(seconds * RATE)] = 0 if kind == "zeros" else samples[first - 1]
    found = dropouts_in(sounds.sixteen_bits(samples))
    assert len(found) == 3
    for (start, length), time in zip(found, times, strict=True):
        assert start <= time + 0.001 < start + 0.041
        assert length == pytest.approx(seconds, abs=0.0021)


@pytest.mark.parametrize("codec", ["aac", "libmp3lame"])
def test_dropouts_are_found_behind_an_encoder(tmp_path: Path, codec: str) -> None:
    samples, times = surf(30), np.arange(2, 28, 2.37)
    for time in times:
        samples[round(time * RATE) : round((time + 0.1) * RATE)] = 0
    starts = np.array([start for start, _ in dropouts_in(coded(tmp_path, samples, RATE, codec))])
    near = np.abs(starts[:, None] - times).min(axis=1)
    assert near.max() < 0.08
    assert len(starts) >= 0.7 * len(times)


def test_both_sides_of_a_block_border_make_one_dropout() -> None:
    samples = surf()
    samples[round(4.9 * RATE) : round(5.1 * RATE)] = 0
    assert [round(length, 2) for _, length in dropouts_in(samples)] == [0.2]


def quiet_between_events() -> dict[str, NDArray[np.float64]]:
    t = np.arange(RATE * 10) / RATE
    rng = np.random.default_rng(5)
    room = sounds.noise(10, 0.0005)

    def events(every: float, decay: float, attack: float = 0.001) -> NDArray[np.float64]:
        since = t % every
        return np.asarray(rng.standard_normal(len(t)) * np.minimum(since / attack, 1) * np.exp(-since / decay) * 0.3)

    gate = np.where(np.abs(events(1.0, 0.05)) + np.exp(-(t % 1.0) / 0.05) > 0.1, 1.0, 0.0)
    beeps = 0.3 * np.sin(2 * np.pi * 2000 * t) * (t % 0.4 < 0.2)
    hum = np.clip(3 * np.sin(2 * np.pi * 20 * t), -1, 1)
    stopped = sounds.noise(10, 0.05) * (t < 6)
    padded = sounds.noise(10, 0.05) * (t % 5 < 2.5)
    return {
        "clock ticks": events(0.5, 0.004) + room,
        "clock ticks in digital silence": sounds.sixteen_bits(events(0.5, 0.004)),
        "typewriter": events(0.11, 0.012) + room,
        "footsteps": events(0.6, 0.03, 0.01) + room,
        "a gate that closes hard": events(1.0, 0.05) * gate,
        "an alarm": beeps,
        "clipped hum": hum,
        "deep strokes that clip": np.clip(1.1 * np.sin(2 * np.pi * 12 * t) + sounds.noise(10, 0.05), -1, 1),
        "hits that a gate cuts short": np.where(t % 0.1 < 0.08, sounds.noise(10, 0.3) * np.exp(-(t % 0.1) / 0.018), 0),
        "dither that stops": np.where(t % 1 < 0.05, 0, np.round(sounds.noise(10, 0.6)) / 32768),
        "sound that ends": stopped,
        "clips with padding": padded,
        "quiet eight bits": np.round(sounds.falling(10, 100, 12, 0.01) * 127) / 128,
        "rain": surf(10),
        "clicks": np.where(rng.random(len(t)) < 2 / RATE, 0.9, 0.0),
        "a key held": np.where(t % 3 < 1, np.sin(2 * np.pi * 440 * t), 0) * 0.2 + room,
    }


@pytest.mark.parametrize("name", quiet_between_events())
def test_quiet_between_events_is_no_dropout(name: str) -> None:
    assert dropouts_in(quiet_between_events()[name]) == []

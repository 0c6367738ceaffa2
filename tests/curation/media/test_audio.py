"""Decoding against known answers: a click must come out when it went in, whatever the file."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import av
import librosa
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.support.media_files as files
from curation.media import MediaError, audio_blocks, audio_span, frames, identify, write_media
from curation.media.audio import _Blocks
from curation.media.clock import StreamClock
from curation.media.decode import Decoder
from tests.support import ROOT

CLICK = 7.65
LOSSLESS = [
    *[("pcm_s16le", ".wav", rate) for rate in (8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000, 192000)],
    ("pcm_u8", ".wav", 44100),
    ("pcm_s24le", ".wav", 48000),
    ("pcm_s32le", ".wav", 96000),
    ("pcm_f32le", ".wav", 44100),
    ("pcm_f64le", ".wav", 44100),
    ("pcm_s16be", ".aiff", 44100),
    ("pcm_s16le", ".mkv", 44100),
    ("pcm_s16le", ".avi", 48000),
    ("flac", ".flac", 44100),
    ("flac", ".mkv", 44100),
    ("flac", ".ogg", 48000),
    ("alac", ".m4a", 44100),
]
LOSSY = [
    ("aac", ".mp4", 48000),
    ("aac", ".mov", 44100),
    ("aac", ".mkv", 22050),
    ("libmp3lame", ".mp3", 44100),
    ("libmp3lame", ".mkv", 48000),
    ("libopus", ".ogg", 48000),
    ("libopus", ".webm", 48000),
    ("libopus", ".mp4", 48000),
    ("ac3", ".mkv", 48000),
]


@pytest.mark.parametrize(("codec", "suffix", "rate"), LOSSLESS)
def test_a_click_stays_where_it_is_to_the_sample(tmp_path: Path, codec: str, suffix: str, rate: int) -> None:
    signal = files.clicks(rate, 12.345, [CLICK], channels=2)
    blocks = files.decode(files.write(tmp_path / f"click{suffix}", signal, rate, codec), (16000, 32000))
    assert blocks[0].native_rate == rate
    decoded = files.native(blocks)
    assert decoded.shape == signal.shape
    assert np.argmax(np.abs(decoded[0])) == round(CLICK * rate)
    np.testing.assert_allclose(decoded, signal, atol=1 / 127)  # 8 bits
    for target in (16000, 32000):
        out = files.mono(blocks, target)
        assert len(out) == -(-signal.shape[1] * target // rate)
        (time,) = files.peaks(out, target, level=0.5 * np.abs(out).max())
        assert abs(time - round(CLICK * rate) / rate) <= 0.5 / target + 1e-9
    assert files.gaps(blocks) == []
    assert sum(block.errors for block in blocks) == 0


@pytest.mark.parametrize(
    ("codec", "suffix", "rate", "fps"),
    [(*case, fps) for case in LOSSY for fps in (None, 10) if not (fps and case[1] in (".mp3", ".ogg"))],
)
def test_a_click_in_lossy_sound_moves_by_a_millisecond_at_most(
    tmp_path: Path, codec: str, suffix: str, rate: int, fps: float | None
) -> None:
    signal = files.clicks(rate, 12.345, [CLICK], channels=2)
    blocks = files.decode(files.write(tmp_path / f"click{suffix}", signal, rate, codec, fps))
    decoded = files.native(blocks)
    assert abs(np.argmax(np.abs(decoded[0])) / rate - CLICK) < 0.001
    assert abs(decoded.shape[1] / rate - 12.345) < 0.012  # a codec's last packet, at most
    assert files.gaps(blocks) == []


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
def test_a_transport_stream_keeps_sound_and_picture_together(tmp_path: Path, suffix: str) -> None:
    """These containers keep the encoder's delay, and move the picture along with it."""
    path = files.write(
        tmp_path / f"click{suffix}",
        files.clicks(48000, 12, [CLICK]),
        48000,
        "aac" if suffix == ".ts" else "mp2",
        25,
    )
    blocks = files.decode(path)
    start = importlib.import_module("curation.media").probe(path).video.start
    assert start > 0.005
    (time,) = files.peaks(files.native(blocks)[0], 48000)
    assert abs(time - start - CLICK) < 0.001


@pytest.mark.filterwarnings("ignore:.* is deprecated and slated for removal:DeprecationWarning")  # librosa's imports
@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_equals_librosa(tmp_path: Path, subtype: str, channels: int, rate: int) -> None:
    rng = np.random.default_rng(3)
    path = tmp_path / "noise.wav"
    soundfile.write(path, rng.uniform(-1, 1, (int(rate * 3.217), channels)), rate, subtype)
    blocks = files.decode(path, (16000, rate, 22050), 1)
    for target in (16000, rate, 22050):
        expected, _ = librosa.load(path, sr=target, mono=True)
        np.testing.assert_allclose(files.mono(blocks, target), expected, atol=1e-4)
    expected, _ = librosa.load(path, sr=None, mono=False)
    np.testing.assert_allclose(files.native(blocks), np.atleast_2d(expected), atol=1e-7)


@pytest.mark.parametrize(("subtype", "bits"), [("PCM_U8", 8), ("PCM_16", 16), ("PCM_24", 24), ("PCM_32", 32)])
def test_integers_are_scaled_by_a_power_of_two(tmp_path: Path, subtype: str, bits: int) -> None:
    levels = np.array([-1.0, -0.5, 0.0, 0.25, 0.5, 1 - 2.0 ** (1 - min(bits, 24))])
    soundfile.write(tmp_path / "levels.wav", np.repeat(levels, 1000), 48000, subtype)
    decoded = files.native(files.decode(tmp_path / "levels.wav"))[0]
    assert decoded[500::1000].tolist() == levels.tolist()


def test_values_that_are_no_numbers_become_silence(tmp_path: Path) -> None:
    samples = np.full(48000, 0.25, np.float32)
    samples[1000], samples[2000], samples[3000] = np.nan, np.inf, -np.inf
    soundfile.write(tmp_path / "nan.wav", samples, 48000, "FLOAT")
    blocks = files.decode(tmp_path / "nan.wav")
    samples[[1000, 2000, 3000]] = 0.0
    assert files.native(blocks)[0].tolist() == samples.tolist()
    assert np.isfinite(files.mono(blocks)).all()


@pytest.mark.parametrize("channels", range(1, 9))
@pytest.mark.parametrize(("codec", "suffix"), [("pcm_s16le", ".wav"), ("flac", ".flac"), ("pcm_f32le", ".mkv")])
def test_every_channel_keeps_its_own_sound(tmp_path: Path, channels: int, codec: str, suffix: str) -> None:
    parts = [files.tone(44100, 2, 300 + 70 * k, level=0.1 + 0.1 * k) for k in range(channels)]
    path = files.write(tmp_path / f"many{suffix}", np.concatenate(parts), 44100, codec)
    blocks = files.decode(path)
    np.testing.assert_allclose(files.native(blocks), np.concatenate(parts), atol=1e-4)
    mean = np.concatenate(parts).mean(axis=0)
    np.testing.assert_allclose(files.mono(blocks), soxr.resample(mean, 44100, 16000), atol=1e-4)


@pytest.mark.parametrize("channels", [6, 8])
def test_many_channels_of_a_codec_that_decodes_them_apart(tmp_path: Path, channels: int) -> None:
    """AAC comes out planar; with 8 channels a naive reading of the planes ends the process."""
    path = files.write(tmp_path / "many.mp4", files.tone(48000, 2, 300, channels), 48000, "aac")
    decoded = files.native(files.decode(path))
    assert len(decoded) == channels
    assert np.corrcoef(decoded[0, 4800:-4800], files.tone(48000, 2, 300)[0, 4800:-4800])[0, 1] > 0.99


def test_blocks_do_not_depend_on_their_length(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    signal = rng.normal(0, 0.1, (2, int(44100 * 63.21))).astype(np.float32)
    path = files.remux(files.write(tmp_path / "a.mkv", signal, 44100, "flac", 5), tmp_path / "b.mkv", files.shift(2.5))
    by_length = {seconds: files.decode(path, (16000, 32000, 44100), seconds) for seconds in (1, 10, 30)}
    for seconds, blocks in by_length.items():
        assert [b.index for b in blocks] == list(range(len(blocks)))
        assert [b.start for b in blocks] == [float(seconds * k) for k in range(len(blocks))]
        for block in blocks[:-1]:
            assert block.native.shape == (2, seconds * 44100)
            assert {rate: len(x) for rate, x in block.mono.items()} == {
                rate: seconds * rate for rate in (16000, 32000, 44100)
            }
        assert 0 < blocks[-1].native.shape[1] <= seconds * 44100
        assert np.array_equal(files.native(blocks), files.native(by_length[1]))
        for rate in (16000, 32000, 44100):
            assert np.array_equal(files.mono(blocks, rate), files.mono(by_length[1], rate))
        assert files.gaps(blocks) == files.gaps(by_length[1])
    assert abs(files.gaps(by_length[1])[0][1] - 2.5) < 0.001


@settings(deadline=None, max_examples=60)
@given(
    rate=st.sampled_from([800, 1000, 2205]),
    seconds=st.integers(1, 4),
    pieces=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 5000)), min_size=1, max_size=8),
)
def test_blocks_are_the_whole_signal_cut(rate: int, seconds: int, pieces: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(9)
    blocks = _Blocks(rate, 2, (640, rate), seconds, "stereo")
    expected: list[Any] = [np.zeros((2, 0), np.float32)]
    silent: list[int] = []
    out = []
    for silence, count in pieces:
        samples = rng.normal(0, 0.1, (2, count)).astype(np.float32)
        silent += range(sum(x.shape[1] for x in expected), sum(x.shape[1] for x in expected) + silence)
        expected += [np.zeros((2, silence), np.float32), samples]
        out += list(blocks.push(silence, samples))
    out += list(blocks.finish())
    whole = np.concatenate(expected, axis=1)
    if not whole.shape[1]:
        assert out == []
        return
    assert np.array_equal(files.native(out), whole)
    assert all(b.native.shape[1] == seconds * rate for b in out[:-1])
    mean = whole.mean(axis=0)
    np.testing.assert_allclose(files.mono(out, rate), mean, atol=1e-6)
    resampled = soxr.resample(mean, rate, 640)
    count = -(-whole.shape[1] * 640 // rate)
    assert len(files.mono(out, 640)) == count
    shared = min(count, len(resampled))
    np.testing.assert_allclose(files.mono(out, 640)[:shared], resampled[:shared], atol=1e-5)
    told = [k for b in out for a, z in b.gaps for k in range(round(a * rate), round(z * rate))]
    assert told == silent


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".mov"])
def test_sound_that_starts_late_begins_with_a_gap(tmp_path: Path, suffix: str) -> None:
    source = files.write(tmp_path / "a.mp4", files.clicks(48000, 12, [CLICK]), 48000, "aac", 10)
    path = files.remux(source, tmp_path / f"late{suffix}", files.shift(3.0))
    blocks = files.decode(path)
    ((start, end),) = files.gaps(blocks)
    assert start == 0.0
    assert abs(end - 3.0) < 0.025  # less the codec's delay, which is sound to these containers
    decoded = files.native(blocks)[0]
    assert not decoded[: round(end * 48000)].any()
    (time,) = files.peaks(decoded, 48000)
    assert abs(time - (CLICK + 3.0)) < 0.002
    assert abs(len(decoded) / 48000 - 15.0) < 0.025


def apart(tmp_path: Path) -> tuple[Path, bytes]:
    """All of the sound, which starts at 2.5 s, then all of the pictures, and the first of those."""
    noise = np.random.default_rng(4).normal(0, 0.1, (8, 48000 * 12)).astype(np.float32)
    sound = files.write(tmp_path / "sound.mkv", noise, 48000, "flac")
    picture = files.write(tmp_path / "picture.mkv", None, fps=10)
    path = tmp_path / "apart.mkv"
    pictures: list[bytes] = []
    as_it_comes = {"max_interleave_delta": "1"}
    with (
        av.open(str(sound)) as one,
        av.open(str(picture)) as two,
        av.open(str(path), "w", options=as_it_comes) as new,
    ):
        pairs: list[Any] = [(old, new.add_stream_from_template(old.streams[0])) for old in (one, two)]
        for old, stream in pairs:
            for packet in old.demux():
                if not packet.size:
                    continue
                if old is one:
                    packet.pts += 2500
                    packet.dts += 2500
                else:
                    pictures.append(bytes(packet))
                packet.stream = stream
                new.mux(packet)
    return path, pictures[0]


def test_streams_far_apart_in_the_file_have_the_same_zero(tmp_path: Path) -> None:
    path, picture = apart(tmp_path)
    assert path.read_bytes().index(picture) > 5_000_000  # more than libavformat looks at by itself
    assert files.gaps(files.decode(path)) == [(0.0, 2.5)]


def test_video_that_starts_late_leaves_the_sound_at_zero(tmp_path: Path) -> None:
    source = files.write(tmp_path / "a.mkv", files.clicks(48000, 12, [CLICK]), 48000, "flac", 10)
    path = files.remux(source, tmp_path / "early.ts", files.shift(0.0))
    path = files.remux(source, tmp_path / "early.mkv", files.shift(-2.0))
    blocks = files.decode(path)
    assert files.gaps(blocks) == []
    assert files.peaks(files.native(blocks)[0], 48000) == [CLICK]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_lost_packets_become_a_gap(tmp_path: Path, suffix: str) -> None:
    source = files.write(tmp_path / "a.mp4", files.clicks(48000, 12, [1.0, CLICK]), 48000, "aac", 10)
    path = files.remux(source, tmp_path / f"lost{suffix}", lambda packet, index: not 100 <= index < 200)
    blocks = files.decode(path)
    ((start, end),) = files.gaps(blocks)
    assert abs(end - start - 100 * 1024 / 48000) < 0.002
    first, second = files.peaks(files.native(blocks)[0], 48000)
    assert abs(second - first - (CLICK - 1.0)) < 0.002
    assert sum(block.errors for block in blocks) == 0


@pytest.mark.parametrize("count", [1, 2, 100])
def test_packets_that_cannot_be_decoded_become_a_gap(tmp_path: Path, count: int) -> None:
    source = files.write(tmp_path / "a.mp4", files.clicks(48000, 12, [1.0, CLICK]), 48000, "aac")
    path = files.remux(
        source,
        tmp_path / "bad.mkv",
        lambda packet, index: b"\xff\0" * 60 if 100 <= index < 100 + count else True,
    )
    blocks = files.decode(path)
    assert [block.errors for block in blocks] == [count, 0]
    ((start, end),) = files.gaps(blocks)
    assert abs(end - start - count * 1024 / 48000) < 0.002
    first, second = files.peaks(files.native(blocks)[0], 48000)
    assert abs(second - first - (CLICK - 1.0)) < 0.002


def test_what_a_decoder_makes_up_is_left_out(tmp_path: Path) -> None:
    """AC-3 fills a damaged packet with sound of its own and says so."""
    noise = np.random.default_rng(6).normal(0, 0.1, (1, 48000 * 12)).astype(np.float32)
    source = files.write(tmp_path / "a.mkv", noise, 48000, "ac3")
    rng = np.random.default_rng(2)

    def spoil(packet: Any, index: int) -> bytes | bool:
        data = bytes(packet)
        keep = len(data) // 3
        return data[:keep] + rng.bytes(len(data) - keep) if 100 <= index < 120 else True

    blocks = files.decode(files.remux(source, tmp_path / "b.mkv", spoil))
    decoded = files.native(blocks)[0]
    missing = sum(end - start for start, end in files.gaps(blocks))
    assert 0.4 < missing <= 20 * 1536 / 48000 + 0.002
    assert abs(sum(block.errors for block in blocks) * 1536 / 48000 - missing) < 0.005
    for start, end in files.gaps(blocks):
        assert 3.1 < start < end < 3.9
        assert not decoded[round(start * 48000) : round(end * 48000)].any()


def test_errors_are_told_when_nothing_can_be_decoded(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = files.write(tmp_path / "a.mp4", files.tone(48000, 3), 48000, "aac")
    path = files.remux(source, tmp_path / "bad.mkv", lambda packet, index: b"\xff\0" * 60)
    with pytest.raises(MediaError) as caught:
        files.decode(path)
    assert caught.value.reason == "decode_failed"
    assert caught.value.detail.startswith("142 errors in 142 audio packets, the first: Invalid data")
    assert str(tmp_path) not in caught.value.detail
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("aac", ".mp4"),
        ("aac", ".mkv"),
        ("aac", ".ts"),
        ("flac", ".flac"),
        ("libmp3lame", ".mp3"),
        ("libopus", ".webm"),
        ("libopus", ".ogg"),
        ("pcm_s16le", ".wav"),
    ],
)
def test_damage_in_the_middle_costs_the_middle(
    tmp_path: Path, codec: str, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(7)
    noise = rng.normal(0, 0.1, (1, 48000 * 20)).astype(np.float32)
    noise[0, 48000 * 2] = noise[0, 48000 * 18] = 0.99
    fps = 10 if suffix in (".mp4", ".mkv", ".ts", ".webm") else None
    source = files.write(tmp_path / f"a{suffix}", noise, 48000, codec, fps)
    blocks = files.decode(files.damage(source, tmp_path / f"damaged{suffix}"))
    whole = files.native(files.decode(source))[0]
    decoded = files.native(blocks)[0]
    np.testing.assert_allclose(decoded[: 48000 * 6], whole[: 48000 * 6], atol=1e-6)
    if suffix != ".mp3":  # a bare stream has no clock, so that nobody knows how much is missing
        after = decoded[48000 * 16 :]
        assert abs(16 + np.argmax(np.abs(after)) / 48000 - np.argmax(np.abs(whole[48000 * 16 :])) / 48000 - 16) < 0.002
    if suffix != ".wav":  # any bytes are good PCM
        assert files.gaps(blocks)
        assert all(5 < a < b < 14 for a, b in files.gaps(blocks))
        assert not any(decoded[round(a * 48000) : round(b * 48000)].any() for a, b in files.gaps(blocks))
    assert capfd.readouterr() == ("", "")


def test_a_rate_that_changes_is_brought_back_to_the_first(tmp_path: Path) -> None:
    first = files.write(tmp_path / "1.mp3", files.tone(44100, 5, 440, channels=2), 44100, "libmp3lame")
    second = files.write(tmp_path / "2.mp3", files.tone(22050, 5, 440, channels=2), 22050, "libmp3lame")
    third = files.write(tmp_path / "3.mp3", files.tone(44100, 5, 440), 44100, "libmp3lame")
    blocks = files.decode(files.chain(tmp_path / "chained.mkv", [first, second, third]), block_seconds=5)
    assert {(b.native_rate, len(b.native)) for b in blocks} == {(44100, 2)}
    decoded = files.native(blocks)
    assert abs(decoded.shape[1] / 44100 - 15) < 0.2
    for middle in (2.5, 7.5, 12.5):
        part = decoded[:, round((middle - 1) * 44100) :][:, : 2 * 44100]
        spectrum = np.abs(np.fft.rfft(part * np.hanning(2 * 44100)))
        assert np.argmax(spectrum, axis=1).tolist() == [880, 880]  # 440 Hz in steps of half a hertz
        loudness = 0.3 / np.sqrt(2) * (1 if middle < 10 else np.sqrt(0.5))  # mono goes to both sides at -3 dB
        assert np.allclose(np.sqrt(np.mean(part**2, axis=1)), loudness, rtol=0.07)


def test_a_clock_that_starts_again_does_not_end_the_sound(tmp_path: Path) -> None:
    signal = files.clicks(48000, 15, [CLICK])
    part = files.write(tmp_path / "a.ts", signal, 48000, "aac", 10).read_bytes()
    (tmp_path / "twice.ts").write_bytes(part + part)
    blocks = files.decode(tmp_path / "twice.ts")
    first, second = files.peaks(files.native(blocks)[0], 48000)
    assert abs(second - first - 15) < 0.05


def test_streams_may_appear_on_the_way(tmp_path: Path) -> None:
    """Later than anything that is looked at to find out what there is."""
    signal = files.clicks(48000, 40, [CLICK])
    first = files.write(tmp_path / "sound.ts", signal, 48000, "aac").read_bytes()
    second = files.write(tmp_path / "both.ts", signal, 48000, "aac", 10).read_bytes()
    (tmp_path / "more.ts").write_bytes(first + second)
    assert identify(tmp_path / "more.ts").problem is None
    (time, *_) = files.peaks(files.native(files.decode(tmp_path / "more.ts"))[0], 48000)
    assert abs(time - CLICK) < 0.03


@pytest.mark.parametrize(
    ("codec", "suffix", "channels"),
    [
        ("aac", ".mp4", 2),
        ("aac", ".mp4", 8),
        ("flac", ".mkv", 8),
        ("aac", ".ts", 2),
        ("libopus", ".webm", 2),
        ("libmp3lame", ".mp3", 2),
        ("libopus", ".ogg", 2),
        ("pcm_s16le", ".wav", 2),
        ("flac", ".flac", 2),
        ("pcm_s16le", ".avi", 2),
    ],
)
def test_no_damage_gets_past_media_error(tmp_path: Path, codec: str, suffix: str, channels: int) -> None:
    """Whatever is broken, the answer is sound or a MediaError: never another exception, never a crash."""
    rng = np.random.default_rng(11)
    noise = rng.normal(0, 0.1, (channels, 48000)).astype(np.float32)
    fps = 10 if suffix in (".mp4", ".mkv", ".ts", ".webm", ".avi") else None
    data = files.write(tmp_path / f"a{suffix}", noise, 48000, codec, fps).read_bytes()
    path = tmp_path / f"b{suffix}"
    readers: list[Callable[[], object]] = [
        lambda: files.decode(path, block_seconds=1),
        lambda: identify(path),
        lambda: list(islice(frames(path, 10, size=(16, 16)), 30)),
        lambda: list(audio_span(path, 0.4, 0.6)),
    ]
    outcomes = []
    for turn in range(16):
        broken = bytearray(data)
        if turn % 4 == 0:
            del broken[int(rng.integers(1, len(data))) :]
        elif turn % 4 == 1:
            start = int(rng.integers(0, len(data)))
            del broken[start : start + 5000]
        else:  # some bytes, of the head or of all
            for _ in range(20):
                broken[int(rng.integers(0, len(data) if turn % 4 == 2 else 2000))] = int(rng.integers(0, 256))
        path.write_bytes(broken)
        for read in readers:
            try:
                read()
                outcomes.append("")
            except MediaError as error:
                outcomes.append(error.reason)
    assert "" in outcomes
    assert set(outcomes) - {""}


def test_a_wild_timestamp_adds_no_hours(tmp_path: Path) -> None:
    source = files.write(tmp_path / "a.mp4", files.clicks(48000, 12, [1.0, CLICK]), 48000, "aac")

    def wild(packet: Any, index: int) -> bool:
        packet.pts += round(20_000 / packet.time_base) if index == 100 else 0
        return True

    path = files.remux(source, tmp_path / "wild.ts", wild)
    blocks = files.decode(path)
    assert abs(files.native(blocks).shape[1] / 48000 - 12) < 0.1
    first, second = files.peaks(files.native(blocks)[0], 48000)
    assert abs(second - first - (CLICK - 1.0)) < 0.002


def test_overlapping_sound_is_trimmed(tmp_path: Path) -> None:
    """The second part says that it starts half a second before the first one ends."""
    first = files.write(tmp_path / "1.mp4", files.clicks(48000, 6, [1.0]), 48000, "aac")
    first = files.remux(first, tmp_path / "1.ts")
    second = files.write(tmp_path / "2.mp4", files.clicks(48000, 6, [3.0]), 48000, "aac")
    second = files.remux(second, tmp_path / "2.ts", files.shift(5.5 + 1024 / 48000))  # the second has no priming packet
    (tmp_path / "both.ts").write_bytes(first.read_bytes() + second.read_bytes())
    blocks = files.decode(tmp_path / "both.ts")
    before, after = files.peaks(files.native(blocks)[0], 48000)
    assert abs(after - before - 7.5) < 0.002
    assert files.gaps(blocks) == []


def test_timestamps_may_tremble(tmp_path: Path) -> None:
    source = files.write(tmp_path / "a.mkv", files.tone(48000, 12), 48000, "flac")
    rng = np.random.default_rng(2)

    def tremble(packet: Any, index: int) -> bool:
        ticks = 0 if index == 0 else int(rng.integers(-15, 16))
        packet.pts += ticks
        packet.dts += ticks
        return True

    blocks = files.decode(files.remux(source, tmp_path / "b.mkv", tremble))
    assert files.gaps(blocks) == []
    assert np.array_equal(files.native(blocks), files.native(files.decode(source)))


def test_sound_that_ends_early_is_not_padded(tmp_path: Path) -> None:
    write_media(
        tmp_path / "a.mp4",
        frames=files.numbered_frames(100),
        fps=10,
        audio=[files.tone(48000, 4)],
        sample_rate=48000,
    )
    blocks = files.decode(tmp_path / "a.mp4")
    assert (files.native(blocks).shape[1], files.gaps(blocks)) == (4 * 48000, [])


@pytest.mark.parametrize("path_of", [lambda p: p / "none.mp4", lambda p: p])
def test_what_is_no_file_is_an_error(tmp_path: Path, path_of: Callable[[Path], Path]) -> None:
    with pytest.raises(MediaError):
        next(audio_blocks(path_of(tmp_path)))


def test_no_audio_stream_and_no_samples(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no_audio_stream: video only"):
        next(audio_blocks(files.write(tmp_path / "silent.mp4", None, fps=10)))
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 48000)
    with pytest.raises(MediaError, match="no_samples"):
        next(audio_blocks(tmp_path / "empty.wav"))


def test_rates_and_lengths_must_be_positive(tmp_path: Path) -> None:
    for rates, block_seconds in (((0,), 10), ((16000,), 0)):
        with pytest.raises(ValueError, match="at least 1"):
            next(audio_blocks(tmp_path / "a.wav", rates, block_seconds))


def test_closing_early_closes_the_file(tmp_path: Path) -> None:
    path = files.write(tmp_path / "a.wav", files.tone(8000, 30), 8000, "pcm_s16le")

    def open_files() -> list[str]:
        links = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]
        return [os.readlink(link) for link in links if link.is_symlink()]

    blocks = audio_blocks(path, block_seconds=1)
    next(blocks)
    assert str(path) in open_files()
    blocks.close()
    assert str(path) not in open_files()


@pytest.mark.parametrize("codec", ["pcm_s16le", "flac"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, codec: str) -> None:
    second = files.tone(16000, 1)
    peak, resident = {}, {}
    for minutes in (1, 10):
        path = tmp_path / f"{minutes}.mkv"
        write_media(path, audio=(second for _ in range(60 * minutes)), sample_rate=16000, audio_codec=codec)
        tracemalloc.start()
        for _ in audio_blocks(path, (16000, 32000)):
            pass
        peak[minutes] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        program = (
            "import resource, sys; from curation.media import audio_blocks\n"
            "for _ in audio_blocks(sys.argv[1], (16000, 32000)): pass\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        out = subprocess.run(
            [sys.executable, "-c", program, str(path)],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        resident[minutes] = int(out.stdout)
    assert peak[10] < 1.1 * peak[1]
    assert resident[10] < 1.1 * resident[1]


@pytest.mark.parametrize(
    ("codec", "suffix"), [("pcm_s16le", ".wav"), ("flac", ".flac"), ("flac", ".mkv"), ("alac", ".mp4")]
)
def test_a_span_is_the_same_part_of_the_whole(tmp_path: Path, codec: str, suffix: str) -> None:
    rng = np.random.default_rng(8)
    noise = rng.normal(0, 0.1, (2, 48000 * 40)).astype(np.float32)
    path = files.write(tmp_path / f"a{suffix}", noise, 48000, codec, 10 if suffix in (".mkv", ".mp4") else None)
    whole = files.native(files.decode(path))
    for start, end in ((0.0, 1.0), (0.4, 3.21), (31.234, 36.0), (39.5, 41.0)):
        pieces = list(audio_span(path, start, end))
        assert {rate for rate, _ in pieces} == {48000}
        span = np.concatenate([piece for _, piece in pieces], axis=1)
        first = round(start * 48000)
        assert np.array_equal(span, whole[:, first : round(end * 48000)])


@pytest.mark.parametrize(
    ("codec", "suffix", "rate"),
    [
        ("flac", ".mkv", 44100),
        ("aac", ".mkv", 44100),
        ("aac", ".mkv", 48000),
        ("aac", ".flv", 44100),
        ("libmp3lame", ".mkv", 48000),
        ("libopus", ".webm", 48000),
        ("ac3", ".mkv", 48000),
    ],
)
@pytest.mark.parametrize("fps", [None, 10])
def test_a_clock_that_counts_milliseconds_moves_no_sample(
    tmp_path: Path, codec: str, suffix: str, rate: int, fps: float | None
) -> None:
    noise = np.random.default_rng(8).normal(0, 0.1, (1, rate * 30)).astype(np.float32)
    path = tmp_path / f"a{suffix}"
    write_media(
        path,
        frames=None if fps is None else files.numbered_frames(250),
        fps=fps,
        video_codec=files.VIDEO_CODECS.get(suffix, "libx264"),
        video_options={"g": "5"}
        if suffix == ".webm"
        else {"g": "5", "bf": "0"},  # a search leads to shortly before the start, where a decoder begins anew
        audio=[noise],
        sample_rate=rate,
        audio_codec=codec,
    )
    whole = files.native(files.decode(path))[0]
    for start in (0.3, 3.217, 11.111, 16.001, 20.0, 24.44):
        span = np.concatenate([piece for _, piece in audio_span(path, start, start + 0.5)], axis=1)[0]
        assert files.lag(span, whole[round(start * rate) :][: len(span)]) == 0


def test_a_span_of_lossy_sound_is_whole_from_its_first_sample(tmp_path: Path) -> None:
    path = files.write(tmp_path / "a.mp4", files.tone(48000, 20), 48000, "aac", 10)
    whole = files.native(files.decode(path))
    for start in (3.2, 12.345, 15.0):
        span = np.concatenate([piece for _, piece in audio_span(path, start, start + 1)], axis=1)
        np.testing.assert_allclose(span, whole[:, round(start * 48000) :][:, :48000], atol=0.01)


@pytest.mark.parametrize("too_far", [5.0, 100.0])
def test_a_span_of_a_file_that_jumps_too_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, too_far: float) -> None:
    """Some files' indexes lie. Here the search does, for a file that is right."""
    path = files.write(tmp_path / "a.wav", files.tone(48000, 20), 48000, "pcm_s16le")
    seek = Decoder.seek
    monkeypatch.setattr(Decoder, "seek", lambda decoder, time: seek(decoder, time + too_far))
    span = np.concatenate([piece for _, piece in audio_span(path, 9.0, 10.0)], axis=1)
    assert np.array_equal(span, files.native(files.decode(path))[:, 9 * 48000 : 10 * 48000])


def test_a_span_in_a_gap_is_silent_and_one_after_the_end_an_error(tmp_path: Path) -> None:
    source = files.write(tmp_path / "a.mp4", files.tone(48000, 12), 48000, "aac", 10)
    path = files.remux(source, tmp_path / "late.mp4", files.shift(3.0))
    (piece,) = [piece for _, piece in audio_span(path, 1.0, 2.0)]
    assert piece.shape == (1, 48000)
    assert not piece.any()
    with pytest.raises(MediaError, match="no_samples"):
        list(audio_span(path, 100.0, 101.0))


def test_a_clock_believes_what_can_be() -> None:
    clock = StreamClock(zero=1.4, duration=100.0)
    assert clock.seconds(None, 5.0) == 5.0
    assert clock.seconds(6.4, 5.0) == 5.0
    assert clock.seconds(9.4, 5.0) == 8.0  # a hole
    assert clock.seconds(6.0, 8.0) == pytest.approx(4.6)  # an overlap
    assert clock.seconds(50_000.0, 10.0) == 10.0  # nonsense: directly after the last
    assert clock.seconds(112.4, 10.0) == 10.0  # long after the end is nonsense too
    assert clock.seconds(12.4, 11.0) == 11.0  # and the next one is believed again
    assert clock.seconds(1.4, 60.0) == 60.0  # started anew
    assert clock.seconds(2.4, 61.0) == pytest.approx(61.0)
    assert clock.seconds(3.9, 62.0) == pytest.approx(62.5)


def test_the_default_stream_is_read(tmp_path: Path) -> None:
    """Two audio streams, the second one marked as the default."""
    sources = [files.write(tmp_path / f"{f}.mkv", files.tone(48000, 3, f), 48000, "flac") for f in (300, 900)]
    path = tmp_path / "two.mkv"
    with av.open(str(sources[0])) as one, av.open(str(sources[1])) as two, av.open(str(path), "w") as new:
        pairs: list[Any] = [(old, new.add_stream_from_template(old.streams.audio[0])) for old in (one, two)]
        pairs[0][1].disposition = av.stream.Disposition(0)
        pairs[1][1].disposition = av.stream.Disposition.default
        for old, stream in pairs:
            for packet in old.demux():
                if packet.dts is not None:
                    packet.stream = stream
                    new.mux(packet)
    decoded = files.native(files.decode(path))[0]
    assert np.argmax(np.abs(np.fft.rfft(decoded[:48000]))) == 900

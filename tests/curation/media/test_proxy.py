"""A proxy's first sample is the window's first, and each of its pictures is the one on screen at that time."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import tests.support.media_files as files
from curation.media import PROXY_FPS, MediaError, audio, half_written, write_media, write_proxies
from curation.media.proxy import _mix, proxy_size
from manifests.time import Segment, to_ticks
from tests.support import ROOT

Float = NDArray[np.float32]
AAC_FRAME = 1024
RECORDINGS = [
    ("pcm_s16le", ".wav", 48_000),
    ("pcm_s16le", ".wav", 22_050),
    ("pcm_s16le", ".wav", 96_000),
    ("pcm_s16le", ".wav", 8_000),
    ("pcm_s16le", ".avi", 48_000),
    ("flac", ".flac", 44_100),
    ("flac", ".mkv", 44_100),
    ("alac", ".mp4", 48_000),
    ("aac", ".mp4", 44_100),
    ("aac", ".mov", 48_000),
    ("aac", ".mkv", 44_100),
    ("aac", ".ts", 44_100),
    ("aac", ".flv", 44_100),
    ("libmp3lame", ".mp3", 44_100),
    ("libmp3lame", ".mkv", 48_000),
    ("libopus", ".webm", 48_000),
    ("libopus", ".ogg", 48_000),
    ("ac3", ".mkv", 48_000),
]
PICTURED = (".avi", ".mp4", ".mov", ".mkv", ".ts", ".flv", ".webm")
WINDOWS = [Segment(0.0, 2.0), Segment(0.417, 3.3), Segment(11.111, 14.0), Segment(17.503, 20.0)]


def broad(rate: int, seconds: float, channels: int = 2) -> Float:
    """Sound that is nowhere like itself: falling noise, the channels half alike, float32 (channels, n)."""
    rng = np.random.default_rng(rate)
    count = round(rate * seconds)
    own = rng.normal(0, 1, (channels, count)) + rng.normal(0, 1, (1, count))
    spectrum = np.fft.rfft(own)
    frequency = np.fft.rfftfreq(count, 1 / rate)
    spectrum *= (frequency > 50) / np.maximum(frequency, 200)
    wave = np.fft.irfft(spectrum, count)
    return np.asarray(0.5 * wave / np.abs(wave).max(), np.float32)


def sound_of(path: Path) -> tuple[int, Float]:
    """(rate, float32 (channels, n)) as any player decodes the file."""
    with av.open(str(path)) as container:
        parts = [frame.to_ndarray() for frame in container.decode(audio=0)]
        return container.streams.audio[0].rate, np.concatenate(parts, axis=1)


def pictures_of(path: Path) -> tuple[list[float], list[NDArray[np.uint8]]]:
    """(times in seconds, RGB images) of the file's pictures."""
    with av.open(str(path)) as container:
        shown: list[Any] = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    return [time for time, _ in shown], [image for _, image in shown]


def numbers_of(path: Path) -> list[int]:
    return [files.number(image) for image in pictures_of(path)[1]]


def counted(path: Path, sound: Float | None, rate: int = 48_000, codec: str = "aac", fps: float = 10) -> Path:
    """A recording whose picture k shows k, a key picture only every 3 s."""
    write_media(
        path,
        frames=files.numbered_frames(round(20 * fps)),
        fps=fps,
        video_codec=files.VIDEO_CODECS.get(path.suffix, "libx264"),
        video_options={"g": str(round(3 * fps)), "bf": "0"},
        audio=None if sound is None else [sound],
        sample_rate=None if sound is None else rate,
        audio_codec=codec,
        audio_bitrate=256_000,
    )
    return path


@pytest.mark.parametrize(("codec", "suffix", "rate"), RECORDINGS)
def test_sample_0_is_the_windows_first(tmp_path: Path, codec: str, suffix: str, rate: int) -> None:
    path = tmp_path / f"a{suffix}"
    signal = broad(rate, 20)
    if suffix in PICTURED:
        counted(path, signal, rate, codec)
    else:
        files.write(path, signal, rate, codec)
    whole = files.native(files.decode(path))
    for window in WINDOWS:
        targets = [tmp_path / "out.m4a", *([tmp_path / "out.mp4"] if suffix in PICTURED else [])]
        write_proxies(path, window, *targets)
        first, last = to_ticks(window.start, rate), to_ticks(window.end, rate)
        heard = whole[:, first:last]  # a codec's last packet may lack some samples
        for target, expected in ((target, heard) for target in targets):
            made, sound = sound_of(target)
            assert made == (44_100 if rate in (22_050, 44_100) else 48_000)
            count = window.duration * made
            assert count - 1e-6 <= sound.shape[1] < count + AAC_FRAME
            assert len(sound) == len(expected)
            for one, other in zip(sound, expected, strict=True):
                there = np.asarray(audio.resampled(np.ascontiguousarray(other), rate, made))
                assert files.lag(one, there) == 0
                size = min(len(one), len(there))
                assert np.corrcoef(one[:size], there[:size])[0, 1] > 0.95


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".ts", ".avi"])
@pytest.mark.parametrize("fps", [8, 10, 12.5])
def test_each_picture_is_the_one_on_screen(tmp_path: Path, suffix: str, fps: float) -> None:
    codec = {".webm": "libopus", ".avi": "pcm_s16le"}.get(suffix, "aac")
    path = counted(tmp_path / f"a{suffix}", files.tone(48_000, 20), codec=codec, fps=fps)
    # In a transport stream zero is the start of the sound, which has the codec's delay before the picture.
    with av.open(str(path)) as container:
        streams: list[Any] = list(container.streams)
        starts = [float(stream.start_time * stream.time_base) for stream in streams]
    late = starts[0] - min(starts)
    for window in WINDOWS:
        write_proxies(path, window, tmp_path / "out.m4a", tmp_path / "out.mp4")
        times, images = pictures_of(tmp_path / "out.mp4")
        assert times == pytest.approx([k / PROXY_FPS for k in range(len(times))], abs=1e-6)
        assert len(times) == -(-round(window.duration * 1000) * PROXY_FPS // 1000)
        asked = [window.start + time - late for time in times]
        assert [files.number(image) for image in images] == [max(0, int((time + 0.0005) * fps)) for time in asked]


def test_what_the_files_are(tmp_path: Path) -> None:
    path = counted(tmp_path / "a.mp4", broad(48_000, 20), 48_000)
    write_proxies(path, Segment(2.5, 15.0), tmp_path / "out.m4a", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        (video,), (sound,) = container.streams.video, container.streams.audio
        context = video.codec_context
        assert (context.name, context.pix_fmt, video.start_time) == ("h264", "yuv420p", 0)
        assert video.average_rate == video.guessed_rate == PROXY_FPS == 30
        assert (sound.codec_context.name, sound.codec_context.layout.name, sound.start_time) == ("aac", "stereo", 0)
        packets: list[Any] = [packet for packet in container.demux(video) if packet.size]
        assert [packet.pts for packet in packets] == [packet.dts for packet in packets]
        keys = [float(packet.pts * packet.time_base) for packet in packets if packet.is_keyframe]
        assert keys == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0]
    with av.open(str(tmp_path / "out.m4a")) as container:
        (only,) = container.streams.audio
        assert len(container.streams) == 1
        assert (only.codec_context.name, only.codec_context.layout.name) == ("aac", "stereo")
        assert 100_000 < container.bit_rate < 150_000
    for name in ("out.mp4", "out.m4a"):
        data = (tmp_path / name).read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")
        assert b"edts" in data  # what tells a player to leave the encoder's delay out


def test_the_wildest_picture_makes_no_large_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    wild = [rng.integers(0, 256, (180, 320, 3), np.uint8) for _ in range(20)]
    path = tmp_path / "a.mp4"
    write_media(
        path,
        frames=(wild[k * 7 % 20] for k in range(240)),
        fps=12,
        video_options={"preset": "ultrafast"},
        audio=[files.tone(48_000, 20)],
        sample_rate=48_000,
    )
    write_proxies(path, Segment(0.0, 20.0), tmp_path / "out.m4a", tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").stat().st_size * 8 / 20 < 1_400_000


def test_sound_and_picture_start_together(tmp_path: Path) -> None:
    """A flash and a click at the same time come out at the same time."""
    flash = [np.full((32, 64, 3), 255 if k == 150 else 0, np.uint8) for k in range(200)]
    clicks = files.clicks(48_000, 20, [15.0], channels=2)
    write_media(tmp_path / "a.mp4", frames=flash, fps=10, audio=[clicks], sample_rate=48_000)
    for start in (9.0, 14.417, 14.983):
        write_proxies(tmp_path / "a.mp4", Segment(start, 17.0), tmp_path / "out.m4a", tmp_path / "out.mp4")
        times, images = pictures_of(tmp_path / "out.mp4")
        seen = next(time for time, image in zip(times, images, strict=True) if image.mean() > 127)
        for name in ("out.m4a", "out.mp4"):
            rate, sound = sound_of(tmp_path / name)
            clicked = int(np.argmax(np.abs(sound[0]))) / rate
            assert clicked == pytest.approx(15.0 - start, abs=1 / rate)
            assert 0 <= seen - clicked <= 1 / PROXY_FPS + 1e-6


def test_pictures_that_come_unevenly(tmp_path: Path) -> None:
    pts = [0.0, 0.1, 0.15, 1.0, 1.01, 1.02, 1.9, 3.3, 3.34, 5.0, 9.0]
    path = tmp_path / "uneven.mkv"
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=30, options={"bf": "2", "g": "4"})
        video.width, video.height, video.pix_fmt = 64, 32, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        sound: Any = container.add_stream("flac", rate=48_000, layout="mono")
        for image, time in zip(files.numbered_frames(len(pts)), pts, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        tone: Any = av.AudioFrame.from_ndarray(files.tone(48_000, 10), format="fltp", layout="mono")
        tone.sample_rate, tone.pts = 48_000, 0
        resampler = av.AudioResampler(format="s16", layout="mono", rate=48_000)
        for piece in resampler.resample(tone):
            container.mux(sound.encode(piece))
        container.mux(sound.encode(None))
    for window in (Segment(0.0, 2.0), Segment(0.95, 4.0), Segment(3.32, 10.0)):
        write_proxies(path, window, tmp_path / "out.m4a", tmp_path / "out.mp4")
        asked = [window.start + k / PROXY_FPS for k in range(-(-round(window.duration * 3000) // 100))]
        assert numbers_of(tmp_path / "out.mp4") == [
            max(k for k, begin in enumerate(pts) if begin <= time + 1e-6) for time in asked
        ]


def test_what_is_missing_is_silent_or_held(tmp_path: Path) -> None:
    """Sound from 3 s on, lost from 8 s to 10 s, to 16 s; pictures to 20 s."""
    signal = broad(48_000, 13)
    source = counted(tmp_path / "a.mp4", signal)

    def edit(packet: Any, index: int) -> bool:
        ticks = round(3.0 / packet.time_base)
        packet.pts += ticks
        packet.dts += ticks
        return not 8.0 <= float(packet.pts * packet.time_base) < 10.0

    path = files.remux(source, tmp_path / "late.mkv", edit)
    whole = files.native(files.decode(path)).mean(axis=0)
    whole = np.pad(whole, (0, 48_000 * 40 - len(whole)))
    sound, video = tmp_path / "out.m4a", tmp_path / "out.mp4"
    for start, end in (
        (0.0, 2.0),
        (1.0, 5.0),
        (6.5, 9.0),
        (8.3, 9.7),
        (9.0, 12.0),
        (14.0, 19.0),
        (17.5, 20.0),
        (19, 23),
    ):
        write_proxies(path, Segment(start, end), sound, video)
        expected = whole[round(start * 48_000) : round(end * 48_000)]
        for heard in (sound_of(made)[1].mean(axis=0) for made in (sound, video)):
            assert len(expected) <= len(heard) < len(expected) + AAC_FRAME
            heard = heard[: len(expected)]
            assert np.sqrt(np.mean((heard - expected) ** 2)) < 0.03, (start, end)
            loud = np.abs(expected).max() > 0.1
            assert not loud or (files.lag(heard, expected) == 0 and np.corrcoef(heard, expected)[0, 1] > 0.95)
        asked = [start + k / PROXY_FPS for k in range(round((end - start) * PROXY_FPS))]
        assert numbers_of(video) == [min(199, int((time + 0.0005) * 10)) for time in asked]


def test_a_picture_that_starts_late_and_ends_early(tmp_path: Path) -> None:
    pictures = tmp_path / "video.mp4"
    write_media(pictures, frames=files.numbered_frames(50), fps=10, video_options={"g": "20", "bf": "0"})
    tone = files.write(tmp_path / "sound.mp4", files.tone(48_000, 20), 48_000, "aac")
    path = tmp_path / "late.mp4"
    with av.open(str(pictures)) as one, av.open(str(tone)) as two, av.open(str(path), "w") as new:
        tracks: list[Any] = [(old, new.add_stream_from_template(old.streams[0])) for old in (one, two)]
        for (old, stream), delay in zip(tracks, (8, 0), strict=True):
            for packet in old.demux():
                if packet.size and packet.pts is not None and packet.dts is not None and packet.time_base:
                    packet.pts += round(delay / packet.time_base)
                    packet.dts += round(delay / packet.time_base)
                    packet.stream = stream
                    new.mux(packet)
    for start, end in ((0.0, 3.0), (6.5, 9.5), (12.0, 15.0), (17.0, 19.5)):
        write_proxies(path, Segment(start, end), tmp_path / "out.m4a", tmp_path / "out.mp4")
        asked = [start + k / PROXY_FPS for k in range(round((end - start) * PROXY_FPS))]
        assert numbers_of(tmp_path / "out.mp4") == [min(49, max(0, int((time - 8 + 0.0005) * 10))) for time in asked]
        assert np.abs(sound_of(tmp_path / "out.mp4")[1]).max() > 0.2


def test_a_window_that_outlasts_the_recording(tmp_path: Path) -> None:
    path = files.write(tmp_path / "a.wav", files.tone(44_100, 5), 44_100, "pcm_s16le")
    write_proxies(path, Segment(4.0, 7.0), tmp_path / "out.m4a")
    _, sound = sound_of(tmp_path / "out.m4a")
    assert 3 * 44_100 <= sound.shape[1] < 3 * 44_100 + AAC_FRAME
    assert np.abs(sound[:, 2000:42_000]).max() > 0.25
    assert np.abs(sound[:, 46_000:]).max() < 0.01


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ((64, 32, 1.0, 0), (64, 32)),
        ((1920, 1080, 1.0, 0), (640, 360)),
        ((1920, 1080, 1.0, 1), (202, 360)),
        ((1080, 1920, 1.0, 3), (640, 360)),
        ((720, 576, 64 / 45, 0), (640, 360)),
        ((720, 576, 64 / 45, 1), (202, 360)),
        ((720, 480, 8 / 9, 2), (480, 360)),
        ((641, 361, 1.0, 0), (640, 360)),
        ((99, 75, 1.0, 0), (100, 76)),
        ((8000, 500, 1.0, 0), (1280, 80)),
        ((1, 1000, 1.0, 0), (2, 360)),
    ],
)
def test_sizes(stored: tuple[int, int, float, int], expected: tuple[int, int]) -> None:
    assert proxy_size(*stored) == expected


def quarters(turned: int = 0, height: int = 480, width: int = 640) -> NDArray[np.uint8]:
    """A picture whose four quarters differ."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (200, 40, 40)
    image[: height // 2, width // 2 :] = (40, 200, 40)
    image[height // 2 :, : width // 2] = (40, 40, 200)
    image[height // 2 :, width // 2 :] = (200, 200, 200)
    return np.ascontiguousarray(np.rot90(image, turned))


def assert_looks_like(image: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    """The middles of the four quarters have the same colours."""
    for down in (1, 3):
        for right in (1, 3):
            one, other = (each[each.shape[0] * down // 4, each.shape[1] * right // 4] for each in (image, expected))
            assert np.abs(one.astype(int) - other).max() < 14


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [((0, 1, -1, 0), 3), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1), ((1, 0, 0, 1), 0)],
)
def test_a_picture_taken_sideways_comes_upright(tmp_path: Path, matrix: tuple[int, int, int, int], turned: int) -> None:
    path = tmp_path / "a.mp4"
    write_media(
        path, frames=[quarters()] * 10, fps=10, audio=[files.tone(48_000, 1)], sample_rate=48_000, audio_codec="aac"
    )
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 5 * 4 + 4 * 2 + 2 * 4  # the first track is the picture
    assert struct.unpack(">9i", data[at : at + 36]) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    write_proxies(path, Segment(0.2, 0.9), tmp_path / "out.m4a", tmp_path / "out.mp4")
    _, images = pictures_of(tmp_path / "out.mp4")
    assert {image.shape for image in images} == {(360, 270, 3) if turned % 2 else (360, 480, 3)}
    for image in images:
        assert_looks_like(image, quarters(turned))


@pytest.mark.parametrize(
    ("codec", "pixels", "aspect", "suffix"),
    [
        ("libx264", "yuv420p", Fraction(1), ".mp4"),
        ("libx264", "yuv420p", Fraction(64, 45), ".mp4"),
        ("libx264", "yuv420p", Fraction(64, 45), ".mkv"),
        ("libx264", "yuv420p10le", Fraction(1), ".mp4"),
        ("libx264rgb", "rgb24", Fraction(1), ".mkv"),
        ("mjpeg", "yuvj420p", Fraction(1), ".mkv"),
        ("ffv1", "yuv444p", Fraction(1), ".mkv"),
        ("png", "rgba", Fraction(1), ".mov"),
        ("libvpx-vp9", "yuv420p", Fraction(1), ".webm"),
        ("mpeg2video", "yuv420p", Fraction(1), ".ts"),
    ],
)
def test_colours_and_shapes_are_kept(tmp_path: Path, codec: str, pixels: str, aspect: Fraction, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 180, 144, pixels
        video.codec_context.sample_aspect_ratio = aspect
        sound: Any = container.add_stream("libopus" if suffix == ".webm" else "aac", rate=48_000, layout="mono")
        for k in range(25):
            frame: Any = av.VideoFrame.from_ndarray(quarters(0, 144, 180), format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        heard: Any = av.AudioFrame.from_ndarray(files.tone(48_000, 1), format="flt", layout="mono")
        heard.sample_rate, heard.pts = 48_000, 0
        container.mux(sound.encode(heard))
        container.mux(sound.encode(None))
    write_proxies(path, Segment(0.1, 0.8), tmp_path / "out.m4a", tmp_path / "out.mp4")
    _, images = pictures_of(tmp_path / "out.mp4")
    assert {image.shape for image in images} == {(144, 256 if aspect != 1 else 180, 3)}
    for image in images:
        assert_looks_like(image, quarters(0, 144, 180))
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert context.color_range != 2  # full range: not every player knows it


def test_channels(tmp_path: Path) -> None:
    """Tones of their own in six channels: left and right each have their own, and those of the middle."""
    rate = 48_000
    pitches = [300, 500, 700, 60, 1100, 1300]  # left, right, centre, bass, behind left and right
    signal = np.concatenate([files.tone(rate, 4, pitch, level=0.5) for pitch in pitches])
    path = files.write(tmp_path / "a.mkv", signal, rate, "flac", 10)
    write_proxies(path, Segment(1.0, 3.0), tmp_path / "out.m4a", tmp_path / "out.mp4")

    def levels(sound: Float) -> list[float]:
        spectrum = np.abs(np.fft.rfft(sound[: 2 * rate] * np.hanning(2 * rate))) * 2 / rate
        return [round(float(spectrum[2 * pitch]), 2) for pitch in pitches]

    side = 0.5 / (1 + 3 * 0.5**0.5)
    behind = side * 0.5**0.5
    for name in ("out.m4a", "out.mp4"):
        left, right = sound_of(tmp_path / name)[1]
        assert levels(left) == pytest.approx([side, 0, behind, behind, behind, 0], abs=0.015)
        assert levels(right) == pytest.approx([0, side, behind, behind, 0, behind], abs=0.015)


def test_a_voice_in_opposite_phase_is_heard_by_annotators(tmp_path: Path) -> None:
    voice = files.tone(48_000, 4, 300.0)
    path = files.write(tmp_path / "a.mkv", np.concatenate([voice, -voice]), 48_000, "flac", 10)
    write_proxies(path, Segment(1.0, 3.0), tmp_path / "out.m4a", tmp_path / "out.mp4")
    for name in ("out.m4a", "out.mp4"):
        for channel in sound_of(tmp_path / name)[1]:
            assert np.abs(channel).max() > 0.25


def test_of_one_channel_both_files_have_one(tmp_path: Path) -> None:
    rate, signal = 48_000, files.tone(48_000, 4, 300.0)

    path = files.write(tmp_path / "mono.mkv", signal, rate, "flac", 10)
    write_proxies(path, Segment(1.0, 3.0), tmp_path / "out.m4a", tmp_path / "out.mp4")
    assert sound_of(tmp_path / "out.mp4")[1].shape[0] == sound_of(tmp_path / "out.m4a")[1].shape[0] == 1


@pytest.mark.parametrize(
    "layout", ["", "16 channels", "22.2", "7.1", "quad", "5.1(side)", "hexagonal", "stereo", "mono"]
)
def test_a_mix_is_never_louder_than_its_channels(layout: str) -> None:
    channels = av.AudioLayout(layout).nb_channels if layout else 5
    weights = _mix(channels, layout)
    assert weights.shape == (1 if channels == 1 else 2, channels)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-6)
    assert (weights >= 0).all()
    assert weights.any(axis=0).all()  # every channel is heard
    if layout == "stereo":
        assert weights.tolist() == [[1, 0], [0, 1]]
    assert _mix(2, "5.1").tolist() == [[1, 0], [0, 1]]  # a header that is wrong


def test_equal_input_gives_equal_bytes_and_one_reading_of_the_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = counted(tmp_path / "a.mp4", broad(48_000, 20))
    spans: list[tuple[float, float]] = []

    def counting(path: Path, start: float, end: float) -> Iterator[tuple[int, Float]]:
        spans.append((start, end))
        return read(path, start, end)

    read = audio.audio_span
    monkeypatch.setattr(audio, "audio_span", counting)
    for name in ("one", "two"):
        write_proxies(path, Segment(4.2, 9.9), tmp_path / f"{name}.m4a", tmp_path / f"{name}.mp4")
    write_proxies(path, Segment(4.2, 9.9), tmp_path / "alone.m4a")
    assert spans == [(4.2, 9.9)] * 3
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    assert (tmp_path / "one.m4a").read_bytes() == (tmp_path / "two.m4a").read_bytes()
    assert (tmp_path / "one.m4a").read_bytes() == (tmp_path / "alone.m4a").read_bytes()


def test_progress_comes_to_the_end(tmp_path: Path) -> None:
    path = counted(tmp_path / "a.mp4", broad(48_000, 20))
    told: list[float] = []
    write_proxies(path, Segment(4, 16), tmp_path / "a.m4a", tmp_path / "b.mp4", progress=told.append)
    assert told == sorted(told)
    assert told[0] < 0.1
    assert told[-1] > 0.99
    assert len(told) > 20


def test_what_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    mute = files.write(tmp_path / "mute.mp4", None, fps=10)
    blind = files.write(tmp_path / "blind.wav", files.tone(48_000, 5), 48_000, "pcm_s16le")
    text = tmp_path / "text.mp4"
    text.write_text("no recording")
    cases: Sequence[tuple[Path, float, bool, str]] = [
        (mute, 1, True, "no_audio_stream"),
        (blind, 1, True, "no_video_stream"),
        (blind, 6, False, "no_samples"),
        (text, 1, False, "not_media"),
        (tmp_path / "gone.mp4", 1, True, "vanished"),
    ]
    for path, start, seen, reason in cases:
        with pytest.raises(MediaError, match=reason):
            write_proxies(path, Segment(start, start + 2), out / "a.m4a", out / "a.mp4" if seen else None)
        assert list(out.iterdir()) == []
    source = counted(tmp_path / "a.mp4", broad(48_000, 20))
    for kind in ("video", "audio"):  # a picture does not stand in for sound that is damaged
        broken = tmp_path / f"broken {kind}.mkv"
        with av.open(str(source)) as old, av.open(str(broken), "w") as new:
            copies: dict[int, Any] = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
            for packet in old.demux():
                if packet.size:
                    copy: Any = av.Packet(b"\x55\xff" * 25) if packet.stream.type == kind else packet
                    copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                    copy.stream = copies[packet.stream_index]
                    new.mux(copy)
        with pytest.raises(MediaError, match="decode_failed"):
            write_proxies(broken, Segment(1, 3), out / "a.m4a", out / "a.mp4")
        assert list(out.iterdir()) == []


def test_a_disk_that_is_full_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    path = files.write(tmp_path / "a.wav", broad(48_000, 20), 48_000, "pcm_s16le")
    (tmp_path / "out").mkdir()
    code = (
        "import resource, signal, sys\n"
        "from curation.media import write_proxies\n"
        "from manifests.time import Segment\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))\n"
        "write_proxies(sys.argv[1], Segment(0.0, 15.0), sys.argv[2])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "out" / "a.m4a")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_the_files_that_a_killed_writer_left_are_found(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    ours = tmp_path / "ab" / ".ab-1-2-v1.77-0123abcd.part.mp4"
    for name in (ours, tmp_path / "ab" / ".other", tmp_path / "ab" / "a.part.mp4", tmp_path / "ab" / "ab-1-2-v1.mp4"):
        name.write_bytes(b"")
    assert list(half_written(tmp_path)) == [ours]


@pytest.mark.skipif(sys.platform != "linux", reason="reads what the kernel counts")
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_nothing_long_before_the_window_is_read(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(1)
    hard = [rng.integers(0, 255, (90, 160, 3), np.uint8) for _ in range(10)]
    path = tmp_path / f"a{suffix}"
    write_media(
        path,
        frames=(hard[k * 7 % 10] for k in range(10 * 240)),
        fps=10,
        video_options={"g": "50", "preset": "ultrafast"},
        audio=(files.tone(48_000, 1) for _ in range(240)),
        sample_rate=48_000,
    )

    def bytes_read() -> int:
        lines = Path("/proc/self/io").read_text().split("\n")
        return int(lines[0].removeprefix("rchar: "))

    read: list[int] = []
    for start in (20.0, 120.0, 220.0):
        before = bytes_read()
        write_proxies(path, Segment(start, start + 10), tmp_path / "out.m4a", tmp_path / "out.mp4")
        read.append(bytes_read() - before)
    written = (tmp_path / "out.m4a").stat().st_size + (tmp_path / "out.mp4").stat().st_size
    assert max(read) < 1.5 * min(read)
    assert max(read) - 2 * written < 0.35 * path.stat().st_size


def test_memory_does_not_grow_with_the_window(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_media(
        path,
        frames=(image for _ in range(20) for image in files.numbered_frames(100)),
        fps=10,
        video_options={"preset": "ultrafast"},
        audio=(files.tone(44_100, 1, channels=2) for _ in range(200)),
        sample_rate=44_100,
    )
    code = (
        "import resource, sys\n"
        "from curation.media import write_proxies\n"
        "from manifests.time import Segment\n"
        "write_proxies(sys.argv[1], Segment(5.0, float(sys.argv[2])), 'out.m4a', 'out.mp4')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    peaks = [
        int(subprocess.check_output([sys.executable, "-c", code, str(path), end], cwd=tmp_path, env=environment))
        for end in ("15.0", "185.0")
    ]
    assert peaks[1] < 1.1 * peaks[0]

"""What is written can be read back, appears whole or not at all, and is the same every time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

import tests.support.media_files as files
from curation.media import (
    PREVIEW_TYPE,
    MediaError,
    encode_preview,
    frames,
    identify,
    probe,
    thumbnail,
    write_media,
)
from manifests.time import Segment


def test_pieces_of_any_length_make_one_file(tmp_path: Path) -> None:
    signal = np.random.default_rng(1).normal(0, 0.1, (2, 44100 * 5)).astype(np.float32)
    cuts = [0, 1, 2, 1000, 1000, 60_000, 200_000, signal.shape[1]]
    pieces = [signal[:, a:b] for a, b in pairwise(cuts)]
    write_media(tmp_path / "one.wav", audio=[signal], sample_rate=44100, audio_codec="pcm_f32le")
    write_media(tmp_path / "many.wav", audio=pieces, sample_rate=44100, audio_codec="pcm_f32le")
    assert (tmp_path / "one.wav").read_bytes() == (tmp_path / "many.wav").read_bytes()
    assert np.array_equal(files.native(files.decode(tmp_path / "many.wav")), signal)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".ts"])
def test_equal_input_gives_equal_bytes(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        files.write(
            tmp_path / f"{name}{suffix}",
            files.tone(48000, 3),
            48000,
            "libopus" if suffix == ".webm" else "aac",
            10,
        )
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_a_file_that_fails_does_not_appear(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"

    def breaking() -> Iterator[NDArray[np.float32]]:
        yield files.tone(48000, 1)
        assert not path.exists()  # it is being written, elsewhere
        assert len(list(tmp_path.iterdir())) == 1
        assert all(p.name.startswith(".") for p in tmp_path.iterdir())
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_media(path, audio=breaking(), sample_rate=48000)
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="no more"):
        write_media(path, audio=breaking_later(), sample_rate=48000)
    assert path.read_bytes() == b"old"
    write_media(path, audio=[files.tone(48000, 1)], sample_rate=48000)
    assert probe(path).duration == pytest.approx(1.0)
    assert list(tmp_path.iterdir()) == [path]


def breaking_later() -> Iterator[NDArray[np.float32]]:
    yield files.tone(48000, 1)
    raise RuntimeError("no more")


def test_neither_stream_runs_far_ahead(tmp_path: Path) -> None:
    """Both come from generators, and only what is needed next is taken from them."""
    taken = {"audio": 0.0, "video": 0.0}
    apart: list[float] = []

    def sound() -> Iterator[NDArray[np.float32]]:
        for _ in range(120):
            taken["audio"] += 0.5
            apart.append(abs(taken["audio"] - taken["video"]))
            yield files.tone(48000, 0.5)

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for image in files.numbered_frames(110) * 6:
            taken["video"] += 1 / 11
            apart.append(abs(taken["audio"] - taken["video"]))
            yield image

    write_media(tmp_path / "a.mp4", frames=pictures(), fps=11, audio=sound(), sample_rate=48000)
    assert max(apart) < 1.1
    assert probe(tmp_path / "a.mp4").duration == pytest.approx(60.0, abs=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no frames and no audio"),
        ({"frames": files.numbered_frames(3)}, "frames need fps"),
        ({"audio": [files.tone(8000, 1)]}, "audio needs sample_rate"),
        ({"frames": [], "fps": 10}, "no frames"),
        ({"audio": [np.zeros((1, 0), np.float32)], "sample_rate": 8000}, "no audio"),
        ({"audio": [np.zeros((9, 10), np.float32)], "sample_rate": 8000}, "9 audio channels, at most 8"),
        ({"frames": [np.zeros((31, 32, 3), np.uint8)], "fps": 10}, "frames are 32 x 31"),
        ({"frames": [np.zeros((s, 32, 3), np.uint8) for s in (32, 34)], "fps": 10}, "frame 1 is"),
        (
            {"audio": [np.zeros((c, 8000), np.float32) for c in (1, 2)], "sample_rate": 8000},
            "2 channels at 1.000 s",
        ),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_media(tmp_path / "a.mkv", audio_codec="flac", **arguments)
    assert list(tmp_path.iterdir()) == []


def read_preview(data: bytes) -> NDArray[np.float32]:
    with av.open(io.BytesIO(data), "r") as container:
        assert container.format.name == "matroska,webm"
        assert len(container.streams) == 1
        codec = container.streams.audio[0].codec_context
        assert (codec.codec.canonical_name, codec.sample_rate) == ("opus", 48000)
        assert container.duration is not None  # a browser shows it and can jump
        decoded = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(decoded, axis=1)


@pytest.mark.parametrize(
    ("codec", "suffix", "rate"),
    [
        ("pcm_s16le", ".wav", 44100),
        ("flac", ".flac", 96000),
        ("aac", ".mp4", 48000),
        ("libmp3lame", ".mp3", 22050),
        ("libopus", ".webm", 48000),
        ("aac", ".mkv", 44100),
    ],
)
def test_a_preview_is_the_segment_to_the_sample(tmp_path: Path, codec: str, suffix: str, rate: int) -> None:
    signal = files.clicks(rate, 20, [7.65, 9.15], channels=2) + files.tone(rate, 20, level=0.01)
    path = files.write(tmp_path / f"a{suffix}", signal, rate, codec, 10 if suffix in (".mp4", ".mkv") else None)
    assert PREVIEW_TYPE == "audio/webm"
    heard = read_preview(encode_preview(path, Segment(5.5, 9.25)))
    assert heard.shape == (2, round(3.75 * 48000))
    assert files.peaks(heard[0], 48000, 0.2) == pytest.approx([7.65 - 5.5, 9.15 - 5.5], abs=0.001)


def test_a_preview_is_short_and_small_and_has_both_sides(tmp_path: Path) -> None:
    signal = files.tone(48000, 30, channels=2)
    signal[1] *= -1
    path = files.write(tmp_path / "a.wav", signal, 48000, "pcm_s16le")
    heard = read_preview(encode_preview(path, Segment(2.0, 28.0), max_seconds=5.0))
    assert heard.shape == (2, 5 * 48000)
    assert np.abs(heard).max() > 0.25
    assert np.abs(heard.mean(axis=0)).max() < 0.05  # in which the two sides would cancel out
    noise = np.random.default_rng(1).normal(0, 0.1, (1, 48000 * 30)).astype(np.float32)
    path = files.write(tmp_path / "noise.wav", noise, 48000, "pcm_s16le")
    sizes = [len(encode_preview(path, Segment(0.0, 30.0), bitrate=rate)) for rate in (16_000, 48_000)]
    assert sizes[0] < sizes[1] < 30 * 48_000 / 8 * 1.2


def test_a_preview_of_what_is_not_there(tmp_path: Path) -> None:
    path = files.write(tmp_path / "a.wav", files.tone(48000, 10), 48000, "pcm_s16le")
    assert read_preview(encode_preview(path, Segment(9.0, 15.0))).shape == (1, 48000)
    with pytest.raises(MediaError, match="no_samples"):
        encode_preview(path, Segment(20.0, 25.0))
    with pytest.raises(MediaError, match="no_audio_stream"):
        encode_preview(files.write(tmp_path / "a.mp4", None, fps=10), Segment(0.0, 1.0))


def test_a_thumbnail_is_the_picture_on_screen(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_media(
        path,
        frames=(np.kron(image, np.ones((5, 4, 1), np.uint8)) for image in files.numbered_frames(100)),
        fps=10,
    )
    for time, width in ((0.0, 160), (4.75, 160), (4.75, 320), (30.0, 64)):
        data = thumbnail(path, time, width)
        assert data[:3] == b"\xff\xd8\xff"
        with av.open(io.BytesIO(data), "r") as container:
            image = next(container.decode(video=0)).to_ndarray(format="rgb24")
        assert image.shape == (round(160 * width / 256), width, 3)
        assert files.number(image.astype(np.uint8)) == min(99, int(time * 10))
    with pytest.raises(MediaError, match="no_video_stream"):
        thumbnail(files.write(tmp_path / "a.wav", files.tone(8000, 1), 8000, "pcm_s16le"), 0.0)


def test_sound_and_picture_end_together(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv", ".webm", ".mov", ".ts", ".avi"):
        codec = {".webm": "libopus", ".avi": "pcm_s16le"}.get(suffix, "aac")
        path = files.write(tmp_path / f"a{suffix}", files.tone(48000, 5), 48000, codec, 10)
        count = 51 if suffix == ".ts" else 50  # there the sound, and so zero, is 21 ms before the picture
        assert len(list(frames(path, 10))) == count
        assert identify(path).duration == pytest.approx(5.0, abs=0.06)

"""Sound put onto videos: pictures as they were, to the byte, and the sound where it belongs, to the sample."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from curation.media import (
    SOUND_CODECS,
    MediaError,
    check_sound_onto,
    frames,
    mono_span,
    probe,
    seconds_shown,
    sound_onto,
    write_media,
)
from tests.support.media_files import Float, cut_off, number, numbered_frames, remux, shift, tone

RATE, SECONDS, FPS = 16_000, 6.0, 25
CODECS = {".webm": "libvpx-vp9", ".avi": "mpeg4"}


def video(path: Path, options: dict[str, str] | None = None, sound_seconds: float = SECONDS, **changed: Any) -> Path:
    """Numbered pictures with key pictures every 2 s, and noise that nobody is to hear again."""
    noise = 0.1 * np.random.default_rng(1).standard_normal((1, round(48_000 * sound_seconds)))
    write_media(
        path,
        frames=numbered_frames(round(SECONDS * FPS)),
        fps=FPS,
        video_codec=changed.get("codec", CODECS.get(path.suffix, "libx264")),
        video_options={"g": "50", **({} if path.suffix in CODECS else {"sc_threshold": "0"}), **(options or {})},
        audio=[noise.astype(np.float32)] if sound_seconds else None,
        sample_rate=48_000 if sound_seconds else None,
        audio_codec={".webm": "libopus", ".avi": "libmp3lame"}.get(path.suffix, "aac"),
    )
    return path


def chirp(seconds: float, rate: int = RATE) -> Float:
    """A sound of which every moment is its own."""
    t = np.arange(round(rate * seconds)) / rate
    return (0.3 * np.sin(2 * np.pi * (300 * t + 80 * t * t))).astype(np.float32)


def pieces(sound: Float, size: int = 5000) -> Iterator[Float]:
    yield from (sound[first : first + size] for first in range(0, len(sound), size))


def payloads(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.size]


def shown(path: Path) -> list[int]:
    return [number(frame.image) for frame in frames(path, FPS)]


@pytest.mark.parametrize(
    ("source", "target"),
    [(".mp4", ".mp4"), (".mkv", ".mkv"), (".webm", ".webm"), (".mp4", ".mov"), (".ts", ".mp4"), (".avi", ".mkv")],
)
def test_pictures_are_copied_and_the_sound_is_in_its_place(source: str, target: str, tmp_path: Path) -> None:
    path, out, sound = video(tmp_path / f"in{source}"), tmp_path / f"out{target}", chirp(SECONDS)
    sound_onto(path, pieces(sound), RATE, out)
    found = probe(out)
    assert found.video is not None and found.audio is not None
    assert found.audio.codec == SOUND_CODECS[target].removeprefix("lib")
    assert found.duration == pytest.approx(SECONDS, abs=0.1)
    with av.open(str(out)) as container:
        assert len(container.streams.audio) == len(container.streams.video) == 1
    if source != ".ts":  # its packets begin otherwise in MP4
        assert payloads(out) == payloads(path)
    numbers = shown(out)
    assert set(numbers) == set(range(150)) and abs(len(numbers) - 150) <= 3
    heard = mono_span(out, 0.0, SECONDS, RATE)
    inner = slice(1000, round((SECONDS - 0.2) * RATE))
    assert np.abs(heard[inner] - sound[inner]).max() < 0.02


def test_pictures_stay_with_the_sound_of_their_second(tmp_path: Path) -> None:
    """Where the video begins after zero, so do its pictures in the new file."""
    late = remux(video(tmp_path / "in.mkv"), tmp_path / "late.mkv", shift(1.0))
    sound_onto(late, pieces(chirp(SECONDS)), RATE, tmp_path / "out.mkv")
    at = {round(frame.time, 3): number(frame.image) for frame in frames(tmp_path / "out.mkv", FPS)}
    begins = {round(frame.time, 3): number(frame.image) for frame in frames(late, FPS)}
    assert len(at.keys() & begins.keys()) >= len(begins) - 2
    assert {time: at[time] for time in begins if time in at} == {time: begins[time] for time in begins if time in at}


@pytest.mark.parametrize("end", [None, 5.0])
def test_a_stretch_begins_with_its_own_picture(end: float | None, tmp_path: Path) -> None:
    path, start = video(tmp_path / "in.mp4"), 3.28
    sound = chirp((end or SECONDS) - start)
    sound_onto(path, pieces(sound), RATE, tmp_path / "out.mp4", start=start, end=end)
    numbers = shown(tmp_path / "out.mp4")
    assert numbers[0] == 82
    wanted = round(((end or SECONDS) - start) * FPS)
    assert numbers[:wanted] == list(range(82, 82 + wanted))
    assert wanted <= len(numbers) <= wanted + 4
    heard = mono_span(tmp_path / "out.mp4", 0.0, 1.0, RATE)
    assert np.abs(heard[1000:15_000] - sound[1000:15_000]).max() < 0.02


def test_matroska_shows_what_comes_before_a_stretch_in_silence(tmp_path: Path) -> None:
    path, start = video(tmp_path / "in.mkv"), 3.28
    sound_onto(path, pieces(chirp(2.0)), RATE, tmp_path / "out.mkv", start=start, end=5.28)
    found = probe(tmp_path / "out.mkv")
    assert found.audio is not None
    assert found.audio.start == pytest.approx(start - 2.0, abs=0.07)  # key pictures are every 2 s
    assert shown(tmp_path / "out.mkv")[0] == 50


@pytest.mark.parametrize("channels", [1, 2])
def test_opus_hears_44100_hz_at_its_own_rate(channels: int, tmp_path: Path) -> None:
    sound = tone(44_100, SECONDS, 1000.0, channels)
    sound_onto(
        video(tmp_path / "in.webm"),
        (sound[:, i : i + 9999] for i in range(0, sound.shape[1], 9999)),
        44_100,
        tmp_path / "out.webm",
    )
    found = probe(tmp_path / "out.webm")
    assert found.audio is not None and (found.audio.sample_rate, found.audio.channels) == (48_000, channels)
    heard = mono_span(tmp_path / "out.webm", 1.0, 2.0, 48_000)
    assert np.abs(np.fft.rfft(heard)).argmax() == 1000
    whole = mono_span(tmp_path / "out.webm", 0.0, 10.0, 48_000)
    assert len(whole) == pytest.approx(SECONDS * 48_000, abs=2000)


def test_a_turned_picture_stays_turned(tmp_path: Path) -> None:
    plain = video(tmp_path / "in.mp4")
    with av.open(str(plain)) as source, av.open(str(tmp_path / "turned.mp4"), "w") as output:
        stream = source.streams.video[0]
        copy = output.add_stream_from_template(stream, opaque=True)
        copy.set_display_rotation(90) if hasattr(copy, "set_display_rotation") else pytest.skip("cannot be written")
        for packet in source.demux(stream):
            if packet.size:
                packet.stream = copy
                output.mux(packet)
    sound_onto(tmp_path / "turned.mp4", pieces(chirp(SECONDS)), RATE, tmp_path / "out.mp4")
    assert next(frames(tmp_path / "out.mp4", FPS)).image.shape == next(frames(tmp_path / "turned.mp4", FPS)).image.shape


def test_what_is_shown_is_counted_and_not_believed(tmp_path: Path) -> None:
    assert seconds_shown(video(tmp_path / "in.mp4")) == pytest.approx(SECONDS, abs=1e-6)
    assert seconds_shown(video(tmp_path / "longer.mp4", sound_seconds=9.0)) == pytest.approx(SECONDS, abs=1e-6)
    whole = video(tmp_path / "whole.mkv", {"bf": "0"})
    half = cut_off(whole, tmp_path / "half.mkv", 0.5)
    assert probe(half).duration == pytest.approx(SECONDS, abs=0.1)
    assert 1.0 < seconds_shown(half) < SECONDS - 1.0


def test_a_container_that_does_not_take_the_pictures_is_refused_before_anything(tmp_path: Path) -> None:
    path = video(tmp_path / "in.webm", codec="libvpx")
    asked = []

    def sound() -> Iterator[Float]:
        asked.append(1)
        yield chirp(1.0)

    for out, words in (
        ("out.mp4", ".mp4 does not support vp8 video: write .mkv or .webm"),
        ("out.ogg", "suffix .ogg: a video is written as"),
        ("out", "suffix missing: a video is written as"),
    ):
        with pytest.raises(ValueError, match=words):
            sound_onto(path, sound(), RATE, tmp_path / out)
        with pytest.raises(ValueError, match=words):
            check_sound_onto(path, tmp_path / out)
    check_sound_onto(path, tmp_path / "out.webm")
    assert not asked and {file.name for file in tmp_path.iterdir()} == {"in.webm"}


def test_no_pictures_are_said_to_be_none(tmp_path: Path) -> None:
    write_media(tmp_path / "sound.mkv", audio=[tone(RATE, 1.0)], sample_rate=RATE)
    for call in (seconds_shown, lambda path: sound_onto(path, pieces(chirp(1.0)), RATE, tmp_path / "out.mp4")):
        with pytest.raises(MediaError, match="no_video_stream"):
            call(tmp_path / "sound.mkv")


def test_a_sound_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    def breaking() -> Iterator[Float]:
        yield chirp(1.0)
        raise RuntimeError("the network is gone")

    path = video(tmp_path / "in.mp4")
    with pytest.raises(RuntimeError, match="the network is gone"):
        sound_onto(path, breaking(), RATE, tmp_path / "out.mp4")
    assert [file.name for file in tmp_path.iterdir()] == ["in.mp4"]


def test_sound_is_taken_as_it_is_written(tmp_path: Path) -> None:
    """Pictures keep pace: no piece is asked for long before its time."""
    ahead: list[float] = []
    reached = [0.0]

    def sound() -> Iterator[Float]:
        for second in range(6):
            ahead.append(second - reached[0])
            yield chirp(1.0)

    sound_onto(
        video(tmp_path / "in.mp4"),
        sound(),
        RATE,
        tmp_path / "out.mp4",
        progress=lambda seconds: reached.__setitem__(0, seconds),
    )
    assert len(ahead) == 6 and max(ahead) <= 1.5
    assert reached[0] == pytest.approx(SECONDS, abs=0.2)


def test_the_film_keeps_its_title_and_the_chapters_of_the_part(tmp_path: Path) -> None:
    path = video(tmp_path / "in.mkv")
    named = tmp_path / "named.mkv"
    with av.open(str(path)) as old, av.open(str(named), "w") as new:
        (picture,) = old.streams.video
        copy = new.add_stream_from_template(picture)
        new.metadata["title"] = "My film"
        copy.metadata["language"] = "fra"
        second = Fraction(1, 1000)
        new.set_chapters(
            [
                {"id": 1, "start": 0, "end": 3000, "time_base": second, "metadata": {"title": "One"}},
                {"id": 2, "start": 3000, "end": 6000, "time_base": second, "metadata": {"title": "Two"}},
            ]
        )
        for packet in old.demux(picture):
            if packet.dts is not None:
                packet.stream = copy
                new.mux(packet)
    for suffix in (".mkv", ".mp4"):
        out = tmp_path / f"out{suffix}"
        sound_onto(named, pieces(chirp(2.0)), RATE, out, start=2.0, end=4.0)
        with av.open(str(out)) as container:
            assert container.metadata["title"] == "My film"
            assert container.streams.video[0].metadata["language"] == "fra"
            chapters = [
                (one["metadata"]["title"], *(float(one[side] * (one["time_base"] or 0)) for side in ("start", "end")))
                for one in container.chapters()
            ]
            assert chapters == [("One", 0.0, 1.0), ("Two", 1.0, 2.0)]


def test_subtitles_are_counted_and_left_out(tmp_path: Path) -> None:
    path, out = video(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    assert check_sound_onto(path, out) == 0
    lines = tmp_path / "lines.srt"
    lines.write_text("1\n00:00:01,000 --> 00:00:02,000\nRain\n")
    with av.open(str(path)) as old, av.open(str(lines)) as text, av.open(str(tmp_path / "with.mkv"), "w") as new:
        pairs: list[tuple[Any, Any]] = [(old, old.streams.video[0]), (text, text.streams.subtitles[0])]
        copies: list[Any] = [new.add_stream_from_template(stream) for _, stream in pairs]
        for (source, stream), copy in zip(pairs, copies, strict=True):
            for packet in source.demux(stream):
                if packet.dts is not None:
                    packet.stream = copy
                    new.mux(packet)
    assert check_sound_onto(tmp_path / "with.mkv", out) == 1
    sound_onto(tmp_path / "with.mkv", pieces(chirp(SECONDS)), RATE, out)
    with av.open(str(out)) as container:
        assert not container.streams.subtitles


def test_quicktimes_tag_and_transparency_are_kept(tmp_path: Path) -> None:
    phone = tmp_path / "phone.mov"
    with av.open(str(phone), "w") as new:
        stream: Any = new.add_stream("libx265", rate=10, width=64, height=64, options={"x265-params": "log-level=none"})
        stream.pix_fmt, stream.codec_context.codec_tag = "yuv420p", "hvc1"
        for _ in range(20):
            new.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        new.mux(stream.encode(None))
    for suffix in (".mp4", ".mov"):
        sound_onto(phone, pieces(chirp(2.0)), RATE, tmp_path / f"out{suffix}")
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            assert container.streams.video[0].codec_context.codec_tag == "hvc1"
    clear = tmp_path / "clear.webm"
    with av.open(str(clear), "w") as new:
        stream = new.add_stream("libvpx-vp9", rate=10, width=64, height=64)
        stream.pix_fmt = "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        for _ in range(20):
            new.mux(stream.encode(av.VideoFrame(64, 64, "yuva420p")))
        new.mux(stream.encode(None))
    sound_onto(clear, pieces(chirp(2.0)), RATE, tmp_path / "out.webm")
    with av.open(str(tmp_path / "out.webm")) as container:
        assert {key.lower(): value for key, value in container.streams.video[0].metadata.items()}["alpha_mode"] == "1"

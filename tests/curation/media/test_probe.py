"""What a header says, and the exact reason for every file that is no recording."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import tests.support.media_files as files
from curation.media import AudioTrack, MediaError, VideoTrack, audio_blocks, frames, identify, probe
from tests.support import ROOT


def picture(codec: str) -> bytes:
    frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.width = encoder.height = 64
    encoder.pix_fmt = {"mjpeg": "yuvj420p", "png": "rgb24"}[codec]
    encoder.time_base = Fraction(1, 25)
    packets = [*encoder.encode(frame.reformat(format=encoder.pix_fmt)), *encoder.encode(None)]
    return b"".join(bytes(packet) for packet in packets)


def test_a_video_with_sound(tmp_path: Path) -> None:
    info = probe(files.write(tmp_path / "a.mp4", files.tone(44100, 5, channels=2), 44100, "aac", 12.5))
    assert info.container == "mp4"
    assert info.duration == pytest.approx(5.0, abs=0.1)  # 62.5 frames
    assert info.audio == AudioTrack(1, "aac", 44100, 2, "stereo", 0.0)
    assert info.video == VideoTrack(0, "h264", 32, 32, 12.5, 0.0)
    assert info.zero == 0.0


def test_sound_alone_and_picture_alone(tmp_path: Path) -> None:
    info = probe(files.write(tmp_path / "a.mp3", files.tone(22050, 5), 22050, "libmp3lame"))
    assert (info.container, info.video) == ("mp3", None)
    assert info.audio is not None
    assert (info.audio.codec, info.audio.sample_rate, info.audio.channels) == (
        "mp3",
        22050,
        1,
    )  # not "mp3float"
    info = probe(files.write(tmp_path / "a.webm", None, fps=10))
    assert (info.container, info.audio) == ("matroska", None)
    assert info.video is not None
    assert info.duration == pytest.approx(10.0)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_zero_is_where_the_earliest_stream_starts(tmp_path: Path, suffix: str) -> None:
    source = files.write(tmp_path / "a.mp4", files.tone(48000, 5), 48000, "aac", 10)
    late = probe(files.remux(source, tmp_path / f"late{suffix}", files.shift(3.0)))
    assert late.audio is not None and late.video is not None
    assert late.audio.start == pytest.approx(3.0, abs=0.025)
    assert late.video.start == 0.0
    assert late.duration == pytest.approx(8.0, abs=0.05)


def test_the_container_may_begin_anywhere(tmp_path: Path) -> None:
    source = files.write(tmp_path / "a.mp4", files.tone(48000, 5), 48000, "aac")
    info = probe(files.remux(source, tmp_path / "a.ts", files.shift(1000.0)))
    assert info.zero > 999
    assert info.audio is not None
    assert info.audio.start == 0.0
    assert info.duration == pytest.approx(5.0, abs=0.05)


def test_a_cover_picture_is_no_video_and_no_start(tmp_path: Path) -> None:
    sound = files.write(tmp_path / "a.mp3", files.tone(44100, 5), 44100, "libmp3lame")
    path = tmp_path / "cover.mp3"
    with av.open(str(sound)) as old, av.open(str(path), "w") as new:
        audio: Any = new.add_stream_from_template(old.streams.audio[0])
        cover: Any = new.add_stream("mjpeg")
        cover.width = cover.height = 64
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        new.start_encoding()
        packet: Any = av.Packet(picture("mjpeg"))
        packet.stream, packet.pts, packet.dts, packet.time_base = cover, 0, 0, Fraction(1, 25)
        new.mux(packet)
        for packet in old.demux():
            if packet.size:
                packet.stream = audio
                new.mux(packet)
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1  # it is there
    info = probe(path)
    assert info.video is None
    assert info.audio is not None
    assert info.audio.start == 0.0
    with pytest.raises(MediaError, match="no_video_stream"):
        next(frames(path, 1.0))
    assert files.gaps(files.decode(path)) == []
    assert identify(path).recording_id == identify(sound).recording_id


SUBTITLES = b"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n2\n00:00:03,000 --> 00:00:04,000\nThere\n" * 20
NOT_MEDIA = {
    "text": b"hello world\n" * 100,
    "ansi": b"\x1b[31mhello\x1b[0m\n" * 50,
    "subtitles": SUBTITLES,
    "webvtt": b"WEBVTT\n\n00:01.000 --> 00:04.000\nNever\n",
    "ass": b"[Script Info]\nScriptType: v4.00+\n[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,a\n",
    "concat": b"ffconcat version 1.0\nfile other.wav\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5000 RTP/AVP 0\n",
    "noise": np.random.default_rng(1).integers(0, 256, 100_000, np.uint8).tobytes(),
    "zeros": bytes(100_000),
    "one byte": b"x",
    "jpeg": picture("mjpeg"),
    "png": picture("png"),
}


@pytest.mark.parametrize("name", NOT_MEDIA)
@pytest.mark.parametrize("suffix", [".mp4", ".srt", ".txt", ".ans", ".wav", ".jpg", ".m3u8"])
def test_what_never_was_media(tmp_path: Path, name: str, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(NOT_MEDIA[name])
    for read in (probe, lambda p: next(audio_blocks(p)), lambda p: next(frames(p, 1.0))):
        with pytest.raises(MediaError) as caught:
            read(path)
        assert caught.value.reason == "not_media"
        assert "\n" not in caught.value.detail
        assert str(tmp_path) not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".mp4", ".wav", ".flac", ".ogg", ".mkv", ".mp3"])
def test_what_was_media_but_lost_its_head_or_tail(tmp_path: Path, suffix: str) -> None:
    codec = {".wav": "pcm_s16le", ".flac": "flac", ".ogg": "libopus", ".mkv": "flac", ".mp3": "libmp3lame"}
    source = files.write(tmp_path / f"a{suffix}", files.tone(48000, 5), 48000, codec.get(suffix, "aac"))
    path = tmp_path / f"cut{suffix}"
    size = source.stat().st_size // 2 if suffix == ".mp4" else 30  # MP4 keeps its index at the end
    path.write_bytes(source.read_bytes()[:size])
    with pytest.raises(MediaError) as caught:
        probe(path)
    assert caught.value.reason in (("unreadable", "not_media") if suffix == ".mp3" else ("unreadable",))


def test_empty_missing_and_odd_files(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    os.mkfifo(tmp_path / "pipe.mp4")  # reading it would wait for ever
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nowhere.mp4")
    for path, reason in (
        (tmp_path / "empty.mp4", "empty_file"),
        (tmp_path / "none.mp4", "vanished"),
        (tmp_path / "dangling.mp4", "vanished"),
        (tmp_path / "empty.mp4" / "below.mp4", "vanished"),
        (tmp_path / "pipe.mp4", "not_media"),
        (tmp_path, "not_media"),
    ):
        for read in (probe, lambda p: next(audio_blocks(p)), lambda p: next(frames(p, 1.0))):
            with pytest.raises(MediaError) as caught:
                read(path)
            assert (caught.value.reason, path.name) == (reason, path.name)


def test_permission_denied(tmp_path: Path) -> None:
    path = files.write(tmp_path / "a.wav", files.tone(8000, 1), 8000, "pcm_s16le")
    path.chmod(0)
    if os.access(path, os.R_OK):
        os.setegid(65534)
        os.seteuid(65534)  # root reads everything; somebody else does not
    try:
        for read in (probe, identify, lambda p: next(audio_blocks(p))):
            with pytest.raises(MediaError) as caught:
                read(path)
            assert caught.value.reason == "permission_denied"
    finally:
        os.seteuid(os.getuid())
        os.setegid(os.getgid())


@contextmanager
def server() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}", asked
        finally:
            running.shutdown()
            thread.join()


@pytest.mark.parametrize("suffix", [".m3u8", ".mp4"])
def test_a_playlist_leads_nowhere(tmp_path: Path, suffix: str) -> None:
    other = files.write(tmp_path / "other.ts", files.tone(48000, 3), 48000, "aac")
    with server() as (address, asked):
        for target in (str(other), f"file:{other}", f"{address}/a.ts"):
            path = tmp_path / f"list{suffix}"
            path.write_text(
                f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:3,\n{target}\n#EXT-X-ENDLIST\n"
            )
            with pytest.raises(MediaError, match="not_media"):
                probe(path)
        assert asked == []


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        'it\'s "q"',
        "uni é 音 😀",
        "new\nline",
        "concat:a|b",
        "http:__x",
        "-dash",
        "%d",
        "a?b#c",
        "\udcff\udcfe",
    ],
)
def test_odd_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files.write(tmp_path / f"{name}.mp4", files.tone(48000, 2), 48000, "aac")
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{name}.mp4"]
    monkeypatch.chdir(tmp_path)
    assert probe(path.name).duration == pytest.approx(2.0)  # without a folder before it
    assert probe(path).duration == pytest.approx(2.0)
    assert probe(os.fspath(path)).duration == pytest.approx(2.0)
    assert identify(path).problem is None
    assert files.native(files.decode(path)).shape == (1, 96000)


def test_errors_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(MediaError("unreadable", "no index")))
    assert isinstance(error, MediaError)
    assert (error.reason, error.detail, str(error)) == ("unreadable", "no index", "unreadable: no index")


def test_importing_does_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import curation.media"],
        cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []
    modules = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert not modules & {"torch", "datasets", "onnxruntime", "librosa", "scipy", "PIL"}


def test_the_rate_of_dv_is_that_of_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.dv"
    with av.open(str(path), "w") as output:
        video: Any = output.add_stream("dvvideo", rate=25, width=720, height=576)
        video.pix_fmt = "yuv420p"
        sound: Any = output.add_stream("pcm_s16le", rate=48_000, layout="stereo")
        for index in range(50):
            frame = av.VideoFrame.from_ndarray(np.zeros((576, 720, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(video.encode(frame))
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 1920), np.int16), "s16", "stereo")
            silence.sample_rate, silence.pts, silence.time_base = 48_000, 1920 * index, Fraction(1, 48_000)
            output.mux(sound.encode(silence))
        output.mux(video.encode(None))
        output.mux(sound.encode(None))
    info = probe(path)
    assert info.video is not None and info.video.fps == 25.0

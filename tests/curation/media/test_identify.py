"""The same sound has the same id in every container, and nothing else has it."""

from __future__ import annotations

import hashlib
import importlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import tests.support.media_files as files
from curation.media import MediaError, identify, probe, write_media


def noise(rate: int, seconds: float, channels: int = 2, seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.1, (channels, round(rate * seconds))).astype(np.float32)


@pytest.mark.parametrize(
    ("codec", "first", "others"),
    [
        ("aac", ".mp4", [".mkv", ".mov", ".ts", ".m4a", ".aac", ".flv"]),
        ("libopus", ".webm", [".mkv", ".ogg", ".mp4"]),
        ("libmp3lame", ".mp3", [".mkv", ".mp4", ".avi", ".ts"]),
        ("flac", ".flac", [".mkv", ".ogg", ".mp4"]),
        ("pcm_s16le", ".wav", [".mkv", ".mov", ".avi"]),
        ("ac3", ".mkv", [".mp4", ".ts", ".ac3"]),
    ],
)
def test_a_copy_into_another_container_is_the_same_recording(
    tmp_path: Path, codec: str, first: str, others: list[str]
) -> None:
    source = files.write(tmp_path / f"source{first}", noise(48000, 5), 48000, codec)
    expected = identify(source)
    assert expected.problem is None
    for suffix in others:
        copy = identify(files.remux(source, tmp_path / f"copy{suffix}"))
        assert (suffix, copy.recording_id) == (suffix, expected.recording_id)
        assert copy.sha256 != expected.sha256


def test_a_picture_beside_it_does_not_matter(tmp_path: Path) -> None:
    both = files.write(tmp_path / "both.mp4", noise(48000, 5), 48000, "aac", 10)
    alone = files.remux(both, tmp_path / "alone.m4a", only="audio")
    assert identify(both).recording_id == identify(alone).recording_id
    assert identify(files.remux(both, tmp_path / "both.mkv")).recording_id == identify(alone).recording_id


def test_other_sound_is_another_recording(tmp_path: Path) -> None:
    samples = noise(8000, 5)
    found = [
        identify(files.write(tmp_path / "a.wav", samples, 8000, "pcm_s16le")),
        identify(files.write(tmp_path / "other.wav", noise(8000, 5, seed=2), 8000, "pcm_s16le")),
        identify(files.write(tmp_path / "rate.wav", samples, 16000, "pcm_s16le")),  # same bytes, twice as fast
        identify(files.write(tmp_path / "mono.wav", samples.T.reshape(1, -1), 8000, "pcm_s16le")),  # same bytes
        identify(files.write(tmp_path / "short.wav", samples[:, :-1], 8000, "pcm_s16le")),
        identify(files.write(tmp_path / "a.flac", samples, 8000, "flac")),
        identify(files.write(tmp_path / "bits.wav", samples, 8000, "pcm_s24le")),
    ]
    assert len({identity.recording_id for identity in found}) == len(found)


def test_the_same_packets_at_another_time_are_another_recording(tmp_path: Path) -> None:
    """What holds at 10 s in one would be at 13 s in the other."""
    source = files.write(tmp_path / "a.mp4", noise(48000, 5), 48000, "aac", 10)
    here = identify(files.remux(source, tmp_path / "here.mkv"))
    nearly = identify(files.remux(source, tmp_path / "nearly.mkv", files.shift(0.1)))
    late = identify(files.remux(source, tmp_path / "late.mkv", files.shift(3.0)))
    as_late = identify(files.remux(source, tmp_path / "late.mp4", files.shift(3.0)))
    assert here.recording_id == nearly.recording_id != late.recording_id == as_late.recording_id


def test_the_id_is_the_documented_digest(tmp_path: Path) -> None:
    path = files.write(tmp_path / "a.wav", noise(8000, 3, channels=1), 8000, "pcm_s16le")
    payload, _ = soundfile.read(path, dtype="int16")
    identity = identify(path)
    expected = hashlib.sha256(b"pcm_s16le 8000 1 0\n" + payload.tobytes()).hexdigest()[:16]
    assert identity.recording_id == expected
    assert identity.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert identity.bytes == path.stat().st_size
    assert (identity.duration, identity.truncated, identity.problem) == (3.0, False, None)
    assert identity.info == probe(path)


@pytest.mark.parametrize(
    ("codec", "suffix", "fps"),
    [
        ("aac", ".mp4", 10),
        ("aac", ".ts", 10),
        ("libopus", ".webm", 10),
        ("libmp3lame", ".mp3", None),
        ("flac", ".flac", None),
        ("pcm_u8", ".wav", None),
        ("libopus", ".ogg", None),
    ],
)
def test_the_duration_is_where_the_packets_end(tmp_path: Path, codec: str, suffix: str, fps: float | None) -> None:
    path = files.write(tmp_path / f"a{suffix}", noise(48000, 7.3, 1), 48000, codec, fps)
    duration = identify(path).duration
    assert duration == pytest.approx(7.3, abs=0.06)
    assert duration is not None
    assert files.native(files.decode(path)).shape[1] / 48000 <= duration + 0.002


def test_what_an_edit_list_hides_does_not_count(tmp_path: Path) -> None:
    """A phone cuts a recording by a note in the header."""
    path = files.write(tmp_path / "a.mp4", noise(48000, 7, 1), 48000, "aac")
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12
    assert struct.unpack(">Ii", data[at : at + 8]) == (7000, 1024)  # milliseconds, and the priming samples
    data[at : at + 4] = struct.pack(">I", 3000)
    (tmp_path / "cut.mp4").write_bytes(data)
    cut = identify(tmp_path / "cut.mp4")
    assert cut.duration == pytest.approx(3.0, abs=0.03)
    assert not cut.truncated
    assert files.native(files.decode(tmp_path / "cut.mp4")).shape[1] / 48000 == pytest.approx(3.0, abs=0.03)


def test_the_longer_stream_counts(tmp_path: Path) -> None:
    for seconds, frame_count in ((4.0, 100), (12.0, 100)):
        path = tmp_path / "a.mkv"
        write_media = importlib.import_module("curation.media").write_media
        write_media(
            path,
            frames=files.numbered_frames(frame_count),
            fps=10,
            audio=[noise(48000, seconds, 1)],
            sample_rate=48000,
            audio_codec="flac",
        )
        assert identify(path).duration == pytest.approx(max(10.0, seconds), abs=0.01)


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("aac", ".mp4"),
        ("aac", ".mkv"),
        ("libopus", ".webm"),
        ("flac", ".flac"),
        ("pcm_s16le", ".wav"),
        ("pcm_s16le", ".avi"),
    ],
)
def test_a_file_that_was_cut_off_is_truncated(tmp_path: Path, codec: str, suffix: str) -> None:
    source = files.write(
        tmp_path / f"a{suffix}",
        noise(48000, 20),
        48000,
        codec,
        10 if suffix not in (".flac", ".wav") else None,
    )
    if suffix == ".mp4":
        source = files.remux(source, tmp_path / "index_first.mp4", movflags="faststart")
    whole = identify(source)
    assert (whole.truncated, whole.problem) == (False, None)
    part = identify(files.cut_off(source, tmp_path / f"cut{suffix}"))
    assert (part.truncated, part.problem) == (True, None)
    assert part.duration == pytest.approx(10.0, abs=1.5)
    assert part.recording_id != whole.recording_id
    blocks = files.decode(tmp_path / f"cut{suffix}")
    assert files.native(blocks).shape[1] / 48000 == pytest.approx(10.0, abs=1.5)


def test_a_late_start_is_not_taken_for_a_missing_end(tmp_path: Path) -> None:
    source = files.write(tmp_path / "a.mp4", noise(48000, 5), 48000, "aac")
    for suffix in (".mkv", ".mp4", ".mov"):
        assert not identify(files.remux(source, tmp_path / f"late{suffix}", files.shift(30.0))).truncated


def test_files_without_sound_are_named_by_their_bytes(tmp_path: Path) -> None:
    silent = files.write(tmp_path / "silent.mp4", None, fps=10)
    text = tmp_path / "text.mp4"
    text.write_bytes(b"hello world\n" * 100)
    cut = files.cut_off(files.write(tmp_path / "a.mp4", noise(48000, 5), 48000, "aac"), tmp_path / "cut.mp4")
    header = tmp_path / "header.wav"
    soundfile.write(header, np.zeros(0), 48000)
    unknown = tmp_path / "unknown.mkv"
    known = files.write(tmp_path / "known.mkv", noise(48000, 5), 48000, "flac")
    unknown.write_bytes(known.read_bytes().replace(b"A_FLAC", b"A_FOOO"))
    for path, reason, readable in (
        (unknown, "decode_failed", True),
        (silent, "no_audio_stream", True),
        (text, "not_media", False),
        (cut, "unreadable", False),
        (header, "no_samples", True),
    ):
        identity = identify(path)
        assert identity.problem is not None
        assert (identity.problem[0], identity.info is not None) == (reason, readable)
        assert identity.recording_id == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    assert identify(silent).duration == pytest.approx(10.0)
    assert identify(text).duration is None


def test_empty_files_are_named_by_their_place(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    one, two = identify(tmp_path / "a.mp4", "root:a.mp4"), identify(tmp_path / "a.mp4", "root:b.mp4")
    assert one.problem == ("empty_file", "0 bytes")
    assert one.recording_id != two.recording_id
    assert one.sha256 == two.sha256 == hashlib.sha256(b"").hexdigest()


def test_only_what_cannot_be_read_at_all_is_an_error(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.mp4", "vanished"), (tmp_path, "not_media")):
        with pytest.raises(MediaError) as caught:
            identify(path)
        assert caught.value.reason == reason


@pytest.mark.parametrize(("picture", "sound"), [(4.0, 7.0), (7.0, 4.0)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_each_stream_has_its_end(tmp_path: Path, picture: float, sound: float, suffix: str) -> None:
    path = tmp_path / f"uneven{suffix}"
    write_media(
        path,
        frames=(np.full((32, 32, 3), k % 256, np.uint8) for k in range(round(picture * 10))),
        fps=10,
        video_options=files.NO_REORDERING,
        audio=[noise(48000, sound)],
        sample_rate=48000,
    )
    found = identify(path)
    assert found.audio_end == pytest.approx(sound, abs=0.06)
    assert found.video_end == pytest.approx(picture, abs=0.06)
    assert found.duration == max(found.audio_end or 0, found.video_end or 0)


def test_a_missing_stream_has_no_end(tmp_path: Path) -> None:
    sound = identify(files.write(tmp_path / "a.wav", noise(8000, 3), 8000, "pcm_s16le"))
    assert (sound.audio_end, sound.video_end) == (3.0, None)
    picture = identify(files.write(tmp_path / "v.mp4", None, fps=10))
    assert picture.audio_end is None and picture.video_end == pytest.approx(10.0, abs=0.11)
    nothing = tmp_path / "nothing.mp4"
    nothing.write_text("text")
    assert (identify(nothing).audio_end, identify(nothing).video_end) == (None, None)


def test_an_end_counts_from_the_earliest_start(tmp_path: Path) -> None:
    source = files.write(tmp_path / "a.mp4", noise(48000, 5), 48000, "aac", 10)
    late = identify(files.remux(source, tmp_path / "late.mkv", files.shift(3.0)))
    assert late.audio_end == pytest.approx(8.0, abs=0.06)
    assert late.video_end == pytest.approx(5.0, abs=0.11)

"""Files that libavformat reads wrongly, or refuses without a reason that helps anybody."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from curation.media import MediaError, identify, probe
from curation.media.container_faults import understates_length
from tests.support import media_files as files

SECONDS = 20


def wav(path: Path, stated: int | None = None, trailer: bytes = b"") -> Path:
    """A WAV file whose header states `stated` bytes of audio."""
    files.write(path, files.tone(48_000, SECONDS), 48_000, "pcm_s16le")
    data = bytearray(path.read_bytes())
    if stated is not None:
        at = data.index(b"data") + 4
        data[at : at + 4] = struct.pack("<I", stated)
        data[4:8] = struct.pack("<I", min(stated + 36, 0xFFFFFFFF))
    path.write_bytes(bytes(data) + trailer)
    return path


LIST = b"LIST" + struct.pack("<I", 5000) + bytes(5000)


@pytest.mark.parametrize("stated", [48_000 * 2 * 5, 2, 48_000 * 2 * SECONDS - 8192, 0, 0xFFFFFFFF, None])
def test_all_of_a_wav_file_is_read_whatever_its_header_states(tmp_path: Path, stated: int | None) -> None:
    """As after 4 GiB, where the size starts again at 0."""
    path = wav(tmp_path / "a.wav", stated)
    found = identify(path)
    assert (found.problem, found.truncated) == (None, False)
    assert found.duration == pytest.approx(SECONDS, abs=0.01)
    assert files.native(files.decode(path)).shape[1] == 48_000 * SECONDS


@pytest.mark.parametrize("trailer", [b"", LIST, bytes(100), LIST + bytes(100)])
def test_what_follows_the_audio_is_not_read_as_audio(tmp_path: Path, trailer: bytes) -> None:
    path = wav(tmp_path / "a.wav", trailer=trailer)
    assert not understates_length(path)
    assert files.native(files.decode(path)).shape[1] == 48_000 * SECONDS


@pytest.mark.parametrize("size", [3_000, 200_000, 1_000_000])
def test_random_bytes_are_no_mp3(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(b"\x01" + os.urandom(size))
    found = identify(path)
    assert found.problem is not None
    assert found.problem.reason in ("not_media", "unreadable", "decode_failed")


@pytest.mark.parametrize(
    ("name", "content", "reason", "detail"),
    [
        ("a.mp4", b"a page that says: not found\n" * 50, "not_media", "text, not media"),
        ("a.mkv", "Straße\n".encode() * 700, "not_media", "text, not media"),
        (
            "a.mp4",
            b"\0\0\0\x18ftypisom" + bytes(12) + b"\0\1\0\0mdat" + bytes(9000),
            "unreadable",
            "its index is missing",
        ),
    ],
)
def test_the_reason_is_in_words(tmp_path: Path, name: str, content: bytes, reason: str, detail: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(MediaError) as refused:
        probe(path)
    assert refused.value.reason == reason
    assert refused.value.detail.startswith(detail)


def test_a_download_that_was_cut_off_has_no_index(tmp_path: Path) -> None:
    path = files.write(tmp_path / "a.mp4", files.tone(48_000, SECONDS), 48_000, "aac", 10)
    cut = files.cut_off(path, tmp_path / "cut.mp4")
    problem = identify(cut).problem
    assert problem is not None
    assert problem.detail == "its index is missing: the recording or the download was cut off"


@pytest.mark.parametrize("rate", [44_100, 16_000, 8_000])
@pytest.mark.parametrize(("suffix", "codec"), [(".mp3", "libmp3lame"), (".aac", "aac")])
def test_garbage_after_the_audio_does_not_last(tmp_path: Path, suffix: str, codec: str, rate: int) -> None:
    path = files.write(tmp_path / f"a{suffix}", files.tone(rate, 25), rate, codec)
    whole = identify(path).duration
    assert whole == pytest.approx(25, abs=0.3)
    path.write_bytes(path.read_bytes() + np.random.default_rng(1).bytes(1_000_000))
    assert identify(path).duration == pytest.approx(
        whole, abs=4.0
    )  # some of it looks like frames; 33 s and more before

"""Bad input, all kinds in one folder and one run: each ends as a row with its reason, and nothing stops the run."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from curation.media import write_media
from curation.pipeline.curate import curate
from manifests.recipe import load_recipe
from manifests.records import Cut, Drop, Event, Recording, Source
from manifests.store import Corpus
from manifests.time import Segment
from manifests.uris import decode
from manifests.validation import validate

ODD = "a 'quoted' \"name\"\nof two lines, 100 % ünïcode.mp4"
NOT_UTF8 = os.fsdecode(b"caf\xe9.wav")


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory, record: Callable[..., Path]) -> Corpus:
    base = tmp_path_factory.mktemp("bad")
    media = base / "media"
    record(media / ODD, 61, seed=1)
    record(media / NOT_UTF8, 61, seed=2, video=False)
    record(media / "audio only.wav", 61, seed=3, video=False)

    # a picture without sound
    picture = (np.full((32, 48, 3), i % 256, np.uint8) for i in range(130))
    write_media(media / "mute.mp4", frames=picture, fps=2)

    # digital silence
    quiet = (np.zeros((1, 16_000), np.float32) for _ in range(62))
    write_media(media / "silence.wav", audio=quiet, sample_rate=16_000, audio_codec="pcm_s16le")

    # cut off: an MP4 before its index, a WAV in the midst of its sound
    whole = record(base / "whole.mp4", 61, seed=4).read_bytes()
    (media / "no index.mp4").write_bytes(whole[:20_000])
    sound = record(base / "whole.wav", 130, seed=5, video=False).read_bytes()
    (media / "cut off.wav").write_bytes(sound[: len(sound) * 6 // 10])

    # ten kilobytes of the sound in the middle overwritten
    healthy = bytearray(record(base / "healthy.mkv", 150, seed=6, video=False).read_bytes())
    middle = len(healthy) // 2
    healthy[middle : middle + 10_000] = random.Random(1).randbytes(10_000)
    (media / "damaged.mkv").write_bytes(bytes(healthy))

    (media / "zero.mp4").touch()
    (media / "words.mp4").write_text("only words\n" * 100)
    (media / "copy.wav").write_bytes((media / "audio only.wav").read_bytes())
    (media / "nowhere.mp4").symlink_to(base / "not there.mp4")
    (media / "outside.wav").symlink_to(base / "whole.wav")
    os.mkfifo(media / "pipe.mp4")

    corpus = Corpus.create(base / "corpus")
    curate(corpus, [media], load_recipe("packaged"), workers=2)
    return corpus


def name_of(uri: str) -> str:
    return os.fspath(decode(uri)[1])


def test_every_input_ends_as_a_row_with_its_reason(curated: Corpus) -> None:
    sources = {row.source_id: row for row in curated.rows(Source)}
    recordings = {row.recording_id: row for row in curated.rows(Recording)}
    uris = {key: row.uri for key, row in (sources | recordings).items()}
    reasons = {name_of(uris[drop.item]): drop.reason for drop in curated.rows(Drop)}
    copies = {name for name, reason in reasons.items() if reason == "duplicate"}
    assert copies == {"copy.wav"}
    assert {name: reason for name, reason in reasons.items() if name not in copies} == {
        "mute.mp4": "no_audio_stream",
        "silence.wav": "silence",
        "no index.mp4": "unreadable",
        "zero.mp4": "empty_file",
        "words.mp4": "not_media",
        "nowhere.mp4": "vanished",
        "outside.wav": "outside_root",
        "pipe.mp4": "not_media",
    }
    cut = {name_of(recordings[row.recording_id].uri) for row in curated.rows(Cut)}
    assert cut == {ODD, NOT_UTF8, "audio only.wav", "cut off.wav", "damaged.mkv"}
    assert {name_of(row.uri) for row in sources.values()} == cut | reasons.keys()
    assert validate(curated) == []


def test_what_is_damaged_is_kept_without_the_damage(curated: Corpus) -> None:
    (damaged,) = (row for row in curated.rows(Recording) if name_of(row.uri) == "damaged.mkv")
    assert damaged.status == "damaged"
    lost = [
        row.segment
        for row in curated.rows(Event)
        if row.recording_id == damaged.recording_id and row.label == "artifact"
    ]
    assert lost and all(Segment(70, 80).overlaps(segment) for segment in lost)
    cuts = [row.segment for row in curated.rows(Cut) if row.recording_id == damaged.recording_id]
    assert len(cuts) == 2 and not any(cut.overlaps(segment) for cut in cuts for segment in lost)


def test_what_is_cut_off_is_kept_as_far_as_it_goes(curated: Corpus) -> None:
    (row,) = (row for row in curated.rows(Recording) if name_of(row.uri) == "cut off.wav")
    assert row.status == "truncated"
    assert row.duration == pytest.approx(78, abs=0.1)


def small(folder: Path, **files: bytes) -> Corpus:
    """A corpus of files of these contents; a name has `_` for its last dot."""
    media = folder / "media"
    media.mkdir()
    for name, content in files.items():
        (media / name.replace("_", ".")).write_bytes(content)
    corpus = Corpus.create(folder / "corpus")
    for _ in range(2):  # what a run wrote does not stop the next one
        curate(corpus, [media], load_recipe("packaged"), workers=1)
        assert validate(corpus) == []
    return corpus


def wave(seconds: int, claimed: int | None = None) -> bytes:
    """A WAV file, 8 kHz mono, whose header may claim another length."""
    rate = 8000
    samples = np.random.default_rng(seconds).integers(-3000, 3000, seconds * rate).astype("<i2").tobytes()
    size = len(samples) if claimed is None else claimed * rate * 2
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form + struct.pack("<4sI", b"data", size) + samples


def test_files_of_the_same_bytes_that_are_no_media_are_one_row(tmp_path: Path) -> None:
    words = b"only words\n" * 100
    corpus = small(tmp_path, words_mp4=words, again_mp3=words, third_wav=words)
    (row,) = corpus.rows(Recording)
    assert row.status == "unreadable"
    reasons = [(drop.item_kind, drop.reason) for drop in corpus.rows(Drop)]
    assert sorted(reasons) == [("recording", "not_media"), ("source", "duplicate"), ("source", "duplicate")]


@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_random_bytes_are_no_media_whatever_their_name(tmp_path: Path, size: int) -> None:
    corpus = small(tmp_path, noise_mp3=random.Random(size).randbytes(size))
    (row,) = corpus.rows(Recording)
    assert row.status == "unreadable" and not row.duration
    (drop,) = corpus.rows(Drop)
    assert (drop.stage, drop.reason) == ("identify", "not_media")
    assert drop.detail == "no frame of audio in it"


def test_a_header_that_claims_more_than_the_file_holds(tmp_path: Path) -> None:
    corpus = small(tmp_path, claims_wav=wave(25, claimed=374))
    (row,) = corpus.rows(Recording)
    assert (row.duration, row.status) == (25.0, "truncated")
    (drop,) = corpus.rows(Drop)
    assert (drop.reason, drop.detail) == ("too_short", "lasts 25.0 s, cuts need 60 s")


def test_of_two_files_with_one_sound_the_whole_one_is_read(tmp_path: Path) -> None:
    corpus = small(tmp_path, claims_wav=wave(25, claimed=374), whole_wav=wave(25))
    (row,) = corpus.rows(Recording)
    assert (name_of(row.uri), row.status, row.duration) == ("whole.wav", "ok", 25.0)

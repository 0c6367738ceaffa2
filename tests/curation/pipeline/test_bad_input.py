"""Bad input, all kinds in one folder and one run: each ends as a row with its reason, and nothing stops the run."""

from __future__ import annotations

import os
import random
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
    curate(corpus, [media], load_recipe("default"), workers=2)
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

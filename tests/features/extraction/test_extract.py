"""Extraction from end to end: real films, the packaged encoders, real worker processes, real kills."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from typer.testing import CliRunner, Result

from app.cli import cli
from curation.detectors.score_store import setup_of
from curation.media import frames_reaching, mono_span
from curation.runner.progress import Progress
from features.cache import FeatureCache, check
from features.cache.index import read_index
from features.cache.of_corpus import cache_faults
from features.encoders import ModelUnavailable, VideoEncoder, open_encoder
from features.encoders.frames import resized
from features.extraction.codec_fit import refit
from features.extraction.extract import Extraction, extract
from manifests.fits import fit_items
from manifests.recipe import load_recipe
from manifests.records import Drop, Recording
from manifests.schema import CorpusError
from manifests.store import Corpus
from tests.support.made_up_annotators import a_task, an_answer
from tests.support.small_corpus import corpus_of, decide, film

LPSE = [sys.executable, "-c", "from app.cli import main; main()"]
SPANS = {"film.mp4": [(1.0, 17.0), (20.317, 31.9)], "sound.wav": [(0.5, 12.25)]}


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    film(folder / "film.mp4", 33, seed=1)
    film(folder / "sound.wav", 14, seed=2, video=False)
    return folder


@pytest.fixture(scope="module")
def extracted(media: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, Extraction]:
    corpus = corpus_of(tmp_path_factory.mktemp("extracted") / "corpus", media, SPANS)
    return corpus, extract(corpus, workers=1)


@pytest.fixture
def again(extracted: tuple[Corpus, Extraction], tmp_path: Path) -> Corpus:
    """A copy of the extracted corpus, to change."""
    shutil.copytree(extracted[0].path, tmp_path / "corpus")
    return Corpus.open(tmp_path / "corpus")


def parts(folder: Path) -> dict[str, bytes]:
    """All files of a cache but the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def recording_of(corpus: Corpus, name: str) -> str:
    (row,) = [row for row in corpus.rows(Recording) if row.uri.endswith(name)]
    return str(row.recording_id)


def test_every_accepted_cut_is_in_the_cache(extracted: tuple[Corpus, Extraction]) -> None:
    corpus, done = extracted
    cache = FeatureCache(done.folder)
    assert (done.cuts, done.new, done.withdrawn, done.problems) == (3, 3, 0, {})
    assert done.clips == len(cache) == 2 + 2 + 2
    assert done.seconds == pytest.approx(16 + 11.583 + 11.75)
    starts = sorted((float(cache[i]["start"]), bool(cache[i]["has_video"])) for i in range(len(cache)))
    assert [start for start, _ in starts] == pytest.approx([0.5, 1.0, 4.25, 9.0, 20.317, 23.9])
    assert [seen for _, seen in starts] == [False, True, False, True, True, True]
    assert check(done.folder) == [] and list(cache_faults(corpus)) == []
    assert set(cache.cuts["caption_source"].to_pylist()) == {"none"}


@pytest.mark.parametrize("stream", ["visual", "sync"])
def test_a_clips_pictures_are_those_of_its_own_seconds(
    extracted: tuple[Corpus, Extraction], media: Path, stream: str
) -> None:
    """The same vectors as from a decode, a resize and a call of the encoder for this clip alone."""
    corpus, done = extracted
    cache = FeatureCache(done.folder)
    features = load_recipe("packaged").features
    encoder: VideoEncoder = open_encoder(getattr(features, stream), setup_of(corpus, load_recipe("packaged")))
    pictures = encoder.spec.frames
    assert pictures is not None
    checked = 0
    for index in range(len(cache)):
        clip = cache[index]
        if not clip["has_video"]:
            assert not clip[stream].any()
            continue
        if stream == "visual" and not clip["clip"]:  # takes seconds; `test_globals` compares the first ones
            continue
        checked += 1
        times = [float(clip["start"]) + k / pictures.fps for k in range(8 * pictures.fps)]
        shown = [image for indices, image in frames_reaching(media / "film.mp4", times) for _ in indices]
        alone = encoder.encode(torch.stack([resized(image, pictures) for image in shown]))
        torch.testing.assert_close(clip[stream].float(), alone, rtol=2e-3, atol=2e-3)
    assert checked == (2 if stream == "visual" else 4)


def test_a_clips_latents_are_those_of_its_own_seconds(extracted: tuple[Corpus, Extraction], media: Path) -> None:
    corpus, done = extracted
    cache = FeatureCache(done.folder)
    codec = open_encoder("melcodec_16k", setup_of(corpus, load_recipe("packaged")))
    assert codec.spec.sample_rate is not None
    names = {True: "film.mp4", False: "sound.wav"}
    for index in range(len(cache)):
        clip = cache[index]
        start = float(clip["start"])
        sound = mono_span(media / names[bool(clip["has_video"])], start, start + 8, codec.spec.sample_rate)
        mean, deviation = codec.encode(torch.from_numpy(sound[: codec.spec.samples]))
        # a resampler that begins at the clip instead of the cut differs in its first milliseconds
        torch.testing.assert_close(clip["mean"].float()[2:-2], mean[2:-2], rtol=5e-3, atol=5e-3)
        torch.testing.assert_close(clip["std"].float(), deviation, rtol=2e-3, atol=2e-3)


def test_globals_come_from_the_cut_alone(extracted: tuple[Corpus, Extraction]) -> None:
    cache = FeatureCache(extracted[1].folder)
    for cut, row in enumerate(cache.cuts.to_pylist()):
        indices = list(cache.clips_of(cut))
        first = cache[indices[0]]
        if not row["has_video"]:
            continue
        whole = cache.whole(cut)
        seconds = row["end"] - row["start"]
        assert len(whole["visual_all"]) == int(seconds * 8 + 1e-6)
        assert len(whole["sync_all"]) == 8 * ((int(seconds * 25 + 1e-6) - 16) // 8 + 1)
        torch.testing.assert_close(
            first["visual_mean"].float(), whole["visual_all"].float().mean(0), rtol=1e-2, atol=1e-2
        )
        mean = cache.take(indices)["sync"].float().mean(0)
        torch.testing.assert_close(first["sync_mean"].float(), mean, rtol=1e-2, atol=1e-2)
        torch.testing.assert_close(first["visual"], whole["visual_all"][:64])
        torch.testing.assert_close(first["sync"], whole["sync_all"][:192])


def test_a_second_run_does_nothing(again: Corpus) -> None:
    (folder,) = (again.path / "features").iterdir()
    before = parts(folder)
    steps: list[Progress] = []
    done = extract(again, workers=1, on_progress=steps.append)
    assert (done.new, done.cuts, steps) == (0, 3, [])
    assert parts(folder) == before


def test_what_is_not_accepted_any_more_is_hidden_and_comes_back(again: Corpus) -> None:
    sound, picture = recording_of(again, "sound.wav"), recording_of(again, "film.mp4")
    decide(again, {picture: [(1.0, 17.0)]})
    done = extract(again, workers=1)
    assert (done.cuts, done.new, done.withdrawn, done.clips) == (1, 0, 2, 2)
    before = parts(done.folder)
    decide(again, {picture: [(1.0, 17.0), (20.317, 31.9)], sound: [(0.5, 12.25)]})
    done = extract(again, workers=1)
    assert (done.cuts, done.new, done.withdrawn, done.clips) == (3, 0, 0, 6)
    after = parts(done.folder)
    assert {name for name in after if after[name] != before[name]} == {"index.parquet"}


def test_new_cuts_are_added_in_new_parts(again: Corpus) -> None:
    picture, sound = recording_of(again, "film.mp4"), recording_of(again, "sound.wav")
    (folder,) = (again.path / "features").iterdir()
    before = parts(folder)
    decide(again, {picture: [(1.0, 17.0), (20.317, 31.9)], sound: [(2.0, 10.0)]})
    done = extract(again, workers=1)
    assert (done.cuts, done.new, done.withdrawn) == (3, 1, 1)
    after = parts(folder)
    assert set(after) - set(before) == {"clips/part-00001.parquet", "cuts/part-00001.parquet"}
    assert all(after[name] == before[name] for name in before if name != "index.parquet")
    assert len(FeatureCache(folder)) == 2 + 2 + 1


def test_a_listeners_words_take_the_place_of_tags_without_a_second_extraction(again: Corpus) -> None:
    picture = recording_of(again, "film.mp4")
    task = replace(a_task("t", start_ms=0, length_ms=33_000), recording_id=picture)
    heard = replace(an_answer(task, "ann"), caption=" waves\non a beach ")
    again.append("annotations", [heard])
    (folder,) = (again.path / "features").iterdir()
    text = FeatureCache(folder)[0]["text"]
    done = extract(again, workers=1)
    assert done.new == 0
    cache = FeatureCache(folder)
    captions = {row["caption"]: row["caption_source"] for row in cache.cuts.to_pylist()}
    assert captions == {"waves on a beach": "human", "": "none"}
    changed = [cache[i]["text"] for i in range(len(cache)) if cache[i]["has_video"]]
    encoder = open_encoder("minilm", setup_of(again, load_recipe("packaged")))
    for found in changed:
        torch.testing.assert_close(found.float(), encoder.encode("waves on a beach"), rtol=1e-3, atol=1e-3)
        assert not torch.equal(found, text)
    decide(again, {recording_of(again, "sound.wav"): [(0.5, 12.25)]})
    extract(again, workers=1)
    hidden = [row for row in read_index(folder).to_pylist() if row["state"] == "withdrawn"]
    assert [row["caption"] for row in hidden] == ["waves on a beach"] * 2


def test_a_file_that_is_gone_costs_its_cuts_and_says_so(media: Path, tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    shutil.copy(media / "sound.wav", tmp_path / "media")
    film(tmp_path / "media" / "other.wav", 14, seed=3, video=False)
    spans = {"other.wav": [(1.0, 9.0), (9.0, 13.0)], "sound.wav": SPANS["sound.wav"]}
    corpus = corpus_of(tmp_path / "corpus", tmp_path / "media", spans)
    (tmp_path / "media" / "sound.wav").unlink()
    done = extract(corpus, workers=1)
    assert done.cuts == 1 and sorted(reason for reason, _ in done.problems.values()) == ["too_short", "vanished"]
    drops = list(corpus.rows(Drop, pc.field("stage") == "extract"))
    assert {(drop.item, drop.reason, drop.item_kind) for drop in drops} == {
        (cut, reason, "cut") for cut, (reason, _) in done.problems.items()
    }
    shutil.copy(media / "sound.wav", tmp_path / "media")
    done = extract(corpus, workers=1)
    assert (done.cuts, done.new) == (2, 1)
    assert [drop.reason for drop in corpus.rows(Drop)] == ["too_short"]


def test_a_codec_is_fitted_once_and_anew_only_when_asked(again: Corpus) -> None:
    (hash,) = again.fits["melcodec_16k"]
    assert len(fit_items(again.path / "fits" / f"melcodec_16k-{hash}")) == 3
    decide(again, {recording_of(again, "sound.wav"): [(0.5, 12.25)]})
    extract(again, workers=1)
    assert again.fits["melcodec_16k"] == (hash,)
    assert refit(again, "melcodec_16k").startswith("melcodec_16k: fitted on 1 cuts, ")
    assert again.fits["melcodec_16k"] != (hash,)
    done = extract(again, workers=1)
    assert done.new == 1 and len(list((again.path / "features").iterdir())) == 2


def test_a_damaged_codec_is_named_and_healed_by_a_refit(again: Corpus) -> None:
    (codec,) = (again.path / "fits").glob("melcodec_16k-*/codec.safetensors")
    whole = codec.read_bytes()
    codec.write_bytes(whole[:1000])
    decide(again, {recording_of(again, "sound.wav"): [(0.5, 12.25), (1.0, 9.0)]})
    named = r"damaged: the checksum of codec.safetensors does not match: run lpse refit melcodec_16k"
    with pytest.raises(ModelUnavailable, match=named):
        extract(again, workers=1)
    decide(again, {recording_of(again, name): spans for name, spans in SPANS.items()})
    refit(again, "melcodec_16k")
    assert codec.read_bytes() == whole


def test_a_recipe_that_decides_otherwise_is_refused(again: Corpus) -> None:
    default = load_recipe("packaged")
    other = replace(default, spans=replace(default.spans, min_duration=30.0))
    with pytest.raises(
        CorpusError, match=r"decided by the recipe packaged \(\w+\); packaged \(\w+\) has other decision settings"
    ):
        extract(again, other, workers=1)
    same = replace(default, features=replace(default.features, dtype="float32"))
    decide(again, {recording_of(again, "sound.wav"): [(0.5, 12.25)]})
    done = extract(again, same, workers=1)
    assert done.new == 1 and FeatureCache(done.folder)[0]["visual"].dtype == torch.float32


@pytest.mark.slow
def test_killed_at_random_and_started_again_it_ends_with_the_same_bytes(
    media: Path, extracted: tuple[Corpus, Extraction], tmp_path: Path
) -> None:
    expected = parts(extracted[1].folder)
    rng = random.Random(5)
    corpus = corpus_of(tmp_path / "corpus", media, SPANS)
    kills, ended = 0, False
    while not ended:
        command = [*LPSE, "extract", "--corpus", str(corpus.path), "--workers", str(rng.choice([1, 2]))]
        known = len(list(corpus.path.rglob("*")))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        # it writes only after seconds of imports: a kill before is no kill
        while process.poll() is None and kills < 2 and len(list(corpus.path.rglob("*"))) <= known:
            time.sleep(0.02)
        deadline = time.monotonic() + rng.uniform(0.0, 3.0)
        while process.poll() is None and kills < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        if process.poll() is None and kills < 2:
            process.send_signal(signal.SIGKILL)
            kills += 1
        output, _ = process.communicate(timeout=300)
        assert process.returncode in (0, -signal.SIGKILL), output.decode()
        ended = process.returncode == 0
    (folder,) = (corpus.path / "features").iterdir()
    assert folder.name == extracted[1].folder.name
    assert parts(folder) == expected
    assert not list(cache_faults(corpus))
    assert kills >= 2


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--corpus", "nowhere"], "not a corpus"),
        (["--corpus", "{corpus}", "--recipe", "full"], "has other decision settings"),
        (["--corpus", "{corpus}", "--device", "cuda:99"], "--device cuda:99: "),
        (["--corpus", "{empty}"], "nothing was curated yet"),
    ],
)
def test_bad_input_is_one_line(again: Corpus, tmp_path: Path, arguments: list[str], line: str) -> None:
    empty = Corpus.create(tmp_path / "empty")
    ran = lpse("extract", *(word.format(corpus=again.path, empty=empty.path) for word in arguments))
    assert ran.exit_code == 2
    assert ran.stderr.count("\n") == 1 and ran.stderr.startswith("lpse: ") and line in ran.stderr


def test_missing_weights_are_named_before_anything_is_begun(again: Corpus) -> None:
    default = load_recipe("packaged")
    full = replace(default, features=replace(default.features, visual="clip"))
    before = sorted((again.path / "features").iterdir())
    with pytest.raises(RuntimeError, match=r"^clip: needs open_clip"):
        extract(again, full, workers=1)
    assert sorted((again.path / "features").iterdir()) == before
    assert np.isfinite(FeatureCache(before[0])[0]["mean"].float().numpy()).all()


def lpse(*arguments: object) -> Result:
    """Run the command in this process: starting one takes seconds, and the killed extraction has real ones."""
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_mmaudios_layout_there_and_back(extracted: tuple[Corpus, Extraction], tmp_path: Path) -> None:
    folder = extracted[1].folder
    shown = lpse("features", "show", folder).stdout
    assert "efficientnet" in shown and "192 x 96" in shown and "6 clips of 8 s" in shown
    done = lpse("features", "export", folder, tmp_path / "set")
    assert done.stdout == f"4 clips in {tmp_path / 'set'} and {tmp_path / 'set.tsv'}\n", done.stderr
    done = lpse("features", "import", tmp_path / "set", tmp_path / "back")
    assert done.stdout == f"4 clips in {tmp_path / 'back'}\n", done.stderr
    cache, back = FeatureCache(folder), FeatureCache(tmp_path / "back")
    seen = [index for index in range(len(cache)) if cache[index]["has_video"]]
    for index, ours in enumerate(seen):
        for stream in ("visual", "sync", "mean", "std", "text"):
            assert torch.equal(cache[ours][stream], back[index][stream])
    assert back.spec.audio.encoder == "vae_16k" and back.spec.audio.version == "mmaudio"
    assert check(tmp_path / "back") == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["show", "nowhere"], "not a feature cache, set.json is missing"),
        (["export", "{folder}", "{out}", "--split", "test"], "no clips for a set of video of split test"),
        (["import", "nowhere", "{out}"], "not the description of a TensorDict"),
    ],
)
def test_what_cannot_be_converted_is_one_line(
    extracted: tuple[Corpus, Extraction], tmp_path: Path, arguments: list[str], line: str
) -> None:
    done = lpse("features", *(word.format(folder=extracted[1].folder, out=tmp_path / "out") for word in arguments))
    assert done.exit_code == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and line in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_damaged_cache_is_a_fault_of_the_corpus(again: Corpus) -> None:
    assert lpse("validate", "--corpus", again.path).exit_code == 0
    (part,) = again.path.glob("features/*/clips/*.parquet")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    done = lpse("validate", "--corpus", again.path)
    assert done.exit_code == 1
    first = done.stdout.splitlines()[0]
    assert first.startswith(f"features: {part.parent.parent.name}/clips/part-00000.parquet: "), done.stdout
    assert done.stdout.splitlines()[-1] == "1 fault"

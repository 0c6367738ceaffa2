"""Every kind of file of a corpus, damaged in every way: what can be made again is, and says so; the rest is named.

Damage is a file cut off, with one bit flipped, emptied or deleted. No command may raise anything but a refusal in one
line that names the file and the cure.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from annotation.tasks.windows import prelabel_counts
from app.report import write_report
from curation.media import write_media
from curation.pipeline.curate import curate, replay
from curation.pipeline.refit import refit
from features.cache.of_corpus import cache_faults
from features.extraction.codec_fit import refit as refit_codec
from features.extraction.extract import extract
from manifests.checks import Fault
from manifests.errors import LpseError
from manifests.recipe import load_recipe
from manifests.records import Recording, Task, Verdict
from manifests.store import Corpus
from manifests.validation import validate
from tests.conftest import surf
from tests.support.in_process import in_process
from tests.support.made_up_annotators import NOON, a_task, an_answer
from tests.support.stops import state_of

RECIPE = load_recipe("packaged")


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x80
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def delete(path: Path) -> None:
    path.unlink()


DAMAGES: tuple[Callable[[Path], None], ...] = (cut_off, flip, empty, delete)
BY_RUN = (
    "manifests/scores/*/*-level-*.parquet",
    "manifests/scores/*/*-silero-*.parquet",
    "manifests/scores/*/*-yamnet-*.parquet",
    "manifests/scores/*/*-picture-*.parquet",
    "manifests/prints/*/*-audio-*.parquet",
    "manifests/prints/*/*-picture-*.parquet",
    "manifests/events/part-*.parquet",
    "manifests/cuts/part-*.parquet",
    "manifests/drops/part-*.parquet",
    "manifests/duplicates/part-*.parquet",
    "ledger/part-*.parquet",
    "fits/duplicates_audio-*/fit.json",
    "fits/duplicates_audio-*/items.txt",
    "fits/duplicates_audio-*/matches.json",
    "fits/duplicates_audio-*/index/keys.npy",
    "fits/duplicates_audio-*/index/index.json",
)
"""Files that `curate` and `replay` make again."""
BY_EXTRACT = (
    "features/*/set.json",
    "features/*/index.parquet",
    "features/*/clips/part-*.parquet",
    "features/*/cuts/part-*.parquet",
    "features/*/texts/part-*.parquet",
)
"""Files that `extract` makes again."""
KEPT = (
    "corpus.toml",
    "manifests/sources/part-*.parquet",
    "manifests/recordings/part-*.parquet",
    "manifests/tasks/part-*.parquet",
    "manifests/annotations/part-*.parquet",
    "manifests/verdicts/part-*.parquet",
)
"""Files that no command makes again."""


@dataclass(frozen=True)
class Base:
    media: Path
    corpus: Path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A film, its copy in another codec, a sound, a text called .wav; people's words; features; a report."""
    folder = tmp_path_factory.mktemp("whole")
    media = folder / "media"
    media.mkdir()
    for name, seconds, seed in (("film.mp4", 64, 1), ("copy.mp4", 63, 1), ("sound.wav", 62, 2)):
        still = np.random.default_rng(seed).integers(0, 256, (32, 48, 3), np.uint8)
        write_media(
            media / name,
            frames=None if name.endswith("wav") else (np.roll(still, k, axis=1) for k in range(seconds * 2)),
            fps=None if name.endswith("wav") else 2,
            audio=surf(seconds, seed),
            sample_rate=16_000,
            audio_codec="pcm_s16le" if name.endswith("wav") else "aac",
            audio_bitrate=48_000 if name == "copy.mp4" else 128_000,
        )
    (media / "notes.wav").write_text("no media at all\n" * 40)
    corpus = Corpus.create(folder / "corpus")
    curate(corpus, [media], RECIPE, workers=2)
    recording = min(row.recording_id for row in corpus.rows(Recording) if row.uri.endswith("sound.wav"))
    task = replace(a_task("t", "label", length_ms=60_000), recording_id=recording)
    corpus.append("tasks", [task])
    corpus.append("annotations", [an_answer(task, "ann")])
    corpus.append(
        "verdicts",
        [
            Verdict(
                verdict_id="v", recording_id=recording, start_ms=0, end_ms=61_000, decision="keep", reasons=(),
                method="reviewer", author="ann", made_at=NOON,
            )
        ],
    )  # fmt: skip
    replay(corpus, RECIPE, runner=in_process)
    extract(corpus, workers=1)
    write_report(corpus, corpus.path / "reports" / "curation.html")
    assert [*validate(corpus), *cache_faults(corpus)] == []
    assert corpus.table("duplicates").count() and corpus.table("drops").count()
    return Base(media, corpus.path)


@dataclass
class Case:
    """A copy of the corpus with one damaged file."""

    base: Base
    folder: Path
    pattern: str
    damage: Callable[[Path], None]
    number: int = 0

    def fresh(self) -> Path:
        """The damaged copy and the file's path in it."""
        self.number += 1
        copy = Path(shutil.copytree(self.base.corpus, self.folder / str(self.number)))
        path = sorted(copy.glob(self.pattern))[0]
        self.damage(path)
        return copy

    @property
    def file(self) -> Path:
        return sorted(self.base.corpus.glob(self.pattern))[0].relative_to(self.base.corpus)

    @property
    def place(self) -> str:
        """What a message must name: the file, or the fit that it belongs to."""
        return str(self.file.parts[1] if self.file.parts[0] == "fits" else self.file.name)


def run_curate(corpus: Corpus, media: Path) -> None:
    curate(corpus, [media], RECIPE, runner=in_process)


def run_replay(corpus: Corpus, media: Path) -> None:
    replay(corpus, RECIPE, runner=in_process)


def run_extract(corpus: Corpus, media: Path) -> None:
    extract(corpus, workers=1)


def run_report(corpus: Corpus, media: Path) -> None:
    counts = prelabel_counts(corpus.rows(Task))
    write_report(corpus, corpus.path / "reports" / "curation.html", predicted=counts, budget_bytes=1000)


def refused(copy: Path, media: Path, command: Callable[[Corpus, Path], None]) -> str | None:
    """The refusal, as the command line shows it; None if the command did its work. Other errors pass."""
    try:
        command(Corpus.open(copy), media)
    except LpseError as error:
        return " ".join(str(error).split())
    return None


def faults(copy: Path) -> list[Fault]:
    corpus = Corpus.open(copy)
    return [*validate(corpus), *cache_faults(corpus)]


@pytest.fixture
def case(base: Base, tmp_path: Path, request: pytest.FixtureRequest) -> Case:
    pattern, damage = request.param
    return Case(base, tmp_path, pattern, damage)


def all_of(patterns: tuple[str, ...]) -> list[object]:
    return [
        pytest.param((pattern, damage), id=f"{damage.__name__} {pattern}") for pattern in patterns for damage in DAMAGES
    ]


def assert_named(case: Case, text: str) -> None:
    assert case.place in text and ("lpse " in text or "from a backup" in text), text


@pytest.mark.parametrize("case", all_of(BY_RUN), indirect=True)
def test_what_a_run_makes_again_heals_and_says_so(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    found = faults(case.fresh())
    if case.damage is not delete:
        assert any(case.place in fault.item for fault in found), found
    for reader in (run_report, run_extract):
        text = refused(case.fresh(), case.base.media, reader)
        assert text is None or case.damage is delete or (case.place in text and "lpse replay" in text)
    whole = state_of(Corpus.open(case.base.corpus))
    for command in (run_curate, run_replay):
        copy = case.fresh()
        caplog.clear()
        with caplog.at_level(logging.WARNING, "manifests.healing"):
            assert refused(copy, case.base.media, command) is None
        if case.damage is not delete:
            assert any(case.place in record.getMessage() for record in caplog.records)
        assert faults(copy) == []
        assert state_of(Corpus.open(copy)) == whole
        if case.file.parts[0] == "manifests":
            assert (copy / case.file).read_bytes() == (case.base.corpus / case.file).read_bytes()


@pytest.mark.parametrize("case", all_of(BY_EXTRACT), indirect=True)
def test_what_extract_makes_again_heals_and_says_so(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    copy = case.fresh()
    large_flip = case.damage is flip and case.file.parts[2] in ("clips", "cuts", "texts")
    if case.damage is not delete or case.file.name != "index.parquet":
        found = [fault for fault in faults(copy) if fault.table == "features"]
        assert found and all("lpse extract" in fault.problem for fault in found)
    for command in (run_report, run_replay, run_curate):
        assert refused(case.fresh(), case.base.media, command) is None
    if large_flip:  # only validate reads all bytes; its cure is to remove the file
        (copy / case.file).unlink()
    with caplog.at_level(logging.WARNING, "manifests.healing"):
        assert refused(copy, case.base.media, run_extract) is None
    if case.damage is not delete and not large_flip:
        assert any(case.file.name in record.getMessage() for record in caplog.records)
    assert faults(copy) == []
    assert len(list((copy / "features").iterdir())) == 1


@pytest.mark.parametrize("case", all_of(KEPT), indirect=True)
def test_what_cannot_be_made_again_is_named_with_its_cure(case: Case) -> None:
    copy = case.fresh()
    if case.file.name == "corpus.toml":
        for command in (run_report, run_extract, run_curate, run_replay):
            text = refused(copy, case.base.media, command)
            assert text is not None and "corpus.toml" in text
            assert "backup" in text or case.damage is delete
        if case.damage is delete:
            with pytest.raises(
                LpseError, match=r"has the tables of a corpus, but no corpus.toml: restore it from a back"
            ):
                Corpus.obtain(copy)
        return
    if case.damage is not delete:
        found = faults(copy)
        assert [fault.item for fault in found if fault.problem.startswith("unreadable")] == [case.file.as_posix()]
        assert "from a backup" in next(fault.problem for fault in found if fault.item == case.file.as_posix())
    read = 0
    for command in (run_report, run_extract, run_curate, run_replay):
        before = {path: path.read_bytes() for path in (copy / "manifests").rglob("part-*.parquet")}
        text = refused(copy, case.base.media, command)
        if text is not None:
            read += 1
            if case.damage is not delete:
                assert_named(case, text)
                assert str(case.file.parent) in text
            assert {path: path.read_bytes() for path in (copy / "manifests").rglob("part-*.parquet")} == before
    assert read or case.damage is delete or "tasks" in case.pattern


def test_sources_and_recordings_come_back_by_the_named_cure(base: Base, tmp_path: Path) -> None:
    for name in ("sources", "recordings"):
        copy = Path(shutil.copytree(base.corpus, tmp_path / name))
        (copy / "manifests" / name / "part-00000.parquet").unlink()
        run_curate(Corpus.open(copy), base.media)
        assert faults(copy) == []
        assert state_of(Corpus.open(copy)) == state_of(Corpus.open(base.corpus))


def test_damaged_scores_without_their_media_are_named_and_kept(
    base: Base, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = Path(shutil.copytree(base.corpus, tmp_path / "copy"))
    media = Path(shutil.copytree(base.media, tmp_path / "media"))
    settings = copy / "corpus.toml"
    settings.write_text(settings.read_text().replace(str(base.media), str(media)))
    path = sorted(copy.glob("manifests/scores/*/*-level-*.parquet"))[0]
    whole, state = path.read_bytes(), state_of(Corpus.open(copy))
    cut_off(path)
    media.rename(tmp_path / "elsewhere")
    with caplog.at_level(logging.WARNING, "manifests.healing"):
        run_replay(Corpus.open(copy), media)
    assert any(
        path.name in record.getMessage() and "its media is missing" in record.getMessage() for record in caplog.records
    )
    assert any("its scores cannot be read" in (row.detail or "") for row in Corpus.open(copy).table("drops").rows())
    path.write_bytes(whole)  # from a backup
    run_replay(Corpus.open(copy), media)
    assert state_of(Corpus.open(copy)) == state


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", ["codec.safetensors", "fit.json", "items.txt"])
def test_a_damaged_codec_is_named_and_refit_makes_it_again(
    base: Base, tmp_path: Path, damage: Callable[[Path], None], file: str
) -> None:
    copy = Path(shutil.copytree(base.corpus, tmp_path / "copy"))
    fits = sorted((copy / "fits").glob("melcodec_*"))
    if not fits:
        pytest.skip("the default recipe has no fitted codec")
    path = fits[0] / file
    whole = {one.name: one.read_bytes() for one in fits[0].iterdir()}
    damage(path)
    text = refused(copy, base.media, run_extract)
    assert text is not None and fits[0].name in text and "lpse refit melcodec" in text
    assert any(fits[0].name in fault.item for fault in validate(Corpus.open(copy)))
    refit_codec(Corpus.open(copy), fits[0].name.rpartition("-")[0])
    assert {one.name: one.read_bytes() for one in fits[0].iterdir()} == whole
    assert refused(copy, base.media, run_extract) is None
    assert faults(copy) == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_refit_makes_a_damaged_index_again(base: Base, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    copy = Path(shutil.copytree(base.corpus, tmp_path / "copy"))
    path = sorted(copy.glob("fits/duplicates_audio-*/matches.json"))[0]
    damage(path)
    refit(Corpus.open(copy), "duplicates", RECIPE)
    assert faults(copy) == []
    run_replay(Corpus.open(copy), base.media)
    assert state_of(Corpus.open(copy)) == state_of(Corpus.open(base.corpus))

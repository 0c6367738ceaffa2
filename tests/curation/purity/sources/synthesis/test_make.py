"""Packages: made, resumed, left alone when complete; failures listed; splits that no voice crosses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from curation.purity.sources.pool import RATE, Pool, PoolWriter, Source
from curation.purity.sources.synthesis import effects, music, singing, speech
from curation.purity.sources.synthesis.jobs import Job, LeftOut, make_package
from curation.purity.sources.synthesis.make import VERSIONS, make
from curation.purity.sources.synthesis.programs import Places, SynthesisError
from curation.purity.sources.synthesis.recorded import Recordings
from curation.purity.sources.synthesis.texts import languages, lyrics, sentence


class Counted:
    """Samples that count how often they are computed; `error` is raised instead, if there is one."""

    def __init__(self, value: int, error: str = "") -> None:
        self.value, self.error, self.calls = value, error, 0

    def __call__(self) -> NDArray[np.int16]:
        self.calls += 1
        if self.error:
            raise SynthesisError(self.error)
        return np.full(RATE // 10, self.value, np.int16)


def job(name: str, render: Counted) -> Job:
    return Job(name, "MIT", "music", "style", name, "train", render)


def test_a_package_is_made_once_and_its_failures_are_listed(tmp_path: Path) -> None:
    good, bad = Counted(7), Counted(0, "mma failed: no such groove")
    jobs = [job("a", good), job("b", bad)]
    assert make_package(tmp_path, "synthesis-x", "1", jobs) == [LeftOut("b", "mma failed: no such groove")]
    pool = Pool.open(tmp_path)
    assert [(one.path, one.seconds) for one in pool.sources] == [("a", 0.1)]
    assert (pool.samples(0) == 7).all()
    assert [one.doubt for one in Pool.open(tmp_path, doubtful=True).sources] == ["", "mma failed: no such groove"]
    assert make_package(tmp_path, "synthesis-x", "1", jobs) == [LeftOut("b", "mma failed: no such groove")]
    assert (good.calls, bad.calls) == (1, 1)
    assert make_package(tmp_path, "synthesis-x", "2", [job("a", good)]) == []
    assert good.calls == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["synthesis-x.i16", "synthesis-x.parquet"]


def test_a_stopped_run_continues(tmp_path: Path) -> None:
    first, second = Counted(1), Counted(2)

    def stopped() -> NDArray[np.int16]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_package(tmp_path, "synthesis-x", "1", [job("a", first), replace(job("b", second), render=stopped)])
    assert not (tmp_path / "synthesis-x.parquet").exists()
    make_package(tmp_path, "synthesis-x", "1", [job("a", first), job("b", second)])
    assert (first.calls, second.calls) == (1, 1)
    assert [one.path for one in Pool.open(tmp_path).sources] == ["a", "b"]


def test_missing_programs_are_named_with_their_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SynthesisError) as caught:
        make(tmp_path / "pool", Places((tmp_path,)), [music.PACKAGE, speech.PACKAGE])
    text = str(caught.value)
    assert "\n" not in text
    for part in (
        "mma (apt-get install mma)",
        "TimGM6mb.sf2 (apt-get install timgm6mb-soundfont)",
        "hibari (pip install",
        "songs of rafkill-data (apt-get install rafkill-data)",
    ):
        assert part in text
    assert not (tmp_path / "pool").exists()
    assert list(VERSIONS) == [effects.PACKAGE, music.PACKAGE, speech.PACKAGE, singing.PACKAGE]


def test_voices_and_soundfonts_of_speech_and_singing_cross_no_split(tmp_path: Path) -> None:
    rows = [*speech.jobs(60, 20), *singing.jobs(Places((tmp_path,)), train=80, val=30, test=30)]
    groups = {s: {row.group for row in rows if row.split == s} for s in ("train", "val", "test")}
    assert all(groups.values())
    assert not groups["train"] & (groups["val"] | groups["test"]) and not groups["val"] & groups["test"]
    assert len({row.path for row in rows}) == len(rows)
    assert {row.kind for row in rows if row.split == "test"} == {"singing"}
    assert {row.category for row in rows if row.kind == "singing"} == {"a cappella", "accompanied"}
    fonts = {
        s: {row.path.rsplit("/", 1)[1] for row in rows if row.category == "accompanied" and row.split == s}
        for s in groups
    }
    assert fonts["test"] == {"opl3"} and "opl3" not in fonts["train"]


def test_recorded_voices_sing_in_their_own_split(tmp_path: Path) -> None:
    writer = PoolWriter(tmp_path, "voices")
    for number in range(8):
        split = "test" if number % 2 else "train"
        name = f"reader {number % 2}"
        length = 4 * RATE if number < 6 else RATE
        group = name if number < 6 else "short"
        writer.add(
            Source("voices", "1", f"{number}.ogg", "0", "CC0", "speech", "fi", group, split, length / RATE),  # type: ignore[arg-type]
            np.full(length, number + 1, np.int16),
        )
    writer.close()
    recordings = Recordings.of(Pool.open(tmp_path))
    assert (recordings.names("train"), recordings.names("test")) == (
        ["reader 0"],
        ["reader 1"],
    )  # one group is too short
    said = recordings.said(np.random.default_rng(0), "reader 1", seconds=6)
    assert 8 * RATE < len(said) < 9 * RATE
    rows = singing.jobs(Places((tmp_path,)), recordings, train=20, val=0, test=20)
    sung = {row.group: row.split for row in rows if row.path.startswith("recorded/")}
    assert sung == {"reader 0": "train", "reader 1": "test"}
    assert next(row.licence for row in rows if row.group == "reader 0").startswith("CC0 (voices)")


def test_texts_are_sentences_of_their_language() -> None:
    rng = np.random.default_rng(1)
    for language in languages():
        text = sentence(rng, language)
        assert text[-1] in ".?!" and len(text.split()) >= 5
        assert len(lyrics(rng, language, 12).split()) == 12
    assert sentence(np.random.default_rng(3), "fi") == sentence(np.random.default_rng(3), "fi")
    assert "{" not in "".join(sentence(rng, "en-us") for _ in range(40))

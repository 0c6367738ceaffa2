"""Gathering: what a package's files become in the pool, resumed and repeated."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from curation.purity.sources.decode import decoded, trimmed
from curation.purity.sources.gather import gather, is_current
from curation.purity.sources.packages import Table, read_table
from curation.purity.sources.pool import Pool
from curation.purity.sources.reserved import Reserved

TABLE = """
[[package]]
name = "zoo"
registry = "debian"
version = "1"
licence = "CC0-1.0"
rates = { 128000 = 44100 }
rules = [
  { files = "out/*", leave_out = "jingles" },
  { files = "speech/*", kind = "speech", category = "fr", split = "val" },
  { files = "*", category = "bird" },
]
"""


def table(**changes: str) -> Table:
    text = TABLE
    for old, new in changes.items():
        text = text.replace(old, new)
    return read_table(text)


def tone(hertz: float, seconds: float, rate: int, level: float = 0.5) -> NDArray[np.float32]:
    return np.asarray(level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate), np.float32)


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    folder = tmp_path / "zoo"
    for name in ("out", "speech"):
        (folder / name).mkdir(parents=True)
    stereo = np.stack([tone(440, 1, 32_000), np.zeros(32_000, np.float32)], axis=1)
    silence = np.zeros((3200, 2), np.float32)
    soundfile.write(folder / "a.wav", np.concatenate([silence, stereo, silence]), 32_000, "FLOAT")
    soundfile.write(folder / "speech" / "b.wav", tone(300, 0.5, 44_100), 128_000, "PCM_16")
    soundfile.write(folder / "out" / "c.wav", tone(300, 0.1, 16_000), 16_000)
    (folder / "d.wav").write_bytes(b"RIFF and nothing else")
    (folder / "notes.txt").write_bytes(b"no audio")
    return folder


def frequency(samples: NDArray[np.int16]) -> float:
    return float(
        np.argmax(np.abs(np.fft.rfft(samples.astype(float) * np.hanning(len(samples))))) / len(samples) * 16_000
    )


def test_what_files_become(zoo: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []
    one = table()
    assert gather(one.packages["zoo"], zoo, tmp_path / "pool", one, progress=lambda *step: seen.append(step))
    pool = Pool.open(tmp_path / "pool", doubtful=True)
    assert [(one.path, one.kind, one.category, one.split, one.doubt.split(":")[0]) for one in pool.sources] == [
        ("a.wav", "effects", "bird", "train", ""),
        ("d.wav", "effects", "bird", "train", "unreadable"),
        ("out/c.wav", "effects", "other", "train", "left out"),
        ("speech/b.wav", "speech", "fr", "val", ""),
    ]
    assert seen == [("zoo", i) for i in (1, 2, 3, 4)]
    assert [len(pool.samples(i)) for i in (1, 2)] == [0, 0]
    # the mean of both channels, without the silence around it, which a resampler blurs by some samples
    whole = pool.samples(0)
    assert abs(len(whole) - 16_000) < 800 and frequency(whole) == pytest.approx(440, abs=2)
    assert np.abs(whole).max() == pytest.approx(0.25 * 32768, rel=0.02)
    # 44,100 Hz that claim to be 128,000
    right = pool.samples(3)
    assert len(right) == pytest.approx(8000, abs=3) and frequency(right) == pytest.approx(300, abs=4)
    assert pool.sources[0].sha256 == hashlib.sha256((zoo / "a.wav").read_bytes()).hexdigest()
    assert [one.path for one in Pool.open(tmp_path / "pool").sources] == ["a.wav", "speech/b.wav"]


def test_reserved_files_are_left_out(zoo: Path, tmp_path: Path) -> None:
    one = table()
    reserved = Reserved([hashlib.sha256((zoo / "a.wav").read_bytes()).hexdigest()])
    gather(one.packages["zoo"], zoo, tmp_path / "pool", one, reserved)
    first = Pool.open(tmp_path / "pool", doubtful=True).sources[0]
    assert (first.path, first.doubt, first.seconds) == ("a.wav", "reserved", 0.0)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_gathering_is_done_once_and_comes_out_alike(zoo: Path, tmp_path: Path) -> None:
    one = table()
    package = one.packages["zoo"]
    assert gather(package, zoo, tmp_path / "pool", one)
    before = files(tmp_path / "pool")
    assert is_current(package, tmp_path / "pool", one)
    assert not gather(package, zoo, tmp_path / "pool", one)
    assert gather(package, zoo, tmp_path / "other", one)
    assert files(tmp_path / "other") == before


def test_a_gathering_that_was_stopped_leaves_nothing_and_is_repeated(zoo: Path, tmp_path: Path) -> None:
    one = table()

    def stop(package: str, count: int) -> None:
        if count == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gather(one.packages["zoo"], zoo, tmp_path / "pool", one, progress=stop)
    assert list((tmp_path / "pool").glob("[!.]*")) == []
    gather(one.packages["zoo"], zoo, tmp_path / "pool", one)
    gather(one.packages["zoo"], zoo, tmp_path / "whole", one)
    assert files(tmp_path / "pool") == files(tmp_path / "whole")


def test_other_rules_gather_again_with_the_samples_that_are_there(zoo: Path, tmp_path: Path) -> None:
    one = table()
    gather(one.packages["zoo"], zoo, tmp_path / "pool", one)
    samples = tmp_path / "pool" / "zoo.i16"
    marked = np.fromfile(samples, np.int16)
    marked[:] = 7  # of the first gathering, so that it shows whose samples come back
    marked.tofile(samples)
    other = table(bird="frog")
    assert gather(other.packages["zoo"], zoo, tmp_path / "pool", other)
    pool = Pool.open(tmp_path / "pool")
    assert pool.sources[0].category == "frog" and set(pool.samples(0)) == {7}
    # other sample rates are other samples
    other = table(**{"44100": "22050"})
    assert gather(other.packages["zoo"], zoo, tmp_path / "pool", other)
    pool = Pool.open(tmp_path / "pool")
    assert len(pool.samples(1)) == pytest.approx(16_000, abs=3) and len(set(pool.samples(0))) > 7


def test_silence_is_trimmed_at_the_ends_alone() -> None:
    assert list(trimmed(np.array([0, 0, 3, 0, -1, 0], np.int16))) == [3, 0, -1]
    assert list(trimmed(np.zeros(5, np.int16))) == []


def test_loud_samples_are_clipped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([1.5, -1.5, 0.5], np.float32), 16_000, "FLOAT")
    assert list(decoded(tmp_path / "a.wav")) == [32767, -32768, 16384]

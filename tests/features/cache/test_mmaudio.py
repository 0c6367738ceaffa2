"""MMAudio's layout of features, written and read, beside tensordict's own."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tensordict import TensorDict

from features.cache import CacheError, CacheSpec, FeatureCache, check
from features.cache.mmaudio import read_memmap, write_memmap
from tests.support.cache_cases import SPEC, cache_of, files, some, texts

CUTS = some(12)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(cache_of(tmp_path / "cache", CUTS))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_tensordict_opens_what_is_written(cache: FeatureCache, tmp_path: Path, dtype: Any) -> None:
    count = write_memmap(cache, tmp_path / "set", tmp_path / "set.tsv", dtype=dtype)
    opened = TensorDict.load_memmap(tmp_path / "set")
    seen = [index for index in range(len(cache)) if cache[index]["has_video"]]
    assert count == len(seen) == opened.batch_size[0] and count > 16, "more than a batch"
    names = {"mean": "mean", "std": "std", "clip_features": "visual", "sync_features": "sync", "text_features": "text"}
    assert set(opened.keys()) == names.keys()
    table = pd.read_csv(tmp_path / "set.tsv", sep="\t").to_dict("records")
    for row, index in enumerate(seen):
        clip = cache[index]
        for name, ours in names.items():
            assert torch.equal(opened[name][row], clip[ours].to(getattr(torch, dtype)))
        cut = CUTS[int(clip["cut"])].cut_id
        assert table[row] == {"id": f"{cut}_{int(clip['clip'])}", "label": f"the sound of {cut}"}


def test_our_description_is_tensordicts_own(cache: FeatureCache, tmp_path: Path) -> None:
    write_memmap(cache, tmp_path / "set", tmp_path / "set.tsv")
    opened = TensorDict.load_memmap(tmp_path / "set")
    TensorDict({name: values.clone() for name, values in opened.items()}, opened.batch_size).memmap(tmp_path / "own")
    assert json.loads((tmp_path / "set/meta.json").read_text()) == json.loads((tmp_path / "own/meta.json").read_text())
    for file in (tmp_path / "own").glob("*.memmap"):
        assert file.read_bytes() == (tmp_path / "set" / file.name).read_bytes()


def test_sets_of_sound_have_no_pictures(cache: FeatureCache, tmp_path: Path) -> None:
    assert write_memmap(cache, tmp_path / "set", tmp_path / "set.tsv", kind="audio") == len(cache)
    assert set(TensorDict.load_memmap(tmp_path / "set").keys()) == {"mean", "std", "text_features"}
    assert (tmp_path / "set.tsv").read_text().splitlines()[0] == "id\tcaption"
    with pytest.raises(CacheError, match="no clips for a set of video of split nothing"):
        write_memmap(cache, tmp_path / "none", tmp_path / "none.tsv", split="nothing")


def test_a_stream_that_is_needed_is_named(tmp_path: Path) -> None:
    spec = CacheSpec(audio=SPEC.audio, text=SPEC.text)
    cuts = [cut for cut in some(3) if not cut.has_video]
    cache = FeatureCache(cache_of(tmp_path / "cache", cuts, spec))
    with pytest.raises(CacheError, match="stream visual is missing; a set of video needs it"):
        write_memmap(cache, tmp_path / "set", tmp_path / "set.tsv")


def _theirs(folder: Path, count: int = 20, pictures: bool = True) -> TensorDict:
    draw = torch.Generator().manual_seed(1)
    shapes = {"mean": (12, 8), "std": (12, 8), "text_features": (7, 4)}
    shapes |= {"clip_features": (64, 16), "sync_features": (192, 10)} if pictures else {}
    arrays = {name: torch.randn(count, *shape, generator=draw) for name, shape in shapes.items()}
    captions = list(texts().values())
    arrays["text_features"] = torch.stack([torch.from_numpy(captions[row % 3][1]) for row in range(count)])
    theirs = TensorDict(arrays, batch_size=[count]).memmap(folder)
    with folder.with_suffix(".tsv").open("w", newline="") as file:
        lines = csv.writer(file, delimiter="\t")
        lines.writerow(["id", "label" if pictures else "caption"])
        lines.writerows([f"a/b {row}", f'"{captions[row % 3][0]}",\n again'] for row in range(count))
    return theirs


@pytest.mark.parametrize("pictures", [True, False])
def test_what_tensordict_wrote_becomes_a_cache(tmp_path: Path, pictures: bool) -> None:
    theirs = _theirs(tmp_path / "set", pictures=pictures)
    arguments = (tmp_path / "set", tmp_path / "new", SPEC)
    assert read_memmap(*arguments, split="val", part_bytes=4_000) == 20
    cache = FeatureCache(tmp_path / "new")
    assert len(cache) == len(cache.cuts) == 20 and check(tmp_path / "new") == []
    assert len(list((tmp_path / "new" / "clips").iterdir())) > 1
    assert len(list((tmp_path / "new" / "texts").iterdir())) == 1
    for row in range(20):
        clip, cut = cache[row], cache.cuts.slice(row, 1).to_pylist()[0]
        for name, ours in (("mean", "mean"), ("std", "std"), ("text_features", "text")):
            assert torch.equal(clip[ours], theirs[name][row].half())
        if pictures:
            assert torch.equal(clip["visual"], theirs["clip_features"][row].half())
            assert torch.equal(cache.whole(row)["sync_all"], theirs["sync_features"][row].half())
        assert (cut["cut_id"], cut["caption"]) == (f"a/b {row}", f'"caption {row % 3}",\n again')
        assert (cut["has_video"], cut["split"], cut["start"], cut["end"]) == (pictures, "val", 0.0, 8.0)
    before = files(tmp_path / "new")
    assert read_memmap(*arguments, split="val", part_bytes=4_000) == 20
    assert files(tmp_path / "new") == before, "again: nothing to do"
    last = sorted((tmp_path / "new" / "cuts").iterdir())[-1]
    last.unlink()  # as a kill between a last part's clips and cuts leaves it
    read_memmap(*arguments, split="val", part_bytes=4_000)
    assert files(tmp_path / "new") == before


def test_there_and_back(cache: FeatureCache, tmp_path: Path) -> None:
    write_memmap(cache, tmp_path / "set", dtype="float16")
    read_memmap(tmp_path / "set", tmp_path / "new", cache.spec)
    new = FeatureCache(tmp_path / "new")
    seen = [index for index in range(len(cache)) if cache[index]["has_video"]]
    old = cache.take(seen)
    for name in ("visual", "sync", "mean", "std", "text"):
        assert torch.equal(new.take(range(len(new)))[name], old[name])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: (s / "set.tsv").write_text("id\tlabel\na\tb\n"), "set.tsv: 1 lines, but .*set has 20 rows"),
        (lambda s: (s / "set.tsv").write_text("name\tlabel\na\tb\n"), "columns name, label; id, and label or caption"),
        (lambda s: (s / "set.tsv").write_text("id\tlabel\na\tb\na\tc\n"), "set.tsv: line 3: id a is repeated"),
        (lambda s: (s / "set.tsv").write_text("id\tlabel\na\n"), "set.tsv: line 2: id or label is missing"),
        (lambda s: (s / "set" / "meta.json").write_text("{"), "meta.json: not the description"),
        (lambda s: (s / "set" / "std.memmap").unlink(), "std.memmap: 0 bytes, 20 rows need 7680"),
        (lambda s: (s / "set" / "mean.memmap").write_bytes(b"123"), "mean.memmap: 3 bytes, 20 rows need 7680"),
        (lambda s: _meta(s, "mean", "dtype", "torch.int64"), "mean.memmap: values of type int64, must be floats"),
        (lambda s: _meta(s, "std", "shape", [20, 8, 12]), r"rows of shape \(8, 12\), the cache's are \(12, 8\)"),
        (lambda s: _nan(s), "cut a/b 3: stream sync, row 0: nan, not a finite number"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, change: Any, words: str) -> None:
    _theirs(tmp_path / "set")
    change(tmp_path)
    with pytest.raises(CacheError, match=words):
        read_memmap(tmp_path / "set", tmp_path / "new", SPEC, table=tmp_path / "set.tsv")
    assert not list(tmp_path.glob("new/*/part-*")) and not (tmp_path / "new" / "index.parquet").exists()


def _meta(folder: Path, name: str, key: str, value: object) -> None:
    file = folder / "set" / "meta.json"
    meta = json.loads(file.read_text())
    meta[name][key] = value
    file.write_text(json.dumps(meta))


def _nan(folder: Path) -> None:
    values = np.memmap(folder / "set" / "sync_features.memmap", np.float32, "r+", shape=(20, 192, 10))
    values[3, 7, 1] = np.nan
    values.flush()

"""The feature cache: what is put in comes out, what does not fit is refused, withdrawn cuts are unseen."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from features.cache import (
    CacheError,
    CacheSpec,
    CutBatches,
    CutClips,
    CutFeatures,
    FeatureCache,
    StreamSpec,
    add_texts,
    check,
    commit,
    create,
    read_spec,
    stage,
    staged,
    stored,
    stored_texts,
    write_index,
)
from features.encoders.base import EncoderSpec
from tests.support.cache_cases import SPEC, cache_of, features, shown, some, texts

DTYPES = {"float16": torch.float16, "float32": torch.float32}


@pytest.fixture(scope="module")
def cuts() -> list[CutFeatures]:
    return some(12)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, cuts: list[CutFeatures]) -> Path:
    return cache_of(tmp_path_factory.mktemp("set") / "cache", cuts)


@pytest.fixture(scope="module")
def cache(path: Path) -> FeatureCache:
    return FeatureCache(path)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_put_in_comes_out(tmp_path: Path, dtype: str) -> None:
    spec = replace(SPEC, dtype=dtype)  # type: ignore[arg-type]
    cuts = some(12, spec)
    cache = FeatureCache(cache_of(tmp_path, cuts, spec, part_bytes=60_000))
    assert len(list((tmp_path / "clips").iterdir())) > 2, "one part shows too little"
    assert cache.spec == spec and len(cache) == sum(len(cut.clip_starts) for cut in cuts)
    assert cache.cuts["cut_id"].to_pylist() == [cut.cut_id for cut in cuts]
    assert cache.columns == ("visual", "sync", "mean", "std", "visual_mean", "sync_mean", "text")
    captions = texts()
    for row, cut in enumerate(cuts):
        clips = cache.clips_of(cut.cut_id)
        assert clips == cache.clips_of(row) and len(clips) == len(cut.clip_starts)
        for number, index in enumerate(clips):
            clip = cache[index]
            assert clip.keys() == {*cache.columns, "clip", "cut", "start", "has_video"}
            for name in ("visual", "sync", "mean", "std"):
                if name in cut.clips:
                    expected = torch.from_numpy(cut.clips[name][number].astype(dtype))
                else:
                    expected = torch.zeros(spec.clip_shapes()[name], dtype=DTYPES[dtype])
                assert torch.equal(clip[name], expected) and clip[name].dtype == DTYPES[dtype]
            means = {"visual_mean": ("visual_all", cut.whole), "sync_mean": ("sync", cut.clips)}
            for name, (source, arrays) in means.items():
                mean = arrays[source].mean(axis=0) if cut.has_video else np.zeros(spec.cut_shapes()[name])
                np.testing.assert_allclose(clip[name], mean, rtol=2e-3, atol=1e-3 if dtype == "float16" else 1e-6)
            assert torch.equal(clip["text"], torch.from_numpy(captions[f"t{row % 3}"][1].astype(dtype)))
            assert (clip["clip"].item(), clip["cut"].item()) == (number, row)
            assert (clip["clip"].dtype, clip["cut"].dtype) == (torch.int64, torch.int64)
            assert clip["start"].item() == cut.clip_starts[number] and clip["start"].dtype == torch.float64
            assert clip["has_video"].item() is cut.has_video
        for name, values in cache.whole(row).items():
            expected = torch.from_numpy(cut.whole[name].astype(dtype)) if cut.has_video else values[:0]
            assert torch.equal(values, expected) and values.shape[1:] == spec.whole_shapes()[name][1:]
        assert cache.whole(cut.cut_id).keys() == {"visual_all", "sync_all"}
    assert check(tmp_path) == []


def test_many_clips_at_once_in_any_order(cache: FeatureCache) -> None:
    order = np.random.default_rng(0).integers(0, len(cache), 50)
    batch = cache.take(order)
    for row, index in enumerate(order.tolist()):
        for name, values in cache[index].items():
            assert torch.equal(batch[name][row], values), name
    for same in (order.tolist(), torch.from_numpy(order), order - len(cache)):
        assert all(torch.equal(values, batch[name]) for name, values in cache.take(same).items())
    few = cache.take(order, columns=["mean", "text"])
    assert few.keys() == {"mean", "text", "clip", "cut", "start", "has_video"}
    assert torch.equal(few["mean"], batch["mean"])
    assert cache.take([])["visual"].shape == (0, 64, 16)


def test_what_is_not_there_is_said(cache: FeatureCache, path: Path) -> None:
    for beyond in (len(cache), -len(cache) - 1):
        with pytest.raises(IndexError, match=f"clip {beyond} of {len(cache)}"):
            cache[beyond]
    with pytest.raises(IndexError, match="no present cut nobody among 12"):
        cache.clips_of("nobody")
    with pytest.raises(IndexError, match="no present cut 12 among 12"):
        cache.whole(12)
    with pytest.raises(CacheError, match="no array smell; there are visual, sync"):
        cache.take([0], columns=["smell"])


def test_streams_may_be_absent(tmp_path: Path) -> None:
    spec = CacheSpec(audio=SPEC.audio)
    cut = features(1, has_video=False)
    cache = FeatureCache(cache_of(tmp_path, [cut], spec))
    assert cache.columns == ("mean", "std")
    assert cache.whole("c1") == {}
    assert torch.equal(cache[1]["std"], torch.from_numpy(cut.clips["std"][1].astype(np.float16)))
    with pytest.raises(CacheError, match="this cache lacks the stream text"):
        add_texts(tmp_path, texts())
    assert check(tmp_path) == []


def test_a_cache_keeps_to_its_spec(tmp_path: Path) -> None:
    create(tmp_path, SPEC)
    before = (tmp_path / "set.json").read_bytes()
    create(tmp_path, SPEC)
    assert (tmp_path / "set.json").read_bytes() == before
    assert read_spec(tmp_path) == SPEC
    for other, words in (
        (replace(SPEC, visual=replace(SPEC.audio, encoder="x")), r"visual clip 1-abc \(64 x 16\), not x 1-abc"),
        (replace(SPEC, text=None), r"text clip_text 1-abc \(7 x 4\), not absent"),
        (replace(SPEC, dtype="float32"), "dtype float16, not float32"),
    ):
        with pytest.raises(CacheError, match=words):
            create(tmp_path, other)
    with pytest.raises(CacheError, match="0 x 4 values; both must be at least 1"):
        StreamSpec("x", "1", None, 4, 0)
    encoder = EncoderSpec("clip", "1-abc", "visual", 8.0, 16, 64)
    assert StreamSpec.of(encoder) == SPEC.visual


def _with(cut: CutFeatures, name: str, change: Callable[[Any], Any]) -> CutFeatures:
    where = "whole" if name.endswith("_all") else "clips"
    arrays = {**getattr(cut, where), name: change(getattr(cut, where)[name].copy())}
    return replace(cut, whole=arrays) if where == "whole" else replace(cut, clips=arrays)


def _set(values: Any, row: int, value: float) -> Any:
    values[row].flat[3] = value
    return values


GOOD = features(5)
BAD: list[tuple[CutFeatures, str]] = [
    (_with(GOOD, "visual", lambda v: _set(v, 1, np.nan)), "cut c5: stream visual, row 1: nan, not a finite number"),
    (
        _with(GOOD, "sync_all", lambda v: _set(v, 7, -np.inf)),
        "cut c5: stream sync_all, row 7: -inf, not a finite number",
    ),
    (_with(GOOD, "std", lambda v: _set(v, 0, 7e4)), "cut c5: stream std, row 0: 70000, beyond float16"),
    (_with(GOOD, "sync", lambda v: v[..., :9]), r"cut c5: stream sync: shape \(2, 192, 9\), must be \(2, 192, 10\)"),
    (_with(GOOD, "mean", lambda v: v[:1]), r"cut c5: stream mean: shape \(1, 12, 8\), must be \(2, 12, 8\)"),
    (_with(GOOD, "visual_all", lambda v: v[:0]), r"stream visual_all: shape \(0, 16\), must be \(any, 16\)"),
    (_with(GOOD, "visual_all", lambda v: v[0]), r"stream visual_all: shape \(16\), must be \(any, 16\)"),
    (_with(GOOD, "mean", lambda v: v.astype(int)), "cut c5: stream mean: values of type int64, must be floats"),
    (replace(GOOD, clips={n: v for n, v in GOOD.clips.items() if n != "std"}), "cut c5: stream std is missing"),
    (replace(GOOD, whole={}), "cut c5: stream visual_all is missing"),
    (replace(GOOD, clips={**GOOD.clips, "smell": GOOD.clips["mean"]}), "stream smell is not one of visual, sync"),
    (replace(GOOD, has_video=False), "cut c5: stream visual belongs to cuts with video"),
    (replace(GOOD, clip_starts=GOOD.clip_starts[:0]), "at least one clip is needed"),
    (
        replace(GOOD, clip_starts=GOOD.clip_starts + np.array([0, 0.01])),
        "clip 1 goes from 15.510 to 23.510 s, the cut goes from",
    ),
    (replace(GOOD, clip_starts=GOOD.clip_starts[[0, 0]]), "clip 1 starts at 7.500 s, not after clip 0"),
    (replace(GOOD, end=GOOD.start), "the end must come after the start"),
    (replace(GOOD, end=float("nan")), "the end must come after the start"),
    (replace(GOOD, cut_id="../c5"), "letters, digits"),
    (replace(GOOD, cut_id=".c5"), "letters, digits"),
]


@pytest.mark.parametrize(("cut", "words"), BAD, ids=[words[:60] for _, words in BAD])
def test_features_that_do_not_fit_are_refused_and_leave_nothing(tmp_path: Path, cut: CutFeatures, words: str) -> None:
    create(tmp_path, SPEC)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CacheError, match=words):
            stage(tmp_path, cut)
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["set.json"]


def test_what_only_just_fits_is_kept(tmp_path: Path) -> None:
    create(tmp_path, SPEC)
    stage(tmp_path, _with(GOOD, "std", lambda v: _set(v, 0, 65504.0)))
    assert staged(tmp_path) == ["c5"]
    with pytest.raises(CacheError, match="65536, beyond float16"):
        stage(tmp_path, _with(GOOD, "std", lambda v: _set(v, 0, 65536.0)))
    wide = tmp_path / "wide"
    create(wide, replace(SPEC, dtype="float32"))
    stage(wide, _with(GOOD, "std", lambda v: _set(v, 0, 1e30)))


def test_texts_are_stored_once_and_checked(tmp_path: Path) -> None:
    create(tmp_path, SPEC)
    assert add_texts(tmp_path, texts(2)) == 2
    assert add_texts(tmp_path, texts(3)) == 1
    assert add_texts(tmp_path, texts(3)) == 0
    assert stored_texts(tmp_path) == ["t0", "t1", "t2"]
    assert len(list((tmp_path / "texts").iterdir())) == 2
    bad = texts(4)
    bad["t3"][1][2, 1] = np.nan
    with pytest.raises(CacheError, match="text t3: stream text, row 2: nan, not a finite number"):
        add_texts(tmp_path, bad)
    with pytest.raises(CacheError, match=r"text t9: stream text: shape \(7, 3\), must be \(7, 4\)"):
        add_texts(tmp_path, {"t9": ("x", np.zeros((7, 3), np.float32))})
    assert stored_texts(tmp_path) == ["t0", "t1", "t2"]


def test_a_withdrawn_cut_is_unseen_and_comes_back(tmp_path: Path) -> None:
    cuts = some(5)
    cache_of(tmp_path, cuts)
    parts = {file: file.read_bytes() for file in tmp_path.rglob("part-*")}
    before = FeatureCache(tmp_path)
    rows = [shown(cut, state="withdrawn" if cut.cut_id == "c1" else "present") for cut in cuts]
    write_index(tmp_path, rows)
    after = FeatureCache(tmp_path)
    assert after.cuts["cut_id"].to_pylist() == ["c0", "c2", "c3", "c4"]
    assert len(after) == len(before) - 2
    for cut in ("c0", "c3", "c4"):
        for old, new in zip(before.clips_of(cut), after.clips_of(cut), strict=True):
            assert torch.equal(before[old]["mean"], after[new]["mean"])
    assert set(after.take(range(len(after)))["cut"].tolist()) == {0, 1, 2, 3}
    with pytest.raises(IndexError):
        after.whole("c1")
    assert commit(tmp_path, [cut.cut_id for cut in cuts]).cuts == 0, "withdrawn is still stored"
    assert check(tmp_path) == []
    write_index(tmp_path, [shown(cut) for cut in cuts])
    assert len(FeatureCache(tmp_path)) == len(before)
    assert {file: file.read_bytes() for file in tmp_path.rglob("part-*")} == parts
    # one that was never extracted may be withdrawn, too
    write_index(tmp_path, [shown(cuts[0]), shown(features(77), state="withdrawn")])
    assert len(FeatureCache(tmp_path)) == 1 and check(tmp_path) == []


def test_the_index_shows_only_what_is_stored_as_it_is(tmp_path: Path) -> None:
    cuts = some(3)
    cache_of(tmp_path, cuts)
    before = (tmp_path / "index.parquet").read_bytes()
    row = shown(cuts[1])
    for rows, words in (
        ([shown(features(8))], "cut c8 is not stored"),
        ([row, row], "cut c1 is listed twice"),
        ([replace(row, clips=3)], "cut c1: clips 3, stored 2"),
        ([replace(row, end=99.0)], "cut c1: end 99.0, stored 17.5"),
        ([replace(row, recording_id="r9")], "cut c1: recording_id r9, stored r1"),
        ([replace(row, has_video=False)], "cut c1: has_video False, stored True"),
        ([replace(row, text_id="t8")], "cut c1: text 't8' is not stored"),
        ([replace(row, state="gone")], "cut c1: state 'gone', must be present or withdrawn"),  # type: ignore[arg-type]
    ):
        with pytest.raises(CacheError, match=words):
            write_index(tmp_path, rows)
    assert (tmp_path / "index.parquet").read_bytes() == before
    write_index(tmp_path, [])
    assert len(FeatureCache(tmp_path)) == 0


def test_what_is_no_cache_is_refused(tmp_path: Path, path: Path) -> None:
    with pytest.raises(CacheError, match=r"not a feature cache, set.json is missing$"):
        FeatureCache(tmp_path)
    create(tmp_path / "inside", SPEC)
    with pytest.raises(CacheError, match=r"not a feature cache, set.json is missing; it contains inside$"):
        FeatureCache(tmp_path)
    create(tmp_path, SPEC)
    with pytest.raises(CacheError, match=r"no cuts are shown yet, index.parquet is missing"):
        FeatureCache(tmp_path)
    name = tmp_path / "set.json"
    ours = name.read_text()
    for content, words in (
        (ours.replace('"format": 1', '"format": 2'), "set.json: format 2; this program reads format 1"),
        (ours.replace("float16", "float64"), "dtype 'float64'"),
        (ours.replace('"dtype"', '"type"'), "not the description"),
        (ours.replace('"rate"', '"speed"'), "not the description"),
        ("[]", "not the description"),
        ("{", "not the description"),
    ):
        name.write_text(content)
        with pytest.raises(CacheError, match=words):
            read_spec(tmp_path)


def test_pickled_caches_read_on(cache: FeatureCache) -> None:
    cache.take([0])
    data = pickle.dumps(cache)
    assert len(data) < 20_000, "maps must not go along"
    again = pickle.loads(data)
    assert all(torch.equal(values, cache[5][name]) for name, values in again[5].items())


@pytest.mark.parametrize(("context", "workers"), [("fork", 2), pytest.param("spawn", 1, marks=pytest.mark.slow)])
def test_workers_read_what_the_main_process_reads(cache: FeatureCache, context: str, workers: int) -> None:
    clips = CutClips(cache, has_video=None)
    with warnings.catch_warnings():
        # Newer Pythons warn of fork in a process with threads; torch's own default, on Linux.
        warnings.simplefilter("ignore", DeprecationWarning)
        loader = DataLoader(
            clips,
            batch_sampler=CutBatches(clips, 3, seed=4),
            collate_fn=CutClips.collate,
            num_workers=workers,
            multiprocessing_context=context,
        )
        batches = list(loader)
    wanted = [clips.__getitems__(indices) for indices in CutBatches(clips, 3, seed=4)]
    assert len(batches) == len(wanted) == len(loader)
    for got, expected in zip(batches, wanted, strict=True):
        assert all(torch.equal(values, expected[name]) for name, values in got.items())


def test_clips_of_a_split_with_pictures(path: Path, cuts: list[CutFeatures], tmp_path: Path) -> None:
    cache_of(tmp_path, cuts)
    splits = {"c0": "test", "c2": "test", "c5": "val"}
    write_index(tmp_path, [shown(cut, split=splits.get(cut.cut_id, "train")) for cut in cuts])
    cache = FeatureCache(tmp_path)
    counts = {cut.cut_id: len(cut.clip_starts) for cut in cuts}
    silent = [cut.cut_id for cut in cuts if not cut.has_video]
    assert silent == ["c2", "c6", "c10"]
    assert len(CutClips(cache, has_video=None)) == len(cache) == sum(counts.values())
    assert len(CutClips(cache)) == len(cache) - sum(counts[cut] for cut in silent)
    assert len(CutClips(cache, has_video=False)) == sum(counts[cut] for cut in silent)
    assert len(CutClips(cache, "test")) == counts["c0"]
    assert len(CutClips(cache, "test", has_video=None)) == counts["c0"] + counts["c2"]
    assert len(CutClips(cache, "nothing")) == 0
    val = CutClips(cache, "val", columns=["mean"])
    assert val.cuts() == [range(counts["c5"])]
    assert val[0].keys() == {"mean", "clip", "cut", "start", "has_video"}
    assert torch.equal(val[1]["mean"], cache[cache.clips_of("c5")[1]]["mean"])


def test_batches_keep_to_one_cut_and_hold_every_clip_once(cache: FeatureCache) -> None:
    clips = CutClips(cache)
    batches = CutBatches(clips, 3, seed=1)
    listed = list(batches)
    assert sorted(index for batch in listed for index in batch) == list(range(len(clips)))
    assert len(batches) == len(listed) and max(map(len, listed)) == 3
    for batch in listed:
        assert len(set(clips.__getitems__(batch)["cut"].tolist())) == 1
    assert list(CutBatches(clips, 3, seed=1)) == listed, "the same seed, the same order"
    assert list(CutBatches(clips, 3, seed=2)) != listed
    batches.set_epoch(1)
    later = list(batches)
    assert later != listed and sorted(map(sorted, later)) != sorted(map(sorted, listed)), "clips are shuffled, too"
    plain = list(CutBatches(clips, 100, shuffle=False))
    assert plain == [list(cut) for cut in clips.cuts()]
    with pytest.raises(ValueError, match="batch_size 0; must be at least 1"):
        CutBatches(clips, 0)


def test_stored_and_staged_are_told_apart(tmp_path: Path) -> None:
    create(tmp_path, SPEC)
    assert (staged(tmp_path), stored(tmp_path), stored_texts(tmp_path)) == ([], [], [])
    for number in (2, 0, 1):
        stage(tmp_path, features(number))
    assert (staged(tmp_path), stored(tmp_path)) == (["c0", "c1", "c2"], [])
    done = commit(tmp_path, ["c1", "c0"])
    assert (done.cuts, done.clips, done.parts) == (2, 4, 1)
    assert done.bytes == sum(file.stat().st_size for file in tmp_path.rglob("part-*"))
    assert (staged(tmp_path), stored(tmp_path)) == (["c2"], ["c1", "c0"])

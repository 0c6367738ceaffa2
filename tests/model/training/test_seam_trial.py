"""The look at the joins while a network is trained: the same cuts from the same noise, through a real codec."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from curation.backends.weights import ModelSetup
from features.cache import CacheSpec, FeatureCache, add_texts, commit, create, stage, write_index
from features.cache.of_corpus import cache_spec
from features.encoders import melcodec
from manifests.recipe import load_recipe
from model.adapters import AdapterConfig, Adapters
from model.mmaudio import MMAudio
from model.training import fresh
from model.training.seam_trial import SeamTrial, seam_trial
from tests.support.cache_cases import features, shown, texts

RATE = 16_000
CLIPS = {"val": (3, 5), "test": (2, 1)}  # of each split's cuts; those of "test" have no join between two whole clips


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> ModelSetup:
    """Where a codec lies that was fitted to noise of many colours."""
    fits = tmp_path_factory.mktemp("fits")
    folder = fits / "melcodec_16k-0123abcd"
    folder.mkdir()
    draw = torch.Generator().manual_seed(3)
    sounds = [torch.randn(2 * RATE, generator=draw) * 0.01 * k for k in range(1, 9)]
    sounds = [sound.cumsum(0) * 0.05 if k % 2 else sound for k, sound in enumerate(sounds)]
    melcodec.save(melcodec.fit([sound.clamp(-1, 1) for sound in sounds], "16k"), folder)
    return ModelSetup(fits=fits, active=(("melcodec_16k", "0123abcd"),))


@pytest.fixture(scope="module")
def described(setup: ModelSetup) -> CacheSpec:
    return cache_spec(load_recipe("packaged"), setup)


@pytest.fixture(scope="module")
def cache(described: CacheSpec, tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    """Cuts of random features, of the default encoders' shapes."""
    path = tmp_path_factory.mktemp("cache") / "cache"
    lengths = [(split, clips) for split, all_clips in CLIPS.items() for clips in all_clips]
    cuts = [features(number, clips, True, described) for number, (_, clips) in enumerate(lengths)]
    create(path, described)
    for cut in cuts:
        stage(path, cut)
    commit(path, [cut.cut_id for cut in cuts])
    add_texts(path, texts(spec=described))
    write_index(path, [shown(cut, split=split) for cut, (split, _) in zip(cuts, lengths, strict=True)])
    return FeatureCache(path)


@pytest.fixture(scope="module")
def base(cache: FeatureCache) -> MMAudio:
    """A base that listens to its conditions: fresh ones give no flow at all."""
    network = fresh("nano", cache, 0).base
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        for values in network.parameters():
            if not values.any():
                torch.nn.init.normal_(values, std=0.05)
    return network.eval()


@pytest.fixture(scope="module")
def trial(cache: FeatureCache, setup: ModelSetup) -> SeamTrial:
    found = seam_trial(cache, setup, "val")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def without(trial: SeamTrial, base: MMAudio) -> Mapping[str, float]:
    """What it finds without adapters."""
    return trial(base, None)


def test_it_tells_joins_from_other_times(without: Mapping[str, float]) -> None:
    assert set(without) == {"seam_rel", "seam_control"}
    assert all(0 < value <= 1 for value in without.values())


def test_it_hears_the_adapters(trial: SeamTrial, base: MMAudio, without: Mapping[str, float]) -> None:
    adapters = Adapters(base.config, AdapterConfig())
    assert trial(base, adapters.eval()) == without, "fresh ones change nothing, and the noise is the same"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for values in adapters.parameters():
            torch.nn.init.normal_(values, std=0.1)
    assert trial(base, adapters.eval()) != without


def test_the_networks_stay_in_the_precision_they_are_in(trial: SeamTrial, base: MMAudio) -> None:
    rounded = deepcopy(base).to(torch.bfloat16)
    found = trial(rounded, None)
    assert {values.dtype for values in rounded.parameters()} == {torch.bfloat16}
    assert np.isfinite(list(found.values())).all()
    assert {values.dtype for values in base.parameters()} == {torch.float32}


@pytest.mark.parametrize("split", ["test", "nowhere"])
def test_there_is_none_without_a_cut_that_has_a_join(cache: FeatureCache, setup: ModelSetup, split: str) -> None:
    assert seam_trial(cache, setup, split) is None


def test_there_is_none_without_the_codec(cache: FeatureCache, tmp_path: Path) -> None:
    assert seam_trial(cache, ModelSetup(fits=tmp_path, active=(("melcodec_16k", "89abcdef"),)), "val") is None
    assert seam_trial(cache, ModelSetup(), "val") is None

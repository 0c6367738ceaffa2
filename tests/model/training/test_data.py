"""Batches out of a real cache: what is in them, what is drawn for them, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curation.backends.weights import ModelSetup
from features.cache import FeatureCache, StreamSpec, read_spec
from features.encoders import open_encoder
from features.encoders import spec as encoder_spec
from model.adapters import AdapterConfig, Adapters
from model.errors import ModelError
from model.mmaudio import base_config, build_base
from model.training.batching import BatchOrder, StepPlan, Steps
from model.training.data import VALIDATION, TrainingClips, batches, cuts_of, noise_seed
from model.training.initial import (
    check_fit,
    empty_text,
    encoders_of,
    fresh,
    from_file,
    latent_statistics,
    measure,
    trained_on,
)
from model.training.objective import Objective, shares, weighted
from model.training.settings import Ends, Times
from tests.support.training_cases import SPEC, TINY, base_at, cache_at, cut, shown


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    return cache_at(tmp_path_factory.mktemp("data") / "cache")


def plan(*clips: int, epoch: int = 0) -> StepPlan:
    return StepPlan(0, epoch, clips, (1 / len(clips),) * len(clips))


def test_times_lie_where_the_settings_look_but_not_in_validation(cache: FeatureCache) -> None:
    usual = TrainingClips(cache, None, 2, 0.0, seed=1)
    early = TrainingClips(cache, None, 2, 0.0, seed=1, times=Times(mean=-3.0, deviation=0.5))
    clips = range(8)
    for epoch, moved in ((0, True), (VALIDATION, False)):
        before, after = usual[plan(*clips, epoch=epoch)].t.logit(), early[plan(*clips, epoch=epoch)].t.logit()
        torch.testing.assert_close(after, 0.5 * before - 3.0 if moved else before, rtol=1e-3, atol=1e-3)


def test_a_batch_holds_what_the_cache_has(cache: FeatureCache) -> None:
    batch = TrainingClips(cache, AdapterConfig(), 2, 0.0, seed=1)[plan(2, 1, 8)]
    held = cache.take([2, 1, 8])
    assert torch.equal(batch.clip, held["visual"])
    assert torch.equal(batch.sync, held["sync"])
    assert torch.equal(batch.text, held["text"])
    # drawn from the codec's distribution: as far from the mean as its deviation says
    drawn = (batch.data - held["mean"].float()) / held["std"].float()
    assert drawn.mean().item() == pytest.approx(0.0, abs=0.25)
    assert drawn.std().item() == pytest.approx(1.0, abs=0.15)
    assert not torch.equal(drawn, batch.noise)
    assert batch.noise.std().item() == pytest.approx(1.0, abs=0.15)
    assert ((batch.t > 0) & (batch.t < 1)).all()
    assert batch.weight.tolist() == pytest.approx([1 / 3] * 3)


def test_what_is_drawn_hangs_on_the_clip_alone(cache: FeatureCache) -> None:
    data = TrainingClips(cache, None, 2, 0.5, seed=1)
    one, other = data[plan(2, 1, 8)], data[plan(8, 2)]
    for name in ("data", "noise", "t"):
        values, again = getattr(one, name), getattr(other, name)
        assert torch.equal(values[[2, 0]], again)
        assert not torch.equal(values, getattr(data[plan(2, 1, 8, epoch=1)], name))
        assert not torch.equal(values, getattr(TrainingClips(cache, None, 2, 0.5, seed=2)[plan(2, 1, 8)], name))
    assert torch.equal(one.keep.text[[2, 0]], other.keep.text)
    seeds = {noise_seed(seed, epoch, clip) for seed in range(3) for epoch in (-1, 0, 1) for clip in range(9)}
    assert len(seeds) == 81


def test_nothing_is_left_out_in_validation(cache: FeatureCache) -> None:
    data = TrainingClips(cache, None, 2, 1.0, seed=1)
    assert not data[plan(0, 1)].keep.visual.any()
    keep = data[plan(0, 1, epoch=VALIDATION)].keep
    assert keep.visual.all() and keep.sync.all() and keep.text.all()


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"sync_pool": "time_mean"},
        {"sync_pool": "window"},
        {"sync_pool": "resample"},
        {"sync_pool": "clip_attn"},
        {"global_pool": "attn"},
        {"use_text": False, "fusion": "concat"},
        {"use_syn": False},
        {"use_global": False},
    ],
)
def test_every_kind_of_adapters_gets_what_it_needs(cache: FeatureCache, changed: dict[str, object]) -> None:
    config = AdapterConfig(**changed)  # type: ignore[arg-type]
    # clips of four cuts, apart and of different lengths, one without pictures
    clips = [
        cache.clips_of(3)[3],
        cache.clips_of(3)[1],
        cache.clips_of(1)[0],
        cache.clips_of(3)[0],
        cache.clips_of(4)[0],
    ]
    base = build_base("tiny", **TINY)
    adapters = Adapters(base.config, config)
    objective = Objective(base, adapters, False, "float32")
    for values in adapters.parameters():
        torch.nn.init.normal_(values, std=0.1)
    for values in base.parameters():
        if not values.any():
            torch.nn.init.normal_(values, std=0.1)
    data = TrainingClips(cache, config, 2, 0.0, seed=1)
    together = objective(data[plan(*clips)])
    alone = torch.cat([objective(data[plan(clip)]) for clip in clips])
    assert torch.allclose(together, alone, rtol=1e-4)
    together.sum().backward()
    assert all(values.grad is not None for values in adapters.parameters())
    assert all(values.grad is None for values in base.parameters())


def test_a_video_without_pictures_has_no_residual(cache: FeatureCache) -> None:
    base = build_base("tiny", **TINY)
    for values in base.parameters():
        if not values.any():
            torch.nn.init.normal_(values, std=0.1)
    config = AdapterConfig(use_text=False)
    adapters = Adapters(base.config, config)
    for values in adapters.parameters():
        torch.nn.init.normal_(values, std=0.1)
    batch = TrainingClips(cache, config, 2, 0.0, seed=1)[plan(cache.clips_of(4)[0], cache.clips_of(3)[0])]
    assert batch.keep.visual.tolist() == [False, True]
    with_them = Objective(base, adapters, False, "float32")(batch)
    without = Objective(base, None, False, "float32")(batch)
    assert with_them[0] == without[0]
    assert with_them[1] != without[1]


@pytest.mark.parametrize("trains_base", [False, True])
def test_what_is_computed_in_bfloat16(cache: FeatureCache, trains_base: bool) -> None:
    base, seen = build_base("tiny", **TINY), []
    base.latent_mean.data.fill_(1.001)  # which bfloat16 has not
    objective = Objective(base, None, trains_base, "bfloat16")
    base.clip_cond_proj.register_forward_hook(lambda module, given, found: seen.append(found.dtype))
    assert objective(TrainingClips(cache, None, 2, 0.0, seed=1)[plan(0)]).dtype == torch.float32
    assert seen == [torch.bfloat16]
    assert base.clip_cond_proj.weight.dtype == (torch.float32 if trains_base else torch.bfloat16)
    assert base.latent_mean.flatten()[0].item() == pytest.approx(1.001, rel=1e-6)


def test_null_conditions_are_those_of_the_base(cache: FeatureCache) -> None:
    base = build_base("tiny", **TINY)
    for values in base.parameters():
        torch.nn.init.normal_(values, std=0.1)
    batch = TrainingClips(cache, None, 1, 1.0, seed=1)[plan(0, 3)]
    clip, sync, text = base.empty(2)
    x = base.normalize(batch.data)
    at = batch.t[:, None, None]
    flow = base((1 - at) * batch.noise + at * x, clip, sync, text, batch.t)
    expected = (flow - (x - batch.noise)).square().mean((1, 2))
    assert torch.allclose(Objective(base, None, False, "float32")(batch), expected, rtol=1e-5)


def test_the_ends_of_clips_count_as_the_settings_say(cache: FeatureCache) -> None:
    assert shares(Ends(3.0, 2), 6).tolist() == pytest.approx([3 / 14, 3 / 14, 1 / 14, 1 / 14, 3 / 14, 3 / 14])
    assert shares(Ends(), 5).tolist() == pytest.approx([0.2] * 5)
    assert shares(Ends(7.0, 4), 5).tolist() == pytest.approx([0.2] * 5)  # all of them are ends

    base = build_base("tiny", **TINY)
    for values in base.parameters():
        torch.nn.init.normal_(values, std=0.1)
    batch = TrainingClips(cache, None, 2, 0.0, seed=1)[plan(0, 3)]
    x = base.normalize(batch.data)
    at = batch.t[:, None, None]
    flow = base((1 - at) * batch.noise + at * x, batch.clip.float(), batch.sync.float(), batch.text.float(), batch.t)
    errors = (flow - (x - batch.noise)).square().mean(2)
    expected = (errors.sum(1) + 8 * (errors[:, 0] + errors[:, -1])) / (errors.shape[1] + 16)
    objective = Objective(base, None, False, "float32", Ends(9.0, 1))
    assert torch.allclose(objective(batch), expected, rtol=1e-5)
    assert not torch.allclose(expected, errors.mean(1), rtol=1e-3)
    assert torch.allclose(objective(batch, even=True), errors.mean(1), rtol=1e-5)


def test_a_worker_reads_the_same_batches(cache: FeatureCache) -> None:
    order = BatchOrder(cuts_of(cache, "train", True), 4, 2, seed=1)
    data = TrainingClips(cache, AdapterConfig(), 2, 0.1, seed=1)
    here = list(batches(data, Steps(order, 2, 5), 0, False))
    there = list(batches(data, Steps(order, 2, 5), 1, False))
    assert [batch.plan for batch in here] == [order.at(step) for step in (2, 3, 4)]
    for one, other in zip(here, there, strict=True):
        assert one.plan == other.plan
        assert torch.equal(one.data, other.data)
        assert torch.equal(one.keep.visual, other.keep.visual)
        assert one.inputs is not None and other.inputs is not None
        assert torch.equal(one.inputs.video, other.inputs.video)


def test_which_cuts_are_trained_on(cache: FeatureCache) -> None:
    names = cache.cuts["cut_id"].to_pylist()

    def of(split: str, require_video: bool) -> list[str]:
        held = [set(cache.take(list(clips), [])["cut"].tolist()) for clips in cuts_of(cache, split, require_video)]
        return [names[cut] for (cut,) in held]

    assert of("train", True) == ["c0", "c1", "c3", "c6", "c7"]
    assert of("train", False) == ["c0", "c1", "c3", "c4", "c6", "c7"]
    assert of("val", True) == ["c2", "c5", "c8"]
    assert of("test", True) == []


def test_a_stand_in_weighs_nothing() -> None:
    losses = torch.tensor([2.0, float("nan")], requires_grad=True)
    assert weighted(losses, torch.tensor([1.5, 0.0])).item() == 3.0
    assert torch.isnan(weighted(losses, torch.tensor([1.5, 0.1])))


def test_statistics_of_latents(cache: FeatureCache) -> None:
    clips = [clip for cut in cuts_of(cache, "train", True) for clip in cut]
    mean, deviation = latent_statistics(cache, clips)
    values = cache.take(clips)["mean"].double().numpy().reshape(-1, 6)
    assert np.allclose(mean, values.mean(0), rtol=1e-6)
    assert np.allclose(deviation, values.std(0), rtol=1e-6)


def test_a_channel_that_never_changes_can_be_normalised(tmp_path: Path) -> None:
    one = cut(0, 2)
    one.clips["mean"][:, :, 2] = 5.0
    mean, deviation = latent_statistics(shown(tmp_path / "cache", [one]), [0, 1])
    assert mean[2].item() == 5.0
    assert deviation[2].item() == 1.0
    assert (deviation != 1.0).sum() == 5


def test_a_fresh_base_fits_the_cache_and_has_its_statistics(cache: FeatureCache) -> None:
    begun = fresh("tiny", cache, seed=3)
    config = begun.base.config
    assert (config.latent_length, config.latent_channels, config.clip_dim, config.text_length) == (12, 6, 16, 3)
    check_fit(cache, config, {}, "fresh")
    before = torch.random.get_rng_state()
    again, other = fresh("tiny", cache, seed=3), fresh("tiny", cache, seed=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(again.base.clip_cond_proj.weight, begun.base.clip_cond_proj.weight)
    assert not torch.equal(other.base.clip_cond_proj.weight, begun.base.clip_cond_proj.weight)
    clips = list(range(len(cache)))
    measure(begun.base, cache, clips, ModelSetup())
    latents = begun.base.normalize(cache.take(clips, ["mean"])["mean"].float()).flatten(0, 1)
    assert torch.allclose(latents.mean(0), torch.zeros(6), atol=1e-5)
    assert torch.allclose(latents.std(0, correction=0), torch.ones(6), atol=1e-5)
    assert begun.name == "fresh tiny"


def test_no_text_is_what_the_encoder_makes_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    described = encoder_spec("minilm", ModelSetup())
    text = StreamSpec.of(described)
    other = replace(SPEC, text=text)

    class Held:  # of a cache, what `empty_text` looks at
        path, spec = tmp_path, other

    assert torch.equal(empty_text(Held, ModelSetup()), open_encoder("minilm", ModelSetup()).encode(""))  # type: ignore[arg-type]
    assert caplog.text == ""
    Held.spec = replace(SPEC, text=replace(text, version="0-old"))
    assert not empty_text(Held, ModelSetup()).any()  # type: ignore[arg-type]
    assert "zeros for no text, as the encoder minilm is not available: its version here is another" in caplog.text
    Held.spec = SPEC
    assert empty_text(Held, ModelSetup()).shape == (3, 4)  # type: ignore[arg-type]
    assert "no encoder 'said'" in caplog.text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"latent_length": 13}, "audio by codec is 12 x 6, the base .* takes 13 x 6"),
        ({"clip_dim": 17}, "visual by seen is 8 x 16, the base .* takes 8 x 17"),
        ({"sync_length": 32}, "sync by moved is 24 x 10, the base .* takes 32 x 10"),
        ({"text_dim": 5}, "text by said is 3 x 4, the base .* takes 3 x 5"),
        ({"facts": {"encoders": {"audio": "other 1-abc"}}}, "audio is by codec 1-abc, the base .* trained on other"),
        ({"facts": {"encoders": {"visual": "seen 2-abc"}}}, "visual is by seen 1-abc, the base .* on seen 2-abc"),
    ],
)
def test_a_cache_of_another_base_is_refused(
    cache: FeatureCache, tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    path = base_at(tmp_path / "base.safetensors", **changed)
    with pytest.raises(ModelError, match=said) as caught:
        from_file(path, cache)
    assert str(path) in str(caught.value) and str(cache.path) in str(caught.value)


def test_a_base_knows_its_encoders(cache: FeatureCache, tmp_path: Path) -> None:
    facts = {"encoders": encoders_of(cache.spec)}
    assert facts["encoders"]["audio"] == "codec 1-abc"
    begun = from_file(base_at(tmp_path / "base.safetensors", facts=facts), cache)
    assert len(begun.name) == 16


def test_released_weights_want_the_encoders_that_they_were_trained_on(tmp_path: Path) -> None:
    made = cache_at(tmp_path / "cache", cuts=1)
    streams: dict[str, Any] = {
        "visual": StreamSpec("clip", "1-a", 8.0, 1024, 64),
        "sync": StreamSpec("synchformer", "1-a", 25.0, 768, 192),
        "text": StreamSpec("clip_text", "1-a", None, 1024, 77),
    }
    for name, kind, length, channels in (("small_16k", "16k", 250, 20), ("large_44k_v2", "44k", 345, 40)):
        path, config = tmp_path / f"mmaudio_{name}.pth", base_config(name)
        audio = StreamSpec(f"melcodec_{kind}", "1-a", 31.25, channels, length)
        made.spec = replace(SPEC, audio=audio, **streams)
        with pytest.raises(ModelError, match=f"audio is by melcodec_{kind} 1-a, the base .* was trained on vae_{kind}"):
            check_fit(made, config, trained_on(path, config), str(path))
        made.spec = replace(made.spec, audio=replace(audio, encoder=f"vae_{kind}"))
        check_fit(made, config, trained_on(path, config), str(path))


def test_a_cache_without_a_stream_is_refused(tmp_path: Path) -> None:
    made = cache_at(tmp_path / "cache", cuts=1)
    made.spec = replace(made.spec, text=None)
    with pytest.raises(ModelError, match="stream text is missing"):
        fresh("tiny", made, 0)
    assert read_spec(tmp_path / "cache").text is not None

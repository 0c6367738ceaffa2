"""Whole trainings in a folder: what is learned, what stays as it was, what stops one and how that is said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from features.cache import FeatureCache
from manifests.lock import Locked, exclusive
from model.adapters import Adapters, adapter_notes, load_adapters
from model.errors import ModelError
from model.mmaudio import MMAudio, base_hash, load_base
from model.training import fresh, from_file, train
from model.training.batching import StepPlan
from model.training.data import TrainingClips, cuts_of
from model.training.nonfinite import explain_oom
from model.training.objective import Objective
from model.training.optimizer import adamw, set_rates
from tests.support.training_cases import asked, base_at, cache_at, curve, program, settings


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> FeatureCache:
    return cache_at(tmp_path_factory.mktemp("loop") / "cache", cuts=24)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base_at(tmp_path_factory.mktemp("base") / "base.safetensors")


def test_adapters_are_learned_and_the_base_stays(cache: FeatureCache, base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = train(cache, run, from_file(base, cache), settings(steps=30, validation={"every": 10}))
    tried = [record["validation_loss"] for record in curve(run) if "validation_loss" in record]
    assert tried == sorted(tried, reverse=True)
    assert (done.steps, done.new, done.validation) == (30, 30, {"validation_loss": tried[-1]})
    network = load_base(base)
    assert not (run / "base.safetensors").exists()
    notes = adapter_notes(run / "adapters.safetensors")
    assert notes["base"] == base_hash(network)
    assert notes["facts"]["step"] == 30
    assert notes["facts"]["settings"] == settings(steps=30, validation={"every": 10}).values()
    assert notes["facts"]["encoders"]["audio"] == "codec 1-abc"
    # the file holds what was validated: the average
    assert validated(cache, base, run) == pytest.approx(tried[-1], rel=1e-5)


def validated(cache: FeatureCache, base: Path, run: Path) -> float:
    """The validation loss of a run's adapters, all latents alike."""
    network = load_base(base)
    adapters = load_adapters(run / "adapters.safetensors", network)
    held_out = [clip for row in range(len(cache.cuts)) if row % 3 == 2 for clip in cache.clips_of(row)]
    data = TrainingClips(cache, adapters.config, 2, 0.0, seed=0)
    with torch.no_grad():
        objective = Objective(network, adapters, False, "float32")
        losses = torch.cat([objective(data[StepPlan(0, -1, (clip,), (1.0,))]) for clip in held_out])
    return losses.mean().item()


def test_the_ends_of_clips_count_more_in_training_alone(cache: FeatureCache, base: Path, tmp_path: Path) -> None:
    first: list[float] = []
    for name, ends in (("even", {}), ("ends", {"weight": 9.0, "latents": 1})):
        chosen = settings(steps=2, log_every=1, validation={"every": 2}, ends=ends)
        done = train(cache, tmp_path / name, from_file(base, cache), chosen)
        first.append(next(record["loss"] for record in curve(done.folder) if "loss" in record))
        assert done.validation["validation_loss"] == pytest.approx(validated(cache, base, done.folder), rel=1e-5)
    assert first[0] != pytest.approx(first[1], rel=1e-3)


def test_adapters_standardize_by_the_videos_that_are_trained_on(
    cache: FeatureCache, base: Path, tmp_path: Path
) -> None:
    chosen = settings(steps=4, adapters={"standardize": True}, checkpoint_every=2)
    done = train(cache, tmp_path / "run", from_file(base, cache), chosen)
    adapters = load_adapters(done.folder / "adapters.safetensors", load_base(base))
    assert adapters.syn is not None and adapters.syn.standard is not None
    trained = [clip for clips in cuts_of(cache, "train", True) for clip in clips]
    seen = cache.take(trained, ["sync_mean"])["sync_mean"].double().flatten(0, 1)
    torch.testing.assert_close(adapters.syn.standard.mean.double(), seen.mean(0), rtol=1e-4, atol=1e-6)
    deviation = seen.std(0, correction=0)
    deviation = deviation.clamp_min(0.05 * deviation.square().mean().sqrt())
    torch.testing.assert_close(adapters.syn.standard.deviation.double(), deviation, rtol=1e-4, atol=1e-6)


def test_a_small_base_is_learned_from_nothing(cache: FeatureCache, tmp_path: Path) -> None:
    chosen = settings(trained="base", steps=30, validation={"every": 15}, batch=8, checkpoint_every=100)
    done = train(cache, tmp_path, fresh("tiny", cache, 0), chosen)
    before, after = [record["validation_loss"] for record in curve(tmp_path) if "validation_loss" in record]
    assert after < before < 2.0  # what a flow of zero has: the noise's variance and the data's
    assert done.loss is not None and done.loss < 0.9 * curve(tmp_path)[0]["loss"]
    network = load_base(tmp_path / "base.safetensors")
    means = cache.take([0, 5, 9], ["mean"])["mean"].float()
    assert 0.2 < network.normalize(means).std() < 2.0
    assert network.empty_clip_feat.any() and network.empty_sync_feat.any()
    # and adapters are trained on it
    again = train(cache, tmp_path / "next", from_file(tmp_path / "base.safetensors", cache), settings(steps=2))
    assert again.new == 2


def test_both_are_learned(cache: FeatureCache, base: Path, tmp_path: Path) -> None:
    train(cache, tmp_path, from_file(base, cache), settings(trained="both", steps=4))
    network, before = load_base(tmp_path / "base.safetensors"), load_base(base)
    load_adapters(tmp_path / "adapters.safetensors", network)
    assert not torch.equal(network.clip_cond_proj.weight, before.clip_cond_proj.weight)
    for name in ("latent_mean", "latent_std", "empty_string_feat"):
        assert torch.equal(getattr(network, name), getattr(before, name))
    with pytest.raises(ModelError, match="belong to the base"):
        load_adapters(tmp_path / "adapters.safetensors", before)


@pytest.mark.parametrize("trained", ["adapters", "both"])
def test_bfloat16_and_checkpointing_come_near_the_same(
    cache: FeatureCache, base: Path, tmp_path: Path, trained: str
) -> None:
    short = {"trained": trained, "steps": 4, "validation": {"every": 4}}
    train(cache, tmp_path / "full", from_file(base, cache), settings(**short))
    twice = from_file(base, cache)
    train(cache, tmp_path / "blocks", twice, settings(checkpointing=True, **short))
    assert twice.base.checkpointing
    train(cache, tmp_path / "half", from_file(base, cache), settings(precision="bfloat16", **short))
    full, blocks, half = (curve(tmp_path / name) for name in ("full", "blocks", "half"))
    for one, other, rough in zip(full, blocks, half, strict=True):
        for name in one.keys() & {"loss", "validation_loss", "grad_norm"}:
            assert other[name] == pytest.approx(one[name], rel=1e-5)
            assert rough[name] == pytest.approx(one[name], rel=0.03)
            assert rough[name] != one[name]
    adapters = load_adapters(
        tmp_path / "half" / "adapters.safetensors",
        load_base(tmp_path / "half" / "base.safetensors" if trained == "both" else base),
    )
    assert {values.dtype for values in adapters.parameters()} == {torch.float32}


def test_seams_are_measured_with_the_averaged_weights(cache: FeatureCache, base: Path, tmp_path: Path) -> None:
    seen = []

    def seams(network: MMAudio, adapters: Adapters | None) -> Mapping[str, float]:
        assert adapters is not None and not torch.is_grad_enabled()
        seen.append({name: values.clone() for name, values in adapters.state_dict().items()})
        return {"seam_rel": 0.25, "seam_control": 0.125}

    done = train(cache, tmp_path, from_file(base, cache), settings(), validate_seams=seams)
    assert done.validation["seam_rel"] == 0.25
    assert [record["seam_control"] for record in curve(tmp_path) if "seam_control" in record] == [0.125, 0.125]
    kept = load_adapters(tmp_path / "adapters.safetensors", load_base(base)).state_dict()
    assert all(torch.equal(seen[-1][name], kept[name]) for name in kept)
    assert any(not torch.equal(seen[0][name], kept[name]) for name in kept)


def test_a_folder_tells_what_was_done(cache: FeatureCache, base: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    run = tmp_path / "run"
    chosen = settings(steps=7, optimizer={"lr": 1e-3, "clip_norm": 1e-3})
    train(cache, run, from_file(base, cache), chosen)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6, 6, 7, 7]
    first = lines[0]
    assert first.keys() == {"step", "epoch", "loss", "lr", "grad_norm", "clips_per_second"}
    assert first["lr"] == 1e-3
    assert first["grad_norm"] > 1e-3  # before it is clipped
    assert first["clips_per_second"] > 0
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    events = EventAccumulator(str(run / "events"))
    events.Reload()
    assert {"loss", "lr", "grad_norm", "clips_per_second", "validation_loss"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("loss")] == [2, 4, 6, 7]
    assert json.loads((run / "run.json").read_text())["encoders"]["sync"] == "moved 1-abc"


def test_without_validation_the_weights_come_at_the_end(cache: FeatureCache, base: Path, tmp_path: Path) -> None:
    done = train(cache, tmp_path, from_file(base, cache), settings(steps=3, validation={"every": 0}))
    assert done.validation == {}
    assert (tmp_path / "adapters.safetensors").exists()


def test_a_loss_that_is_no_number_stops_with_its_batch(cache: FeatureCache, base: Path, tmp_path: Path) -> None:
    chosen = settings(optimizer={"lr": 1e30, "clip_norm": 1e30}, schedule={"warmup": 0})
    with pytest.raises(ModelError, match=r"step \d+: loss .*bad_batch\.json.* lower optimizer\.lr") as caught:
        train(cache, tmp_path, from_file(base, cache), chosen)
    assert "\n" not in str(caught.value)
    bad = json.loads((tmp_path / "bad_batch.json").read_text())
    assert bad["seed"] == 0 and bad["step"] >= 1
    assert len(bad["clips"]) == 4
    rows = {name: row for row, name in enumerate(cache.cuts["cut_id"].to_pylist())}
    # with its seed, each clip's noise can be drawn again
    for one in bad["clips"]:
        number = cache.clips_of(rows[one["cut_id"]])[one["clip"]]
        data = TrainingClips(cache, None, 2, 0.0, seed=0)[StepPlan(0, bad["epoch"], (number,), (1.0,))]
        draw = torch.Generator().manual_seed(one["noise_seed"])
        t = torch.randn(1, generator=draw).sigmoid()
        assert torch.equal(t, data.t)
    assert any(one["loss"] in ("nan", "inf") for one in bad["clips"]) or bad["norm"] in ("nan", "inf")


@pytest.mark.slow
def test_too_little_memory_is_said_with_what_to_lower(cache: FeatureCache, base: Path, tmp_path: Path) -> None:
    large = base_at(tmp_path / "large.safetensors", hidden=512, heads=8)
    done = program(asked(cache, tmp_path / "run", settings(batch=40), large, memory=150_000_000))
    said = "refused: step 0: out of memory with batch 40: lower batch, or set checkpointing = true, which takes"
    assert done.stderr.splitlines()[-1].startswith(said), done.stderr
    assert done.returncode == 1
    least = r"^step 3: out of memory with batch 4: lower batch \(CUDA out of memory"
    with pytest.raises(ModelError, match=least), explain_oom(settings(checkpointing=True), 3):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 20 GiB")
    with pytest.raises(RuntimeError, match="another"), explain_oom(settings(), 3):
        raise RuntimeError("another")


def test_another_training_is_not_gone_on_with(cache: FeatureCache, base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(cache, run, from_file(base, cache), settings(steps=2))
    with pytest.raises(ModelError, match="was started with batch 4, not 3; train into another folder"):
        train(cache, run, from_file(base, cache), settings(steps=2, batch=3))
    with pytest.raises(ModelError, match=r"was started with adapters\.use_text True, not False"):
        train(cache, run, from_file(base, cache), settings(steps=2, adapters={"use_text": False}))
    other = base_at(tmp_path / "other.safetensors", depth=2)
    with pytest.raises(ModelError, match=r"was started with base [0-9a-f]{16}, not [0-9a-f]{16}"):
        train(cache, run, from_file(other, cache), settings(steps=2))
    fewer = cache_at(tmp_path / "cache", cuts=9)
    with pytest.raises(ModelError, match=r"was started with cuts [0-9a-f]{16}, not"):
        train(fewer, run, from_file(base, fewer), settings(steps=2))


def test_what_cannot_be_trained_is_refused(cache: FeatureCache, base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"split test has no cut with video; set validation\.every = 0"):
        train(cache, tmp_path, from_file(base, cache), settings(validation={"split": "test"}))
    with pytest.raises(ModelError, match=r"split rest has no cut with video$"):
        train(cache, tmp_path, from_file(base, cache), settings(splits=["train", "rest"]))
    assert not (tmp_path / "run.json").exists()
    with exclusive(tmp_path / "run.lock", "another"), pytest.raises(Locked):
        train(cache, tmp_path, from_file(base, cache), settings())


def test_the_random_numbers_of_others_are_left_alone(cache: FeatureCache, base: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    train(cache, tmp_path / "one", from_file(base, cache), settings(steps=2))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(4)
    train(cache, tmp_path / "two", from_file(base, cache), settings(steps=2))
    assert curve(tmp_path / "one") == curve(tmp_path / "two")


def test_adapters_and_base_have_rates_and_decays_of_their_own(base: Path) -> None:
    network = load_base(base)
    chosen = settings(
        trained="both",
        precision="bfloat16",
        optimizer={"lr": 0.1, "base_lr": 0.2, "weight_decay": 0.3, "base_weight_decay": 0.4, "beta2": 0.5},
    )
    objective = Objective(network, Adapters(network.config, chosen.adapters), True, "bfloat16")
    optimizer = adamw(objective, chosen)
    assert set_rates(optimizer, 0.5) == 0.05
    adapters, own = optimizer.param_groups
    assert [(group["lr"], group["weight_decay"]) for group in (adapters, own)] == [(0.05, 0.3), (0.1, 0.4)]
    assert len(adapters["params"]) == len(list(objective.adapters.parameters()))  # type: ignore[union-attr]
    assert len(own["params"]) == len(list(network.parameters())) - 3
    assert adapters["betas"] == (0.9, 0.5)
    assert adapters["fused"]
    assert own["eps"] == 1e-6
    assert adamw(objective, settings(trained="both")).defaults["eps"] == 1e-8
    assert adamw(objective, settings(precision="bfloat16")).defaults["eps"] == 1e-8

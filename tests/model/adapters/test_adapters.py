from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from model.adapters import (
    AdapterConfig,
    AdapterInputs,
    Adapters,
    ConditionMask,
    VideoFeatures,
    adapter_inputs,
    adapter_notes,
    load_adapters,
    save_adapters,
)
from model.errors import ModelError
from model.mmaudio import BASES, Conditions, MMAudio, base_hash, build_base, save_base
from tests.support.golden_fill import normal

BATCH, SYNC = 3, 24
SMALL: dict[str, Any] = {
    "depth": 2,
    "fused": 1,
    "latent_channels": 5,
    "latent_length": 43,
    "clip_length": 8,
    "clip_dim": 12,
    "sync_length": SYNC,
    "sync_dim": 10,
    "text_length": 7,
    "text_dim": 9,
}
VARIANTS = [
    AdapterConfig(),
    AdapterConfig(use_syn=False),
    AdapterConfig(use_global=False),
    AdapterConfig(use_text=False),
    AdapterConfig(width_mult=0.5),
    AdapterConfig(width_mult=2.0),
    AdapterConfig(fusion="concat"),
    AdapterConfig(global_into_frame=False),
    AdapterConfig(sync_pool="time_mean"),
    AdapterConfig(sync_pool="window"),
    AdapterConfig(sync_pool="resample"),
    AdapterConfig(sync_pool="clip_attn"),
    AdapterConfig(global_pool="attn"),
    AdapterConfig(standardize=True),
    AdapterConfig(sync_pool="clip_attn", global_pool="attn", fusion="concat", global_into_frame=False),
]


def network(version: int = 2) -> MMAudio:
    """A small base in which everything flows."""
    torch.manual_seed(1)
    made = build_base("tiny", version=version, **SMALL)
    for values in made.parameters():
        if not values.any():
            nn.init.normal_(values, std=0.1)
    return made.eval().requires_grad_(False)


def video(clips: int, seed: int = 5) -> VideoFeatures:
    """A video of so many clips of SYNC vectors, one after the other."""
    sync, visual = normal(seed, clips * SYNC, 10), normal(seed + 1, clips * 8, 12)
    by_clip = sync.reshape(clips, SYNC, 10)
    return VideoFeatures(normal(seed + 2, 7, 9), visual.mean(0), by_clip.mean(0), visual, sync, by_clip)


def offsets(clips: int) -> list[float]:
    return [k * SYNC / 25 for k in range(clips)]


def conditions(base: MMAudio, clips: int = BATCH, seed: int = 20) -> Conditions:
    return base.conditions(normal(seed, clips, 8, 12), normal(seed + 1, clips, SYNC, 10), normal(seed + 2, clips, 7, 9))


def awake(config: AdapterConfig, base: MMAudio) -> Adapters:
    """Adapters that have learned something."""
    torch.manual_seed(2)
    adapters = Adapters(base.config, config)
    for values in adapters.parameters():
        if not values.any():
            nn.init.normal_(values, std=0.1)
    return adapters.requires_grad_(False)


def same(one: Conditions, other: Conditions) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in vars(one))


@pytest.mark.parametrize(
    ("config", "added"),
    [
        (AdapterConfig(), 41_060_992),
        (AdapterConfig(width_mult=0.5), 23_857_792),
        (AdapterConfig(width_mult=2.0), 75_467_392),
        (AdapterConfig(use_text=False), 33_261_312),
        (AdapterConfig(fusion="concat"), 41_060_992 + 2 * 1_606_528),
        (AdapterConfig(sync_pool="clip_attn"), 41_060_992 + 3_214_848),
        (AdapterConfig(global_pool="attn", use_text=False), 33_261_312 + 3_214_848),
        (AdapterConfig(use_global=False), 25_461_632),
        (AdapterConfig(use_syn=False), 2 * 7_799_680),
    ],
)
def test_sizes_on_the_largest_base(config: AdapterConfig, added: int) -> None:
    with torch.device("meta"):
        adapters = Adapters(BASES["large_44k_v2"], config)
    assert sum(values.numel() for values in adapters.parameters()) == added


@pytest.mark.parametrize(("config", "version"), list(product(VARIANTS, (1, 2))))
@torch.no_grad()
def test_fresh_adapters_change_nothing_to_the_bit(config: AdapterConfig, version: int) -> None:
    base = network(version)
    plain = conditions(base)
    found = adapter_inputs(config, video(BATCH), offsets(BATCH), SYNC)
    adapted = Adapters(base.config, config)(plain, found, base.sync_pos_emb)
    assert same(adapted, plain)
    x, t = normal(30, BATCH, 43, 5), torch.tensor([0.1, 0.5, 0.9])
    assert torch.equal(base.flow(x, t, adapted), base.flow(x, t, plain))


@pytest.mark.parametrize("config", VARIANTS)
def test_every_part_learns_from_the_first_step_or_the_second(config: AdapterConfig) -> None:
    base = network()
    adapters = Adapters(base.config, config)
    found = adapter_inputs(config, video(BATCH), offsets(BATCH), SYNC)
    optimizer = torch.optim.SGD(adapters.parameters(), lr=0.5)
    x, t, goal = normal(30, BATCH, 43, 5), torch.tensor([0.1, 0.5, 0.9]), normal(31, BATCH, 43, 5)
    for _ in range(2):
        optimizer.zero_grad()
        flow = base.flow(x, t, adapters(conditions(base), found, base.sync_pos_emb))
        torch.autograd.backward((flow - goal).square().mean())
        optimizer.step()
    still = {name for name, values in adapters.named_parameters() if values.grad is None or not values.grad.any()}
    # softmax takes no notice of what is added to all keys alike
    assert {name for name in still if not name.endswith("in_proj_bias")} == set()


@pytest.mark.parametrize("config", VARIANTS)
@torch.no_grad()
def test_what_was_nulled_is_left_as_it_was(config: AdapterConfig) -> None:
    base = network()
    adapters, plain = awake(config, base), conditions(base)
    found = adapter_inputs(config, video(BATCH), offsets(BATCH), SYNC)
    nothing, there = torch.zeros(BATCH, dtype=torch.bool), torch.ones(BATCH, dtype=torch.bool)
    assert same(adapters(plain, found, base.sync_pos_emb, ConditionMask(nothing, nothing, nothing)), plain)

    every = adapters(plain, found, base.sync_pos_emb, ConditionMask(there, there, there))
    assert same(every, adapters(plain, found, base.sync_pos_emb))
    assert torch.equal(every.sync, plain.sync) is (not config.use_syn and config.global_into_frame)
    assert torch.equal(every.pooled, plain.pooled) is (not config.use_global)
    some = torch.tensor([True, False, True])
    mixed = adapters(plain, found, base.sync_pos_emb, ConditionMask(some, some, some))
    assert same(mixed[~some], plain[~some])
    assert same(mixed[some], every[some])


@torch.no_grad()
def test_each_stream_is_nulled_by_itself() -> None:
    base = network()
    adapters, plain = awake(AdapterConfig(), base), conditions(base, 1)
    found = adapter_inputs(AdapterConfig(), video(1), [0.0], SYNC)

    def adapted(visual: bool, sync: bool, text: bool) -> Conditions:
        keep = ConditionMask(*(torch.tensor([there]) for there in (visual, sync, text)))
        given: Conditions = adapters(plain, found, base.sync_pos_emb, keep)
        return given

    no_sync, no_visual, no_text = adapted(True, False, True), adapted(False, True, True), adapted(True, True, False)
    whole = adapted(True, True, True)
    assert torch.equal(no_sync.sync, plain.sync)
    assert torch.equal(no_sync.pooled, whole.pooled)
    assert torch.equal(no_visual.sync, whole.sync)
    by_streams = (no_visual.pooled - plain.pooled) + (no_text.pooled - plain.pooled) + plain.pooled
    torch.testing.assert_close(by_streams, whole.pooled)
    assert not torch.equal(no_visual.pooled, no_text.pooled)


@torch.no_grad()
def test_side_by_side_one_stream_is_enough_to_be_heard() -> None:
    base = network()
    config = AdapterConfig(fusion="concat")
    adapters, plain = awake(config, base), conditions(base, 1)
    found = adapter_inputs(config, video(1), [0.0], SYNC)

    def pooled(visual: bool, text: bool) -> torch.Tensor:
        keep = ConditionMask(torch.tensor([visual]), torch.tensor([True]), torch.tensor([text]))
        return torch.as_tensor(adapters(plain, found, base.sync_pos_emb, keep).pooled)

    assert torch.equal(pooled(False, False), plain.pooled)
    heard = [pooled(True, True), pooled(True, False), pooled(False, True), plain.pooled]
    assert all(not torch.equal(one, other) for k, one in enumerate(heard) for other in heard[:k])


@torch.no_grad()
def test_means_are_over_all_of_what_there_is() -> None:
    whole = video(2)
    found = adapter_inputs(AdapterConfig(), whole, offsets(2), SYNC)
    assert found.text is not None
    torch.testing.assert_close(found.text[0, 0], whole.text.mean(0))
    base, config = network(), AdapterConfig(global_pool="attn")
    adapters, plain = awake(config, base), conditions(base, 1)
    turned = replace(plain, clip=plain.clip.flip(1), text=plain.text.flip(1))
    seen = adapter_inputs(config, video(1), [0.0], SYNC)
    one, other = (adapters(given, seen, base.sync_pos_emb).pooled for given in (plain, turned))
    torch.testing.assert_close(one, other)  # the question is the mean of the clip's own vectors, in whatever order


@torch.no_grad()
def test_of_a_video_of_one_clip_the_global_is_the_local() -> None:
    base = network()
    one = video(1)
    assert one.sync_all is not None and one.visual_all is not None
    for config in (AdapterConfig(sync_pool="clip_mean"), AdapterConfig(sync_pool="resample")):
        found = adapter_inputs(config, one, [0.0], SYNC)
        assert found.sync is not None and found.phases is not None and found.visual is not None
        torch.testing.assert_close(found.sync, one.sync_all[None])
        assert torch.equal(found.phases, torch.eye(8).repeat(1, SYNC // 8, 1))
        torch.testing.assert_close(found.visual[0, 0], one.visual_all.mean(0))
    # so an adapter that holds the base's own weights adds what the base itself says
    adapters = Adapters(base.config, AdapterConfig(use_global=False))
    assert adapters.syn is not None
    own = {f"{part}.{name}": values for part, module in zip(("conv", "mlp"), (0, 2), strict=True)
           for name, values in base.sync_input_proj[module].state_dict().items()}  # fmt: skip
    adapters.syn.load_state_dict(own)
    plain = base.conditions(normal(1, 1, 8, 12), one.sync_all[None], normal(3, 1, 7, 9))
    found = adapter_inputs(adapters.config, one, [0.0], SYNC)
    torch.testing.assert_close(adapters(plain, found, base.sync_pos_emb).sync, 2 * plain.sync)


@pytest.mark.parametrize("clips", [1, 2, 4])
@torch.no_grad()
def test_windows_are_cut_out_of_a_run_over_the_whole_video(clips: int) -> None:
    base, whole = network(), video(clips)
    config = AdapterConfig(use_global=False, sync_pool="window")
    adapters, plain = awake(config, base), conditions(base, clips)
    assert whole.sync_all is not None and adapters.syn is not None
    found = adapter_inputs(config, whole, offsets(clips), SYNC)
    added = adapters(plain, found, base.sync_pos_emb).sync - plain.sync
    positioned = whole.sync_all + base.sync_pos_emb[0, 0].repeat(len(whole.sync_all) // 8, 1)
    run = adapters.syn.mlp(adapters.syn.act(adapters.syn.conv(positioned[None])))
    torch.testing.assert_close(added.flatten(0, 1), run[0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_window_begins_at_the_nearest_pictures_and_stays_inside() -> None:
    config = AdapterConfig(use_global=False, sync_pool="window")
    rows = torch.arange(80.0)[:, None].expand(-1, 10)
    whole = VideoFeatures(normal(1, 7, 9), sync_all=rows)
    found = adapter_inputs(config, whole, [0.0, 0.15, 0.17, 0.64, 9.0], SYNC)
    assert found.sync is not None and found.sync_mask is not None
    assert found.sync[:, 8, 0].tolist() == [0, 0, 8, 16, 56]
    assert found.sync_mask.sum(1).tolist() == [32, 32, 40, 40, 32]
    assert found.sync[0, :8].any().item() is False


@pytest.mark.parametrize("pool", ["clip_mean", "time_mean", "resample"])
@torch.no_grad()
def test_positions_are_added_before_pooling(pool: Any) -> None:
    base, whole = network(), video(3)
    config = AdapterConfig(use_global=False, sync_pool=pool)
    found = adapter_inputs(config, whole, [0.0], SYNC)
    assert whole.sync_all is not None and found.sync is not None and found.phases is not None
    positioned = (whole.sync_all.reshape(-1, 8, 10) + base.sync_pos_emb[0]).reshape(-1, 10)
    by_hand = {
        "clip_mean": positioned.reshape(3, SYNC, 10).mean(0),
        "time_mean": positioned.mean(0, keepdim=True),
        "resample": positioned.reshape(SYNC, 3, 10).mean(1),
    }
    torch.testing.assert_close(found.sync[0] + found.phases[0] @ base.sync_pos_emb[0, 0], by_hand[pool])


@pytest.mark.parametrize("config", VARIANTS)
@torch.no_grad()
def test_videos_share_a_batch_as_if_each_came_alone(config: AdapterConfig) -> None:
    base = network()
    adapters, plain = awake(config, base), conditions(base, 5)
    parts = [
        adapter_inputs(config, video(2, 5), offsets(2), SYNC),
        adapter_inputs(config, video(3, 50), offsets(3), SYNC),
    ]
    together = adapters(plain, AdapterInputs.join(parts), base.sync_pos_emb)
    nested = AdapterInputs.join([AdapterInputs.join(parts), parts[0]])
    assert nested.video.tolist() == [0, 0, 1, 1, 1, 2, 2]
    first = adapters(plain[:2], parts[0], base.sync_pos_emb)
    second = adapters(plain[2:], parts[1], base.sync_pos_emb)
    alone = Conditions.cat([first, second])
    for name in vars(alone):
        torch.testing.assert_close(getattr(together, name), getattr(alone, name), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_attention_hears_every_clip_and_asks_by_the_own() -> None:
    base = network()
    config = AdapterConfig(sync_pool="clip_attn", global_pool="attn")
    adapters, plain = awake(config, base), conditions(base)
    whole = video(3)
    assert whole.clips_sync is not None and whole.visual_all is not None
    before = adapters(plain, adapter_inputs(config, whole, offsets(3), SYNC), base.sync_pos_emb)
    added = before.sync - plain.sync
    assert not torch.allclose(added[0], added[1])
    other = replace(whole, clips_sync=whole.clips_sync.flip(0), visual_all=whole.visual_all.flip(0))
    turned = adapters(plain, adapter_inputs(config, other, offsets(3), SYNC), base.sync_pos_emb)
    torch.testing.assert_close(turned.sync, before.sync)  # in whatever order
    changed = replace(whole, clips_sync=torch.cat((whole.clips_sync[:2], whole.clips_sync[2:] + 1)))
    assert not torch.allclose(
        adapters(plain, adapter_inputs(config, changed, offsets(3), SYNC), base.sync_pos_emb).sync, before.sync
    )


def test_frames_get_what_the_clip_gets_or_not() -> None:
    base = network()
    with torch.no_grad():
        into = awake(AdapterConfig(use_syn=False), base)
        beside = Adapters(base.config, AdapterConfig(use_syn=False, global_into_frame=False))
        beside.load_state_dict(into.state_dict())
        plain = conditions(base)
        found = adapter_inputs(into.config, video(3), offsets(3), SYNC)
        one, other = into(plain, found, base.sync_pos_emb), beside(plain, found, base.sync_pos_emb)
    assert torch.equal(one.pooled, other.pooled)
    assert torch.equal(one.sync, plain.sync)
    torch.testing.assert_close(other.sync + other.pooled, plain.sync + plain.pooled)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"use_syn": False, "use_global": False}, "use_syn or use_global must be true"),
        ({"width_mult": 3.0}, "width_mult 3.0; there are 0.5, 1.0, 2.0"),
        ({"fusion": "mean"}, "fusion 'mean'; there are add, concat"),
        ({"sync_pool": "max"}, "sync_pool 'max'; there are clip_mean"),
        ({"global_pool": "max"}, "global_pool 'max'; there are mean, attn"),
    ],
)
def test_configurations_that_are_none_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdapterConfig(**changed)


@pytest.mark.parametrize("config", VARIANTS)
def test_what_is_needed_is_enough_and_its_lack_is_said(config: AdapterConfig) -> None:
    whole = video(3)
    parts = {
        "means": ("visual_mean", "sync_mean"),
        "whole": ("visual_all", "sync_all"),
        "clips": ("clips_sync",),
    }
    lacking: dict[str, Any] = {
        name: None for kind, names in parts.items() if kind not in config.needs for name in names
    }
    adapter_inputs(config, replace(whole, **lacking), offsets(3), SYNC)
    for kind in config.needs:
        with pytest.raises(ValueError, match="of the video is missing"):
            none: dict[str, Any] = dict.fromkeys(parts[kind])
            adapter_inputs(config, replace(whole, **none), offsets(3), SYNC)


@pytest.fixture
def saved(tmp_path: Path) -> Iterator[tuple[Path, MMAudio, Adapters]]:
    base = network()
    adapters = awake(AdapterConfig(width_mult=0.5, sync_pool="time_mean"), base)
    save_adapters(adapters, tmp_path / "adapters.safetensors", base_hash(base), {"steps": 7})
    yield tmp_path / "adapters.safetensors", base, adapters


def test_adapters_come_back_as_they_were(saved: tuple[Path, MMAudio, Adapters]) -> None:
    path, base, adapters = saved
    loaded = load_adapters(path, base)
    assert loaded.config == adapters.config
    assert all(torch.equal(values, loaded.state_dict()[name]) for name, values in adapters.state_dict().items())
    assert adapter_notes(path)["facts"] == {"steps": 7}
    load_adapters(path, network().to(torch.bfloat16))


def test_another_base_is_refused(saved: tuple[Path, MMAudio, Adapters]) -> None:
    path, base, _ = saved
    with torch.no_grad():
        next(base.final_layer.parameters()).add_(0.1)
    with pytest.raises(ModelError, match=f"belong to the base {base_hash(network())}, not to {base_hash(base)}"):
        load_adapters(path, base)


def test_files_without_adapters_are_refused(tmp_path: Path) -> None:
    base = network()
    save_base(base, tmp_path / "base.safetensors")
    with pytest.raises(ModelError, match="not a file of adapters"):
        load_adapters(tmp_path / "base.safetensors", base)


@torch.no_grad()
def test_standardized_vectors_are_those_of_the_videos_that_are_trained_on(tmp_path: Path) -> None:
    base = network()
    config = AdapterConfig(standardize=True)
    adapters = awake(config, base)
    plain, whole = conditions(base, 1), video(1)
    found = adapter_inputs(config, whole, [0.0], SYNC)
    as_they_are = awake(AdapterConfig(), base)
    before = adapters(plain, found, base.sync_pos_emb)
    assert same(before, as_they_are(plain, found, base.sync_pos_emb)), "at first nothing is changed"
    assert adapters.syn is not None and adapters.visual is not None
    assert adapters.syn.standard is not None and adapters.visual.standard is not None
    assert whole.sync_mean is not None and whole.visual_mean is not None
    adapters.syn.standard.take(normal(3, 10), normal(4, 10).abs() + 0.5)
    adapters.visual.standard.take(normal(5, 12), normal(6, 12).abs() + 0.5)
    scaled = replace(
        whole,
        sync_mean=(whole.sync_mean - normal(3, 10)) / (normal(4, 10).abs() + 0.5),
        visual_mean=(whole.visual_mean - normal(5, 12)) / (normal(6, 12).abs() + 0.5),
    )
    by_hand = as_they_are(plain, adapter_inputs(AdapterConfig(), scaled, [0.0], SYNC), base.sync_pos_emb)
    now = adapters(plain, found, base.sync_pos_emb)
    for name in vars(now):
        torch.testing.assert_close(getattr(now, name), getattr(by_hand, name))
    path = tmp_path / "adapters.safetensors"
    save_adapters(adapters, path, base_hash(base))
    assert same(load_adapters(path, base)(plain, found, base.sync_pos_emb), now)

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from curation.backends.weights import ModelUnavailable
from features.encoders.networks.released import layout_of
from model.errors import ModelError
from model.mmaudio import BASES, Conditions, MMAudio, base_hash, build_base, load_base, save_base
from model.mmaudio.config import BaseConfig
from model.mmaudio.layers import Convolution, lay_out, rotate, rotation
from model.mmaudio.network import nearest_rows
from model.sampling import no_conditions, sample
from tests.support import ROOT
from tests.support.golden_fill import fill, golden, normal

GOLDEN = ROOT / "tests" / "model" / "golden"
TINY: dict[str, Any] = {"latent_channels": 8, "latent_length": 43, "clip_length": 8, "sync_length": 24}
# of section 1.6: mean, deviation, the first three
RELEASED = {
    "small_16k": (0.116691, 1.02509, [-0.54506, 0.82565, 0.46893]),
    "large_44k_v2": (-0.004495, 1.06562, [-0.27608, -0.23137, 0.37068]),
}
SIZES = {
    "small_16k": 157_283_644,
    "small_44k": 157_409_144,
    "medium_44k": 621_805_944,
    "large_44k": 1_030_002_168,
    "large_44k_v2": 1_030_575_608,
}


def parameters(network: nn.Module) -> int:
    return sum(values.numel() for values in network.parameters())


@cache
def weights(name: str, version: int) -> dict[str, Tensor]:
    """The golden weights, drawn once."""
    with torch.device("meta"):
        network = build_base(name, version=version, **TINY)
    return fill(layout_of(network))


def filled(version: int = 2) -> MMAudio:
    """A tiny network with the golden weights."""
    network = build_base("tiny", version=version, **TINY)
    network.load_state_dict(weights("tiny", version))
    return network.eval()


def inputs(config: BaseConfig, lengths: tuple[int, int, int]) -> list[Tensor]:
    """Latents, clip, sync and text that the golden figures were taken with."""
    latent, clip, sync = lengths
    return [
        normal(1001, 2, latent, config.latent_channels),
        normal(1002, 2, clip, config.clip_dim),
        normal(1003, 2, sync, config.sync_dim),
        normal(1004, 2, config.text_length, config.text_dim),
    ]


def check(found: Tensor, wanted: Mapping[str, Any], what: str) -> None:
    """1e-4 of each figure; those near zero are sums of larger ones, of whose size they are told to 5e-6."""
    assert list(found.shape) == wanted["shape"], what
    flat = found.double().flatten()
    figures = [flat.mean(), flat.std(), *flat[: len(wanted["first"])], *flat[-len(wanted["last"]) :]]
    expected = [wanted["mean"], wanted["std"], *wanted["first"], *wanted["last"]]
    torch.testing.assert_close(
        torch.stack(figures), torch.tensor(expected).double(), rtol=1e-4, atol=5e-6, msg=lambda text: f"{what}: {text}"
    )


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("lengths", [(43, 8, 24), (87, 16, 48)])
@torch.no_grad()
def test_the_golden_figures_of_the_tiny_networks(version: int, lengths: tuple[int, int, int]) -> None:
    suffix = "" if lengths == (43, 8, 24) else "_len87_16_48"
    wanted = golden("mmaudio.json", GOLDEN)[f"tiny_v{version}{suffix}"]
    network = filled(version)
    assert parameters(network) == wanted["num_params"]
    network.set_lengths(*lengths)
    x, clip, sync, text = inputs(network.config, lengths)
    t = torch.tensor([0.25, 0.75])

    conditions = network.conditions(clip, sync, text)
    check(conditions.clip, wanted["clip_f"], "clip_f")
    check(conditions.sync[:, nearest_rows(lengths[2], lengths[0], x.device)], wanted["sync_f"], "sync_f")
    check(conditions.text, wanted["text_f"], "text_f")
    check(network.clip_cond_proj(conditions.clip.mean(1)), wanted["clip_f_c"], "clip_f_c")
    check(network.text_cond_proj(conditions.text.mean(1)), wanted["text_f_c"], "text_f_c")
    check(network.t_embed(t), wanted["t_embed"], "t_embed")
    check(network(x, clip, sync, text, t), wanted["flow"], "flow")
    check(network(x, *network.empty(2), t), wanted["flow_uncond"], "flow_uncond")
    check(sample(network, conditions, x, steps=5, guidance=4.5), wanted["euler5_cfg4.5"], "euler")


@torch.no_grad()
def check_released(network: MMAudio) -> None:
    config = network.config
    lengths = (config.latent_length, config.clip_length, config.sync_length)
    flow = network(*inputs(config, lengths), torch.tensor([0.25, 0.75])).double()
    mean, deviation, first = RELEASED[config.name]
    found = torch.stack([flow.mean(), flow.std(), *flow.flatten()[:3]])
    torch.testing.assert_close(found, torch.tensor([mean, deviation, *first]).double(), rtol=1e-4, atol=5e-6)


@pytest.mark.slow
def test_the_golden_figures_out_of_a_released_file(tmp_path: Path) -> None:
    layout = {name: tuple(shape) for name, shape in golden("keys_small_16k.json", GOLDEN).items()}
    state = fill(layout)
    computed = {"t_embed.freqs": torch.zeros(3), "latent_rot": torch.zeros(2), "clip_rot": torch.zeros(2)}
    torch.save({**state, **computed}, tmp_path / "mmaudio_small_16k.pth")
    network = load_base(tmp_path / "mmaudio_small_16k.pth")
    assert not any(values.requires_grad for values in network.parameters())
    check_released(network)


@pytest.mark.slow
def test_the_golden_figures_of_the_largest() -> None:
    with torch.device("meta"):
        network = build_base("large_44k_v2")
    network.load_state_dict(fill(layout_of(network)), assign=True)
    check_released(network.eval())


@pytest.mark.parametrize("name", SIZES)
def test_names_shapes_and_sizes_are_the_released_ones(name: str) -> None:
    with torch.device("meta"):
        network = build_base(name)
    layout = {key: tuple(shape) for key, shape in golden(f"keys_{name}.json", GOLDEN).items()}
    assert layout_of(network) == layout
    assert parameters(network) == SIZES[name]


def test_a_fresh_network_is_still_and_learns_everything_but_three() -> None:
    network = build_base("tiny", **TINY)
    x, clip, sync, text = inputs(network.config, (43, 8, 24))
    assert not network(x, clip, sync, text, torch.tensor([0.1, 0.9])).any()
    frozen = {name for name, values in network.named_parameters() if not values.requires_grad}
    assert frozen == {"latent_mean", "latent_std", "empty_string_feat"}
    torch.nn.init.normal_(network.final_layer.conv.weight)
    for block in (*network.joint_blocks, *network.fused_blocks, network.final_layer):
        for name, values in block.named_parameters():
            if "adaLN" in name:
                torch.nn.init.normal_(values, std=0.05)
    network(x, clip, sync, text, torch.tensor([0.1, 0.9])).square().sum().backward()
    unreached = {name for name, values in network.named_parameters() if values.requires_grad and values.grad is None}
    unasked = {f"joint_blocks.1.{stream}_block.attn.q_norm.weight" for stream in ("clip", "text")}
    assert unreached == {"empty_clip_feat", "empty_sync_feat", *unasked}


@torch.no_grad()
def test_conditions_are_handed_out_as_if_each_latent_had_its_own() -> None:
    network = filled()
    x, clip, sync, text = inputs(network.config, (43, 8, 24))
    t = torch.tensor([0.25, 0.75])
    shared = network.conditions(clip, sync, text)
    own = Conditions(shared.clip, shared.sync[:, nearest_rows(24, 43, x.device)], shared.text, shared.pooled)
    torch.testing.assert_close(network.flow(x, t, shared), network.flow(x, t, own), rtol=1e-5, atol=1e-6)


def test_checkpointing_changes_no_gradient() -> None:
    network = filled()
    gradients = []
    for checkpointing in (False, True):
        network.checkpointing = checkpointing
        network.zero_grad()
        network(*inputs(network.config, (43, 8, 24)), torch.tensor([0.25, 0.75])).square().mean().backward()
        gradients.append({n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, values in gradients[0].items():
        torch.testing.assert_close(values, gradients[1][name])


@torch.no_grad()
def test_in_bfloat16_positions_and_times_stay_exact() -> None:
    network = filled()
    x, clip, sync, text = inputs(network.config, (43, 8, 24))
    t = torch.tensor([0.25, 0.75])
    exact = network(x, clip, sync, text, t)
    rough = network.to(torch.bfloat16)(x, clip, sync, text, t)
    assert rough.dtype == torch.float32
    assert (rough - exact).norm() / exact.norm() < 0.03


def test_nearest_rows_are_pytorchs_own() -> None:
    rows = nearest_rows(192, 345, torch.device("cpu"))
    exact = ((torch.arange(345).double() + 0.5) * 192 / 345).floor().long()
    assert (rows != exact).nonzero().flatten().tolist() == [57, 172]
    assert sorted(set(rows.tolist())) == list(range(192))


def test_turning_keeps_lengths_and_tells_distances_only() -> None:
    by = rotation(50, 0.7, torch.device("cpu"))
    query, key = normal(1, 64).expand(1, 1, 50, 64), normal(2, 64).expand(1, 1, 50, 64)
    turned = rotate(query, by)
    torch.testing.assert_close(turned.norm(dim=-1), query.norm(dim=-1))
    products = (turned @ rotate(key, by).mT)[0, 0]
    for distance in (0, 3, 20):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (0, r"latent is \(2, 44, 8\), not \(batch, 43, 8\)"),
        (1, r"clip is \(2, 9, 1024\), not \(batch, 8, 1024\)"),
        (2, r"sync is \(2, 25, 768\), not \(batch, 24, 768\)"),
        (3, r"text is \(2, 78, 1024\), not \(batch, 77, 1024\)"),
    ],
)
def test_other_lengths_than_expected_are_refused(wrong: int, message: str) -> None:
    network = build_base("tiny", **TINY)
    values = inputs(network.config, (43, 8, 24))
    values[wrong] = torch.cat((values[wrong], values[wrong][:, :1]), 1)
    with pytest.raises(ValueError, match=message):
        network(*values, torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize("kernel", [3, 7])
def test_convolutions_are_pytorchs_however_their_weights_lie(kernel: int) -> None:
    ours, plain = Convolution(5, 6, kernel), nn.Conv1d(5, 6, kernel, padding=kernel // 2)
    ours.load_state_dict(plain.state_dict())
    as_loaded = Convolution(5, 6, kernel)
    as_loaded.load_state_dict(plain.state_dict(), assign=True)
    assert ours.weight.stride() == (5 * kernel, 1, 5)
    assert as_loaded.weight.stride() == plain.weight.stride()
    x = normal(1, 2, 9, 5).requires_grad_()
    wanted = plain(x.mT).mT
    gradients = torch.autograd.grad(wanted.square().sum(), [x, *plain.parameters()])
    for convolution in (ours, as_loaded):
        found = convolution(x)
        torch.testing.assert_close(found, wanted)
        assert found.is_contiguous()
        of_ours = torch.autograd.grad(found.square().sum(), [x, *convolution.parameters()])
        for one, other in zip(of_ours, gradients, strict=True):
            torch.testing.assert_close(one, other)
    lay_out(as_loaded)
    assert as_loaded.weight.stride() == ours.weight.stride()
    assert torch.equal(as_loaded.weight, plain.weight)


def test_lengths_that_are_none_are_refused() -> None:
    network = build_base("tiny", **TINY)
    for lengths in ((0, 8, 24), (43, 8, 20)):
        with pytest.raises(ValueError, match="multiple of 8"):
            network.set_lengths(*lengths)


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("huge", {}, "base 'huge': known sizes are small_16k"),
        ("tiny", {"width": 3}, "base tiny: no field width"),
        ("tiny", {"heads": 3}, "hidden 128 is not 64 x 3 heads"),
        ("tiny", {"fused": 4}, "4 fused of 4 blocks"),
        ("tiny", {"version": 3}, "version 3"),
        ("tiny", {"sync_length": 20}, "sync_length 20 is not a multiple of 8"),
    ],
)
def test_sizes_that_are_none_are_refused(name: str, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_base(name, **changed)


def test_our_own_files_hold_the_sizes(tmp_path: Path) -> None:
    network = filled()
    save_base(network, tmp_path / "base.safetensors", {"steps": 3})
    loaded = load_base(tmp_path / "base.safetensors")
    assert loaded.config == network.config
    kernels = [module for module in loaded.modules() if isinstance(module, Convolution)]
    assert kernels and all(module.weight.transpose(1, 2).is_contiguous() for module in kernels)
    assert all(torch.equal(values, loaded.state_dict()[name]) for name, values in network.state_dict().items())
    save_base(loaded, tmp_path / "again.safetensors", {"steps": 3})
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "base.safetensors").read_bytes()


def test_the_hash_is_of_the_weights_alone() -> None:
    network = filled()
    own = base_hash(network)
    assert base_hash(filled().to(torch.bfloat16)) == own
    with torch.no_grad():
        next(network.final_layer.parameters()).add_(0.1)
    assert base_hash(network) != own


def test_files_that_are_no_base_are_refused_in_a_line(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "mmaudio_small_16k.pth")
    with pytest.raises(ModelUnavailable, match=r"mmaudio_small_16k\.pth lacks the tensor .*: not the released file"):
        load_base(tmp_path / "mmaudio_small_16k.pth")
    (tmp_path / "weights.pth").write_bytes(b"")
    with pytest.raises(ModelError, match="its size is unknown"):
        load_base(tmp_path / "weights.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10")
    with pytest.raises(ModelError, match="not a safetensors file, or truncated"):
        load_base(tmp_path / "cut.safetensors")
    with pytest.raises(ModelError, match="No such file"):
        load_base(tmp_path / "none.safetensors")


@torch.no_grad()
def test_guidance_leads_away_from_nothing_and_is_skipped_where_it_leads_nowhere() -> None:
    network = filled()
    x, clip, sync, text = inputs(network.config, (43, 8, 24))
    conditions = network.conditions(clip, sync, text)
    rows: list[int] = []

    def counted(latent: Tensor, t: Tensor, given: Conditions) -> Tensor:
        rows.append(len(latent))
        return network.flow(latent, t, given)

    unguided = sample(network, conditions, x, steps=2, guidance=1.0, flow=counted)
    assert rows == [2, 2]
    by_hand = x + network.flow(x, torch.zeros(2), conditions) / 2
    by_hand = by_hand + network.flow(by_hand, torch.full((2,), 0.5), conditions) / 2
    torch.testing.assert_close(unguided, by_hand)
    seen: list[int] = []
    guided = sample(network, conditions, x, steps=2, guidance=3.0, flow=counted, on_step=seen.append)
    assert (rows[2:], seen) == ([4, 4], [1, 2])
    given = sample(network, conditions, x, steps=2, guidance=3.0, empty=no_conditions(network))
    torch.testing.assert_close(given, guided)
    assert not torch.allclose(guided, unguided)
    with pytest.raises(ValueError, match="steps 0"):
        sample(network, conditions, x, steps=0)


def test_sizes_are_described() -> None:
    assert BASES["large_44k_v2"].version == 2
    assert BASES["large_44k"].latent_length == 345

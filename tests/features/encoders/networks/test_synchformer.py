import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curation.backends.weights import WEIGHTS_FOLDER, ModelSetup, ModelUnavailable
from features.encoders.base import weights_version
from features.encoders.networks.released import layout_of
from features.encoders.networks.synchformer import (
    PLACES,
    STEPS,
    DividedAttention,
    PlaceAggregator,
    Synchformer,
    SynchformerShape,
    load_synchformer,
)
from features.encoders.precision import place
from features.encoders.synchformer import SynchformerEncoder, spec
from tests.support.golden_fill import fill, golden, normal, relative_error

SMALL = SynchformerShape(width=24, heads=3, blocks=2, hidden=48)


def layout() -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape in golden("keys_synchformer_visual.json").items()}


def small(batch: int = 4) -> Synchformer:
    network = Synchformer(SMALL, batch)
    network.load_state_dict(fill(layout_of(network)))
    return network.requires_grad_(False)


def video(frames: int, seed: int = 0) -> Tensor:
    """Noise, other in every frame."""
    return torch.randint(
        0, 256, (frames, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


@pytest.fixture(scope="module")
def released() -> Iterator[SynchformerEncoder]:
    """The encoder, opened on a file like the released one: the golden weights among parts of other networks."""
    others = {"afeat_extractor.ast.embeddings.cls_token": torch.zeros(1, 1, 768), "vproj.weight": torch.zeros(768, 768)}
    with TemporaryDirectory() as folder:
        path = Path(folder, "synchformer_state_dict.pth")
        torch.save(fill(layout()) | others, path)
        opened = SynchformerEncoder(ModelSetup(weights=(("synchformer", str(path)),)), "cpu")
        assert opened.spec.version == weights_version(path, 1)
    yield opened


@pytest.mark.slow
def test_the_golden_figures_out_of_a_released_file(released: SynchformerEncoder) -> None:
    windows = np.random.RandomState(1201).standard_normal((1, 2, 16, 3, 224, 224)) * 0.5
    out = released.network(torch.from_numpy(windows).float())
    assert out.dtype == torch.float32
    assert relative_error(out, golden("golden_encoders.json")["synchformer"]["out"]) < 5e-5


def test_names_and_shapes_are_the_released_ones() -> None:
    with torch.device("meta"):
        network = Synchformer()
    assert layout_of(network) == layout()
    assert sum(parameter.numel() for parameter in network.parameters()) == 122_440_704


@pytest.mark.parametrize("across", ["time", "space"])
def test_divided_attention_is_masked_attention(across: Any) -> None:
    attention = DividedAttention(SMALL, across)
    tokens = 1 + STEPS * PLACES
    x = normal(1, 2, tokens, SMALL.width)
    index = torch.arange(tokens - 1)
    group = index % PLACES if across == "time" else index // PLACES
    mask = torch.ones(tokens, tokens, dtype=torch.bool)
    mask[1:, 1:] = group[:, None] == group
    query, key, value = attention.qkv(x).view(2, tokens, 3, 3, 8).permute(2, 0, 3, 1, 4)
    scores = (query @ key.mT / math.sqrt(8)).masked_fill(~mask, -math.inf)
    expected = attention.proj((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x), expected)


def test_the_aggregator_is_a_layer_of_which_one_token_is_kept() -> None:
    aggregator = PlaceAggregator(SMALL)
    nn.init.normal_(aggregator.cls_token)
    layer = nn.TransformerEncoderLayer(
        SMALL.width, SMALL.heads, SMALL.hidden, 0.0, F.gelu, layer_norm_eps=1e-6, batch_first=True, norm_first=True
    )
    layer.load_state_dict({name: value for name, value in aggregator.state_dict().items() if name != "cls_token"})
    x = normal(2, 3, PLACES, SMALL.width)
    whole = layer(torch.cat([aggregator.cls_token.expand(3, -1, -1), x], dim=1))
    torch.testing.assert_close(aggregator(x), whole[:, 0])


def test_a_video_is_encoded_window_after_window() -> None:
    network, frames = small(), video(44)
    windows = torch.stack([frames[start : start + 16] for start in (0, 8, 16, 24)])[None]
    expected = network(windows.float() / 127.5 - 1)
    assert expected.shape == (1, 4, 8, SMALL.width)
    torch.testing.assert_close(network.encode(frames), expected.flatten(0, 2), rtol=1e-5, atol=1e-5)


def test_pixels_reach_from_minus_one_to_one() -> None:
    network = small()
    frames = video(16).clamp_(max=1) * 255
    pixels = torch.where(frames > 0, 1.0, -1.0)
    torch.testing.assert_close(network.encode(frames), network(pixels[None, None])[0, 0], rtol=1e-5, atol=1e-5)


def test_a_slice_of_a_video_is_the_clip_encoded_alone() -> None:
    network = Synchformer(SynchformerShape(width=6, heads=1, blocks=1, hidden=6), batch=5)
    network.load_state_dict(fill(layout_of(network)))
    frames = video(400)
    whole = network.encode(frames)
    assert whole.shape == (8 * 49, 6)
    for clip in (0, 1):
        alone = network.encode(frames[200 * clip : 200 * (clip + 1)])
        assert alone.shape == (192, 6)
        torch.testing.assert_close(whole[200 * clip : 200 * clip + 192], alone, rtol=1e-5, atol=1e-5)


def test_batches_are_small_and_change_nothing() -> None:
    network, frames = small(batch=2), video(56)
    sizes: list[int] = []
    network.vfeat_extractor.register_forward_pre_hook(lambda _module, inputs: sizes.append(len(inputs[0])))
    torch.testing.assert_close(network.encode(frames), small(batch=100).encode(frames), rtol=1e-5, atol=1e-5)
    network(torch.zeros(3, 1, 16, 3, 224, 224))
    assert sizes == [2, 2, 2, 2, 1]


@pytest.mark.parametrize(("frames", "vectors"), [(0, 0), (15, 0), (16, 8), (23, 8), (24, 16)])
def test_how_many_vectors(frames: int, vectors: int, tmp_path: Path) -> None:
    assert small().encode(video(frames)).shape == (vectors, SMALL.width)
    (tmp_path / "weights").write_bytes(b"any")
    pictures = spec(ModelSetup(weights=(("synchformer", str(tmp_path / "weights")),))).frames
    assert pictures is not None
    assert pictures.length(frames) == vectors


def test_no_windows_give_no_vectors() -> None:
    assert small()(torch.zeros(1, 0, 16, 3, 224, 224)).shape == (1, 0, 8, SMALL.width)


def test_what_it_refuses() -> None:
    network = small()
    with pytest.raises(ValueError, match=r"needs floating-point \(batch, windows, 16, 3, 224, 224\), got .*15, 3"):
        network(torch.zeros(1, 1, 15, 3, 224, 224))
    with pytest.raises(ValueError, match="needs floating-point"):
        network(torch.zeros(1, 1, 16, 3, 224, 224, dtype=torch.uint8))
    broken = torch.zeros(1, 1, 16, 3, 224, 224)
    broken[0, 0, 3, 1, 5, 5] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        network(broken)
    with pytest.raises(ValueError, match=r"needs uint8 \(frames, 3, 224, 224\), got torch.float32"):
        network.encode(torch.zeros(16, 3, 224, 224))
    with pytest.raises(ValueError, match=r"got torch.uint8 \(16, 224, 224, 3\)"):
        network.encode(torch.zeros(16, 224, 224, 3, dtype=torch.uint8))


def test_half_precision_is_near(tmp_path: Path) -> None:
    network, frames = small(), video(16)
    exact = network.encode(frames)
    place(network, "cpu", "bfloat16")
    near = network.encode(frames)
    assert near.dtype == torch.float32
    assert 0 < (near - exact).norm() / exact.norm() < 0.02
    (tmp_path / "weights").write_bytes(b"any")
    setup = ModelSetup(weights=(("synchformer", str(tmp_path / "weights")),))
    assert spec(setup, "bfloat16").version == f"{spec(setup).version}-bfloat16"
    with pytest.raises(ValueError, match="synchformer: precision 'float16': known are float32, bfloat16"):
        spec(setup, "float16")  # type: ignore[arg-type]


def test_the_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEIGHTS_FOLDER, str(tmp_path))
    with pytest.raises(ModelUnavailable) as caught:
        spec(ModelSetup())
    assert str(tmp_path / "synchformer_state_dict.pth") in str(caught.value)
    assert "5b2f5594b0730f70e41e549b7c94390c" in str(caught.value)
    (tmp_path / "synchformer_state_dict.pth").write_bytes(b"any")
    found = spec(ModelSetup())
    assert (found.name, found.stream, found.rate, found.dimension, found.length) == (
        "synchformer",
        "sync",
        25,
        768,
        192,
    )
    assert found.frames is not None
    assert (found.frames.fps, found.frames.side, found.frames.fit) == (25, 224, "crop")


def refusal(path: Path) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        load_synchformer(path)
    message = str(caught.value)
    assert message.startswith(f"synchformer: {path} ")
    assert "\n" not in message
    return message


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "synchformer_state_dict.pth"
    empty = {name: torch.zeros(()).expand(shape) for name, shape in layout().items()}
    name = "vfeat_extractor.blocks.11.mlp.fc2.weight"
    torch.save({key: value for key, value in empty.items() if key != name}, path)
    assert f"lacks the tensor {name}" in refusal(path)
    torch.save(empty | {name: torch.zeros(768, 768)}, path)
    assert f"{name} of shape (768, 768), should be (768, 3072)" in refusal(path)
    torch.save(empty | {"vfeat_extractor.blocks.12.norm1.weight": torch.zeros(768)}, path)
    assert "contains an unknown tensor vfeat_extractor.blocks.12.norm1.weight" in refusal(path)
    torch.save({"afeat_extractor.x": torch.zeros(1)}, path)
    assert "lacks the tensor vfeat_extractor.cls_token" in refusal(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "truncated" in refusal(path)

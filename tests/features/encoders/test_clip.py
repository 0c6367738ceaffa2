import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers.models import BPE
from torch import Tensor

from curation.backends.weights import WEIGHTS_FOLDER, ModelSetup, ModelUnavailable
from features.encoders import clip, clip_text
from features.encoders.base import weights_version
from features.encoders.networks import clip as clip_weights
from features.encoders.networks.clip import (
    TEXT,
    VISION,
    TextTower,
    VisionTower,
    empty_text,
    empty_vision,
    released_layout,
)
from features.encoders.networks.clip_tokens import CaptionTokens, clean
from features.encoders.networks.released import layout_of
from tests.support.golden_fill import normal

# 32 is not a multiple of 14, as 384 is none: the last four rows and columns are not seen
SMALL_VISION = VisionTower(width=32, layers=3, heads=2, side=32, patch=14, embedding=24)
CAPTIONS = ["a dog's bark echoes in 12 halls", "two dogs bark, 3 doors slam!", "rain on a tin roof...", "the bell"]

Layout = dict[str, tuple[int, ...]]


def blocks(prefix: str, layers: int, width: int) -> Layout:
    """open_clip's transformer."""
    shapes: Layout = {}
    for layer in range(layers):
        block = f"{prefix}transformer.resblocks.{layer}."
        shapes |= {f"{block}ln_{i}.{kind}": (width,) for i in (1, 2) for kind in ("weight", "bias")}
        shapes |= {f"{block}attn.in_proj_weight": (3 * width, width), f"{block}attn.in_proj_bias": (3 * width,)}
        shapes |= {f"{block}attn.out_proj.weight": (width, width), f"{block}attn.out_proj.bias": (width,)}
        shapes |= {f"{block}mlp.c_fc.weight": (4 * width, width), f"{block}mlp.c_fc.bias": (4 * width,)}
        shapes |= {f"{block}mlp.c_proj.weight": (width, 4 * width), f"{block}mlp.c_proj.bias": (width,)}
    return shapes


def vision_layout(width: int, layers: int, places: int, patch: int, embedding: int) -> Layout:
    """open_clip's vision tower."""
    shapes: Layout = {
        "visual.class_embedding": (width,),
        "visual.positional_embedding": (places + 1, width),
        "visual.proj": (width, embedding),
        "visual.conv1.weight": (width, 3, patch, patch),
    }
    shapes |= {f"visual.ln_{place}.{kind}": (width,) for place in ("pre", "post") for kind in ("weight", "bias")}
    return shapes | blocks("visual.", layers, width)


def text_layout(width: int, layers: int, tokens: int, vocabulary: int) -> Layout:
    """open_clip's text tower."""
    shapes: Layout = {"positional_embedding": (tokens, width), "token_embedding.weight": (vocabulary, width)}
    return shapes | {"ln_final.weight": (width,), "ln_final.bias": (width,)} | blocks("", layers, width)


def random_state(text: TextTower) -> dict[str, Tensor]:
    """A whole file's content in open_clip's layout."""
    layout = vision_layout(32, 3, 4, 14, 24) | text_layout(text.width, text.layers, text.tokens, text.vocabulary)
    layout |= {"logit_scale": (), "text_projection": (text.width, 24)}
    state = {name: 0.2 * normal(seed, *shape) for seed, (name, shape) in enumerate(layout.items())}
    return {name: 1 + value if ".ln_" in name and name.endswith("weight") else value for name, value in state.items()}


def unit(x: Tensor) -> Tensor:
    scaled: Tensor = x / x.norm(dim=-1, keepdim=True)
    return scaled


def transformer(state: dict[str, Tensor], prefix: str, layers: int, heads: int, x: Tensor, mask: Tensor) -> Tensor:
    """open_clip's residual attention blocks, after their description."""
    for layer in range(layers):
        w = {
            name.removeprefix(f"{prefix}transformer.resblocks.{layer}."): value
            for name, value in state.items()
            if name.startswith(f"{prefix}transformer.resblocks.{layer}.")
        }
        batch, length, width = x.shape
        normed = F.layer_norm(x, (width,), w["ln_1.weight"], w["ln_1.bias"])
        query, key, value = (normed @ w["attn.in_proj_weight"].T + w["attn.in_proj_bias"]).split(width, dim=-1)  # type: ignore[no-untyped-call]
        by_head = [part.view(batch, length, heads, -1).transpose(1, 2) for part in (query, key, value)]
        scores = by_head[0] @ by_head[1].mT / (width // heads) ** 0.5 + mask
        attended = (scores.softmax(-1) @ by_head[2]).transpose(1, 2).reshape(batch, length, width)
        x = x + attended @ w["attn.out_proj.weight"].T + w["attn.out_proj.bias"]
        normed = F.layer_norm(x, (width,), w["ln_2.weight"], w["ln_2.bias"])
        hidden = normed @ w["mlp.c_fc.weight"].T + w["mlp.c_fc.bias"]
        x = x + (hidden * torch.sigmoid(1.702 * hidden)) @ w["mlp.c_proj.weight"].T + w["mlp.c_proj.bias"]
    return x


def image_embeddings(state: dict[str, Tensor], frames: Tensor) -> Tensor:
    """What open_clip's encode_image(normalize=True) gives for pictures of 0..255."""
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    x = F.conv2d((frames / 255 - mean) / deviation, state["visual.conv1.weight"], stride=14).flatten(2).mT
    x = (
        torch.cat([state["visual.class_embedding"].expand(len(x), 1, -1), x], dim=1)
        + state["visual.positional_embedding"]
    )
    x = F.layer_norm(x, (32,), state["visual.ln_pre.weight"], state["visual.ln_pre.bias"])
    x = transformer(state, "visual.", 3, 2, x, torch.zeros(()))
    x = F.layer_norm(x[:, 0], (32,), state["visual.ln_post.weight"], state["visual.ln_post.bias"])
    return unit(x @ state["visual.proj"])


def token_embeddings(state: dict[str, Tensor], tokens: Tensor, heads: int, layers: int) -> Tensor:
    """What MMAudio makes of open_clip's text tower: normalised hidden states after ln_final."""
    x = state["token_embedding.weight"][tokens] + state["positional_embedding"]
    causal = torch.full((x.shape[1], x.shape[1]), -torch.inf).triu(1)
    x = transformer(state, "", layers, heads, x, causal)
    return unit(F.layer_norm(x, (x.shape[2],), state["ln_final.weight"], state["ln_final.bias"]))


def words_of(text: str) -> list[str]:
    """CLIP's pre-tokens of plain ASCII."""
    return re.findall(r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+", text)


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small byte-pair vocabulary in CLIP's form, as tokenizer.json and as vocab.json with merges.txt."""
    folder = tmp_path_factory.mktemp("vocabulary")
    tokenizer = Tokenizer(BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator([word for text in CAPTIONS for word in words_of(text)], trainer)
    learnt = json.loads(tokenizer.to_str())["model"]
    # CLIP's order: bytes, bytes that end a word, merges, the two marks
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [tuple(pair) for pair in learnt["merges"]]
    entries = [*alphabet, *(letter + "</w>" for letter in alphabet), *("".join(pair) for pair in merges)]
    entries = list(dict.fromkeys([*entries, "<|startoftext|>", "<|endoftext|>"]))
    codes = {entry: code for code, entry in enumerate(entries)}
    (folder / "vocab.json").write_text(json.dumps(codes), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(map(" ".join, merges)), encoding="utf-8")
    Tokenizer(BPE(codes, merges, end_of_word_suffix="</w>", unk_token="<|endoftext|>")).save(
        str(folder / "tokenizer.json")
    )
    return folder


def small_text(vocabulary: Path) -> TextTower:
    size = len(json.loads((vocabulary / "vocab.json").read_text(encoding="utf-8")))
    return TextTower(width=32, layers=2, heads=4, tokens=20, vocabulary=size)


@pytest.fixture
def released(vocabulary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """A folder of weights with a small model in the released layout: the same code, other sizes."""
    text = small_text(vocabulary)
    state = random_state(text)
    torch.save(state, tmp_path / "open_clip_pytorch_model.bin")
    (tmp_path / "tokenizer.json").write_bytes((vocabulary / "tokenizer.json").read_bytes())
    monkeypatch.setenv(WEIGHTS_FOLDER, str(tmp_path))
    monkeypatch.setattr(clip, "VISION", SMALL_VISION)
    monkeypatch.setattr(clip_text, "TEXT", text)
    return state


def pictures(count: int, side: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def test_names_and_shapes_are_the_released_ones() -> None:
    vision, text = empty_vision(VISION), empty_text(TEXT)
    assert released_layout(vision, "vision") == vision_layout(1280, 32, 27 * 27, 14, 1024)
    assert released_layout(text, "text") == text_layout(1024, 24, 77, 49_408)
    # 632.7 million, as open_clip's table of models has it
    assert round(sum(parameter.numel() for parameter in vision.parameters()) / 1e6, 1) == 632.7
    assert vision.config.hidden_act == text.config.hidden_act == "quick_gelu"
    assert len(layout_of(vision)) == len(vision_layout(1280, 32, 729, 14, 1024)) + 2 * 2 * 32


def test_pictures_are_embedded_as_open_clip_does(released: dict[str, Tensor]) -> None:
    encoder = clip.Clip(ModelSetup(), "cpu")
    frames = pictures(11)
    found = encoder.encode(frames)
    assert found.shape == (11, 24)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, image_embeddings(released, frames), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(clip.embed(encoder.network, frames, 100), found, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(11))
    assert encoder.encode(frames[:0]).shape == (0, 24)


def test_the_last_rows_are_not_seen(released: dict[str, Tensor]) -> None:
    encoder, frames = clip.Clip(ModelSetup(), "cpu"), pictures(1)
    other = frames.clone()
    other[:, :, 28:] = 0
    other[:, :, :, 28:] = 0
    assert torch.equal(encoder.encode(other), encoder.encode(frames))
    other[:, :, 27] = 0
    assert not torch.allclose(encoder.encode(other), encoder.encode(frames), atol=1e-3)


def test_pictures_are_embedded_in_small_batches(released: dict[str, Tensor]) -> None:
    encoder = clip.Clip(ModelSetup(), "cpu")
    sizes: list[int] = []
    encoder.network.vision_model.register_forward_pre_hook(
        lambda _module, _inputs, named: sizes.append(len(named["pixel_values"])), with_kwargs=True
    )
    encoder.encode(pictures(10))
    assert sizes == [4, 4, 2]


def test_captions_are_encoded_as_mmaudio_does(released: dict[str, Tensor]) -> None:
    encoder = clip_text.ClipText(ModelSetup(), "cpu")
    for caption in CAPTIONS:
        found = encoder.encode(caption)
        assert found.shape == (20, 32)
        assert found.dtype == torch.float32
        expected = token_embeddings(released, encoder.tokens(caption)[None], heads=4, layers=2)[0]
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_half_precision_is_near(released: dict[str, Tensor]) -> None:
    frames, setup = pictures(4), ModelSetup()
    exact, near = clip.Clip(setup, "cpu"), clip.Clip(setup, "cpu", precision="bfloat16")
    assert 0 < (near.encode(frames) - exact.encode(frames)).norm() / 2 < 0.05
    assert near.encode(frames).dtype == torch.float32
    assert near.spec.version == f"{exact.spec.version}-bfloat16"
    text, near_text = clip_text.ClipText(setup), clip_text.ClipText(setup, precision="bfloat16")
    assert 0 < (near_text.encode("rain") - text.encode("rain")).norm() / 20**0.5 < 0.05
    assert near_text.spec.version == f"{text.spec.version}-bfloat16"


def test_safetensors_hold_the_same(released: dict[str, Tensor], tmp_path: Path) -> None:
    expected = clip.Clip(ModelSetup(), "cpu").encode(pictures(2))
    path = tmp_path / "open_clip_pytorch_model.bin"
    path.unlink()
    save_file(released, tmp_path / "open_clip_model.safetensors")
    assert torch.equal(clip.Clip(ModelSetup(), "cpu").encode(pictures(2)), expected)
    named = tmp_path / "clip.safetensors"
    (tmp_path / "open_clip_model.safetensors").rename(named)
    assert torch.equal(clip.Clip(ModelSetup(weights=(("clip", str(named)),))).encode(pictures(2)), expected)
    named.write_bytes(named.read_bytes()[:100])
    with pytest.raises(ModelUnavailable, match=r"clip: .*truncated"):
        clip.Clip(ModelSetup(weights=(("clip", str(named)),)))


def test_halved_weights_are_widened(released: dict[str, Tensor], tmp_path: Path) -> None:
    halves = {name: value.bfloat16() for name, value in released.items()}
    torch.save(halves, tmp_path / "open_clip_pytorch_model.bin")
    found = clip.Clip(ModelSetup()).encode(pictures(2))
    expected = image_embeddings({name: value.float() for name, value in halves.items()}, pictures(2))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_folder_named_after_the_repository(released: dict[str, Tensor], tmp_path: Path) -> None:
    folder = tmp_path / "DFN5B-CLIP-ViT-H-14-384"
    folder.mkdir()
    for name in ("open_clip_pytorch_model.bin", "tokenizer.json"):
        (tmp_path / name).rename(folder / name)
    assert clip_text.ClipText(ModelSetup()).encode("rain").shape == (20, 32)


def test_the_specs(vocabulary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEIGHTS_FOLDER, str(tmp_path))
    path = tmp_path / "open_clip_pytorch_model.bin"
    for spec in (clip.spec, clip_text.spec):
        with pytest.raises(ModelUnavailable) as caught:
            spec(ModelSetup())
        assert str(path) in str(caught.value)
        assert "apple/DFN5B-CLIP-ViT-H-14-384" in str(caught.value)
    path.write_bytes(b"any")
    found = clip.spec(ModelSetup())
    assert (found.name, found.stream, found.rate, found.dimension, found.length) == ("clip", "visual", 8, 1024, 64)
    assert found.version == weights_version(path, 1)
    assert found.frames is not None
    assert (found.frames.fps, found.frames.side, found.frames.fit, found.frames.window) == (
        8,
        384,
        "stretch",
        1,
    )
    with pytest.raises(ModelUnavailable, match=r"clip_text: no tokenizer.json, nor vocab.json with merges.txt, in "):
        clip_text.spec(ModelSetup())
    (tmp_path / "tokenizer.json").write_bytes((vocabulary / "tokenizer.json").read_bytes())
    with pytest.raises(ModelUnavailable, match=r"tokenizer.json has \d+ tokens, should have 49408"):
        clip_text.spec(ModelSetup())
    monkeypatch.setattr(clip_text, "TEXT", TextTower(vocabulary=small_text(vocabulary).vocabulary))
    found = clip_text.spec(ModelSetup())
    assert (found.name, found.stream, found.rate, found.dimension, found.length) == (
        "clip_text",
        "text",
        None,
        1024,
        77,
    )


def test_a_file_of_another_layout_is_refused(released: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "open_clip_pytorch_model.bin"
    name = "visual.transformer.resblocks.1.attn.in_proj_weight"
    torch.save({key: value for key, value in released.items() if key != name}, path)
    with pytest.raises(ModelUnavailable, match=f"^clip: {path} lacks the tensor {name}"):
        clip.Clip(ModelSetup())
    torch.save(released | {name: torch.zeros(96, 31)}, path)
    with pytest.raises(ModelUnavailable, match=r"in_proj_weight of shape \(96, 31\), should be \(96, 32\)"):
        clip.Clip(ModelSetup())
    torch.save(released | {"visual.attn_pool.query": torch.zeros(1)}, path)
    with pytest.raises(ModelUnavailable, match=r"^clip: .* contains an unknown tensor visual.attn_pool.query"):
        clip.Clip(ModelSetup())
    torch.save(released | {"bert.weight": torch.zeros(1)}, path)
    with pytest.raises(ModelUnavailable, match=r"^clip_text: .* contains an unknown tensor bert.weight"):
        clip_text.ClipText(ModelSetup())
    clip.Clip(ModelSetup())  # of no concern to the other tower


@pytest.mark.parametrize("wrong", [pictures(2).float(), pictures(2, 28), pictures(2).permute(0, 2, 3, 1)])
def test_other_pictures_are_refused(released: dict[str, Tensor], wrong: Tensor) -> None:
    with pytest.raises(ValueError, match=r"clip: needs uint8 \(frames, 3, 32, 32\), got"):
        clip.Clip(ModelSetup()).encode(wrong)


def by_definition(text: str, vocabulary: Path, length: int) -> list[int]:
    """CLIP's tokens by the definition of byte-pair codes: merge the pair that was learnt first, until none is left."""
    codes = json.loads((vocabulary / "vocab.json").read_text(encoding="utf-8"))
    lines = (vocabulary / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    ranks = {tuple(line.split()): rank for rank, line in enumerate(lines)}
    tokens = []
    for word in words_of(text.lower()):
        parts = [*word[:-1], word[-1] + "</w>"]
        while pairs := [pair for pair in pairwise(parts) if pair in ranks]:
            first = min(pairs, key=lambda pair: ranks[pair])
            at = next(i for i in range(len(parts)) if (parts[i], parts[i + 1]) == first)
            parts[at : at + 2] = ["".join(first)]
        tokens += [codes[part] for part in parts]
    tokens = [codes["<|startoftext|>"], *tokens[: length - 2], codes["<|endoftext|>"]]
    return tokens + [0] * (length - len(tokens))


@pytest.mark.parametrize("form", ["tokenizer.json", "vocab.json"])
@pytest.mark.parametrize(
    "text", [*CAPTIONS, "", "Dogs  BARKING\n2000 times; isn't it, xylophone?!", "<|endoftext|>", "bark " * 40]
)
def test_tokens_are_clips(vocabulary: Path, tmp_path: Path, form: str, text: str) -> None:
    for name in ("vocab.json", "merges.txt") if form == "vocab.json" else (form,):
        (tmp_path / name).write_bytes((vocabulary / name).read_bytes())
    tokens = CaptionTokens(tmp_path, small_text(vocabulary).vocabulary, 20, "there")
    assert tokens(text).tolist() == by_definition(text, vocabulary, 20)
    assert tokens(text).dtype == torch.int64


def test_bytes_beyond_ascii_have_tokens(vocabulary: Path) -> None:
    size = small_text(vocabulary).vocabulary
    found = CaptionTokens(vocabulary, size, 20, "there")("é")
    codes = json.loads((vocabulary / "vocab.json").read_text(encoding="utf-8"))
    assert found[:4].tolist() == [size - 2, codes["Ã"], codes["©</w>"], size - 1]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("  A\tDog\n barks ", "a dog barks"),
        ("a dog\u2019s \u201cwoof\u201d", 'a dog\'s "woof"'),
        ("rock &amp;amp; roll", "rock & roll"),
        ("caf\u0065\u0301", "caf\u00e9"),
        ("\ufb01re \uff21\uff11", "fire a1"),
    ],
)
def test_captions_are_made_plain(text: str, plain: str) -> None:
    assert clean(text) == plain


@pytest.mark.parametrize("content", ["", "{}", '{"model": {"type": "WordLevel", "vocab": {}, "unk_token": "a"}}'])
def test_a_vocabulary_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelUnavailable, match=r"^clip_text: .*tokenizer.json is not a byte-pair vocabulary"):
        CaptionTokens(tmp_path, 10, 20, "there")


def test_without_transformers_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_weights, "find_spec", lambda name: None)
    with pytest.raises(ModelUnavailable, match=r"^clip: transformers is not installed"):
        clip.spec(ModelSetup())

"""DFN5B CLIP ViT-H/14 (Fang et al. 2023, arXiv 2309.17425) through `transformers`, from the released open_clip file.

Sizes are those of the model's open_clip_config.json. The released position embedding has 27 x 27 places: a frame of
384 pixels is divided into as many patches of 14 as fit, so that its last six rows and columns are not used, and nothing
is interpolated. open_clip does the same.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from curation.backends.torchaudio_stub import ensure_torchaudio
from curation.backends.weights import WEIGHTS_FOLDER, ModelSetup, ModelUnavailable

from .released import fill, layout_of, read_tensors

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPVisionModelWithProjection

RELEASED = "open_clip_pytorch_model.bin"
SAFE = "open_clip_model.safetensors"
REPOSITORY = "apple/DFN5B-CLIP-ViT-H-14-384"
SOURCE = f"the Hugging Face repository {REPOSITORY}"
NORM_EPSILON = 1e-5
VISUAL = "visual."
# tensors of the file beside the towers' layers: hidden states do not need them
UNUSED = frozenset({"logit_scale", "logit_bias", "text_projection", "attn_mask"})


@dataclass(frozen=True)
class VisionTower:
    """Sizes of a vision tower: frames of `side` pixels in patches of `patch`, embeddings of `embedding` numbers."""

    width: int = 1280
    layers: int = 32
    heads: int = 16
    side: int = 384
    patch: int = 14
    embedding: int = 1024


@dataclass(frozen=True)
class TextTower:
    """Sizes of a text tower: captions of `tokens` tokens from a `vocabulary`."""

    width: int = 1024
    layers: int = 24
    heads: int = 16
    tokens: int = 77
    vocabulary: int = 49_408


VISION, TEXT = VisionTower(), TextTower()


@dataclass(frozen=True)
class Source:
    """Location of a tensor in the released file: `third` 0, 1 or 2 of joint query, key, value rows."""

    name: str
    third: int | None = None
    transposed: bool = False

    def shape(self, target: tuple[int, ...]) -> tuple[int, ...]:
        """The shape in the file of a tensor with shape `target` in the network."""
        turned = tuple(reversed(target)) if self.transposed else target
        return turned if self.third is None else (3 * turned[0], *turned[1:])

    def take(self, tensors: dict[str, Tensor]) -> Tensor:
        """The network's tensor, in memory of its own."""
        tensor = tensors[self.name]
        if self.third is not None:
            tensor = tensor.chunk(3)[self.third]
        return (tensor.mT if self.transposed else tensor).clone(memory_format=torch.contiguous_format)


_OUTSIDE_VISION = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "pre_layrnorm.weight": "ln_pre.weight",
    "pre_layrnorm.bias": "ln_pre.bias",
    "post_layernorm.weight": "ln_post.weight",
    "post_layernorm.bias": "ln_post.bias",
}
_OUTSIDE_TEXT = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_INSIDE = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_LAYER = re.compile(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")


def source_of(name: str, tower: Literal["vision", "text"]) -> Source:
    """The location, in the released file, of the tensor that `transformers` calls `name`."""
    if name == "visual_projection.weight":
        return Source(f"{VISUAL}proj", transposed=True)
    # releases of transformers differ in whether the tower's name comes first
    bare = name.removeprefix(f"{tower}_model.")
    prefix = VISUAL if tower == "vision" else ""
    layer = _LAYER.fullmatch(bare)
    if layer is None:
        return Source(prefix + (_OUTSIDE_VISION if tower == "vision" else _OUTSIDE_TEXT)[bare])
    block = f"{prefix}transformer.resblocks.{layer[1]}."
    if layer[2] in _INSIDE:
        return Source(f"{block}{_INSIDE[layer[2]]}.{layer[3]}")
    third = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj").index(layer[2])
    return Source(f"{block}attn.in_proj_{layer[3]}", third)


def _ready_transformers() -> None:
    # its models import torchaudio if it is installed, and would fail if its library does not load
    if find_spec("torchaudio") is not None:
        ensure_torchaudio()


def empty_vision(tower: VisionTower) -> CLIPVisionModelWithProjection:
    """A vision tower on the meta device: names and shapes, no weights."""
    _ready_transformers()
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=tower.width,
        intermediate_size=4 * tower.width,
        num_hidden_layers=tower.layers,
        num_attention_heads=tower.heads,
        projection_dim=tower.embedding,
        image_size=tower.side,
        patch_size=tower.patch,
        hidden_act="quick_gelu",
        layer_norm_eps=NORM_EPSILON,
    )
    with torch.device("meta"):
        return CLIPVisionModelWithProjection(config)


def empty_text(tower: TextTower) -> CLIPTextModel:
    """A text tower on the meta device: names and shapes, no weights."""
    _ready_transformers()
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=tower.vocabulary,
        hidden_size=tower.width,
        intermediate_size=4 * tower.width,
        num_hidden_layers=tower.layers,
        num_attention_heads=tower.heads,
        max_position_embeddings=tower.tokens,
        hidden_act="quick_gelu",
        layer_norm_eps=NORM_EPSILON,
    )
    with torch.device("meta"):
        return CLIPTextModel(config)


def released_layout(network: nn.Module, tower: Literal["vision", "text"]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a tower's tensors in the released file."""
    sources = ((source_of(name, tower), shape) for name, shape in layout_of(network).items())
    return {source.name: source.shape(shape) for source, shape in sources}


def _load(path: Path, network: nn.Module, tower: Literal["vision", "text"], model: str) -> None:
    tensors = read_tensors(
        path,
        model,
        released_layout(network, tower),
        wanted=lambda name: name.startswith(VISUAL) == (tower == "vision") and name not in UNUSED,
    )
    fill(network, {name: source_of(name, tower).take(tensors) for name in network.state_dict()})
    for module in network.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta:  # no file keeps these: they count positions
                assert name == "position_ids", name
                module.register_buffer(name, torch.arange(buffer.shape[-1])[None], persistent=False)


def load_vision(path: Path, tower: VisionTower) -> CLIPVisionModelWithProjection:
    """The vision tower with a released file's weights, on the CPU.

    Raises ModelUnavailable, in one line, for a file that cannot be read or has another layout.
    """
    network = empty_vision(tower)
    _load(path, network, "vision", "clip")
    return network


def load_text(path: Path, tower: TextTower) -> CLIPTextModel:
    """The text tower with a released file's weights, on the CPU; raises as `load_vision` does."""
    network = empty_text(tower)
    _load(path, network, "text", "clip_text")
    return network


def weights_file(setup: ModelSetup, model: str) -> Path:
    """The released file: the one that the recipe names as weights.clip, else one in the folder LPSE_WEIGHTS.

    There it may be in a folder named after its repository, and may be the .safetensors file. Raises ModelUnavailable if
    `transformers` or the file is missing.
    """
    if find_spec("transformers") is None:
        raise ModelUnavailable(f"{model}: transformers is not installed: pip install transformers")
    folder = os.environ.get(WEIGHTS_FOLDER)
    if folder and not setup.named("clip"):
        places = (Path(folder), Path(folder, Path(REPOSITORY).name))
        files = [path for place in places for name in (RELEASED, SAFE) if (path := place / name).is_file()]
        if files:
            return files[0]
    return setup.weights_file("clip", RELEASED, SOURCE)

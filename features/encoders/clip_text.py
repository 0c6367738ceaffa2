"""Text vectors: the text tower of DFN5B CLIP ViT-H/14, one vector per token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from curation.backends.weights import ModelSetup

from .base import EncoderSpec, weights_version
from .networks.clip import SOURCE, TEXT, load_text, weights_file
from .networks.clip_tokens import CaptionTokens
from .precision import Precision, in_precision, place

if TYPE_CHECKING:
    from transformers import CLIPTextModel

NAME = "clip_text"
CODE = 1


def _tokens(setup: ModelSetup) -> CaptionTokens:
    return CaptionTokens(weights_file(setup, NAME).parent, TEXT.vocabulary, TEXT.tokens, SOURCE)


def spec(setup: ModelSetup, precision: Precision = "float32") -> EncoderSpec:
    """The encoder's description. Raises ModelUnavailable if `transformers`, weights or vocabulary are missing."""
    _tokens(setup)
    version = weights_version(weights_file(setup, NAME), CODE)
    return in_precision(EncoderSpec(NAME, version, "text", None, TEXT.width, TEXT.tokens), precision)


class ClipText:
    """77 unit vectors per caption: the hidden states after the last normalisation, without projection.

    In bfloat16 they differ by 1.3 % (relative L2 norm, random weights).
    """

    def __init__(self, setup: ModelSetup, device: torch.device | str = "cpu", precision: Precision = "float32") -> None:
        self.spec = spec(setup, precision)
        self.precision = precision
        self.tokens = _tokens(setup)
        self.network = load_text(weights_file(setup, NAME), TEXT)
        place(self.network, device, precision)

    def encode(self, text: str) -> Tensor:
        """A caption -> float32 (77, 1024)."""
        return hidden_states(self.network, self.tokens(text)[None])[0]


@torch.no_grad()
def hidden_states(network: CLIPTextModel, tokens: Tensor) -> Tensor:
    """Unit hidden states, float32 (B, L, D), of tokens (B, L); each attends to those before it, padding included."""
    states = network(input_ids=tokens.to(network.device)).last_hidden_state
    return F.normalize(states.float(), dim=-1)

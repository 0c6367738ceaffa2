"""Visual vectors: image embeddings of DFN5B CLIP ViT-H/14 at 8 frames per second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from curation.backends.weights import ModelSetup

from .base import CLIP_SECONDS, EncoderSpec, FrameLayout, weights_version
from .networks.clip import VISION, load_vision, weights_file
from .precision import Precision, in_precision, place

if TYPE_CHECKING:
    from transformers import CLIPVisionModelWithProjection

NAME = "clip"
CODE = 1
FPS = 8
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
FRAMES_PER_BATCH = {"cpu": 4, "cuda": 64}


def spec(setup: ModelSetup, precision: Precision = "float32") -> EncoderSpec:
    """The encoder's description. Raises ModelUnavailable if `transformers` or the weights are missing."""
    version = weights_version(weights_file(setup, NAME), CODE)
    frames = FrameLayout(FPS, VISION.side, "stretch")
    return in_precision(
        EncoderSpec(NAME, version, "visual", FPS, VISION.embedding, frames.length(FPS * CLIP_SECONDS), frames),
        precision,
    )


class Clip:
    """One unit vector per frame; in bfloat16 it differs by 1.4 % (L2 norm of the difference, random weights)."""

    def __init__(self, setup: ModelSetup, device: torch.device | str = "cpu", precision: Precision = "float32") -> None:
        self.spec = spec(setup, precision)
        self.precision = precision
        self.device = torch.device(device)
        self.network = load_vision(weights_file(setup, NAME), VISION)
        place(self.network, self.device, precision)
        self.batch = FRAMES_PER_BATCH.get(self.device.type, FRAMES_PER_BATCH["cpu"])

    def encode(self, frames: Tensor) -> Tensor:
        """uint8 (F, 3, 384, 384) -> float32 (F, 1024), unit vectors. Raises ValueError for another shape."""
        return embed(self.network, frames, self.batch)


@torch.no_grad()
def embed(network: CLIPVisionModelWithProjection, frames: Tensor, batch: int) -> Tensor:
    """Unit image embeddings (F, D) of uint8 frames (F, 3, side, side), in batches, on the network's device."""
    side, weight = network.config.image_size, network.visual_projection.weight
    if tuple(frames.shape[1:]) != (3, side, side) or frames.dtype != torch.uint8:
        raise ValueError(f"clip: needs uint8 (frames, 3, {side}, {side}), got {frames.dtype} {tuple(frames.shape)}")
    mean, deviation = (torch.tensor(values, device=weight.device)[:, None, None] for values in (MEAN, DEVIATION))
    embeddings = torch.empty(len(frames), weight.shape[0], device=weight.device)
    for begin in range(0, len(frames), batch):
        pixels = frames[begin : begin + batch].to(weight.device).float() / 255.0
        embedded = network(pixel_values=((pixels - mean) / deviation).to(weight.dtype)).image_embeds
        embeddings[begin : begin + batch] = F.normalize(embedded.float(), dim=-1)
    return embeddings

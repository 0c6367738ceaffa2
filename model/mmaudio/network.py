"""The base network: the flow from noise to the latents of a clip's audio, given its video and a caption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .blocks import Block, FusedBlock, JointBlock, Output
from .config import WINDOW, BaseConfig
from .layers import Convolution, ConvSwiGlu, SwiGlu, TimeEmbedding, rotation


@dataclass(frozen=True)
class Conditions:
    """Conditions of clips, independent of the time of the flow: computed once, used in every step.

    `clip` (B, V, D), `text` (B, L, D); `sync` (B, S, D), one row per sync vector, which latents share; `pooled`
    (B, 1, D), the condition of the whole clip.
    """

    clip: Tensor
    sync: Tensor
    text: Tensor
    pooled: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> Conditions:
        """Apply `change` to all four."""
        return Conditions(*(change(getattr(self, field.name)) for field in fields(self)))

    def __getitem__(self, index: slice | Tensor) -> Conditions:
        """Some rows of the batch."""
        return self.each(lambda values: values[index])

    @staticmethod
    def cat(parts: Sequence[Conditions]) -> Conditions:
        """Concatenate batches."""
        return Conditions(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Conditions)))


class MMAudio(nn.Module):
    """A multimodal diffusion transformer trained by flow matching (Cheng et al., CVPR 2025, arXiv 2412.15322).

    Written from its published layout: released weights load strictly. `checkpointing`: activations are recomputed in
    the backward pass instead of being stored.

    Each latent has the condition of the sync vector nearest in time, so there are fewer conditions than latents: every
    modulation is computed once per condition and then distributed.
    """

    def __init__(self, config: BaseConfig) -> None:
        super().__init__()
        self.config, self.checkpointing = config, False
        self._lengths = (config.latent_length, config.clip_length, config.sync_length)
        d, version = config.hidden, config.version
        self.latent_mean = _constant(1, 1, config.latent_channels)
        self.latent_std = _constant(1, 1, config.latent_channels, value=1.0)
        self.empty_string_feat = _constant(config.text_length, config.text_dim)
        self.empty_clip_feat = nn.Parameter(torch.zeros(1, config.clip_dim))
        self.empty_sync_feat = nn.Parameter(torch.zeros(1, config.sync_dim))
        self.sync_pos_emb = nn.Parameter(torch.zeros(1, 1, WINDOW, config.sync_dim))

        slow = nn.SELU if version == 1 else nn.SiLU
        quick: list[nn.Module] = [] if version == 1 else [nn.SiLU()]
        channels = config.latent_channels
        self.audio_input_proj = nn.Sequential(Convolution(channels, d, 7), slow(), ConvSwiGlu(d, 7))
        self.clip_input_proj = nn.Sequential(nn.Linear(config.clip_dim, d), *quick, ConvSwiGlu(d, 3))
        self.sync_input_proj = nn.Sequential(Convolution(config.sync_dim, d, 7), slow(), ConvSwiGlu(d, 3))
        self.text_input_proj = nn.Sequential(nn.Linear(config.text_dim, d), *quick, SwiGlu(d))
        self.clip_cond_proj = nn.Linear(d, d)
        self.text_cond_proj = nn.Linear(d, d)
        self.global_cond_mlp = SwiGlu(d)
        self.t_embed = TimeEmbedding(d, version)
        joint = config.depth - config.fused
        self.joint_blocks = nn.ModuleList(JointBlock(d, last=i == joint - 1) for i in range(joint))
        self.fused_blocks = nn.ModuleList(FusedBlock(d) for _ in range(config.fused))
        self.final_layer = Output(d, channels)
        self._initialize()

    @property
    def lengths(self) -> tuple[int, int, int]:
        """Expected numbers of latents, visual and sync vectors."""
        return self._lengths

    def set_lengths(self, latent: int, clip: int, sync: int) -> None:
        """Set the expected lengths, for clips of another duration. Raises ValueError for invalid lengths."""
        if min(latent, clip, sync) < 1 or sync % WINDOW:
            raise ValueError(
                f"lengths latent {latent}, clip {clip}, sync {sync}: must be positive, sync a multiple of {WINDOW}"
            )
        self._lengths = (latent, clip, sync)

    def conditions(self, clip: Tensor, sync: Tensor, text: Tensor) -> Conditions:
        """Visual (B, V, Dv), sync (B, S, Ds) and text (B, L, Dt) vectors -> conditions.

        Raises ValueError for other lengths than `set_lengths` set.
        """
        config = self.config
        _, clip_length, sync_length = self._lengths
        _expect("clip", clip, clip_length, config.clip_dim)
        _expect("sync", sync, sync_length, config.sync_dim)
        _expect("text", text, config.text_length, config.text_dim)
        dtype = self.sync_pos_emb.dtype
        windows = sync.to(dtype).reshape(len(sync), -1, WINDOW, config.sync_dim)
        positioned = (windows + self.sync_pos_emb).flatten(1, 2)
        clip, sync, text = (
            self.clip_input_proj(clip.to(dtype)),
            self.sync_input_proj(positioned),
            self.text_input_proj(text.to(dtype)),
        )
        both = self.clip_cond_proj(clip.mean(1)) + self.text_cond_proj(text.mean(1))

        return Conditions(clip, sync, text, self.global_cond_mlp(both)[:, None])

    def flow(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """Normalised latents (B, N, C) at times t (B,) of the flow -> its velocity (B, N, C), in the type of `x`.

        Raises ValueError for another N or C than expected.
        """
        latent_length = self._lengths[0]
        _expect("latent", x, latent_length, self.config.latent_channels)
        clip, text = conditions.clip, conditions.text
        device, positions = x.device, clip.shape[1]
        latent = self.audio_input_proj(x.to(self.sync_pos_emb.dtype))
        whole = self.t_embed(t)[:, None] + conditions.pooled
        frame = whole + conditions.sync
        rows: Tensor | None = nearest_rows(frame.shape[1], latent_length, device)
        if rows is not None and frame.shape[1] >= latent_length:  # nothing is shared: distribute first
            frame, rows = frame.index_select(1, rows), None
        latent_by = rotation(latent_length, 1.0, device)
        clip_by = rotation(positions, latent_length / positions, device)
        frame, whole = F.silu(frame), F.silu(whole)
        for joint in self.joint_blocks:
            latent, clip, text = self._run(joint, latent, clip, text, frame, whole, rows, latent_by, clip_by)
        for fused in self.fused_blocks:
            latent = self._run(fused, latent, frame, rows, latent_by)
        velocity: Tensor = self.final_layer(latent, whole)
        return velocity.to(x.dtype)

    def forward(self, latent: Tensor, clip: Tensor, sync: Tensor, text: Tensor, t: Tensor) -> Tensor:
        """`flow` of `conditions`."""
        return self.flow(latent, t, self.conditions(clip, sync, text))

    def empty(self, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """The learned vectors for no clip, no sync and no text, as inputs of `conditions`."""
        _, clip, sync = self._lengths
        return (
            self.empty_clip_feat.expand(batch, clip, -1),
            self.empty_sync_feat.expand(batch, sync, -1),
            self.empty_string_feat.expand(batch, -1, -1),
        )

    def normalize(self, latent: Tensor) -> Tensor:
        """Scale a codec's latents (B, N, C) to mean 0 and deviation 1 per channel, as the flow uses them."""
        return (latent - self.latent_mean) / self.latent_std

    def unnormalize(self, latent: Tensor) -> Tensor:
        """Scale latents of the flow back to the codec's."""
        return latent * self.latent_std + self.latent_mean

    def _run(self, block: nn.Module, *values: Any) -> Any:
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(block, *values, use_reentrant=False)
        return block(*values)

    def _initialize(self) -> None:
        """Initialize weights; modulations and the output are zero, so the flow is zero at first."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for layer in self.t_embed.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
        for module in self.modules():
            if isinstance(module, Block | Output):
                _zero(module.adaLN_modulation[1])
        _zero(self.final_layer.conv)


def nearest_rows(count: int, wanted: int, device: torch.device) -> Tensor:
    """The nearest of `count` rows for each of `wanted`: (wanted,).

    By PyTorch's "nearest-exact", whose float32 rounding the released weights were trained with: in exact arithmetic
    floor((i + 1/2) count / wanted) is sometimes another row.
    """
    numbers = torch.arange(count, device=device, dtype=torch.float32)
    return F.interpolate(numbers[None, None], size=wanted, mode="nearest-exact")[0, 0].long()


def _constant(*shape: int, value: float = 0.0) -> nn.Parameter:
    """A part of the state that is never trained."""
    return nn.Parameter(torch.full(shape, value), requires_grad=False)


def _zero(layer: nn.Module) -> None:
    for values in layer.parameters():
        nn.init.zeros_(values)


def _expect(name: str, values: Tensor, length: int, channels: int) -> None:
    if values.ndim != 3 or tuple(values.shape[1:]) != (length, channels):
        raise ValueError(f"{name} is {tuple(values.shape)}, not (batch, {length}, {channels})")

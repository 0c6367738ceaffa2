"""Blocks of the transformer: joint ones, in which three streams attend to each other, and fused ones of latents."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import Convolution, ConvSwiGlu, Heads, Modulation, Rotation, SwiGlu, attend, modulate

Qkv = tuple[Tensor, Tensor, Tensor]
Modulated = tuple[Tensor, ...]


class Block(nn.Module):
    """One stream's part of a block.

    `kernel` of the convolutions that are its linear maps; 1 for text, which has plain ones. `only_keys`: in the last
    joint block, after which clip and text are not used.
    """

    def __init__(self, channels: int, kernel: int, only_keys: bool = False) -> None:
        super().__init__()
        self.only_keys = only_keys
        self.attn = Heads(channels)
        self.adaLN_modulation = Modulation(channels, 2 if only_keys else 6)
        if not only_keys:
            self.linear1 = nn.Linear(channels, channels) if kernel == 1 else Convolution(channels, channels, kernel)
            self.ffn = SwiGlu(channels) if kernel == 1 else ConvSwiGlu(channels, kernel)

    def before(
        self, x: Tensor, activated: Tensor, rows: Tensor | None, rotation: Rotation | None
    ) -> tuple[Qkv, Modulated]:
        """Queries, keys and values of x (B, T, channels), and the modulation that `after` needs."""
        shift, scale, *rest = self.adaLN_modulation.of(activated, rows)
        return self.attn(modulate(x, shift, scale), rotation), tuple(rest)

    def after(self, x: Tensor, attended: Tensor, modulated: Modulated) -> Tensor:
        """Both residual branches."""
        gate_attention, shift, scale, gate = modulated
        x = torch.addcmul(x, self.linear1(attended), gate_attention)
        return torch.addcmul(x, self.ffn(modulate(x, shift, scale)), gate)


class JointBlock(nn.Module):
    """Latents, clip and text attend to each other; the `last` block updates only the latents."""

    def __init__(self, channels: int, last: bool) -> None:
        super().__init__()
        self.last = last
        self.latent_block = Block(channels, 3)
        self.clip_block = Block(channels, 3, only_keys=last)
        self.text_block = Block(channels, 1, only_keys=last)

    def forward(
        self,
        latent: Tensor,
        clip: Tensor,
        text: Tensor,
        frame: Tensor,
        whole: Tensor,
        rows: Tensor | None,
        latent_by: Rotation,
        clip_by: Rotation,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The streams, each (B, T, channels), after the block.

        `frame` (B, S, channels) modulates the latents; `rows` (N,) is the condition of each latent among the S. `whole`
        (B, 1, channels) modulates the other two.
        """
        parts = [
            self.latent_block.before(latent, frame, rows, latent_by),
            self.clip_block.before(clip, whole, None, clip_by),
            self.text_block.before(text, whole, None, None),
        ]
        query, key, value = (torch.cat([qkv[i] for qkv, _ in parts], dim=2) for i in range(3))
        if self.last:
            query = parts[0][0][0]  # the outputs of the others are not used
            return self.latent_block.after(latent, attend(query, key, value), parts[0][1]), clip, text
        lengths = [latent.shape[1], clip.shape[1], text.shape[1]]
        of_latent, of_clip, of_text = torch.split(attend(query, key, value), lengths, dim=1)
        return (
            self.latent_block.after(latent, of_latent, parts[0][1]),
            self.clip_block.after(clip, of_clip, parts[1][1]),
            self.text_block.after(text, of_text, parts[2][1]),
        )


class FusedBlock(Block):
    """A block of latents alone."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 3)

    def forward(self, latent: Tensor, frame: Tensor, rows: Tensor | None, rotation: Rotation) -> Tensor:
        """(B, N, channels) -> the same shape."""
        qkv, modulated = self.before(latent, frame, rows, rotation)
        return self.after(latent, attend(*qkv), modulated)


class Output(nn.Module):
    """Maps the last latents to the flow."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.adaLN_modulation = Modulation(channels, 2)
        self.conv = Convolution(channels, outputs, 7)

    def forward(self, latent: Tensor, whole: Tensor) -> Tensor:
        """(B, N, channels) -> (B, N, outputs)."""
        flow: Tensor = self.conv(modulate(latent, *self.adaLN_modulation.of(whole, None)))
        return flow

"""The dual adapters of LD-LAudio-V1 (arXiv 2508.11074) over a frozen base.

c_f = c_f + h_syn(F_syn of the video), c_g = c_g + h_global(F_v of the video, F_t). The structure of h_syn and h_global
is not published; here they have that of the base's input projections, which gives the published size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..mmaudio.config import HEAD, BaseConfig, swiglu_width
from ..mmaudio.layers import Convolution, ConvSwiGlu, SwiGlu
from ..mmaudio.network import Conditions
from .config import AdapterConfig
from .pooling import MARGIN, AdapterInputs


@dataclass(frozen=True)
class ConditionMask:
    """The conditions of each clip that are present, (B,) bool: adapters add nothing to one that was dropped."""

    visual: Tensor
    sync: Tensor
    text: Tensor


class Attention(nn.MultiheadAttention):
    """Attention from a clip's own vectors to those of its video."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels // HEAD, batch_first=True)

    def of(self, query: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
        """(B, Q, D) from keys (B, K, D); `mask` (B, K) is False for missing keys."""
        attended: Tensor = self(query, keys, keys, None if mask is None else ~mask, need_weights=False)[0]
        return attended


class Standardize(nn.Module):
    """Standardize vectors (..., C) by the mean and deviation of the training videos; the identity at first."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def take(self, mean: Tensor, deviation: Tensor) -> None:
        """Set mean and deviation, (C,) each."""
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return (x - self.mean) / self.deviation


class SyncAdapter(nn.Module):
    """h_syn: structured as the base's projection of sync vectors, at their rate; zero at first."""

    def __init__(self, base: BaseConfig, config: AdapterConfig) -> None:
        super().__init__()
        d = base.hidden
        self.standard = Standardize(base.sync_dim) if config.standardize else None
        self.conv = Convolution(base.sync_dim, d, 7)
        self.act = nn.SELU() if base.version == 1 else nn.SiLU()
        self.mlp = ConvSwiGlu(d, 3, swiglu_width(d, config.width_mult))
        self.attention = Attention(d) if config.sync_pool == "clip_attn" else None
        nn.init.zeros_(self.mlp.w2.weight)

    def forward(self, given: AdapterInputs, own: Tensor, sync_pos_emb: Tensor) -> Tensor:
        """The video's sync vectors -> (B, S, D), or (B, 1, D) of a mean; `own` (B, S, D) are the clips' conditions."""
        assert given.sync is not None and given.phases is not None
        kind = self.conv.weight.dtype
        sync = given.sync.to(kind) if self.standard is None else self.standard(given.sync.to(kind))
        x = sync + given.phases.to(kind) @ sync_pos_emb[0, 0].to(kind)
        if self.attention is not None:
            return self._attended(self.attention, x, given, own)
        if given.sync_mask is None:
            projected: Tensor = self.mlp(self.act(self.conv(x)))
            return projected[given.video]
        # vectors beyond the ends of the video are zero for every layer, as in a run over the whole video
        present = given.sync_mask[..., None]
        run: Tensor = self.mlp(self.act(self.conv(x * present)) * present, present)
        return run[:, MARGIN:-MARGIN]

    def _attended(self, attention: Attention, x: Tensor, given: AdapterInputs, own: Tensor) -> Tensor:
        assert given.sync_mask is not None
        videos, clips, length = x.shape[:3]
        hidden = self.act(self.conv(x.flatten(0, 1)))
        hidden = hidden.reshape(videos, clips, length, -1).transpose(1, 2)[given.video]
        mask = given.sync_mask[given.video].repeat_interleave(length, 0)
        queries = own.to(x.dtype).flatten(0, 1)[:, None]
        attended = attention.of(queries, hidden.flatten(0, 1), mask).reshape(len(own), length, -1)
        pooled: Tensor = self.mlp(attended)
        return pooled


class StreamAdapter(nn.Module):
    """A part of h_global for one stream: structured as the base's projection of text; zero at first."""

    def __init__(self, base: BaseConfig, config: AdapterConfig, inputs: int, standardize: bool) -> None:
        super().__init__()
        d = base.hidden
        self.standard = Standardize(inputs) if standardize else None
        self.linear = nn.Linear(inputs, d)
        self.act = nn.Identity() if base.version == 1 else nn.SiLU()
        self.mlp = SwiGlu(d, swiglu_width(d, config.width_mult))
        self.attention = Attention(d) if config.global_pool == "attn" else None
        nn.init.zeros_(self.mlp.w2.weight)

    def forward(self, values: Tensor, mask: Tensor | None, video: Tensor, own: Tensor) -> Tensor:
        """(G, T, inputs) of the videos -> (B, 1, D); `own` (B, T, D): the clips' own vectors."""
        values = values.to(self.linear.weight.dtype)
        x = self.act(self.linear(values if self.standard is None else self.standard(values)))
        if self.attention is None:
            projected: Tensor = self.mlp(x)
            return projected[video]
        query = own.mean(1, keepdim=True).to(x.dtype)
        attended: Tensor = self.mlp(self.attention.of(query, x[video], None if mask is None else mask[video]))
        return attended


class Adapters(nn.Module):
    """Both adapters. New ones change nothing, to the bit: the last map of each is zero."""

    def __init__(self, base: BaseConfig, config: AdapterConfig | None = None) -> None:
        super().__init__()
        config = config or AdapterConfig()
        self.config, self.base = config, base
        with_text = config.use_global and config.use_text
        self.syn = SyncAdapter(base, config) if config.use_syn else None
        self.visual = StreamAdapter(base, config, base.clip_dim, config.standardize) if config.use_global else None
        self.text = StreamAdapter(base, config, base.text_dim, False) if with_text else None
        joined = config.fusion == "concat"
        self.syn_fusion = _zero_linear(base.hidden) if joined and config.use_syn else None
        self.global_fusion = _zero_linear(base.hidden) if joined and config.use_global else None
        if joined:  # the maps after them are zero: were these zero too, no gradient would reach either
            for adapter in (self.syn, self.visual, self.text):
                if adapter is not None:
                    _reset(adapter.mlp)

    def forward(
        self, conditions: Conditions, given: AdapterInputs, sync_pos_emb: Tensor, keep: ConditionMask | None = None
    ) -> Conditions:
        """Add to a batch's conditions what the adapters compute from its videos; `sync_pos_emb` is the base's.

        Independent of the time of the flow: computed once for all steps. Without `keep` all conditions are present.
        """
        sync, pooled = conditions.sync, conditions.pooled
        if self.syn is not None:
            added = self.syn(given, conditions.sync, sync_pos_emb)
            added = _fused(self.syn_fusion, conditions.sync, added.expand(-1, sync.shape[1], -1))
            sync = sync + _where(keep, "sync", added).to(sync.dtype)
        if self.visual is not None:
            assert given.visual is not None
            shift = self.visual(given.visual, given.visual_mask, given.video, conditions.clip)
            shift = _where(keep, "visual", shift)
            if self.text is not None:
                assert given.text is not None
                caption = self.text(given.text, None, given.video, conditions.text)
                shift = shift + _where(keep, "text", caption)
            shift = _fused(self.global_fusion, conditions.pooled, shift)
            if keep is not None and self.global_fusion is not None:
                either = keep.visual if self.text is None else keep.visual | keep.text
                shift = _where(replace(keep, visual=either), "visual", shift)
            shift = shift.to(pooled.dtype)
            pooled = pooled + shift
            if not self.config.global_into_frame:
                sync = sync - shift  # the frames' condition is the sum of both
        return replace(conditions, sync=sync, pooled=pooled)


def _zero_linear(channels: int) -> nn.Linear:
    layer = nn.Linear(2 * channels, channels)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _reset(mlp: SwiGlu | ConvSwiGlu) -> None:
    mlp.w2.reset_parameters()


def _fused(fusion: nn.Linear | None, condition: Tensor, added: Tensor) -> Tensor:
    """The residual for `condition`: `added`, or a linear map of both, concatenated."""
    if fusion is None:
        return added
    both: Tensor = fusion(torch.cat((condition.to(added.dtype), added), dim=-1))
    return both


def _where(keep: ConditionMask | None, stream: str, values: Tensor) -> Tensor:
    return values if keep is None else torch.where(getattr(keep, stream)[:, None, None], values, 0.0)

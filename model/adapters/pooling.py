"""Pool the features of a whole video into the inputs of adapters, as their configuration requires."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..mmaudio.config import WINDOW
from .config import AdapterConfig
from .video import VideoFeatures

MARGIN = WINDOW
"""Sync vectors before and after a clip that affect it through the adapter's convolutions, and a few more."""

SYNC_RATE = 25.0
"""Sync vectors per second: WINDOW for each window of frames, which are 0.32 s apart."""


@dataclass(frozen=True)
class AdapterInputs:
    """The inputs of adapters: pooled features of G videos, and `video` (B,), the video of each of B clips.

    `sync` (G, R, Ds), for "window" one per clip, for "clip_attn" (G, K, S, Ds); `sync_mask` (G, R) or (G, K), False for
    missing vectors. `phases` has WINDOW in place of Ds, and 1 in place of K: the share of each position within a window
    of frames in a row. `visual` (G, T, Dv) and `text` (G, L, Dt), T and L 1 for means; `visual_mask` (G, T).
    """

    video: Tensor
    sync: Tensor | None
    phases: Tensor | None
    sync_mask: Tensor | None
    visual: Tensor | None
    visual_mask: Tensor | None
    text: Tensor | None

    def each(self, change: Callable[[Tensor], Tensor]) -> AdapterInputs:
        """Apply `change` to every tensor."""
        return replace(self, **{name: change(value) for name, value in vars(self).items() if value is not None})

    def to(self, device: torch.device | str) -> AdapterInputs:
        """The inputs on a device."""
        return self.each(lambda value: value.to(device, non_blocking=True))

    @staticmethod
    def join(parts: Sequence[AdapterInputs]) -> AdapterInputs:
        """One batch of several videos' clips, in order; shorter sequences are padded and masked."""
        first = parts[0]
        offsets = [0]
        for part in parts:
            offsets.append(offsets[-1] + int(part.video.max()) + 1)
        joined: dict[str, Any] = {
            "video": torch.cat([part.video + before for part, before in zip(parts, offsets, strict=False)]),
            "text": None if first.text is None else torch.cat([_present(part.text) for part in parts]),
            "phases": None if first.phases is None else torch.cat([_present(part.phases) for part in parts]),
        }
        for name in ("sync", "visual"):
            values = [getattr(part, name) for part in parts]
            masks = [getattr(part, f"{name}_mask") for part in parts]
            joined[name], joined[f"{name}_mask"] = (None, None) if values[0] is None else _stacked(values, masks)
        return replace(first, **joined)


def _present(value: Tensor | None) -> Tensor:
    if value is None:
        raise ValueError("videos of different configurations in one batch")
    return value


def _stacked(values: Sequence[Tensor], masks: Sequence[Tensor | None]) -> tuple[Tensor, Tensor | None]:
    if masks[0] is None:
        return torch.cat(list(values)), None
    longest = max(value.shape[1] for value in values)
    filled, marked = [], []
    for value, mask in zip(values, masks, strict=True):
        missing = longest - value.shape[1]
        filled.append(F.pad(value, (0, 0) * (value.ndim - 2) + (0, missing)))
        marked.append(F.pad(_present(mask), (0, missing)))
    return torch.cat(filled), torch.cat(marked)


def adapter_inputs(
    config: AdapterConfig, video: VideoFeatures, offsets: Sequence[float], length: int = 192
) -> AdapterInputs:
    """The inputs of `config`'s adapters from a video, for clips of `length` sync vectors that begin at `offsets`.

    Offsets are in seconds from the video's first frame. Sync vectors belong to windows of frames: a clip that begins
    between two windows takes the vectors of the nearer one. Raises ValueError if `video` lacks what `config.needs`.
    """
    sync = phases = sync_mask = visual = visual_mask = text = None
    if config.use_syn:
        sync, phases, sync_mask = _sync(config, video, offsets, length)
    if config.use_global:
        if config.global_pool == "mean":
            visual = _needed(video.visual_mean, "visual_mean")[None, None]
        else:
            visual = _needed(video.visual_all, "visual_all")[None]
            visual_mask = torch.ones(visual.shape[:2], dtype=torch.bool)
        if config.use_text:
            text = video.text[None] if config.global_pool == "attn" else video.text.mean(0)[None, None]
    video_of = torch.arange(1).expand(len(offsets))
    given = AdapterInputs(video_of, sync, phases, sync_mask, visual, visual_mask, text)
    return given.each(lambda value: value.float() if value.is_floating_point() else value)


def _needed(value: Tensor | None, name: str) -> Tensor:
    if value is None:
        raise ValueError(f"adapters: {name} of the video is missing")
    return value


def _sync(
    config: AdapterConfig, video: VideoFeatures, offsets: Sequence[float], length: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    tiled = torch.eye(WINDOW).repeat(1, length // WINDOW, 1)
    if config.sync_pool == "clip_mean":
        return _needed(video.sync_mean, "sync_mean")[None], tiled, None
    if config.sync_pool == "time_mean":
        mean = _needed(video.sync_mean, "sync_mean").float().mean(0)
        return mean[None, None], torch.full((1, 1, WINDOW), 1 / WINDOW), None
    if config.sync_pool == "clip_attn":
        clips = _needed(video.clips_sync, "clips_sync")[None]
        return clips, tiled[None], torch.ones(clips.shape[:2], dtype=torch.bool)
    all_of_it = _needed(video.sync_all, "sync_all")
    if config.sync_pool == "resample":
        positions = torch.eye(WINDOW).repeat(len(all_of_it) // WINDOW, 1)
        return _squeezed(all_of_it.float(), length)[None], _squeezed(positions, length)[None], None
    windows = [_window(all_of_it, offset, length) for offset in offsets]
    phases = torch.eye(WINDOW).repeat(len(offsets), (length + 2 * MARGIN) // WINDOW, 1)
    return torch.stack([rows for rows, _ in windows]), phases, torch.stack([mask for _, mask in windows])


def _squeezed(rows: Tensor, length: int) -> Tensor:
    """(T, D) -> (length, D); each row is the mean of its share of the input."""
    return F.adaptive_avg_pool1d(rows.T[None], length)[0].T


def _window(rows: Tensor, offset: float, length: int) -> tuple[Tensor, Tensor]:
    """A clip's rows with a margin on both sides, (length + 2 MARGIN, D), and a mask of those that exist."""
    last = max(0, len(rows) - length) // WINDOW
    first = WINDOW * min(last, round(offset * SYNC_RATE / WINDOW)) - MARGIN
    indices = torch.arange(first, first + length + 2 * MARGIN)
    present = (indices >= 0) & (indices < len(rows))
    begin, end = max(0, first), min(len(rows), first + len(indices))
    filled = rows.new_zeros((len(indices), rows.shape[1]), dtype=torch.float32)
    filled[begin - first : end - first] = rows[begin:end].float()
    return filled, present

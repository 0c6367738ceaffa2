"""What the adapters see of a whole video, pooled as their configuration says."""

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
"""Sync vectors before and after a clip that reach into it through the adapter's convolutions, and a few more."""

SYNC_RATE = 25.0
"""Sync vectors a second: WINDOW for each window of pictures, which come every 0.32 s."""


@dataclass(frozen=True)
class AdapterInputs:
    """What adapters take: of G videos, and for a batch of B clips which video each is of, `video` (B,).

    `sync` (G, R, Ds), for a "window" one for each clip, for "clip_attn" (G, K, S, Ds); `sync_mask` (G, R) or (G, K),
    False for what is not there. `phases`: WINDOW in place of Ds, and 1 of K: which of the positions within a window of
    pictures a row holds, and how much of each. `visual` (G, T, Dv) and `text` (G, L, Dt), T and L 1 where they are
    means; `visual_mask` (G, T).
    """

    video: Tensor
    sync: Tensor | None
    phases: Tensor | None
    sync_mask: Tensor | None
    visual: Tensor | None
    visual_mask: Tensor | None
    text: Tensor | None

    def each(self, change: Callable[[Tensor], Tensor]) -> AdapterInputs:
        """The same change to all that is there."""
        return replace(self, **{name: change(value) for name, value in vars(self).items() if value is not None})

    def to(self, device: torch.device | str) -> AdapterInputs:
        """The same on a device."""
        return self.each(lambda value: value.to(device, non_blocking=True))

    @staticmethod
    def join(parts: Sequence[AdapterInputs]) -> AdapterInputs:
        """One batch of several videos' clips, in order; what is shorter is filled up and masked."""
        first = parts[0]
        offsets = [0]
        for part in parts:
            offsets.append(offsets[-1] + int(part.video.max()) + 1)
        joined: dict[str, Any] = {
            "video": torch.cat([part.video + before for part, before in zip(parts, offsets, strict=False)]),
            "text": None if first.text is None else torch.cat([_there(part.text) for part in parts]),
            "phases": None if first.phases is None else torch.cat([_there(part.phases) for part in parts]),
        }
        for name in ("sync", "visual"):
            values = [getattr(part, name) for part in parts]
            masks = [getattr(part, f"{name}_mask") for part in parts]
            joined[name], joined[f"{name}_mask"] = (None, None) if values[0] is None else _stacked(values, masks)
        return replace(first, **joined)


def _there(value: Tensor | None) -> Tensor:
    if value is None:
        raise ValueError("videos of several configurations in one batch")
    return value


def _stacked(values: Sequence[Tensor], masks: Sequence[Tensor | None]) -> tuple[Tensor, Tensor | None]:
    if masks[0] is None:
        return torch.cat(list(values)), None
    longest = max(value.shape[1] for value in values)
    filled, marked = [], []
    for value, mask in zip(values, masks, strict=True):
        missing = longest - value.shape[1]
        filled.append(F.pad(value, (0, 0) * (value.ndim - 2) + (0, missing)))
        marked.append(F.pad(_there(mask), (0, missing)))
    return torch.cat(filled), torch.cat(marked)


def adapter_inputs(
    config: AdapterConfig, whole: VideoFeatures, offsets: Sequence[float], length: int = 192
) -> AdapterInputs:
    """What `config`'s adapters see of a video, for clips of `length` sync vectors that begin at `offsets`.

    Offsets are in seconds from the video's first picture. Sync vectors come in windows of pictures: a clip that begins
    between two takes the nearer one's. Raises ValueError where `whole` lacks what `config.needs`.
    """
    sync = phases = sync_mask = visual = visual_mask = text = None
    if config.use_syn:
        sync, phases, sync_mask = _sync(config, whole, offsets, length)
    if config.use_global:
        if config.global_pool == "mean":
            visual = _needed(whole.visual_mean, "visual_mean")[None, None]
        else:
            visual = _needed(whole.visual_all, "visual_all")[None]
            visual_mask = torch.ones(visual.shape[:2], dtype=torch.bool)
        if config.use_text:
            text = whole.text[None] if config.global_pool == "attn" else whole.text.mean(0)[None, None]
    video = torch.arange(1).expand(len(offsets))
    found = AdapterInputs(video, sync, phases, sync_mask, visual, visual_mask, text)
    return found.each(lambda value: value.float() if value.is_floating_point() else value)


def _needed(value: Tensor | None, name: str) -> Tensor:
    if value is None:
        raise ValueError(f"adapters: these need the video's {name}")
    return value


def _sync(
    config: AdapterConfig, whole: VideoFeatures, offsets: Sequence[float], length: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    tiled = torch.eye(WINDOW).repeat(1, length // WINDOW, 1)
    if config.sync_pool == "clip_mean":
        return _needed(whole.sync_mean, "sync_mean")[None], tiled, None
    if config.sync_pool == "time_mean":
        mean = _needed(whole.sync_mean, "sync_mean").float().mean(0)
        return mean[None, None], torch.full((1, 1, WINDOW), 1 / WINDOW), None
    if config.sync_pool == "clip_attn":
        clips = _needed(whole.clips_sync, "clips_sync")[None]
        return clips, tiled[None], torch.ones(clips.shape[:2], dtype=torch.bool)
    all_of_it = _needed(whole.sync_all, "sync_all")
    if config.sync_pool == "resample":
        positions = torch.eye(WINDOW).repeat(len(all_of_it) // WINDOW, 1)
        return _squeezed(all_of_it.float(), length)[None], _squeezed(positions, length)[None], None
    windows = [_window(all_of_it, offset, length) for offset in offsets]
    phases = torch.eye(WINDOW).repeat(len(offsets), (length + 2 * MARGIN) // WINDOW, 1)
    return torch.stack([rows for rows, _ in windows]), phases, torch.stack([mask for _, mask in windows])


def _squeezed(rows: Tensor, length: int) -> Tensor:
    """(T, D) -> (length, D), each row the mean of what falls to it."""
    return F.adaptive_avg_pool1d(rows.T[None], length)[0].T


def _window(rows: Tensor, offset: float, length: int) -> tuple[Tensor, Tensor]:
    """A clip's rows with a margin on both sides, (length + 2 MARGIN, D), and which of them there are."""
    last = max(0, len(rows) - length) // WINDOW
    first = WINDOW * min(last, round(offset * SYNC_RATE / WINDOW)) - MARGIN
    indices = torch.arange(first, first + length + 2 * MARGIN)
    there = (indices >= 0) & (indices < len(rows))
    begin, end = max(0, first), min(len(rows), first + len(indices))
    filled = rows.new_zeros((len(indices), rows.shape[1]), dtype=torch.float32)
    filled[begin - first : end - first] = rows[begin:end].float()
    return filled, there

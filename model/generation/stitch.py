"""Join clips: overlapping latents are crossfaded, waveforms are trimmed to the sample and joined.

Both stream: only the clip that waits for its neighbour is in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from .plan import Clip, ClipPlan

if TYPE_CHECKING:
    from numpy.typing import NDArray

FadeCurve = Literal["power", "amplitude"]
"""Gains of a crossfade: "power", squares add up to 1, for independent waveforms; "amplitude", gains add up to 1."""


def joined_latents(clips: Iterable[tuple[Clip, Tensor]], plan: ClipPlan) -> Iterator[tuple[Clip, Tensor]]:
    """Latents (L, C) of overlapping clips, in order -> the same, made equal where two clips share time.

    A linear crossfade over the last `fade_latents` of the earlier clip. Averaging at every step of the solver instead
    (MultiDiffusion, Bar-Tal et al. 2023, arXiv 2302.08113) would hold the state and the conditions of all clips at
    once, which grows with the video. Neighbours begin with the same noise where they overlap (`noise.clip_noises`), so
    that what is averaged here is alike, and its variance stays.
    """
    held: tuple[Clip, Tensor] | None = None
    for clip, latents in clips:
        if held is not None:
            before, earlier = held
            first = clip.latent - before.latent  # of the shared ones, in the earlier clip
            shared = len(earlier) - first
            fade = min(plan.fade_latents, shared)
            gain = torch.zeros(shared, 1, device=latents.device, dtype=latents.dtype)
            gain[shared - fade :, 0] = (torch.arange(fade, device=latents.device) + 1).to(gain.dtype) / (fade + 1)
            both = torch.lerp(earlier[first:], latents[:shared], gain)
            yield before, torch.cat([earlier[:first], both])
            latents = torch.cat([both, latents[shared:]])
        held = clip, latents
    if held is not None:
        yield held


def joined(
    clips: Iterable[tuple[Clip, NDArray[np.float32]]], plan: ClipPlan, curve: FadeCurve = "power"
) -> Iterator[NDArray[np.float32]]:
    """Waveforms of the clips, in order -> the audio, `plan.samples` in all, in pieces of at most a clip.

    Each clip is trimmed to `plan.clip_samples`: at 44.1 kHz its last latent is longer than the clip, and untrimmed
    clips would drift by 11 ms each. Over the last `fade_samples` of each clip the next one fades in. Before that the
    next one is not used, so the last clip, which is shifted back, gives only the rest. Raises ValueError for a clip
    that is too short.
    """
    position = 0  # sample of the audio at which `held` begins
    held: NDArray[np.float32] | None = None
    for clip, waveform in clips:
        if len(waveform) < plan.clip_samples:
            raise ValueError(f"clip {clip.number} has {len(waveform)} samples, must have {plan.clip_samples}")
        new = np.asarray(waveform[: plan.clip_samples], np.float32)
        if held is None:
            held, position = new, clip.sample
            continue
        # held ends where its clip ends: position + len(held)
        fade = min(plan.fade_samples, len(held))
        used = len(held) - fade
        yield held[:used]
        position += used
        new = new[position - clip.sample :].copy()
        if fade:
            rising, falling = fade_gains(fade, curve)
            new[:fade] = rising * new[:fade] + falling * held[used:]
        held = new
    if held is not None:
        yield held[: plan.samples - position]


def fade_gains(count: int, curve: FadeCurve) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Gains (count,) of the next clip and of the one before, without 0 and 1."""
    share = (np.arange(count) + 1) / (count + 1)
    if curve == "amplitude":
        return share.astype(np.float32), (1 - share).astype(np.float32)
    angle = share * (math.pi / 2)
    return np.sin(angle).astype(np.float32), np.cos(angle).astype(np.float32)

"""Divide a video of any length into clips for the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from features.encoders import CLIP_SECONDS, EncoderSpec
from manifests.time import from_ms, to_ms, to_ticks

from ..errors import ModelError

Stitch = Literal["hard", "crossfade", "latent"]
STITCHES: tuple[Stitch, ...] = get_args(Stitch)
LONGEST_OVERLAP = CLIP_SECONDS / 2  # with more of it a clip would overlap with the one after the next

_NOISE_MS = 1e-6  # times are sums of floats


class CannotGenerate(ModelError):
    """No audio can be generated for this video or with these settings; the message is one line with the reason."""


@dataclass(frozen=True)
class Lengths:
    """Lengths of a clip for the network: `latent` latents, `clip` visual and `sync` sync vectors."""

    latent: int
    clip: int
    sync: int


@dataclass(frozen=True)
class Clip:
    """Clip `number`, which begins at `start` seconds: its first sample and, in latent stitching, its first latent."""

    number: int
    start: float
    sample: int
    latent: int


@dataclass(frozen=True)
class ClipPlan:
    """The clips of a video of `milliseconds`, in order.

    `samples` of audio in all, `clip_samples` of each clip, of which the last `fade_samples` overlap with the next clip;
    in latent stitching they are `fade_latents` latents. `lengths` of every clip.
    """

    milliseconds: int
    stitch: Stitch
    samples: int
    clip_samples: int
    fade_samples: int
    fade_latents: int
    lengths: Lengths
    clips: tuple[Clip, ...]

    @property
    def seconds(self) -> float:
        """Duration of the video."""
        return from_ms(self.milliseconds)

    @property
    def joins(self) -> tuple[float, ...]:
        """Times at which clips meet, in seconds: the middles of their overlaps."""
        rate = self.samples / self.seconds
        return tuple((clip.sample + self.clip_samples - self.fade_samples / 2) / rate for clip in self.clips[:-1])


def plan_clips(
    seconds: float,
    audio: EncoderSpec,
    visual: EncoderSpec,
    sync: EncoderSpec,
    stitch: Stitch = "hard",
    overlap_seconds: float = 1.0,
) -> ClipPlan:
    """The clips of [0, `seconds`), rounded down to milliseconds.

    Hard joins: one clip every 8 s, the last shifted back to end with the video. Otherwise neighbours overlap by
    `overlap_seconds`. Latent stitching puts clips on the grid of the latents, so that the latents of neighbours belong
    to the same instants. A video shorter than 8 s is one clip of its own lengths, as in MMAudio. Raises CannotGenerate
    for a video shorter than the sync encoder's window (0.64 s), and for an overlap of 0 s or of more than half a clip.
    """
    milliseconds = int(seconds * 1000 + _NOISE_MS)
    rate, latent_samples = _latent_samples(audio)
    _check(milliseconds, visual, sync)
    if stitch not in STITCHES:
        raise CannotGenerate(f"stitch {stitch!r}: known are {', '.join(STITCHES)}")
    total = to_ticks(from_ms(milliseconds), rate)
    if milliseconds < CLIP_SECONDS * 1000:
        lengths = Lengths(
            -(-milliseconds * rate // (1000 * latent_samples)), _of(visual, milliseconds), _of(sync, milliseconds)
        )
        return ClipPlan(milliseconds, stitch, total, total, 0, 0, lengths, (Clip(0, 0.0, 0, 0),))
    lengths = Lengths(audio.length, visual.length, sync.length)
    if stitch == "hard":
        clips = tuple(_on_clock(milliseconds, CLIP_SECONDS * 1000, rate))
        return ClipPlan(milliseconds, stitch, total, CLIP_SECONDS * rate, 0, 0, lengths, clips)
    if not 0 < overlap_seconds <= LONGEST_OVERLAP:
        raise CannotGenerate(f"overlap {overlap_seconds} s: must be more than 0 and at most {LONGEST_OVERLAP:g} s")
    if stitch == "crossfade":
        overlap = max(1, to_ms(overlap_seconds))
        clips = tuple(_on_clock(milliseconds, CLIP_SECONDS * 1000 - overlap, rate))
        fade = overlap * rate // 1000  # never more than clips share, whose beginnings are rounded to a sample
        return ClipPlan(milliseconds, stitch, total, CLIP_SECONDS * rate, fade, 0, lengths, clips)
    shared = max(1, to_ticks(overlap_seconds, rate / latent_samples))
    clips = tuple(
        Clip(number, first * latent_samples / rate, first * latent_samples, first)
        for number, first in enumerate(_firsts(-(-total // latent_samples), audio.length, audio.length - shared))
    )
    return ClipPlan(
        milliseconds, stitch, total, audio.length * latent_samples, shared * latent_samples, shared, lengths, clips
    )


def _on_clock(milliseconds: int, step: int, rate: int) -> Iterator[Clip]:
    for number, first in enumerate(_firsts(milliseconds, CLIP_SECONDS * 1000, step)):
        yield Clip(number, from_ms(first), to_ticks(from_ms(first), rate), 0)


def _firsts(total: int, clip: int, step: int) -> Iterator[int]:
    """The starts of clips of `clip` ticks, one every `step`; the last is shifted back to end at `total`."""
    first = 0
    while first + clip < total:
        yield first
        first += step
    yield max(0, total - clip)


def _check(milliseconds: int, *encoders: EncoderSpec) -> None:
    for encoder in encoders:
        if _of(encoder, milliseconds) < 1 and encoder.frames is not None:
            least = encoder.frames.window / encoder.frames.fps
            raise CannotGenerate(f"lasts {from_ms(milliseconds):.3f} s; {encoder.name} needs at least {least:g} s")


def _of(encoder: EncoderSpec, milliseconds: int) -> int:
    """Number of vectors from `milliseconds` of video."""
    if encoder.frames is None:
        raise ValueError(f"{encoder.name} is not a video encoder")
    return encoder.frames.length(milliseconds * encoder.frames.fps // 1000)


def _latent_samples(audio: EncoderSpec) -> tuple[int, int]:
    """Sample rate in hertz, and samples per latent."""
    if audio.sample_rate is None or audio.samples is None:
        raise ValueError(f"{audio.name} is not an audio encoder")
    return audio.sample_rate, audio.samples // audio.length

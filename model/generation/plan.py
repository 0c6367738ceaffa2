"""How a film of any length is laid out in clips that the network makes one by one."""

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
    """No sound can be made for this film, or not so: one line that says why."""


@dataclass(frozen=True)
class Lengths:
    """What the network takes of a clip: `latent` latents, `clip` visual and `sync` sync vectors."""

    latent: int
    clip: int
    sync: int


@dataclass(frozen=True)
class Clip:
    """Clip `number`, from `start` seconds of the film on: its first sample; in latent stitching, its first latent."""

    number: int
    start: float
    sample: int
    latent: int


@dataclass(frozen=True)
class ClipPlan:
    """The clips of a film of `milliseconds`, in order.

    `samples` of sound in all, `clip_samples` of each clip, of which the last `fade_samples` are shared with the next
    one; in latent stitching `fade_latents` stand for them. `lengths`: of every clip.
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
        """What the film lasts."""
        return from_ms(self.milliseconds)

    @property
    def joins(self) -> tuple[float, ...]:
        """Where clips meet, in seconds of the sound: in the middle of what neighbours share."""
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
    """The clips of [0, `seconds`), whole milliseconds of it.

    Hard joins: one every 8 s, the last shifted back to end with the film. The other two: neighbours share
    `overlap_seconds`. Latent stitching puts clips on the latents' grid, so that neighbours' latents are of the same
    instants. What is shorter than 8 s is one clip of its own lengths, as MMAudio resizes them. Raises CannotGenerate
    for less than the sync encoder's window (0.64 s), and for an overlap that is not above 0 s or more than half a clip.
    """
    milliseconds = int(seconds * 1000 + _NOISE_MS)
    rate, a_latent = _sound(audio)
    _check(milliseconds, visual, sync)
    if stitch not in STITCHES:
        raise CannotGenerate(f"stitch {stitch!r}: known are {', '.join(STITCHES)}")
    total = to_ticks(from_ms(milliseconds), rate)
    if milliseconds < CLIP_SECONDS * 1000:
        lengths = Lengths(
            -(-milliseconds * rate // (1000 * a_latent)), _of(visual, milliseconds), _of(sync, milliseconds)
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
    shared = max(1, to_ticks(overlap_seconds, rate / a_latent))
    clips = tuple(
        Clip(number, first * a_latent / rate, first * a_latent, first)
        for number, first in enumerate(_firsts(-(-total // a_latent), audio.length, audio.length - shared))
    )
    return ClipPlan(milliseconds, stitch, total, audio.length * a_latent, shared * a_latent, shared, lengths, clips)


def _on_clock(milliseconds: int, step: int, rate: int) -> Iterator[Clip]:
    for number, first in enumerate(_firsts(milliseconds, CLIP_SECONDS * 1000, step)):
        yield Clip(number, from_ms(first), to_ticks(from_ms(first), rate), 0)


def _firsts(total: int, clip: int, step: int) -> Iterator[int]:
    """Where clips of `clip` ticks begin, one every `step`, the last one shifted back to end at `total`."""
    first = 0
    while first + clip < total:
        yield first
        first += step
    yield max(0, total - clip)


def _check(milliseconds: int, *encoders: EncoderSpec) -> None:
    for encoder in encoders:
        if _of(encoder, milliseconds) < 1 and encoder.frames is not None:
            least = encoder.frames.window / encoder.frames.fps
            raise CannotGenerate(
                f"lasts {from_ms(milliseconds):.3f} s; {encoder.name} needs {least:g} s to see anything"
            )


def _of(encoder: EncoderSpec, milliseconds: int) -> int:
    """How many vectors so much of a film gives."""
    if encoder.frames is None:
        raise ValueError(f"{encoder.name} sees no pictures")
    return encoder.frames.length(milliseconds * encoder.frames.fps // 1000)


def _sound(audio: EncoderSpec) -> tuple[int, int]:
    """Sample rate in hertz, samples that a latent stands for."""
    if audio.sample_rate is None or audio.samples is None:
        raise ValueError(f"{audio.name} is no audio encoder")
    return audio.sample_rate, audio.samples // audio.length

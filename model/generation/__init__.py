"""Generation for long videos: encoded once, sampled clip by clip, joined; in constant memory."""

from .clips import ClipSampler, Sampling, check_fit
from .generate import Generated, GenerationSettings, audio_of, generate
from .plan import STITCHES, CannotGenerate, Clip, ClipPlan, Stitch, plan_clips
from .stitch import joined, joined_latents
from .vocoder import Vocoder, open_vocoder

__all__ = [
    "STITCHES",
    "CannotGenerate",
    "Clip",
    "ClipPlan",
    "ClipSampler",
    "Generated",
    "GenerationSettings",
    "Sampling",
    "Stitch",
    "Vocoder",
    "audio_of",
    "check_fit",
    "generate",
    "joined",
    "joined_latents",
    "open_vocoder",
    "plan_clips",
]

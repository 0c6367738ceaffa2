"""Long-form generation: a film of any length is looked at once, made clip by clip, and joined, in constant memory."""

from .clips import ClipSampler, Sampling, check_fit
from .generate import Generated, GenerationSettings, clips_at_once, generate, sound_of
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
    "check_fit",
    "clips_at_once",
    "generate",
    "joined",
    "joined_latents",
    "open_vocoder",
    "plan_clips",
    "sound_of",
]

"""Metrics of generated audio: its joins, its distance from recorded audio, its loudness."""

from .frechet import Moments, frechet_distance, moments_of
from .loudness import loudness
from .seams import SeamMeter, SeamMetrics, clip_joins, control_times, energies, file_energies, rms_difference

__all__ = [
    "Moments",
    "SeamMeter",
    "SeamMetrics",
    "clip_joins",
    "control_times",
    "energies",
    "file_energies",
    "frechet_distance",
    "loudness",
    "moments_of",
    "rms_difference",
]

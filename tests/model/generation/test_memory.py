"""Ten times the film takes no more memory: measured, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from curation.media import probe, write_media
from tests.support import ROOT

FPS = 5

# Everything on the way is real but for the sizes: pictures of 16 x 16, an encoder without weights, a small network that
# takes one step, and one layer in a vocoder's place.
PROGRAM = """
import json, resource, sys, tempfile
from pathlib import Path
import torch
from torch import nn
from curation.media import seconds_shown, sound_onto
from features.encoders import EncoderSpec, FrameLayout
from features.encoders.latents import latent_spec
from model.adapters import AdapterConfig, Adapters
from model.generation import ClipSampler, Sampling, Vocoder, audio_of, plan_clips
from model.generation.video_features import encoded
from model.mmaudio import build_base

class Colours:
    def __init__(self, stream, pictures, length):
        self.spec = EncoderSpec("colours", "1", stream, None, 3, length, pictures)
    def encode(self, frames):
        windows = self.spec.frames.length(len(frames)) // self.spec.frames.vectors
        first = torch.arange(windows) * self.spec.frames.stride
        return (frames.float().mean((2, 3)) / 255)[first].repeat_interleave(self.spec.frames.vectors, 0)

path, out, stitch = sys.argv[1:]
audio = latent_spec("codec", "1", "16k", 20)
encoders = {
    "visual": Colours("visual", FrameLayout(8, 16, "stretch"), 64),
    "sync": Colours("sync", FrameLayout(25, 16, "stretch", 16, 8, 8), 192),
}
network = build_base("tiny", hidden=64, heads=1, depth=2, fused=1, clip_dim=3, sync_dim=3, text_length=4, text_dim=8)
adapters = Adapters(network.config, AdapterConfig(sync_pool="window"))
layer = nn.ConvTranspose1d(20, 1, 512, 512)
vocoder = Vocoder(audio, "amplitude", lambda latents: layer(latents.T[None])[0, 0].clamp(-1, 1))
plan = plan_clips(seconds_shown(path), audio, encoders["visual"].spec, encoders["sync"].spec, stitch, 1.0)
with tempfile.TemporaryDirectory() as folder:
    video = encoded(path, 0.0, plan, encoders, Path(folder), windows=8, dtype="float16")
    encoding = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sampler = ClipSampler(network, adapters)
    audio = audio_of(sampler, video, None, plan, vocoder, Sampling(steps=1, batch_size=4))
    sound_onto(path, audio, vocoder.sample_rate, out)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"encoding": encoding / 1024, "peak": peak / 1024, "clips": len(plan.clips)}))
"""


def _film(path: Path, seconds: int) -> Path:
    def pictures() -> Iterator[NDArray[np.uint8]]:
        for k in range(seconds * FPS):
            yield np.full((16, 16, 3), k % 251, np.uint8)

    write_media(path, frames=pictures(), fps=FPS, video_options={"preset": "ultrafast", "g": "50"})
    return path


def _megabytes(film: Path, out: Path, stitch: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(film), str(out), stitch],
        cwd=ROOT, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_film(tmp_path: Path) -> None:
    """Latent stitching, which holds most: clips lie between those of the grid, and all of both are looked at."""
    short = _megabytes(_film(tmp_path / "short.mp4", 60), tmp_path / "a.mp4", "latent")
    long = _megabytes(_film(tmp_path / "long.mp4", 600), tmp_path / "b.mp4", "latent")
    assert (short["clips"], long["clips"]) == (9, 86)
    assert probe(tmp_path / "b.mp4").duration == pytest.approx(600, abs=0.5)
    # 9 minutes more: the audio alone would be 35 MB as float32; the list of frame times remains
    assert long["peak"] - short["peak"] < 15, (short, long)

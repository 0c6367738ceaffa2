"""Measure joins during training: a few cuts are generated and joined hard at each validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from curation.backends.weights import ModelSetup, ModelUnavailable
from features.cache import FeatureCache
from features.encoders import CLIP_SECONDS, EncoderSpec, spec

from ..adapters import Adapters
from ..generation import ClipPlan, ClipSampler, Sampling, Vocoder, audio_of, open_vocoder, plan_clips
from ..generation.cached import CachedCut
from ..metrics import SeamMetrics, clip_joins, control_times, energies
from ..mmaudio import MMAudio

CUTS, CLIPS, STEPS = 4, 4, 10
"""Cuts, clips of each at most, and coarse steps: the trial must be a small part of the training's time."""

CONTROLS = 20  # other times for each join


class SeamTrial:
    """A `SeamValidator`: the energy change at joins, `seam_rel`, and at other times, `seam_control`.

    Always of the same cuts from the same noise.
    """

    def __init__(
        self, cache: FeatureCache, cuts: list[str], encoders: Sequence[EncoderSpec], open_on: Callable[[str], Vocoder]
    ) -> None:
        visual, sync, codec = encoders
        self._open_on, self._vocoder = (
            open_on,
            open_on("cpu"),
        )  # early, so that missing files are reported
        self._at = "cpu"
        self._wanted: list[tuple[CachedCut, ClipPlan]] = []
        for cut in cuts:
            seconds = CLIP_SECONDS * min(CLIPS, len(cache.clips_of(cut)) - 1)
            self._wanted.append((CachedCut(cache, cut), plan_clips(float(seconds), codec, visual, sync)))

    def __call__(self, network: MMAudio, adapters: Adapters | None) -> Mapping[str, float]:
        """Generate the cuts with the current weights and measure them."""
        device = network.sync_pos_emb.device
        if str(device) != self._at:  # the GPU is known only now
            self._at, self._vocoder = str(device), self._open_on(str(device))
        sampler = ClipSampler(network, adapters, device, precision=None)
        at_joins, elsewhere = [], []
        for number, (cut, plan) in enumerate(self._wanted):
            sampling = Sampling(STEPS, seed=1000 * number, batch_size=CLIPS)
            audio = np.concatenate(list(audio_of(sampler, cut, cut.text(), plan, self._vocoder, sampling)))
            joins = clip_joins(plan.seconds)
            others = control_times(plan.seconds, joins, CONTROLS * len(joins))
            at_joins.append(energies(audio, self._vocoder.sample_rate, joins))
            elsewhere.append(energies(audio, self._vocoder.sample_rate, others))
        joined, free = np.concatenate(at_joins), np.concatenate(elsewhere)
        return {"seam_rel": SeamMetrics.of(joined).rel, "seam_control": SeamMetrics.of(free).rel}


def seam_trial(cache: FeatureCache, setup: ModelSetup, split: str) -> SeamTrial | None:
    """The trial on cuts of a split; None without a cut of two whole clips, or if the codec cannot be opened here."""
    rows = cache.cuts.select(["cut_id", "split", "has_video", "clips"]).to_pylist()
    fitting = [row["cut_id"] for row in rows if row["split"] == split and row["has_video"] and row["clips"] > 2]
    described = cache.spec
    if not fitting or described.visual is None or described.sync is None:
        return None
    try:
        encoders = [spec(one.encoder, setup) for one in (described.visual, described.sync, described.audio)]
        chosen = np.linspace(0, len(fitting) - 1, min(CUTS, len(fitting))).round().astype(int).tolist()
        opener = partial(open_vocoder, described.audio.encoder, setup)
        return SeamTrial(cache, [fitting[i] for i in chosen], encoders, opener)
    except ModelUnavailable:
        return None

"""The latents of a film's clips, one after the other: each from its own pictures and from what all of them say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from curation.runner.progress import ShareCallback
from features.encoders import EncoderSpec, Precision
from features.encoders.precision import TYPES

from ..adapters import Adapters, ConditionMask, VideoFeatures, adapter_inputs
from ..errors import ModelError
from ..mmaudio import Conditions, MMAudio
from ..sampling import GUIDANCE, STEPS, Flow, fast_flow, no_conditions, sample
from .noise import clip_noises
from .plan import Clip, ClipPlan
from .video_features import VideoFeatureSource


@dataclass(frozen=True)
class Sampling:
    """How clips are sampled: `steps` of the solver, `guidance` away from no condition, noise of clip i from `seed` + i.

    `shared_noise`: all clips begin with the noise of the first. `at_once`: clips a batch. `fast`: the network is
    compiled, which takes minutes at first and pays for long films on a GPU.
    """

    steps: int = STEPS
    guidance: float = GUIDANCE
    seed: int = 0
    shared_noise: bool = False
    at_once: int = 1
    fast: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "at_once"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)}: must be at least 1")
        if self.seed < 0:
            raise ValueError(f"seed {self.seed}: must be at least 0")


class ClipSampler:
    """A base with its adapters, or without, placed on a device and ready to make clips.

    In bfloat16 the base is: adapters, which add little and were trained in float32, stay so, and so does the solver.
    With `precision` None the base stays as it is.
    """

    def __init__(
        self,
        network: MMAudio,
        adapters: Adapters | None = None,
        device: torch.device | str = "cpu",
        precision: Precision | None = "float32",
    ) -> None:
        self.device = torch.device(device)
        # of all constants these two are written into every latent
        self._mean = network.latent_mean.detach().float().to(self.device)
        self._deviation = network.latent_std.detach().float().to(self.device)
        self.network = network.to(self.device, None if precision is None else TYPES[precision]).eval()
        self.adapters = None if adapters is None else adapters.to(self.device).eval()

    @property
    def needs(self) -> frozenset[str]:
        """What the adapters ask of the whole film (`AdapterConfig.needs`)."""
        return frozenset() if self.adapters is None else self.adapters.config.needs

    def latents(
        self,
        looked: VideoFeatureSource,
        text: Tensor | None,
        plan: ClipPlan,
        sampling: Sampling,
        tell: ShareCallback = lambda seconds: None,
    ) -> Iterator[tuple[Clip, Tensor]]:
        """The codec's latents (L, C) of each clip in order, float32 on the device; one batch of them is held.

        `text` (L, D), None for none. `tell` hears the seconds of the film that are done.
        """
        lengths, channels = plan.lengths, self.network.config.latent_channels
        self.network.set_lengths(lengths.latent, lengths.clip, lengths.sync)
        flow = fast_flow(self.network) if sampling.fast else None
        said = self.network.empty_string_feat.detach().float().cpu() if text is None else text
        whole = looked.whole(said, self.needs)
        with torch.no_grad():
            nothing = no_conditions(self.network)
        noises = clip_noises(plan, channels, sampling.seed, shared=sampling.shared_noise)
        done, clips = 0.0, iter(plan.clips)
        while batch := list(islice(clips, sampling.at_once)):
            last = batch[-1].number + 1
            upto = plan.seconds if last == len(plan.clips) else plan.clips[last].start

            def stepped(step: int, done: float = done, upto: float = upto) -> None:
                tell(done + (upto - done) * step / sampling.steps)

            noise = torch.stack(list(islice(noises, len(batch))))
            made = self._sampled(looked, whole, text is not None, batch, noise, nothing, sampling, flow, stepped)
            done = upto
            yield from zip(batch, made, strict=True)

    @torch.no_grad()
    def _sampled(
        self,
        looked: VideoFeatureSource,
        whole: VideoFeatures,
        spoken: bool,
        batch: list[Clip],
        noise: Tensor,
        nothing: Conditions,
        sampling: Sampling,
        flow: Flow | None,
        stepped: Callable[[int], None],
    ) -> Tensor:
        count = len(batch)
        conditions = self._conditions(looked, whole, spoken, batch)
        noise = noise.to(self.device)
        if flow is not None and count < sampling.at_once:  # what is compiled is compiled for one size of batch
            rows = torch.arange(sampling.at_once, device=self.device).clamp_max(count - 1)
            conditions, noise = conditions[rows], noise[rows]
        made = sample(
            self.network,
            conditions,
            noise,
            steps=sampling.steps,
            guidance=sampling.guidance,
            empty=nothing,
            flow=flow,
            on_step=stepped,
        )
        return made[:count].float() * self._deviation + self._mean

    def _conditions(
        self, looked: VideoFeatureSource, whole: VideoFeatures, spoken: bool, batch: list[Clip]
    ) -> Conditions:
        """Of a batch: each clip's own, and on top what the adapters say of the whole."""
        visual, sync = looked.local([clip.number for clip in batch])
        text = whole.text.expand(len(batch), -1, -1)
        conditions = self.network.conditions(visual.to(self.device), sync.to(self.device), text.to(self.device))
        if self.adapters is None:
            return conditions
        config = self.adapters.config
        found = adapter_inputs(config, whole, [clip.start for clip in batch], self.network.lengths[2])
        there = torch.ones(len(batch), dtype=torch.bool, device=self.device)
        # where there is no caption nothing is said about it, as in training
        keep = ConditionMask(there, there, there if spoken else ~there)
        added: Conditions = self.adapters(conditions, found.to(self.device), self.network.sync_pos_emb, keep)
        return added


def check_fit(network: MMAudio, visual: EncoderSpec, sync: EncoderSpec, audio: EncoderSpec, text: EncoderSpec) -> None:
    """Raises ModelError where the network was made for other encoders: it says of which stream."""
    config = network.config
    for encoder, length, dimension in (
        (visual, config.clip_length, config.clip_dim),
        (sync, config.sync_length, config.sync_dim),
        (audio, config.latent_length, config.latent_channels),
        (text, config.text_length, config.text_dim),
    ):
        if (encoder.length, encoder.dimension) != (length, dimension):
            raise ModelError(
                f"the base {config.name} takes {length} x {dimension} {encoder.stream} vectors a clip, the corpus's "
                f"{encoder.name} gives {encoder.length} x {encoder.dimension}: name a base that was trained on its "
                "features, or a corpus of the base's encoders"
            )

"""Sample the latents of the clips of a video, each from its own frames and from the features of the whole video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from curation.runner.progress import ShareCallback
from features.encoders import EncoderSpec, Precision
from features.encoders.precision import TYPES

from ..adapters import Adapters, ConditionMask, VideoFeatures, adapter_inputs, video_features
from ..errors import ModelError
from ..mmaudio import Conditions, MMAudio
from ..sampling import GUIDANCE, STEPS, Flow, compiled_flow, no_conditions, sample
from .noise import clip_noises
from .plan import Clip, ClipPlan
from .video_features import VideoFeatureSource

_CPU_BATCH, _GPU_BATCH = 2, 8  # clips


@dataclass(frozen=True)
class Sampling:
    """Settings of the sampler: `steps` of the solver, `guidance` scale, noise of clip i from `seed` + i.

    With `shared_noise` all clips begin with the noise of the first. `batch_size`: clips per batch; None: 2 on a CPU, 8
    on a GPU. `compile` compiles the network first, which takes minutes and pays for long videos on a GPU.
    """

    steps: int = STEPS
    guidance: float = GUIDANCE
    seed: int = 0
    shared_noise: bool = False
    batch_size: int | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} {value}: must be at least 1")
        if self.seed < 0:
            raise ValueError(f"seed {self.seed}: must be at least 0")

    def batch_size_on(self, device: torch.device) -> int:
        """The number of clips per batch on `device`."""
        if self.batch_size is not None:
            return self.batch_size
        return _CPU_BATCH if device.type == "cpu" else _GPU_BATCH


class ClipSampler:
    """A base, with adapters or without, on a device and ready to sample clips.

    `precision` applies to the base; None leaves it as it is. Adapters, which add little and were trained in float32,
    stay in float32, and so does the solver.
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
        """The features of the whole video that the adapters need (`AdapterConfig.needs`)."""
        return frozenset() if self.adapters is None else self.adapters.config.needs

    def latents(
        self,
        video: VideoFeatureSource,
        text: Tensor | None,
        plan: ClipPlan,
        sampling: Sampling,
        on_seconds: ShareCallback = lambda seconds: None,
    ) -> Iterator[tuple[Clip, Tensor]]:
        """Yield the codec's latents (L, C) of each clip in order, float32 on the device; one batch is in memory.

        `text` (L, D), or None for no caption. `on_seconds` is called with the seconds of the video that are done.
        """
        lengths, size = plan.lengths, sampling.batch_size_on(self.device)
        self.network.set_lengths(lengths.latent, lengths.clip, lengths.sync)
        with torch.no_grad():
            empty = no_conditions(self.network)
        caption = self.network.empty_string_feat.detach().float().cpu() if text is None else text
        inputs = _Inputs(
            video,
            video_features(video, caption, self.needs),
            text is not None,
            empty,
            size,
            compiled_flow(self.network) if sampling.compile else None,
        )
        noises = clip_noises(plan, self.network.config.latent_channels, sampling.seed, shared=sampling.shared_noise)
        done, clips = 0.0, iter(plan.clips)
        while batch := list(islice(clips, size)):
            last = batch[-1].number + 1
            until = plan.seconds if last == len(plan.clips) else plan.clips[last].start

            def stepped(step: int, done: float = done, until: float = until) -> None:
                on_seconds(done + (until - done) * step / sampling.steps)

            noise = torch.stack(list(islice(noises, len(batch))))
            latents = self._sampled(inputs, batch, noise, sampling, stepped)
            done = until
            yield from zip(batch, latents, strict=True)

    @torch.no_grad()
    def _sampled(
        self, inputs: _Inputs, batch: list[Clip], noise: Tensor, sampling: Sampling, on_step: Callable[[int], None]
    ) -> Tensor:
        count = len(batch)
        conditions = self._conditions(inputs, batch)
        noise = noise.to(self.device)
        if inputs.flow is not None and count < inputs.batch_size:  # compiled for one size of batch
            rows = torch.arange(inputs.batch_size, device=self.device).clamp_max(count - 1)
            conditions, noise = conditions[rows], noise[rows]
        latents = sample(
            self.network,
            conditions,
            noise,
            steps=sampling.steps,
            guidance=sampling.guidance,
            empty=inputs.empty,
            flow=inputs.flow,
            on_step=on_step,
        )
        return latents[:count].float() * self._deviation + self._mean

    def _conditions(self, inputs: _Inputs, batch: list[Clip]) -> Conditions:
        """The conditions of each clip, with what the adapters add."""
        visual, sync = inputs.video.local([clip.number for clip in batch])
        text = inputs.whole.text.expand(len(batch), -1, -1)
        conditions = self.network.conditions(visual.to(self.device), sync.to(self.device), text.to(self.device))
        if self.adapters is None:
            return conditions
        starts, length = [clip.start for clip in batch], self.network.lengths[2]
        given = adapter_inputs(self.adapters.config, inputs.whole, starts, length).to(self.device)
        present = torch.ones(len(batch), dtype=torch.bool, device=self.device)
        # without a caption the adapters add nothing for text, as in training
        keep = ConditionMask(present, present, present if inputs.has_text else ~present)
        added: Conditions = self.adapters(conditions, given, self.network.sync_pos_emb, keep)
        return added


@dataclass(frozen=True)
class _Inputs:
    """Inputs that all batches of a video share."""

    video: VideoFeatureSource
    whole: VideoFeatures
    has_text: bool
    empty: Conditions
    batch_size: int
    flow: Flow | None


def check_fit(network: MMAudio, visual: EncoderSpec, sync: EncoderSpec, audio: EncoderSpec, text: EncoderSpec) -> None:
    """Raises ModelError, naming the stream, if the network was made for the features of other encoders."""
    config = network.config
    for encoder, length, dimension in (
        (visual, config.clip_length, config.clip_dim),
        (sync, config.sync_length, config.sync_dim),
        (audio, config.latent_length, config.latent_channels),
        (text, config.text_length, config.text_dim),
    ):
        if (encoder.length, encoder.dimension) != (length, dimension):
            raise ModelError(
                f"the base {config.name} takes {length} x {dimension} {encoder.stream} vectors per clip, the corpus's "
                f"{encoder.name} gives {encoder.length} x {encoder.dimension}: name a base that was trained on its "
                "features, or a corpus with the base's encoders"
            )

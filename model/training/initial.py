"""The base that a training starts from: read from a file, or new for the features of a cache."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from features.cache import CacheSpec, FeatureCache, StreamSpec
from features.encoders import ModelSetup, ModelUnavailable, open_text_encoder
from features.encoders import spec as encoder_spec
from manifests.bounded import TextError, parse_json

from ..adapters import Adapters
from ..errors import ModelError
from ..mmaudio import MMAudio, base_hash, build_base, load_base
from ..mmaudio.config import WINDOW, BaseConfig
from ..mmaudio.files import NOTE
from ..tensorfiles import read_notes

_LOG = logging.getLogger(__name__)
STREAMS = ("audio", "visual", "sync", "text")
ENCODERS = "encoders"
"""Key of the fact in a base file that names the encoders of its training features."""

_RELEASED = {"visual": "clip", "sync": "synchformer", "text": "clip_text"}
_LEAST_SPREAD = 0.05  # of the channels' root mean square
_CHUNK = 256  # clips in memory at once


@dataclass(frozen=True)
class InitialBase:
    """A base on the CPU, and its name: the hash of its weights, or the size of a new one."""

    base: MMAudio
    name: str


def from_file(path: Path, cache: FeatureCache, size: str | None = None) -> InitialBase:
    """The base in a file. Raises ModelError if the cache's streams are not those of its training."""
    base = load_base(path, size)
    check_fit(cache, base.config, trained_on(path, base.config), str(path))
    return InitialBase(base, base_hash(base))


def fresh(size: str, cache: FeatureCache, seed: int) -> InitialBase:
    """A new base of a size, with weights drawn from `seed` and the lengths and dimensions of the cache."""
    streams = _streams(cache)
    audio, visual, sync, text = (streams[name] for name in STREAMS)
    if sync.length % WINDOW:
        raise ModelError(f"{cache.path}: {sync.length} sync vectors per clip, not a multiple of {WINDOW}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        base = build_base(
            size,
            latent_length=audio.length,
            latent_channels=audio.dimension,
            clip_length=visual.length,
            clip_dim=visual.dimension,
            sync_length=sync.length,
            sync_dim=sync.dimension,
            text_length=text.length,
            text_dim=text.dimension,
        )
    return InitialBase(base, f"fresh {size}")


def measure(base: MMAudio, cache: FeatureCache, clips: Sequence[int], setup: ModelSetup) -> None:
    """Set the constants of a new base from the features: mean and deviation of latents, the vectors of no text."""
    mean, deviation = latent_statistics(cache, clips)
    base.latent_mean.data.copy_(mean)
    base.latent_std.data.copy_(deviation)
    base.empty_string_feat.data.copy_(empty_text(cache, setup))


def measure_adapters(adapters: Adapters, cache: FeatureCache, clips: Sequence[int]) -> None:
    """Set the means and deviations, over `clips`, of adapters that standardize their inputs."""
    config = adapters.config
    if adapters.syn is not None and adapters.syn.standard is not None:
        of_means = config.sync_pool in ("clip_mean", "time_mean")
        adapters.syn.standard.take(*_spread(*statistics(cache, clips, "sync_mean" if of_means else "sync")))
    if adapters.visual is not None and adapters.visual.standard is not None:
        of_means = config.global_pool == "mean"
        adapters.visual.standard.take(*_spread(*statistics(cache, clips, "visual_mean" if of_means else "visual")))


def _spread(mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """Limit small deviations: channels that hardly change may change more in another video."""
    return mean, deviation.clamp_min(_LEAST_SPREAD * deviation.square().mean().sqrt())


def latent_statistics(cache: FeatureCache, clips: Sequence[int]) -> tuple[Tensor, Tensor]:
    """`statistics` of the codec's means."""
    return statistics(cache, clips, "mean")


def statistics(cache: FeatureCache, clips: Sequence[int], stream: str) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (C,) of a stream over clips and time, summed in float64.

    A channel that never changes has the deviation 1.
    """
    count, total, squares = 0, torch.zeros(1), torch.zeros(1)
    for first in range(0, len(clips), _CHUNK):
        taken = cache.take(clips[first : first + _CHUNK], [stream])[stream].double()
        means = taken.reshape(-1, taken.shape[-1])
        if not first:
            shift = means.mean(0)  # squares of values far from zero would lose their digits
            total, squares = torch.zeros_like(shift), torch.zeros_like(shift)
        means = means - shift
        count, total, squares = count + len(means), total + means.sum(0), squares + means.square().sum(0)
    mean = total / count
    deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
    deviation = torch.where(deviation > 0, deviation, 1.0)
    return (mean + shift).float(), deviation.float()


def empty_text(cache: FeatureCache, setup: ModelSetup) -> Tensor:
    """The vectors of an empty text by the cache's encoder, (L, Dt); zeros if it cannot be opened here."""
    stream = _streams(cache)["text"]
    try:
        if encoder_spec(stream.encoder, setup).version == stream.version:
            return open_text_encoder(stream.encoder, setup).encode("").float().cpu()
        reason = "its version here is another"
    except (ModelUnavailable, OSError, ValueError) as error:
        reason = str(error)
    _LOG.warning("%s: zeros for no text, as the encoder %s is not available: %s", cache.path, stream.encoder, reason)
    return torch.zeros(stream.shape)


def check_fit(cache: FeatureCache, config: BaseConfig, encoders: Mapping[str, str], base: str) -> None:
    """Raises ModelError, naming the stream, if the cache does not fit the base."""
    streams = _streams(cache)
    wanted = {
        "audio": (config.latent_length, config.latent_channels),
        "visual": (config.clip_length, config.clip_dim),
        "sync": (config.sync_length, config.sync_dim),
        "text": (config.text_length, config.text_dim),
    }
    for name, shape in wanted.items():
        stream = streams[name]
        if stream.shape != shape:
            raise ModelError(
                f"{cache.path}: {name} by {stream.encoder} is {stream.length} x {stream.dimension}, "
                f"the base {base} takes {shape[0]} x {shape[1]}"
            )
        trained = encoders.get(name)
        if trained is not None and trained not in (stream.encoder, named(stream)):
            raise ModelError(f"{cache.path}: {name} is by {named(stream)}, the base {base} was trained on {trained}")


def trained_on(path: Path, config: BaseConfig) -> Mapping[str, str]:
    """The encoders, by stream, of a base's training features: from the notes of its file, or those of the releases."""
    note = read_notes(path).get(NOTE) if path.suffix == ".safetensors" else None
    if note is None:
        codec = "vae_16k" if config.name.endswith("16k") else "vae_44k"
        return {**_RELEASED, "audio": codec}
    try:
        encoders = parse_json(note)["facts"][ENCODERS]
    except (TextError, KeyError, TypeError):
        return {}
    return encoders if isinstance(encoders, dict) else {}


def encoders_of(spec: CacheSpec) -> dict[str, str]:
    """The value of `ENCODERS` for a base trained on such a cache."""
    streams = {name: getattr(spec, name) for name in STREAMS}
    return {name: named(stream) for name, stream in streams.items() if stream is not None}


def named(stream: StreamSpec) -> str:
    """Name and version of a stream's encoder."""
    return f"{stream.encoder} {stream.version}"


def _streams(cache: FeatureCache) -> dict[str, StreamSpec]:
    streams = {name: getattr(cache.spec, name) for name in STREAMS}
    missing = [name for name, stream in streams.items() if stream is None]
    if missing:
        raise ModelError(f"{cache.path}: stream {missing[0]} is missing; training needs {', '.join(STREAMS)}")
    return streams

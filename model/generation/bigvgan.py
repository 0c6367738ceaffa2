"""BigVGAN (Lee et al. 2023, arXiv 2206.04658) as a vocoder of mel spectrograms, with weights from the user.

The network is that of the package `bigvgan`. At 44.1 kHz: NVIDIA's bigvgan_v2_44khz_128band_512x, with its
configuration beside its weights. At 16 kHz: Make-An-Audio 2's, which MMAudio uses; its file has no sizes, so they are
here.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from curation.backends.checkpoint import CheckpointError
from curation.backends.weights import ModelSetup, ModelUnavailable
from features.audio.mel import MODES, Mode
from features.encoders.networks.released import load_plain
from manifests.bounded import read_json

INSTALL = "pip install --no-deps bigvgan==2.4.1"


@dataclass(frozen=True)
class Release:
    """A released file, the place to download it from, and its sizes if it has no config.json beside it."""

    file: str
    source: str
    sizes: Mapping[str, Any] | None


_SHARED: Mapping[str, Any] = MappingProxyType(
    {
        "resblock": "1",
        "resblock_kernel_sizes": [3, 7, 11],
        "resblock_dilation_sizes": [[1, 3, 5]] * 3,
        "upsample_initial_channel": 1536,
        "activation": "snakebeta",
        "snake_logscale": True,
    }
)
RELEASES: Mapping[Mode, Release] = MappingProxyType(
    {
        "16k": Release(
            "best_netG.pt",
            "MMAudio's release v0.1 (https://github.com/hkchengrex/MMAudio)",
            {
                **_SHARED,
                "num_mels": 80,
                "upsample_rates": [4, 4, 2, 2, 2, 2],
                "upsample_kernel_sizes": [8, 8, 4, 4, 4, 4],
            },
        ),
        "44k": Release(
            "bigvgan_generator.pt",
            "https://huggingface.co/nvidia/bigvgan_v2_44khz_128band_512x, with its config.json",
            None,
        ),
    }
)


def weights_file(setup: ModelSetup, mode: Mode) -> Path:
    """The released file: weights.bigvgan_16k or bigvgan_44k of the recipe. Raises ModelUnavailable if missing."""
    release = RELEASES[mode]
    return setup.weights_file(f"bigvgan_{mode}", release.file, release.source)


def load_bigvgan(path: Path, mode: Mode) -> nn.Module:
    """The vocoder: log-mel (B, bands, T) -> waveforms (B, 1, T hop), frozen, on the CPU.

    Only tensors are read. Raises ModelUnavailable, in one line, for a missing package, a file that cannot be read, and
    a file of another network.
    """
    sizes = RELEASES[mode].sizes or _read_sizes(path.with_name("config.json"), mode)
    state = _read_state(path)
    network = _build(sizes, path)
    if not any(name.endswith("weight_g") for name in state):
        _fold(network)
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:160]
        raise ModelUnavailable(f"bigvgan_{mode}: {path} is of another network: {detail}") from error
    _fold(network)
    return network.requires_grad_(False).eval()


def _build(sizes: Mapping[str, Any], path: Path) -> nn.Module:
    try:
        from bigvgan.bigvgan import BigVGAN
        from bigvgan.env import AttrDict
    except ImportError as error:
        raise ModelUnavailable(f"bigvgan: {error}: {INSTALL}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the package normalises weights in PyTorch's older way
            network: nn.Module = BigVGAN(AttrDict(sizes))
    except (AttributeError, KeyError, TypeError, ValueError, NotImplementedError) as error:
        raise ModelUnavailable(f"bigvgan: the configuration beside {path} is incomplete: {error}") from error
    return network


def _fold(network: nn.Module) -> None:
    """Replace weights stored as direction and length by plain ones, unless that is already done."""
    for module in network.modules():
        if hasattr(module, "weight_g"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                nn.utils.remove_weight_norm(module)


def _read_sizes(path: Path, mode: Mode) -> Mapping[str, Any]:
    """The configuration. One of another mel front end is refused: it would distort every spectrum."""
    mel = MODES[mode]
    try:
        sizes = read_json(path)
        actual = {
            "num_mels": sizes["num_mels"],
            "sampling_rate": sizes["sampling_rate"],
            "hop_size": math.prod(sizes["upsample_rates"]),
        }
    except FileNotFoundError as error:
        raise ModelUnavailable(f"bigvgan_{mode}: {path} is missing: get it from {RELEASES[mode].source}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(f"bigvgan_{mode}: {path} is not a configuration of BigVGAN: {error!r}") from error
    wanted = {"num_mels": mel.bands, "sampling_rate": mel.sample_rate, "hop_size": mel.hop}
    for name, value in wanted.items():
        if actual[name] != value:
            raise ModelUnavailable(f"bigvgan_{mode}: {path} has {name} {actual[name]}, should be {value}")
    return dict(sizes)


def _read_state(path: Path) -> Mapping[str, Tensor]:
    """The generator's tensors; nothing in the file is executed."""
    try:
        state = load_plain(path)["generator"]
    except (FileNotFoundError, PermissionError) as error:
        raise ModelUnavailable(f"bigvgan: {path}: {error.strerror}") from error
    except CheckpointError as error:
        raise ModelUnavailable(f"bigvgan: {path}: {error}: truncated, or of another kind") from error
    except Exception as error:  # a damaged file makes the readers raise anything
        raise ModelUnavailable(
            f"bigvgan: {path} has no generator that can be read ({type(error).__name__}): truncated, or of another kind"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelUnavailable(f"bigvgan: {path} has a generator that is not a table of tensors")
    return state

"""Voice activity by a pyannote segmentation network (PyanNet, https://github.com/pyannote/pyannote-audio).

The network processes chunks of some seconds, each a step (mostly a tenth of a chunk) after the previous one, and
estimates for each frame how likely each speaker talks. Voice activity is the maximum over speakers, and the
Hamming-weighted mean where chunks overlap. The result equals the library's `VoiceActivityDetection` over a whole file,
but is computed block by block.

The clock: frame i of a recording begins at sample i * 270, in any block (SincNet's stride of 10 and three poolings by
3). A core contains whole steps and whole pooled frames, so all blocks share one grid.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifests.scores import MAX_RATE, FrameScores

from ...backends.checkpoint import Checkpoint
from ...backends.torch_threads import one_thread
from ...backends.weights import ModelSetup, ModelUnavailable, weights_hash
from ..base import Block, BlockPlan, DetectorSpec
from .network import RATE, Segmentation, block_plan, build, checked, describe, library

RELEASED = "pytorch_model.bin"  # its name in the hub's repositories
FILE = "pyannote_segmentation.bin"  # in LPSE_WEIGHTS, beside other models' files
SOURCE = f"the Hugging Face hub ({RELEASED} of pyannote/segmentation-3.0)"
LABELS = ("speech",)
BATCH = 8  # chunks per batch: no slower than the library's 32, and a quarter of the memory
EPSILON = 1e-12  # Inference.aggregate's: the weight of warm-up, and the lower limit of a sum of weights

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_FILES = (".bin", ".ckpt", ".pt", ".pth", ".safetensors")


def spec(setup: ModelSetup) -> DetectorSpec:
    """The detector's identity. Raises ModelUnavailable without the package, or without a checkpoint for speech."""
    if not _installed():
        raise ModelUnavailable("pyannote.audio is not installed: pip install 'lpse[pyannote]'")
    path = _weights(setup)
    network = _network(path)
    hop, window = network.frame_samples / RATE, network.heard_samples / RATE
    core, left, right = block_plan(network, math.ceil(1 / (hop * MAX_RATE) - 1e-9))
    version = f"1-{weights_hash(path)}"
    return DetectorSpec("pyannote", version, RATE, LABELS, hop, window, BlockPlan(core, left, right))


def prepare(setup: ModelSetup) -> None:
    """Download the checkpoint if a hub id is configured, and read all of it. Raises ModelUnavailable."""
    spec(setup)
    path = _weights(setup)
    try:
        checked(Checkpoint(path))
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from error


class Pyannote:
    """Frames of 62 ms every 16.875 ms, one label `speech`."""

    def __init__(self, setup: ModelSetup) -> None:
        self.spec = spec(setup)
        path = _weights(setup)
        self._network = _network(path)
        try:
            lib = library()
        except Exception as error:  # a broken installation can fail in any way
            reason = " ".join(str(error).split())
            raise ModelUnavailable(
                f"pyannote.audio cannot be imported ({reason}): pip install 'lpse[pyannote]'"
            ) from error
        try:
            model = build(Checkpoint(path), self._network)
        except (OSError, ValueError) as error:
            raise _unusable(path, error) from error
        self._inference = lib.Inference(model, step=self._network.step, skip_aggregation=True, batch_size=BATCH)
        self._chunks = lib.SlidingWindow(start=0.0, duration=self._network.duration, step=self._network.step)
        self._frames = lib.SlidingWindow(start=0.0, duration=self.spec.window, step=self.spec.hop)

    def scores(self, block: Block) -> FrameScores:
        """Speech probability of the frames that begin in the block's core."""
        values = self.probabilities(block)[:, None].astype(np.float16)
        return FrameScores(block.start / RATE, self.spec.hop, self.spec.window, LABELS, values)

    def probabilities(self, block: Block) -> NDArray[np.float32]:
        """As `scores`, before conversion for storage: shape (frames,)."""
        import torch

        samples = torch.from_numpy(np.array(block.samples, np.float32)[None])
        with one_thread():
            speakers = self._inference({"waveform": samples, "sample_rate": RATE}).data  # (chunks, frames, speakers)
        frame = self._network.frame_samples
        first = (block.start - block.left) // self._network.step_samples
        return self._overlap_add(speakers.max(axis=2), first, block.start // frame, -(-block.core // frame))

    def _overlap_add(
        self, speech: NDArray[np.float32], first_chunk: int, first_frame: int, count: int
    ) -> NDArray[np.float32]:
        """Overlap-add chunks (chunks, frames), from `first_chunk` on, to frames [first_frame, first_frame + count).

        Sums, rounding and weights are `Inference.aggregate`'s. A recording's last frames, less than a step of them, may
        be in no chunk: they repeat the frame before them (the library writes 0, as if there was no speech).
        """
        length = speech.shape[1]
        warm_up = np.ones(length)
        left, right = (round(seconds / self._network.duration * length) for seconds in self._network.warm_up)
        warm_up[:left] = warm_up[length - right :] = EPSILON
        weights = np.hamming(length) * warm_up
        total, weight = np.zeros(count, np.float32), np.zeros(count, np.float32)
        end = 0
        for number, scores in enumerate(speech, first_chunk):
            middle = self._chunks[number].start + 0.5 * self._frames.duration
            offset = self._frames.closest_frame(middle) - first_frame
            begin, end = max(offset, 0), min(offset + length, count)
            if begin < end:
                part = slice(begin - offset, end - offset)
                total[begin:end] += scores[part] * weights[part]
                weight[begin:end] += weights[part]
        mean = np.asarray(total / np.maximum(weight, np.float32(EPSILON)), np.float32)
        mean[end:] = mean[end - 1]
        return mean


@cache
def _installed() -> bool:
    try:
        return find_spec("pyannote.audio") is not None
    except ModuleNotFoundError:
        return False


def _weights(setup: ModelSetup) -> Path:
    """The checkpoint's file. Raises ModelUnavailable."""
    named = setup.named("pyannote")
    if named and Path(named).is_dir() and Path(named, RELEASED).is_file():
        return Path(named, RELEASED)
    # a missing file is not requested from the hub
    if named and not Path(named).exists() and _HUB_ID.fullmatch(named) and not named.endswith(_FILES):
        return _from_hub(named)
    return setup.weights_file("pyannote", FILE, SOURCE)


def _network(path: Path) -> Segmentation:
    try:
        status = path.stat()
        return _read_network(path, status.st_size, status.st_mtime_ns)
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from error


@cache
def _read_network(path: Path, size: int, changed: int) -> Segmentation:
    return describe(Checkpoint(path).content)


def _unusable(path: Path, error: Exception) -> ModelUnavailable:
    fault = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
    return ModelUnavailable(f"pyannote: {path}: {fault}")


@contextmanager
def _hub_quiet() -> Iterator[None]:
    """Silence the hub library's progress bar and its messages on every retry: the result is reported in one line."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    logger = logging.getLogger("huggingface_hub")
    level, barless = logger.level, are_progress_bars_disabled()
    logger.setLevel(logging.CRITICAL)
    disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if not barless:
            enable_progress_bars()


@cache
def _from_hub(repository: str) -> Path:
    """The checkpoint of a hub repository: from the hub library's cache, or downloaded once.

    The hub library finds the user's token and its cache, and obeys HF_HUB_OFFLINE. Its errors are not repeated: they
    may contain signed addresses. Raises ModelUnavailable.
    """
    try:
        from huggingface_hub import errors, hf_hub_download, try_to_load_from_cache
    except ImportError as error:
        raise ModelUnavailable("huggingface_hub is not installed: pip install 'lpse[pyannote]'") from error
    cure = "name a file as weights.pyannote instead"
    try:
        cached = try_to_load_from_cache(repository, RELEASED)
        if isinstance(cached, str):
            return Path(cached)
        with _hub_quiet():
            return Path(hf_hub_download(repository, RELEASED))
    except errors.GatedRepoError:
        fault = "access denied: accept its conditions on its page and set a token in HF_TOKEN"
    except errors.RepositoryNotFoundError:
        fault = "no such repository, or it needs a token: check the id, set a token in HF_TOKEN"
    except errors.LocalEntryNotFoundError:
        fault = f"not in the hub's cache, and not available from the hub: connect once, or {cure}"
    except errors.EntryNotFoundError:
        fault = f"no file {RELEASED}: {cure}"
    except Exception as error:  # the network may raise any exception
        status = getattr(getattr(error, "response", None), "status_code", None)
        fault = f"cannot be fetched ({type(error).__name__}{f', status {status}' if status else ''}): {cure}"
    raise ModelUnavailable(f"pyannote: {repository} on the Hugging Face hub: {fault}")

"""Runs the purity network, whose weights are part of this package, over blocks of audio."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np

from manifests.scores import FrameScores

from ...backends.onnx import open_session
from ...backends.weights import ModelSetup, ModelUnavailable, weights_hash
from ..base import Block, BlockPlan, DetectorSpec
from .frontend import HOP, RATE, features, frame_count

CONTAMINANTS = ("speech", "singing", "music")
LABELS = (*CONTAMINANTS, *(f"{name}_level_db" for name in CONTAMINANTS))
CONTEXT = 152  # frames on each side, 12.2 s: what an output depends on, and a multiple of the network's stride
CORE = 1500  # frames of a block: 2 minutes, so that the context costs a fifth


def weights_file(setup: ModelSetup = ModelSetup()) -> Path:  # noqa: B008  # immutable
    """The network's ONNX file: the one that the user names as weights.purity, else the package's own.

    Raises ModelUnavailable if it is missing.
    """
    named = setup.named("purity")
    path = Path(named) if named else Path(str(files(__package__) / "purity.onnx"))
    if path.is_file():
        return path
    cure = "make one with: lpse train-purity" if named else "install lpse again"
    raise ModelUnavailable(f"purity: no file {path}; {cure}")


def spec(setup: ModelSetup = ModelSetup()) -> DetectorSpec:  # noqa: B008  # immutable
    """The detector's identity. Raises ModelUnavailable if its weights are missing."""
    plan = BlockPlan(core=CORE * HOP, left=CONTEXT * HOP, right=CONTEXT * HOP)
    version = f"1-{weights_hash(weights_file(setup))}"
    return DetectorSpec("purity", version, RATE, LABELS, HOP / RATE, HOP / RATE, plan)


class Purity:
    """Frames of 80 ms: probabilities of speech, singing and music, and their levels in dB over the sound effects."""

    def __init__(self, setup: ModelSetup = ModelSetup()) -> None:  # noqa: B008  # immutable
        self.spec = spec(setup)
        path = weights_file(setup)
        try:
            self._session = open_session(path.read_bytes())
            inputs = {one.name for one in self._session.get_inputs()}
        except ModelUnavailable:
            raise
        except Exception as error:  # onnxruntime's own errors have no common base
            raise ModelUnavailable(
                f"purity: {path} is not a readable ONNX file: {str(error).splitlines()[0]}"
            ) from error
        if inputs != {"mel", "fine"}:
            raise ModelUnavailable(f"purity: {path} has inputs {', '.join(sorted(inputs))}, not mel and fine")

    def scores(self, block: Block) -> FrameScores:
        """The frames that begin in the block's core."""
        mel, fine = features(block.samples)
        probability, level = self._session.run(None, {"mel": mel[None], "fine": fine[None]})
        begin = block.left // HOP
        count = min(-(-block.core // HOP), frame_count(len(block.samples)) - begin)
        values = np.concatenate([probability[0], level[0]], axis=1)[begin : begin + count].astype(np.float16)
        return FrameScores(block.start / RATE, self.spec.hop, self.spec.window, LABELS, values)

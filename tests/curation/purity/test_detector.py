"""The purity detector: blocks do not change its scores, and unusable weights are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from curation.backends.weights import ModelSetup, ModelUnavailable
from curation.detectors import open_detector, spec
from curation.detectors.base import Block
from curation.detectors.purity.detector import CONTEXT, LABELS
from curation.detectors.purity.frontend import HOP, RATE

COUNT = 2 * CONTEXT + 40  # frames


def block(samples: NDArray[np.float32], start: int, left: int, right: int) -> Block:
    return Block(samples, RATE, start, left, right, first=start == 0, last=right == 0)


def test_scores_do_not_depend_on_the_blocks() -> None:
    detector = open_detector("purity")
    rng = np.random.default_rng(0)
    sound = (0.1 * rng.standard_normal(COUNT * HOP)).astype(np.float32)
    whole = detector.scores(block(sound, 0, 0, 0))
    assert whole.labels == LABELS and len(whole) == COUNT and whole.hop == 0.08
    core, context = (CONTEXT + 20) * HOP, CONTEXT * HOP
    first = detector.scores(block(sound[: core + context], 0, 0, context))
    second = detector.scores(block(sound[core - context :], core, context, 0))
    both = np.concatenate([first.values, second.values])
    np.testing.assert_allclose(both.astype(np.float32), whole.values.astype(np.float32), atol=2e-3)
    assert second.start == pytest.approx(core / RATE)


def test_a_last_partial_frame_counts() -> None:
    scores = open_detector("purity").scores(block(np.zeros(5 * HOP + 1, np.float32), 0, 0, 0))
    assert len(scores) == 6
    assert not np.isnan(scores.values).any()


def test_weights_of_ones_own_have_another_version(tmp_path: Path) -> None:
    from curation.detectors.purity.detector import weights_file

    other = tmp_path / "mine.onnx"
    other.write_bytes(weights_file().read_bytes() + b"\0")
    setup = ModelSetup(weights=(("purity", str(other)),))
    assert spec("purity", setup).version != spec("purity").version
    missing = ModelSetup(weights=(("purity", str(tmp_path / "none.onnx")),))
    with pytest.raises(ModelUnavailable, match=r"no file .*none\.onnx; make one with: lpse train-purity"):
        open_detector("purity", missing)
    other.write_bytes(b"no network")
    with pytest.raises(ModelUnavailable, match=r"mine\.onnx is not a readable ONNX file"):
        open_detector("purity", setup)

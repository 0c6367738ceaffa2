"""Mutated media: each ends as a row of the run, none hangs it or crashes a worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mutations import curate_mutated_media


@pytest.mark.slow
def test_mutated_media_are_rows(tmp_path: Path) -> None:
    outcomes = curate_mutated_media(tmp_path / "all", 36, seed=1, seconds=60.0, workers=2)
    assert outcomes.total() == 36
    assert not any("crashed" in outcome or "internal" in outcome for outcome in outcomes), outcomes
    assert 5 < outcomes["ok"] < 36

"""Mutated caches: each is read as it was, or its fault is named; none hangs, crashes or gives other values."""

from __future__ import annotations

from pathlib import Path

from tests.support.mutations import read_mutated_caches


def test_mutated_caches_are_read_as_they_were_or_refused(tmp_path: Path) -> None:
    outcomes = read_mutated_caches(tmp_path, 120, seed=1, seconds=60.0, workers=2)
    assert outcomes.total() == 120
    assert set(outcomes) <= {
        "found by check, refused by the reader",
        "found by check, readable",
        "read as it was",
        "refused by the reader alone",
    }, outcomes
    assert outcomes["found by check, refused by the reader"] > 60 and outcomes["read as it was"] < 20

"""Ids against values made with `printf … | sha256sum`: they may never change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests.identity import cut_id, digest, file_sha256, source_id


def test_ids_are_the_ones_made_by_hand() -> None:
    assert cut_id("r1", 1000, 61000) == "a54c4acaaacd2eaf"
    assert source_id("root:a b.mp4") == "73552a2d28ab2146"
    assert digest({"b": "é", "a": (1, None)}) == "67b8995e708fa669"


def test_parts_are_not_glued_together() -> None:
    assert len({digest("a", "b"), digest("ab"), digest("b", "a"), digest(["a", "b"]), digest("a", "b", "")}) == 5


@pytest.mark.parametrize("part", [float("nan"), float("inf"), b"bytes", {1, 2}, np.float32(1), Path("a")])
def test_what_json_cannot_hold_has_no_digest(part: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        digest(part)


def test_a_cut_id_takes_whole_milliseconds_only() -> None:
    numpy_ms: Any = np.int64(1000)
    assert cut_id("r1", numpy_ms, 61000) == cut_id("r1", 1000, 61000)
    seconds: Any = 1000.0
    with pytest.raises(TypeError):
        cut_id("r1", seconds, 61000)


def test_file_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(tmp_path / "f") == expected

"""Checkpoints that nobody vouches for: what they declare is compared with their bytes first."""

from __future__ import annotations

import io
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from curation.backends.checkpoint import Checkpoint, CheckpointError, check_archive
from tests.support.checkpoint_cases import hostile_checkpoints
from tests.support.limits import within


def test_hostile_checkpoints_are_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    cases = hostile_checkpoints(tmp_path, lambda tensors: {"state_dict": tensors})
    for name, (path, words) in cases.items():
        if words == "storage 0 has 16 bytes":  # this reader goes by the bytes, not by their number
            assert Checkpoint(path).state()["x"].tolist() == [0, 1, 2, 3]
            continue
        tracemalloc.start()
        try:
            with within(10), pytest.raises(ValueError) as refused:
                Checkpoint(path).state()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert words in str(refused.value) and len(str(refused.value).splitlines()) == 1, (name, refused.value)
        assert peak < 150 << 20, (name, peak)


def test_the_check_alone_refuses_them_too(tmp_path: Path) -> None:
    for name, (path, words) in hostile_checkpoints(tmp_path).items():
        if name == "a memo of 2^32":  # harmless here: nothing is declared
            check_archive(path)
            continue
        with within(10), pytest.raises(CheckpointError) as refused:
            check_archive(path)
        assert words in str(refused.value), (name, refused.value)


def test_honest_checkpoints_pass(tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    network = torch.nn.Linear(6, 5)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(2, 6)).sum().backward()
    optimizer.step()
    for number, content in enumerate(
        (
            {"whole": base, "view": base[1:3, ::2], "turned": base.T, "repeated": base[0].expand(3, 6), "same": base},
            {"none": torch.zeros(0, 3), "single": torch.tensor(2.5), "half": base.bfloat16(), "whole": base.long()},
            {"small": base.to(torch.float8_e4m3fn), "pairs": torch.ones(2, dtype=torch.complex64)},
            {"format": 1, "weights": network.state_dict(), "optimizer": optimizer.state_dict(), "losses": [0.5]},
        )
    ):
        torch.save(content, tmp_path / f"{number}.pt")
        check_archive(tmp_path / f"{number}.pt")
    torch.save({"state_dict": {"w": base}}, tmp_path / "w.pt")
    np.testing.assert_array_equal(Checkpoint(tmp_path / "w.pt").state()["w"], base.numpy())


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    with within(2), pytest.raises(OSError, match="not a regular file"):
        Checkpoint(tmp_path / "pipe.pt")


def test_mutated_checkpoints_are_read_or_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    torch.save({"state_dict": {"a": torch.ones(3, 4), "b": torch.zeros(2)}}, file)
    content = file.getvalue()
    draw = np.random.default_rng(0)
    path, read = tmp_path / "m.pt", 0
    for _ in range(300):
        changed = bytearray(content)
        for at in draw.integers(0, len(content), draw.integers(1, 5)):
            changed[at] = draw.integers(0, 256)
        path.write_bytes(changed[: draw.integers(1, len(changed)) if draw.random() < 0.2 else None])
        with within(5):
            try:
                Checkpoint(path).state()
                read += 1
            except ValueError as error:
                assert len(str(error).splitlines()) == 1
            try:
                check_archive(path)
            except CheckpointError as error:
                assert len(str(error).splitlines()) == 1
    assert 0 < read < 300

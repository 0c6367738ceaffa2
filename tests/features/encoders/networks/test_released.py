"""Released weights that nobody vouches for: refused in one line before their tensors are made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from curation.backends.weights import ModelUnavailable
from features.encoders.networks.released import read_tensors
from tests.support.checkpoint_cases import REPEATED, hostile_checkpoints
from tests.support.limits import within

LAYOUT = {"x": (4,)}


def test_hostile_files_are_refused(tmp_path: Path) -> None:
    torch.save({"x": torch.arange(4.0)}, tmp_path / "honest.pth")
    honest = read_tensors(tmp_path / "honest.pth", "model", LAYOUT, lambda name: True)
    assert honest["x"].tolist() == [0, 1, 2, 3]
    cases = hostile_checkpoints(tmp_path)
    for name, (path, words) in cases.items():
        with within(20), pytest.raises(ModelUnavailable) as refused:
            read_tensors(path, "model", LAYOUT, lambda name: True)
        line = str(refused.value)
        if name in REPEATED:  # never copied: the layout has no such tensor
            words = "contains an unknown tensor y"
        assert line.startswith(f"model: {path}") and words in line and len(line.splitlines()) == 1, (name, line)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_pipe_is_not_opened(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"pipe{suffix}"
    os.mkfifo(path)
    with within(2), pytest.raises(ModelUnavailable, match=r"not a regular file"):
        read_tensors(path, "model", LAYOUT, lambda name: True)


@pytest.mark.parametrize(
    "header",
    [
        b'{"x":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,16]}}',
        b'{"x":{"dtype":"F32","shape":[4],"data_offsets":[0,1099511627776]}}',
        b'{"x":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}',
        b'{"x":' * 20_000,
    ],
    ids=["shape", "offsets", "backwards", "deep"],
)
def test_hostile_safetensors_are_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
    with within(10), pytest.raises(ModelUnavailable, match=r"^model: "):
        read_tensors(path, "model", LAYOUT, lambda name: True)
    path.write_bytes((1 << 40).to_bytes(8, "little") + header)
    with within(10), pytest.raises(ModelUnavailable, match=r"^model: "):
        read_tensors(path, "model", LAYOUT, lambda name: True)

"""Notes of tensor files that nobody vouches for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from model.adapters import adapter_notes
from model.errors import ModelError
from model.mmaudio import load_base
from model.tensorfiles import read_notes, write_tensors
from tests.support.limits import within


@pytest.mark.parametrize("note", ["[" * 100_000, "9" * 6000, "nothing", "[]", '"text"', "null"])
def test_notes_of_any_content_are_refused_in_a_line(tmp_path: Path, note: str) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"x": torch.ones(2)}, {"lpse.adapters": note, "lpse.base": note})
    assert read_notes(path)["lpse.base"] == note
    for read in (adapter_notes, load_base):
        if read is adapter_notes and note == "[]":
            assert adapter_notes(path) == {}
            continue
        with within(5), pytest.raises(ModelError) as refused:
            read(path)
        assert str(refused.value).startswith(f"{path}: ") and len(str(refused.value).splitlines()) == 1


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.safetensors")
    with within(2), pytest.raises(ModelError, match="not a regular file"):
        read_notes(tmp_path / "a.safetensors")

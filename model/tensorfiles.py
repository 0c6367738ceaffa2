"""Files of tensors: safetensors with notes, written beside and renamed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from manifests.bounded import parse_json
from manifests.files import open_regular, write_beside

from .errors import ModelError


def write_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write tensors and notes. Equal ones make equal bytes."""
    from safetensors.torch import save

    path.parent.mkdir(parents=True, exist_ok=True)
    # several notes would be written in any order, and equal files would differ: one contains all
    packed = save({name: values.detach().contiguous() for name, values in tensors.items()}, _packed(notes))
    with write_beside(path) as file:
        file.write(packed)


def _packed(notes: Mapping[str, str]) -> dict[str, str]:
    return {"notes": json.dumps(dict(notes), sort_keys=True)}


def read_notes(path: Path) -> dict[str, str]:
    """The notes of a file; empty if another program wrote it. Raises ModelError if it cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        open_regular(path).close()  # the library would wait for a pipe
        with safe_open(path, framework="pt") as file:
            notes = parse_json((file.metadata() or {}).get("notes", "{}"))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}") from error
    except (SafetensorError, ValueError) as error:
        raise ModelError(f"{path}: not a safetensors file, or truncated") from error
    return {str(name): str(note) for name, note in notes.items()} if isinstance(notes, dict) else {}

"""PyTorch checkpoints that declare more than they contain, and their refusals; most have some two kilobytes."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Change = Callable[[str, bytes], bytes | None]


REPEATED = ("stride 0", "many strides 0", "one storage in many")
"""The cases that cost memory only where a tensor is copied."""


def resaved(path: Path, change: Change, kind: int = zipfile.ZIP_STORED) -> Path:
    """A checkpoint with changed members: `change` gets name and content of each; None leaves it out."""
    with zipfile.ZipFile(path) as archive:
        members = [(member.filename, change(member.filename, archive.read(member))) for member in archive.infolist()]
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in members:
            if data is not None:
                archive.writestr(name, data)
    return path


def hostile_checkpoints(
    folder: Path, around: Callable[[dict[str, Any]], Mapping[str, Any]] = dict
) -> dict[str, tuple[Path, str]]:
    """By name: a file, and words of its refusal. `around` puts named tensors where a reader looks for them."""
    import torch

    few, shared = torch.ones(1), torch.ones(1 << 18)

    def saved(**tensors: Any) -> Path:
        path = folder / f"{len(list(folder.iterdir()))}.pt"
        torch.save(around({"x": torch.arange(4.0), **tensors}), path)
        return path

    def replaced(member: str, old: bytes, new: bytes) -> Path:
        def change(name: str, data: bytes) -> bytes:
            return data.replace(old, new, 1) if name.endswith(member) else data

        return resaved(saved(), change)

    def padded(member: str) -> Path:
        return resaved(saved(), lambda name, data: data + bytes(1 << 24 if name.endswith(member) else 0), 8)

    count = b"K\x04tq"  # the number of values, at the end of a storage's description
    hostile_memo = b"\x80\x02Nr\xff\xff\xff\xff."
    begun = folder / "begun.pt"
    begun.write_bytes(b"PK\x03\x04" + bytes(500))
    return {
        "compressed values": (padded("data/0"), "a compressed zip archive"),
        "compressed pickle": (padded("data.pkl"), "a compressed zip archive"),
        "stride 0": (saved(y=few.expand(1 << 40)), "repeats 1 values to 1099511627776"),
        "many strides 0": (saved(**{f"y{i}": few.expand(1 << 20) for i in range(30)}), "larger than the file"),
        "one storage in many": (saved(**{f"y{i}": shared[i:] for i in range(90)}), "larger than the file"),
        "values past the end": (replaced("data.pkl", count, b"J\xff\xff\xff\x7ftq"), "storage 0 has 16 bytes"),
        "a negative count": (replaced("data.pkl", count, b"J\xff\xff\xff\xfftq"), "storage 0 has 16 bytes"),
        "a shape past the end": (replaced("data.pkl", b"K\x04\x85", b"K\x7f\x85"), "ends at value 127 of 4"),
        "a memo of 2^32": (resaved(saved(), lambda n, data: hostile_memo if n.endswith("data.pkl") else data), ""),
        "no pickle": (resaved(saved(), lambda n, data: None if n.endswith("data.pkl") else data), "0 pickles"),
        "two of a name": (_twice(saved()), "two members of one name"),
        "members that overlap": (_overlapping(saved()), "its members declare"),
        "a beginning of zip": (begun, "not a complete PyTorch checkpoint"),
    }


def _twice(path: Path) -> Path:
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(next(name for name in archive.namelist() if name.endswith("data/0")), bytes(16))
    return path


def _overlapping(path: Path) -> Path:
    """The directory names the stored values 200 times, under other names."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("end", b"")
        values = next(member for member in archive.infolist() if member.filename.endswith("data/0"))
        for number in range(200):
            again = zipfile.ZipInfo(f"again{number}")
            again.header_offset, again.CRC = values.header_offset, values.CRC
            again.file_size = again.compress_size = 1 << 20
            archive.filelist.append(again)
    return path

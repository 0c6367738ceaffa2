"""Files that a writer leaves: hidden ones of killed writers, and disks without room."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from manifests.errors import LpseError
from manifests.files import DiskFull, naming_place, remove_stale, write_beside, write_new

KILLED = """
import os, signal, sys
from pathlib import Path
from manifests.files import write_beside
with write_beside(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
# every file may have 2000 bytes, and then the disk is full: Python ignores the signal that the kernel sends
FULL = """
import resource, sys
from pathlib import Path
from manifests.files import DiskFull, stage_beside, write_beside, write_new, write_next_part
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
folder = Path(sys.argv[1])
for write in (write_beside, write_new, stage_beside, write_next_part):
    try:
        with write(folder if write is write_next_part else folder / "file") as opened:
            file = opened[0] if isinstance(opened, tuple) else opened
            file.write(bytes(100_000))
    except DiskFull as error:
        print(error)
"""


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "page [1].html"
    assert run(KILLED, target).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    other = tmp_path / left.name.replace("page", "pages")
    other.touch()
    with write_beside(target) as file:
        file.write(b"whole")
        ours = next(path for path in tmp_path.iterdir() if f".{os.getpid()}-" in path.name)
        remove_stale(target)
        assert ours.exists() and other.exists() and not left.exists()
    assert sorted(tmp_path.iterdir()) == sorted([target, other])
    assert target.read_bytes() == b"whole"


def test_a_full_disk_is_named_by_its_folder_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "scores"
    folder.mkdir()
    done = run(FULL, folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines == [f"{folder}: File too large: make room, then run the same command again"] * 4
    assert list(folder.iterdir()) == []


def test_only_a_full_disk_is_called_one(tmp_path: Path) -> None:
    assert issubclass(DiskFull, LpseError)
    with pytest.raises(PermissionError), naming_place(tmp_path):
        raise PermissionError(13, "Permission denied")
    outer, inner = naming_place(tmp_path / "outer"), naming_place(tmp_path / "inner")
    with pytest.raises(DiskFull, match="inner: No space"), outer, inner:
        raise OSError(28, "No space left on device")


def test_of_two_new_files_of_one_name_the_second_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), write_new(tmp_path / "a") as second:
        second.write(b"second")
        with write_new(tmp_path / "a") as first:
            first.write(b"first")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"first")]

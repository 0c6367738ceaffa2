"""The server's own environment: made by real venv and pip, out of a package small enough to make here."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from annotation.server import ServerError, install, server_folder
from annotation.server.install import REQUIREMENT, VERSION, run_logged, server_python
from manifests.lock import exclusive


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the environment goes; pip finds packages in `wheels` beside it and nowhere else."""
    monkeypatch.setenv("LPSE_LABEL_STUDIO", str(tmp_path / "server"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.delenv("PIP_NO_DEPS", raising=False)
    (tmp_path / "wheels").mkdir()
    return tmp_path / "server"


def make_wheel(folder: Path) -> None:
    """A package of Label Studio's name and version, with nothing in it."""
    info = f"label_studio-{VERSION}.dist-info"
    files = {
        "label_studio.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: label-studio\nVersion: {VERSION}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / f"label_studio-{VERSION}-py3-none-any.whl", "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(name, text)


def test_the_folder_is_the_one_named_or_beside_our_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LPSE_LABEL_STUDIO", str(tmp_path))
    assert server_folder() == tmp_path
    monkeypatch.delenv("LPSE_LABEL_STUDIO")
    monkeypatch.setattr("sys.prefix", "/opt/lpse")
    assert server_folder() == Path("/opt/lpse/label-studio-1.23.2")


def test_it_is_installed_once_even_by_two_at_once(folder: Path) -> None:
    make_wheel(folder.parent / "wheels")
    folder.mkdir()
    (folder / "pyvenv.cfg").write_text("what an interrupted one left")
    lines: list[list[str]] = [[], []]
    threads = [threading.Thread(target=install, args=(own.append,)) for own in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    waiting, installing = sorted(lines, key=len)
    assert waiting == [f"another process is installing Label Studio into {folder}: waiting for it"]
    assert installing[0] == f"installing {REQUIREMENT} into {folder} (once, about 1 GB)"
    assert any(line.startswith(f"Successfully installed label-studio-{VERSION}") for line in installing)
    program = "import importlib.metadata, sys; print(importlib.metadata.version('label-studio'), sys.prefix)"
    answer = subprocess.run([server_python(folder), "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == [VERSION, str(folder)]

    again: list[str] = []
    with exclusive(folder.with_name("server.lock"), "test"):  # nobody asks for the lock when all is there
        assert install(again.append) == folder
    assert again == []


def test_a_failing_pip_is_told_in_one_line_and_leaves_it_incomplete(folder: Path) -> None:
    for _ in range(2):  # what is left is not believed
        with pytest.raises(ServerError) as told:
            install()
        assert str(told.value) == (
            f"pip could not install Label Studio: No matching distribution found for {REQUIREMENT}"
        )
    assert (folder / "pyvenv.cfg").exists()


def test_the_error_is_told_and_not_what_is_said_after_it() -> None:
    talk = "print('Collecting a'); print('ERROR: no space left'); print('hint: see above'); raise SystemExit(1)"
    lines: list[str] = []
    with pytest.raises(ServerError, match=r"could not install Label Studio: no space left$"):
        run_logged([sys.executable, "-c", talk], os.environ, lines.append)
    assert lines == ["Collecting a", "ERROR: no space left", "hint: see above"]


def test_other_peoples_folders_are_left_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(
        ServerError, match=r"server: not an environment for Label Studio; \$LPSE_LABEL_STUDIO must name"
    ):
        install()
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_a_place_that_cannot_be_written_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.parent.joinpath("file").write_text("")
    monkeypatch.setenv("LPSE_LABEL_STUDIO", str(folder.parent / "file" / "server"))
    with pytest.raises(ServerError, match=r"file/server: cannot install Label Studio: .*set \$LPSE_LABEL_STUDIO to"):
        install()

"""Label Studio's own virtual environment, made on first use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from manifests.files import write_beside
from manifests.lock import Locked, exclusive

from .errors import ServerError

VERSION = "1.23.2"
"""The one version that this package was measured against: it relies on what is no promised interface."""
REQUIREMENT = f"label-studio=={VERSION}"
FOLDER_VARIABLE = "LPSE_LABEL_STUDIO"
_MARKER = "lpse-complete"


def server_folder() -> Path:
    """The environment's folder: $LPSE_LABEL_STUDIO if set, else beside our own packages."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).expanduser().absolute() if named else Path(sys.prefix) / f"label-studio-{VERSION}"


def server_python(folder: Path) -> Path:
    """The interpreter of an environment."""
    return folder / "bin" / "python"


def install(on_line: Callable[[str], None] | None = None) -> Path:
    """The folder of a complete environment; makes it when there is none (about 1 GB, 75-150 s).

    Made by the running interpreter's `venv` and by pip as the user has configured it. Another process that is making
    it is waited for; what one left half made is made anew. `on_line` gets lines of progress. Raises ServerError when
    it cannot be made.
    """
    folder, tell = server_folder(), on_line or _ignore
    if _is_complete(folder):
        return folder
    with ExitStack() as held:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            _wait_for_lock(held, folder.with_name(f"{folder.name}.lock"), tell)
            if not _is_complete(folder):
                _make(folder, tell)
        except OSError as error:
            raise ServerError(
                f"{folder}: cannot install Label Studio: {error}; ${FOLDER_VARIABLE} names another folder"
            ) from error
    return folder


def _is_complete(folder: Path) -> bool:
    """Whether the marker, which is written last, names our version and the interpreter still runs."""
    try:
        complete = (folder / _MARKER).read_text(encoding="utf-8").strip() == REQUIREMENT
    except (OSError, UnicodeDecodeError):
        return False
    return complete and server_python(folder).exists()


def _wait_for_lock(held: ExitStack, path: Path, tell: Callable[[str], None]) -> None:
    told = False
    while True:
        try:
            held.enter_context(exclusive(path, "installing Label Studio"))
            return
        except Locked:
            if not told:
                tell(f"another process is installing Label Studio into {path.with_suffix('')}: waiting for it")
            told = True
            time.sleep(1)


def _make(folder: Path, tell: Callable[[str], None]) -> None:
    if folder.exists():
        # A mistyped variable must not cost the user a folder of theirs.
        if any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
            raise ServerError(
                f"{folder}: not an environment for Label Studio; ${FOLDER_VARIABLE} must name a new folder"
            )
        shutil.rmtree(folder)
    tell(f"installing {REQUIREMENT} into {folder} (once, about 1 GB)")
    # PYTHONPATH and PYTHONHOME would lead the new interpreter to packages that are not its own.
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    run_logged([sys.executable, "-m", "venv", os.fspath(folder)], environment, tell)
    pip = [os.fspath(server_python(folder)), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    run_logged([*pip, "install", "--progress-bar", "off", REQUIREMENT], environment, tell)
    with write_beside(folder / _MARKER) as file:
        file.write(f"{REQUIREMENT}\n".encode())


def run_logged(command: list[str], environment: Mapping[str, str], tell: Callable[[str], None]) -> None:
    """Run to the end, telling its lines. Raises ServerError with its last error line."""
    last, fault = "", ""
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in map(str.strip, process.stdout):
                if line:
                    last = line
                    fault = line if line.startswith("ERROR:") else fault
                    tell(line)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        reason = fault or last or f"exit code {process.returncode}"
        raise ServerError(f"{command[2]} could not install Label Studio: {reason.removeprefix('ERROR: ')}")


def _ignore(line: str) -> None:
    """Nobody wants the progress."""

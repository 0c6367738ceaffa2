"""Creates Label Studio's virtual environment on first use."""

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
"""The only version that this package was tested with: it relies on undocumented interfaces."""
REQUIREMENT = f"label-studio=={VERSION}"
FOLDER_VARIABLE = "LPSE_LABEL_STUDIO"
_MARKER = "lpse-complete"


def server_folder() -> Path:
    """The environment's folder: $LPSE_LABEL_STUDIO if set, else beside lpse's own packages."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).expanduser().absolute() if named else Path(sys.prefix) / f"label-studio-{VERSION}"


def server_python(folder: Path) -> Path:
    """The interpreter of an environment."""
    return folder / "bin" / "python"


def install(on_line: Callable[[str], None] | None = None) -> Path:
    """The folder of a complete environment; creates it if needed (about 1 GB, 75-150 s).

    Uses the running interpreter's `venv` and pip with the user's configuration. Waits for another process that is
    creating it; an incomplete environment is created again. `on_line` is called with lines of progress. Raises
    ServerError if it cannot be created.
    """
    folder, report = server_folder(), on_line or _ignore
    if _is_complete(folder):
        return folder
    with ExitStack() as held:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            _wait_for_lock(held, folder.with_name(f"{folder.name}.lock"), report)
            if not _is_complete(folder):
                _make(folder, report)
        except OSError as error:
            raise ServerError(
                f"{folder}: cannot install Label Studio: {error}; set ${FOLDER_VARIABLE} to another folder"
            ) from error
    return folder


def _is_complete(folder: Path) -> bool:
    """True if the marker, which is written last, names our version and the interpreter exists."""
    try:
        complete = (folder / _MARKER).read_text(encoding="utf-8").strip() == REQUIREMENT
    except (OSError, UnicodeDecodeError):
        return False
    return complete and server_python(folder).exists()


def _wait_for_lock(held: ExitStack, path: Path, report: Callable[[str], None]) -> None:
    reported = False
    while True:
        try:
            held.enter_context(exclusive(path, "installing Label Studio"))
            return
        except Locked:
            if not reported:
                report(f"another process is installing Label Studio into {path.with_suffix('')}: waiting for it")
            reported = True
            time.sleep(1)


def _make(folder: Path, report: Callable[[str], None]) -> None:
    if folder.exists():
        # A mistyped variable must not delete a folder of the user.
        if any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
            raise ServerError(
                f"{folder}: not an environment for Label Studio; ${FOLDER_VARIABLE} must name a new folder"
            )
        shutil.rmtree(folder)
    report(f"installing {REQUIREMENT} into {folder} (once, about 1 GB)")
    # PYTHONPATH and PYTHONHOME would make the new interpreter use other packages.
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    run_logged([sys.executable, "-m", "venv", os.fspath(folder)], environment, report)
    pip = [os.fspath(server_python(folder)), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    run_logged([*pip, "install", "--progress-bar", "off", REQUIREMENT], environment, report)
    with write_beside(folder / _MARKER) as file:
        file.write(f"{REQUIREMENT}\n".encode())


def run_logged(command: list[str], environment: Mapping[str, str], report: Callable[[str], None]) -> None:
    """Run a command to its end, passing its lines on. Raises ServerError with its last error line."""
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
                    report(line)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        reason = fault or last or f"exit code {process.returncode}"
        raise ServerError(f"{command[2]} could not install Label Studio: {reason.removeprefix('ERROR: ')}")


def _ignore(line: str) -> None:
    """Discard progress."""

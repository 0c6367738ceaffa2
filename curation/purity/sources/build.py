"""Builds the pool: all packages of the table, folders of repositories, and folders that the user names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from manifests.errors import LpseError

from .archives import ArchiveError
from .download import DownloadError, unpacked
from .gather import Progress, gather, is_current
from .packages import Package, Rule, Table, read_table
from .pool import KINDS
from .reserved import Reserved, check_name, read_reserved


class FolderError(LpseError):
    """A folder of the user that holds no sources; the message gives the layout that is needed."""


@dataclass(frozen=True)
class Built:
    """The packages that were gathered, those that the pool had already, and those that are missing, with the reason."""

    gathered: Sequence[str]
    current: Sequence[str]
    missing: Mapping[str, str]


def build_pool(
    pool: Path,
    scratch: Path,
    *,
    names: Sequence[str] | None = None,
    local: Mapping[str, Path] | None = None,
    folders: Sequence[Path] = (),
    table: Table | None = None,
    reserved: Reserved | None = None,
    progress: Progress = lambda package, count: None,
) -> Built:
    """Gather the packages of the table (or those of `names`) and the user's `folders` into the pool.

    `local`: folders with packages that are unpacked already, by name; repositories must be there. Other packages are
    downloaded one after the other into `scratch` and deleted again. Packages that the pool has by the same rules are
    left alone, so a run that was stopped is resumed. A package that cannot be had is reported and left out.

    Raises FolderError, ReservedError.
    """
    table = read_table() if table is None else table
    reserved = read_reserved() if reserved is None else reserved
    local = dict(local or {})
    for folder in folders:
        check_name(folder.resolve().name)
    users = [user_package(folder) for folder in folders]
    local |= {package.name: folder for package, folder in zip(users, folders, strict=True)}
    chosen = [table.packages[name] for name in (table.packages if names is None else names)]
    gathered: list[str] = []
    current: list[str] = []
    missing: dict[str, str] = {}
    for package in (*chosen, *users):
        check_name(package.name)
        check_name(package.source)
        if is_current(package, pool, table, reserved):
            current.append(package.name)
            continue
        try:
            if package.name in local:
                gather(package, local[package.name], pool, table, reserved, progress)
            else:
                with unpacked(package, scratch) as folder:
                    gather(package, folder, pool, table, reserved, progress)
            gathered.append(package.name)
        except (DownloadError, ArchiveError) as error:
            missing[package.name] = str(error)
    return Built(gathered, current, missing)


def user_package(folder: Path) -> Package:
    """A folder of the user as a package: its sub-folders speech, singing, music and effects are the kinds.

    A folder below these is the category (a language, a style, a class of effects), and the group if there is another
    one below it (a speaker, an album). One group in eight is for validation. The version is a hash of the names, sizes
    and times of all files. Raises FolderError if there is no such sub-folder.
    """
    if not any((folder / kind).is_dir() for kind in KINDS):
        raise FolderError(f"{folder}: no sub-folder named {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    entries = sorted(path for path in folder.rglob("*") if path.is_file())
    facts = [(path.relative_to(folder).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in entries]
    rules: list[Rule] = []
    for kind in KINDS:
        one = Rule("", kind, split="divided", plain=True)
        rules += [
            replace(one, files=f"{kind}/*/*/**", category="{1}", group="{1} {2}"),
            replace(one, files=f"{kind}/*/*", category="{1}", group="{1} {name}"),
            replace(one, files=f"{kind}/*", category="" if kind == "effects" else "unknown", group="{name}"),
        ]
    name = f"folder-{folder.resolve().name}"
    version = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    return Package(name, "folder", version, "LicenseRef-user", tuple(rules))

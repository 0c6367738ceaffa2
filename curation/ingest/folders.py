"""Finds the files to curate: every file of the given folders; none is left out without a record."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from manifests.bounded import read_toml
from manifests.errors import LpseError, Problem
from manifests.store import Corpus
from manifests.uris import encode_path, quote

logger = logging.getLogger(__name__)

SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}


class SourceNotFound(LpseError, ValueError):
    """A named source does not exist, or is not a place for media."""


@dataclass(frozen=True)
class Found:
    """A file, or a failed path: `problem` is (reason, detail) if it cannot be examined.

    `signature` is (bytes, mtime in nanoseconds): while it is unchanged, so is the content. Reasons are
    "permission_denied", "outside_root", "vanished", "not_media" and "unreadable"; with a reason, the path may also be a
    folder's.
    """

    uri: str
    path: Path
    signature: tuple[int, int] = (0, 0)
    problem: Problem | None = None


def discover(sources: Sequence[str | Path], corpus: Corpus) -> Iterator[Found]:
    """Yield all files of `sources` (files, folders) once, in a fixed order; media folders become roots.

    Hidden names, corpora, and links to files that are found without them are skipped; a named source is examined even
    if it is hidden or a link. Raises SourceNotFound, before any file is examined, for a missing source and for a
    corpus.
    """
    paths = sorted({located(source) for source in sources}, key=os.fsencode)
    roots = _Roots(corpus)
    for source in paths:  # an outer folder comes before an inner one, which then belongs to its root
        if os.path.isdir(source) and os.access(source, os.R_OK | os.X_OK) and not roots.holding(source, source):
            roots.add(source)
    return _walk(paths, roots)


def located(source: str | Path) -> Path:
    """The real path of a source; for a broken link, the path of the link itself.

    Raises SourceNotFound for a missing source and for a corpus.
    """
    path, shown = Path(source), quote(source)
    try:
        path.lstat()
    except PermissionError:
        # Files of a folder that may not be entered are reported with that problem, if the folder itself exists.
        if not os.path.isdir(path.parent):
            raise SourceNotFound(f"{shown}: permission denied") from None
    except OSError:
        raise SourceNotFound(f"{shown}: no such file or folder") from None
    real = Path(os.path.realpath(path))
    if _is_corpus(real):
        raise SourceNotFound(f"{shown}: this is a corpus; media must be in a folder of its own")
    return real if os.path.lexists(real) else Path(os.path.realpath(path.parent)) / path.name


class _Roots:
    """The corpus's media roots by their real paths, read once."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._bases = {name: Path(os.path.realpath(base)) for name, base in corpus.roots.items()}

    def add(self, folder: Path) -> str:
        name = self._corpus.add_root(folder)
        self._bases[name] = folder
        return name

    def holding(self, path: Path, real: Path) -> list[tuple[str, Path]]:
        """The roots that contain both `path` and its target `real`; the innermost first."""
        roots = [
            (name, base)
            for name, base in self._bases.items()
            if path.is_relative_to(base) and real.is_relative_to(base)
        ]
        return sorted(roots, key=lambda root: -len(root[1].parts))

    def uri(self, path: Path, real: Path) -> str:
        """The URI by the innermost root, so that it is unchanged when a folder around that root is added later."""
        for name, base in self.holding(path, real):
            if base != path:
                return encode_path(name, path.relative_to(base))
        return encode_path(self.add(path.parent), path.name)


def _walk(sources: Sequence[Path], roots: _Roots) -> Iterator[Found]:
    visited: set[Path] = set()
    # (path, real path). A stack, not recursion: folders may be nested deeper than calls may.
    ahead = [(source, source) for source in reversed(sources)]
    while ahead:
        path, real = ahead.pop()
        if os.path.islink(path):
            real = Path(os.path.realpath(path))
        if path in visited:
            continue
        visited.add(path)
        try:
            status = os.stat(path)
            if real != path:
                if real in visited or any(_reaches(source, real) for source in sources):
                    continue
                if roots.holding(path, real):
                    visited.add(real)
                else:
                    detail = f"a link to {_shown(real)}, outside the sources: add that as a source"
                    yield Found(roots.uri(path, path), path, problem=Problem("outside_root", detail))
                    continue
            if stat.S_ISDIR(status.st_mode):
                if _is_corpus(path):
                    logger.info("%s is skipped: it is a corpus", _shown(path))
                    continue
                names = sorted(os.listdir(path), key=os.fsencode, reverse=True)
                ahead.extend((path / name, real / name) for name in names if not name.startswith("."))
                continue
        except OSError as error:
            yield Found(roots.uri(path, path), path, problem=_access_problem(error, path, real))
            continue
        problem = _problem_of_file(path, status)
        signature = (0, 0) if problem else (status.st_size, status.st_mtime_ns)
        yield Found(roots.uri(path, real), path, signature, problem)


def _reaches(source: Path, real: Path) -> bool:
    """True if the walk of a source reaches `real` without following links."""
    hidden = (part.startswith(".") for part in real.parts[len(source.parts) :])
    return real.is_relative_to(source) and not any(hidden)


def _problem_of_file(path: Path, status: os.stat_result) -> Problem | None:
    if not stat.S_ISREG(status.st_mode):
        return Problem("not_media", f"{SPECIAL.get(stat.S_IFMT(status.st_mode), 'a special file')}, not a regular file")
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        return Problem("permission_denied", "the file may not be read")
    return None


def _access_problem(error: OSError, path: Path, real: Path) -> Problem:
    if isinstance(error, PermissionError):
        return Problem("permission_denied", "the folder may not be entered or listed")
    if error.errno == errno.ELOOP:
        return Problem("vanished", "a link to itself")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        link = f"a link to {_shown(real)}, which does not exist"
        return Problem("vanished", link if os.path.islink(path) else "deleted since it was listed")
    return Problem("unreadable", error.strerror or type(error).__name__)


def _is_corpus(folder: Path) -> bool:
    path = folder / "corpus.toml"
    try:
        return "schema_version" in read_toml(path)
    except (OSError, ValueError):
        return False


def _shown(path: Path) -> str:
    """A path for messages: a valid string on one line."""
    return repr(quote(path))

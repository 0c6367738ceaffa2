"""Finding what to curate: every file of the given folders, none of them silently left out."""

from __future__ import annotations

import errno
import logging
import os
import stat
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    """A source that was named does not exist, or is no place for media."""


@dataclass(frozen=True)
class Found:
    """A file, or something in a file's place: `problem` is (reason, detail) where it cannot be looked at.

    `signature` is (bytes, mtime in nanoseconds): as long as it stays the same, so does the content. Reasons
    are "permission_denied", "outside_root", "vanished", "not_media" and "unreadable"; with one, the path
    may also be a folder's.
    """

    uri: str
    path: Path
    signature: tuple[int, int] = (0, 0)
    problem: Problem | None = None


def discover(sources: Sequence[str | Path], corpus: Corpus) -> Iterator[Found]:
    """Everything in `sources` (files, folders), in a fixed order, each once; media folders become roots.

    Passed over are hidden names, corpora, and links to what is met without them; what is named as a source is
    looked at even if it is hidden or a link. Raises SourceNotFound, before it looks at anything, for a source
    that is not there or is a corpus.
    """
    places = sorted({located(source) for source in sources}, key=os.fsencode)
    roots = _Roots(corpus)
    for place in places:  # an outer folder comes before an inner one, which then belongs to its root
        if os.path.isdir(place) and os.access(place, os.R_OK | os.X_OK) and not roots.holding(place, place):
            roots.add(place)
    return _walk(places, roots)


def located(source: str | Path) -> Path:
    """The real path of a source; where it is itself, if it is a link to nothing.

    Raises SourceNotFound for one that is not there or is a corpus.
    """
    path, shown = Path(source), quote(source)
    try:
        path.lstat()
    except PermissionError:
        # What lies in a folder that may not be entered is found with that problem, if the folder has a place.
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
        """The roots that hold `path` and also `real`, what it leads to; the innermost first."""
        found = [
            (name, base)
            for name, base in self._bases.items()
            if path.is_relative_to(base) and real.is_relative_to(base)
        ]
        return sorted(found, key=lambda root: -len(root[1].parts))

    def uri(self, path: Path, real: Path) -> str:
        """By the innermost root, so that it stays the same when a folder around that one is added later."""
        for name, base in self.holding(path, real):
            if base != path:
                return encode_path(name, path.relative_to(base))
        return encode_path(self.add(path.parent), path.name)


def _walk(places: Sequence[Path], roots: _Roots) -> Iterator[Found]:
    met: set[Path] = set()
    # Paths and what they really are. A stack and no recursion: folders may be nested deeper than calls may.
    ahead = [(place, place) for place in reversed(places)]
    while ahead:
        path, real = ahead.pop()
        if os.path.islink(path):
            real = Path(os.path.realpath(path))
        if path in met:
            continue
        met.add(path)
        try:
            status = os.stat(path)
            if real != path:
                if real in met or any(_leads_to(place, real) for place in places):
                    continue
                if roots.holding(path, real):
                    met.add(real)
                else:
                    detail = f"a link to {_shown(real)}, outside the sources: name that as a source as well"
                    yield Found(roots.uri(path, path), path, problem=Problem("outside_root", detail))
                    continue
            if stat.S_ISDIR(status.st_mode):
                if _is_corpus(path):
                    logger.info("%s is passed over: it is a corpus", _shown(path))
                    continue
                names = sorted(os.listdir(path), key=os.fsencode, reverse=True)
                ahead.extend((path / name, real / name) for name in names if not name.startswith("."))
                continue
        except OSError as error:
            yield Found(roots.uri(path, path), path, problem=_explained(error, path, real))
            continue
        problem = _problem_of_file(path, status)
        signature = (0, 0) if problem else (status.st_size, status.st_mtime_ns)
        yield Found(roots.uri(path, real), path, signature, problem)


def _leads_to(place: Path, real: Path) -> bool:
    """Whether the walk of a source comes to `real` without following links."""
    hidden = (part.startswith(".") for part in real.parts[len(place.parts) :])
    return real.is_relative_to(place) and not any(hidden)


def _problem_of_file(path: Path, status: os.stat_result) -> Problem | None:
    if not stat.S_ISREG(status.st_mode):
        return Problem("not_media", f"{SPECIAL.get(stat.S_IFMT(status.st_mode), 'something special')}, not a file")
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        return Problem("permission_denied", "the file may not be read")
    return None


def _explained(error: OSError, path: Path, real: Path) -> Problem:
    if isinstance(error, PermissionError):
        return Problem("permission_denied", "the folder may not be entered or listed")
    if error.errno == errno.ELOOP:
        return Problem("vanished", "a link that leads back to itself")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        link = f"a link to {_shown(real)}, which is gone"
        return Problem("vanished", link if os.path.islink(path) else "gone since it was listed")
    return Problem("unreadable", error.strerror or type(error).__name__)


def _is_corpus(folder: Path) -> bool:
    path = folder / "corpus.toml"
    try:
        # Asked first: a pipe of that name would keep us waiting.
        return path.is_file() and "schema_version" in tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _shown(path: Path) -> str:
    """For messages: a valid string on one line."""
    return repr(quote(path))

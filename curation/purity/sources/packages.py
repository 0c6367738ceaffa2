"""The table of packages: which of their files are sources, of which kind, and in which split.

The table is `packages.toml` beside this module. The first rule of a package that matches a path decides; a file that no
rule matches is no source.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.resources import files
from typing import Any, Literal, get_args

from manifests.errors import LpseError

from .pool import KINDS, SPLITS, Kind, Split

Registry = Literal["debian", "pypi", "github", "folder"]
_PART = re.compile(r"\*\*|\*|\?|\{[^{}]*\}|[^*?{}]+")
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_a-zA-Z]+")
_TRAILING = re.compile(r"[\W\d_]+[a-z]?$|\d+$")
_INSIDE = 5  # letters of a word that may be part of another: "metalfootstep"
_VAL_SHARE = 8  # one group in so many is in "val" where a package is divided by group


class PackagesError(LpseError):
    """A table of packages that is wrong; the message names the package, the rule and the value."""


@dataclass(frozen=True)
class Rule:
    """A decision about the files that match.

    `files`: a glob of the path below the package's root: `*` within a folder, `**` across folders, `{a,b}`. `{1}`,
    `{2}` in `category` and `group` are what the stars matched, `{name}` the file's name without its number, `{word}`
    the first word of that. Without `category`, the class of an effect is found by the words of its name. `leave_out`:
    the reason to leave the files out of training. `plain`: the words of the name are known to be misleading.
    """

    files: str
    kind: Kind = "effects"
    category: str = ""
    group: str = "{package}"
    split: Split | Literal["", "divided"] = ""
    licence: str = ""
    leave_out: str = ""
    plain: bool = False

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The glob as a regular expression of the whole path; each star is a group."""
        return re.compile("".join(map(_expression, _PART.findall(self.files))), re.DOTALL)


@dataclass(frozen=True)
class Package:
    """A package of a registry or a folder of the user.

    `version` is the registry's, or the commit of a folder from a repository. `root` is the folder, perhaps inside an
    archive, that the rules' globs begin at. Groups in `val_groups` are in "val", wherever the others are. `rates`
    corrects sample rates that files claim wrongly, in Hz. `licences`: globs and the licence of the files that they
    match, the first counts; `licence` is that of all others (SPDX).
    """

    name: str
    registry: Registry
    version: str
    licence: str
    rules: tuple[Rule, ...]
    root: str = ""
    split: Split = "train"
    val_groups: tuple[str, ...] = ()
    rates: Mapping[int, int] = field(default_factory=dict)
    licences: tuple[tuple[str, str], ...] = ()
    copyright_root: str | None = None
    """The place of the root in the source tree, if the package's own copyright file lists licences by file."""
    source: str = ""
    """The repository, owner/name, of a folder from GitHub."""

    @cached_property
    def _licences(self) -> list[tuple[re.Pattern[str], str]]:
        return [(Rule(glob).pattern, licence) for glob, licence in self.licences]

    def licence_of(self, path: str) -> str:
        """The licence of the file at a path below the root."""
        return next((licence for pattern, licence in self._licences if pattern.fullmatch(path)), self.licence)


@dataclass(frozen=True)
class Chosen:
    """The decision about one file: all that a Source needs besides its bytes. `doubt` as in Source."""

    kind: Kind
    category: str
    group: str
    split: Split
    licence: str
    doubt: str
    left_out: bool
    """True if no check can clear the doubt: the file is not even decoded."""


@dataclass(frozen=True)
class Table:
    """All packages, and the words in file names that give the class of an effect, or the reason to doubt it."""

    packages: Mapping[str, Package]
    classes: Mapping[str, str]
    """Word to class of sound effects."""
    doubtful: Mapping[str, str]
    """Word to the reason why a file with it in its name may hold speech or music."""

    def choose(self, package: Package, path: str) -> Chosen | None:
        """The decision about a file at a path inside the package; None if it is no source."""
        if not path.startswith(package.root):
            return None
        below = path.removeprefix(package.root)
        for rule in package.rules:
            found = rule.pattern.fullmatch(below)
            if found:
                return self._chosen(package, rule, below, found)
        return None

    def key(self, package: Package) -> str:
        """A hash of everything here that the package's part of the pool depends on."""
        words = {"classes": dict(self.classes), "doubtful": dict(self.doubtful)}
        text = json.dumps([asdict(package), words], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _chosen(self, package: Package, rule: Rule, below: str, found: re.Match[str]) -> Chosen:
        name = bare_name(below)
        names = {str(i): text or "" for i, text in enumerate(found.groups(), start=1)}
        names |= {"package": package.name, "name": name, "word": (words(name) or [name])[0]}
        category = _filled(rule.category, names)
        doubt = f"left out: {rule.leave_out}" if rule.leave_out else ""
        tokens = words(below.rsplit("/", 1)[-1].rsplit(".", 1)[0])
        if rule.kind == "effects" and not rule.plain and not doubt:
            doubt = next((f"name: {self.doubtful[token]}" for token in tokens if token in self.doubtful), "")
        if rule.kind == "effects" and not category:
            category = self._class([token for part in below.split("/") for token in words(part.split(".")[0])])
        group = _filled(rule.group, names)
        split = rule.split or ("val" if group in package.val_groups else package.split)
        if group != package.name:
            group = f"{package.name}: {group}"
        if split == "divided":
            number = int.from_bytes(hashlib.sha256(group.encode()).digest()[:4], "big")
            split = "train" if number % _VAL_SHARE else "val"
        return Chosen(
            rule.kind, category, group, split, rule.licence or package.licence_of(below), doubt, bool(rule.leave_out)
        )

    def _class(self, tokens: Sequence[str]) -> str:
        """The class of the last known word; of a known word inside another if no word is known."""
        for token in reversed(tokens):
            if token in self.classes:
                return self.classes[token]
        for token in reversed(tokens):
            for word, name in self.classes.items():
                if len(word) >= _INSIDE and word in token:
                    return name
        return "other"


def words(text: str) -> list[str]:
    """The words of a file's name in small letters: parted at anything but letters, and at capitals."""
    return [token.lower() for token in _TOKEN.findall(text)]


def bare_name(path: str) -> str:
    """The file's name without extension and without the number at its end."""
    name = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return _TRAILING.sub("", name) or name


def read_table(text: str | None = None) -> Table:
    """The table in a TOML text; without one, that of this package. Raises PackagesError."""
    if text is None:
        text = (files(__package__) / "packages.toml").read_text("utf-8")
    try:
        content = tomllib.loads(text)
        packages = [_package(one) for one in content.get("package", [])]
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise PackagesError(f"table of packages: {error}") from error
    return Table(
        {one.name: one for one in packages}, _by_word(content.get("classes", {})), _by_word(content.get("doubtful", {}))
    )


def _by_word(table: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {word: name for name, listed in table.items() for word in listed}


def _package(values: dict[str, Any]) -> Package:
    name = values["name"]
    for key, allowed in (("registry", get_args(Registry)), ("split", SPLITS)):
        if values.get(key, allowed[0]) not in allowed:
            raise PackagesError(f"package {name}: {key} = {values[key]!r}, not one of {', '.join(allowed)}")
    rules = []
    for rule in values["rules"]:
        if rule.get("kind", "effects") not in KINDS or rule.get("split", "train") not in (*SPLITS, "divided"):
            raise PackagesError(f"package {name}: rule {rule['files']!r}: unknown kind or split")
        rules.append(Rule(**rule))
    rates = {int(claimed): int(true) for claimed, true in values.get("rates", {}).items()}
    licences = tuple((glob, licence) for glob, licence in values.get("licences", ()))
    return Package(
        **{
            **values,
            "rules": tuple(rules),
            "rates": rates,
            "licences": licences,
            "val_groups": tuple(values.get("val_groups", ())),
        }
    )


def _filled(template: str, names: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], found[0]), template)


def _expression(part: str) -> str:
    if part == "**":
        return "(.*)"
    if part == "*":
        return "([^/]*)"
    if part == "?":
        return "[^/]"
    if part.startswith("{"):
        return f"(?:{'|'.join(_alternative(one) for one in part[1:-1].split(','))})"
    return re.escape(part)


def _alternative(text: str) -> str:
    return "".join(".*" if part == "*" else re.escape(part) for part in re.split(r"(\*)", text))

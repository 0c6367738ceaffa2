"""Licences of a Debian package's files, from its machine-readable copyright file (DEP-5)."""

from __future__ import annotations

import re
from collections.abc import Iterator

_STEMS = {
    "GPL-2": "GPL-2.0",
    "GPL-3": "GPL-3.0",
    "LGPL-2": "LGPL-2.0",
    "LGPL-2.1": "LGPL-2.1",
    "LGPL-3": "LGPL-3.0",
    "CC-BY-3": "CC-BY-3.0",
    "CC-BY-SA-3": "CC-BY-SA-3.0",
    "CC0": "CC0-1.0",
    "PD": "LicenseRef-public-domain",
    "public-domain": "LicenseRef-public-domain",
}


def licences(text: str, root: str) -> list[tuple[str, str]]:
    """Pairs of a glob below `root` and an SPDX licence, those that count first.

    `root` is the folder in the source tree that holds what the package's rules call their root; paragraphs about other
    files are left out. In globs of this format `*` crosses folders: it becomes `**`.
    """
    pairs: list[tuple[str, str]] = []
    for patterns, name in _paragraphs(text):
        for pattern in patterns:
            if pattern.startswith(root):
                pairs.append((re.sub(r"\*+", "**", pattern.removeprefix(root)), spdx(name)))
            elif pattern.endswith("*") and root.startswith(pattern.rstrip("*")):  # a folder above the root
                pairs.append(("**", spdx(name)))
    return pairs[::-1]  # the last paragraph that matches counts


def spdx(name: str) -> str:
    """The SPDX expression of a licence in the short form of Debian: "GPL-2+ or CC-BY-3" and the like."""
    parts = re.split(r"\s+(and|or)\s+", name.strip())
    return " ".join(part.upper() if part in ("and", "or") else _one(part) for part in parts)


def _one(name: str) -> str:
    later = name.endswith("+")
    stem = name.rstrip("+")
    stem = _STEMS.get(stem, stem)
    if "GPL-" in stem:
        return f"{stem}-or-later" if later else f"{stem}-only"
    return stem if re.fullmatch(r"[A-Za-z0-9.-]+", stem) else f"LicenseRef-{re.sub(r'[^A-Za-z0-9.-]+', '-', stem)}"


def _paragraphs(text: str) -> Iterator[tuple[list[str], str]]:
    """Yield (patterns, licence) of each paragraph about files."""
    for paragraph in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line[:1] in (" ", "\t"):
                if name == "files":
                    fields[name] += f" {line.strip()}"
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields.get("files") and fields.get("license"):
            yield [pattern.replace("?", "*") for pattern in fields["files"].split()], fields["license"]

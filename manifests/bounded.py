"""Settings in TOML and JSON read as data: the size, depth and numbers of a text are checked before it is parsed.

The parsers recurse with the depth of a value, take quadratic time for a key of many parts, and pass on errors of other
kinds for numbers of thousands of digits.
"""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from pathlib import Path
from typing import Any

from .errors import LpseError
from .files import NotRegular, open_regular

MOST_BYTES = 4 << 20
_DEPTH = 16
_KEY_PARTS = 16
_DIGITS = 64
_SHOWN = 300

# strings and comments, whose characters mean nothing to the checks
_QUOTED = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*',
    re.DOTALL,
)
_LONG_NUMBER = re.compile(rf"[0-9][0-9_]{{{_DIGITS},}}")


class TextError(LpseError, ValueError):
    """A text that is not parsed; the message is one line without the path."""


def one_line(text: str, limit: int = _SHOWN) -> str:
    """The text on one printable line of at most `limit` characters."""
    line = "".join(ascii(c)[1:-1] if unseen(c) else c for c in text[: 2 * limit])
    return line if len(line) <= limit else line[: limit - 1] + "…"


def unseen(character: str) -> bool:
    """True for control characters, line breaks, direction marks and halves of characters; False for any space."""
    return not character.isprintable() and unicodedata.category(character) != "Zs"


def read_text(path: Path) -> str:
    """The text of a file. Raises TextError for one that is too large, not a regular file or not UTF-8; OSError."""
    try:
        with open_regular(path) as file:
            content = file.read(MOST_BYTES + 1)
    except NotRegular as error:
        raise TextError(str(error.strerror)) from error
    except ValueError as error:  # a NUL in the path
        raise TextError(one_line(str(error))) from error
    if len(content) > MOST_BYTES:
        raise TextError(f"more than {MOST_BYTES} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TextError(one_line(str(error))) from error


def parse_toml(text: str) -> dict[str, Any]:
    """The values of a TOML text. Raises TextError naming line and key."""
    text = text.replace("\r\n", "\n")
    _check_toml(text)
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise TextError(one_line(str(error))) from error


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises TextError for one that cannot be parsed."""
    try:
        return json.loads(text)
    except RecursionError:
        raise TextError("values are nested too deeply") from None
    except ValueError as error:
        raise TextError(one_line(str(error))) from error


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file. Raises TextError, and OSError if it cannot be opened."""
    return parse_toml(read_text(path))


def read_json(path: Path) -> Any:
    """The value of a JSON file. Raises TextError, and OSError if it cannot be opened."""
    return parse_json(read_text(path))


def _check_toml(text: str) -> None:
    """Raises TextError for keys of too many parts, values nested too deeply, and numbers of too many digits."""
    masked = _QUOTED.sub(lambda match: re.sub(r"[^\n]", "~", match[0]), text)
    depth, key = 0, ""
    for number, (line, shown) in enumerate(zip(masked.split("\n"), text.split("\n"), strict=True), start=1):
        if depth == 0 and "=" in line:
            key = shown[: line.index("=")].strip()
        elif depth == 0:
            key = shown.strip()
        where = f"line {number}, {one_line(key)[:60]}"
        for piece in re.split(r"[=,\[\]{}]", line):
            if piece.count(".") >= _KEY_PARTS:
                raise TextError(f"{where}: a key of {piece.count('.') + 1} parts; at most {_KEY_PARTS} are allowed")
        for bracket in re.findall(r"[\[\]{}]", line):
            depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
            if depth > _DEPTH:
                raise TextError(f"{where}: values are nested more than {_DEPTH} deep")
        if found := _LONG_NUMBER.search(line):
            raise TextError(f"{where}: a number of {len(found[0])} digits; at most {_DIGITS} are allowed")

"""How the page says times, shares, names and reasons."""

from __future__ import annotations

from pathlib import PurePath

from manifests.uris import decode

OUTCOME_NAMES = {
    "accept": "accepted",
    "review": "for review",
    "reject": "rejected",
    "too_short": "too short",
    "duplicate": "in a kept copy",
    "unheard": "not heard",
}
# A line break in a name must show, a direction mark must not act: both are written as their escape.
_UNSEEN = (
    *range(0x20),
    *range(0x7F, 0xA0),
    0x200E,
    0x200F,
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
    0xFEFF,
)
_ESCAPES = {code: ascii(chr(code))[1:-1] for code in _UNSEEN}


def clock(seconds: float) -> str:
    """m:ss, or h:mm:ss from an hour on; whole seconds."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def long_clock(seconds: float) -> str:
    """h:mm:ss always, for columns of a table."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def percent(part: float, whole: float) -> str:
    """A share in whole per cent; what is there at all is never called 0 %, what is missing never 100 %."""
    if not whole or not part:
        return "0 %"
    share = 100 * part / whole
    if share < 1:
        return "<1 %"
    # sums of seconds carry noise: that alone is nothing missing
    return ">99 %" if 99 < share < 100 - 1e-6 else f"{share:.0f} %"


def plural(count: int, word: str) -> str:
    """ "1 cut", "1,234 cuts"."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def plain(code: str) -> str:
    """A reason or a fate as words."""
    return OUTCOME_NAMES.get(code, code.replace("_", " "))


def visible(text: str) -> str:
    """The text with every control character written as its escape."""
    return text.translate(_ESCAPES)


def display_path(uri: str) -> str:
    """Where a recording is, below its root, as people write it; a URI of another kind stays as it is."""
    try:
        relative = str(decode(uri)[1])
        relative.encode("utf-8")
    except ValueError:  # not root:path, or bytes that are no text: the URI shows them as %XX
        return uri
    return relative


def file_name(uri: str) -> str:
    """The last part of a URI, as people write it."""
    return PurePath(display_path(uri)).name or uri

"""Names that recipe keys had before: files with an old name are refused by the new one, stored recipes are read on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Key = tuple[str, ...]
"""The names on the way to a value; "*" stands for any."""

_NEW_NAMES: Mapping[Key, str] = {
    ("look",): "video_analysis",
    ("artifacts", "guard"): "padding",
    ("contaminants", "*", "bridge"): "merge_gap",
    ("contaminants", "*", "certain"): "reject_threshold",
    ("contaminants", "*", "guard"): "padding",
    ("contaminants", "*", "doubt"): "review_threshold",
    ("contaminants", "*", "doubt_guard"): "review_padding",
    ("contaminants", "*", "evidence", "*", "neutral"): "bias",
    ("contaminants", "*", "explained_by"): "suppressed_by",
    ("contaminants", "*", "explained_by", "*", "above"): "floor",
}


def _new_key(key: Key) -> Key:
    return tuple(_NEW_NAMES.get(key[: depth + 1], name) for depth, name in enumerate(key))


_FIRST_NAMES: Mapping[Key, str] = {_new_key(key): key[-1] for key in _NEW_NAMES}


def old_names(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(dotted key, new name) of each key in `values` that is called by a name of before."""
    for key, name in _keys(values, _NEW_NAMES):
        # a new key may have an old one's name elsewhere: only where the recipe has no such key any more it is old
        if name != key[-1]:
            yield ".".join(key), name


def with_new_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's values with today's names, whichever they were stored with."""
    return _renamed(values, _NEW_NAMES)


def with_first_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's values with the names of the first version, which its hash is made of: renaming changes no hash."""
    return _renamed(values, _FIRST_NAMES)


def _match(key: Key, names: Mapping[Key, str]) -> str:
    for pattern, name in names.items():
        if len(pattern) == len(key) and all(one in ("*", other) for one, other in zip(pattern, key, strict=True)):
            return name
    return key[-1]


def _keys(values: Mapping[str, Any], names: Mapping[Key, str], above: Key = ()) -> Iterator[tuple[Key, str]]:
    for name, value in values.items():
        key = (*above, name)
        yield key, _match(key, names)
        if isinstance(value, Mapping):
            yield from _keys(value, names, key)


def _renamed(values: Mapping[str, Any], names: Mapping[Key, str], above: Key = ()) -> dict[str, Any]:
    return {
        _match((*above, name), names): _renamed(value, names, (*above, name)) if isinstance(value, Mapping) else value
        for name, value in values.items()
    }

"""Writes fitted contaminants into the text of a recipe; everything else in it stays, comments included."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import pairwise
from typing import Any

from manifests.bounded import TextError, parse_toml
from manifests.recipe import Contaminant, Integrated, Integration

from .recordings import FitError
from .result import FusionFit

_HEADER = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(#.*)?")
_DEFAULTS = {one.name: one.default for one in fields(Integrated)}


def with_fusion(text: str, fit: FusionFit) -> str:
    """The text of a complete recipe with the fitted contaminants, and the section `[integration]`, in place of its own.

    Comments inside the replaced sections are lost, those before the next section stay. Raises FitError for a recipe
    that extends another one, whose evidence would be added to the fitted one, or without a section of a fitted
    contaminant; TextError for a text that is no TOML.
    """
    before = parse_toml(text)
    if "extends" in before:
        raise FitError("a recipe that extends another one adds to its evidence: write the fit into the other one")
    expected: dict[str, Any] = {**before, "contaminants": dict(before.get("contaminants", {}))}
    for name, one in fit.contaminants.items():
        block = contaminant_text(name, one.contaminant)
        text = _replaced(text, f"contaminants.{name}", block)
        expected["contaminants"][name] = parse_toml(block)["contaminants"][name]
    block = integration_text(fit.integration)
    expected |= parse_toml(block)
    text = _replaced(text, "integration", block) if "integration" in before else f"{text.rstrip()}\n\n{block}"
    fault = FitError("the recipe's sections have another form than [contaminants.NAME]: nothing can be replaced")
    try:
        if parse_toml(text) != expected:
            raise fault
    except TextError:
        raise fault from None
    return text


def contaminant_text(name: str, one: Contaminant) -> str:
    """A contaminant's section in TOML, without the keys that have their default."""
    lines = [f"[contaminants.{name}]"]
    for field in fields(one):
        value = getattr(one, field.name)
        if field.name == "integrated":
            lines += ["integrated = [", *(f"    {_inline(_changed(level))}," for level in value), "]"]
        elif isinstance(value, Mapping):
            lines += [f"{field.name}.{_value(key)} = {_inline(_all(part))}" for key, part in value.items()]
            lines += [] if value else [f"{field.name} = {{}}"]
        elif field.name != "prior" or value:
            lines.append(f"{field.name} = {_value(value)}")
    return "\n".join(lines) + "\n"


def integration_text(one: Integration) -> str:
    """The section `[integration]` in TOML."""
    return "\n".join(["[integration]", *(f"{name} = {_value(value)}" for name, value in _all(one).items())]) + "\n"


def _all(one: Any) -> dict[str, Any]:
    return {field.name: getattr(one, field.name) for field in fields(one)}


def _changed(level: Integrated) -> dict[str, Any]:
    return {name: value for name, value in _all(level).items() if value != _DEFAULTS[name]}


def _inline(values: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{name} = {_value(value)}" for name, value in values.items()) + " }"


def _value(value: str | float) -> str:
    return json.dumps(value)  # TOML's own writing of strings and finite numbers


def _replaced(text: str, section: str, block: str) -> str:
    """The text with `block` in place of a section and those below it.

    Raises FitError if the text has no such section.
    """
    lines = text.splitlines(keepends=True)
    spans = list(_spans(lines, section))
    if not spans:
        raise FitError(f"the recipe has no section [{section}]")
    for start, end in reversed(spans[1:]):
        del lines[start:end]
    start, end = spans[0]
    lines[start:end] = [block]
    return "".join(lines)


def _spans(lines: list[str], section: str) -> Iterator[tuple[int, int]]:
    """(first, end) of the lines of a section and of those below it, without the comments before the next section."""
    headers = [(number, match[1]) for number, line in enumerate(lines) if (match := _HEADER.fullmatch(line.rstrip()))]
    for (start, name), (end, _) in pairwise([*headers, (len(lines), "")]):
        if name == section or name.startswith(f"{section}."):
            while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
                end -= 1
            yield start, end

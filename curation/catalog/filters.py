"""Filters over cuts and recordings, as frozen data and as conditions of a query.

A `Filter` holds values, never SQL: the conditions are fixed text, and the values are their parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from manifests.errors import LpseError
from manifests.recipe import MeasureName

from .accounting import DECISIONS

People = Literal["keep", "reject", "unsure", "commented", "annotated", "unreviewed", "disputed"]
PEOPLE: tuple[People, ...] = get_args(People)
UNKNOWN = ""  # stands for a missing channel or licence
Range = tuple[float, float]
# "av_difference" belongs to a recording, the others are columns of a cut
MEASURES = tuple(name for name in get_args(MeasureName) if name != "av_difference")
_CHOICES = ("decisions", "reasons", "tags", "channels", "licences", "people")
_RANGES = ("risk", "seconds")
MOST_TEXT = 300


class BadFilter(LpseError, ValueError):
    """An invalid filter; the message names the field, the value and the valid values."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A selection of cuts. An empty field selects all of them, a field with several values those with any of them.

    `text`: words that all occur in the title, file name, channel, an id or a comment. `tags`: labels of events inside
    the cut. `people`: verdicts and annotations; "disputed" if the answers of annotators differ. `risk`: 0 to 1,
    `seconds`: length, `measures`: by name; the ends of ranges are included, and a cut without the measure is left out.
    """

    text: str = ""
    decisions: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    recording: str = ""
    risk: Range | None = None
    seconds: Range | None = None
    measures: tuple[tuple[str, float, float], ...] = ()

    def __post_init__(self) -> None:
        if len(self.text) > MOST_TEXT:
            raise BadFilter(f"text has {len(self.text)} characters, the limit is {MOST_TEXT}")
        _check("decisions", self.decisions, DECISIONS)
        _check("people", self.people, PEOPLE)
        _check("measures", [name for name, _, _ in self.measures], MEASURES)
        ranges = [(name, getattr(self, name)) for name in _RANGES]
        for name, bounds in [*ranges, *((name, (low, high)) for name, low, high in self.measures)]:
            if bounds is not None and not bounds[0] <= bounds[1]:
                raise BadFilter(f"{name} from {bounds[0]} to {bounds[1]}: the first must not be the larger")

    @property
    def is_empty(self) -> bool:
        """True if the filter selects everything."""
        return self == Filter()

    def without(self, name: str) -> Filter:
        """The filter with the field `name` emptied."""
        return replace(self, **{name: getattr(Filter(), name)})


def _check(name: str, values: Sequence[str], allowed: Sequence[str]) -> None:
    for value in values:
        if value not in allowed:
            raise BadFilter(f"{name}: {value!r} is not one of {', '.join(allowed)}")


Condition = tuple[str, list[Any]]
"""SQL with a ? for each of the values that follow it."""


def cut_condition(filter: Filter) -> Condition:
    """The condition on a row of the cuts."""
    return _all([*_common(filter), *_of_cuts(filter)])


def recording_condition(filter: Filter) -> Condition:
    """The condition on a row of the recordings: it has a selected cut, or was dropped for one of the reasons.

    A recording without cuts is selected unless the filter names a property of cuts.
    """
    has_cut, values = cut_condition(filter)
    conditions = [(f"recording_id IN (SELECT recording_id FROM cuts WHERE {has_cut})", values)]
    if not list(_of_cuts(replace(filter, reasons=()))):
        own = list(_common(filter))
        if filter.reasons:
            own.append(("list_has_any(drop_reasons, ?::VARCHAR[])", [list(filter.reasons)]))
        conditions.append(_all(own))
    parts = " OR ".join(f"({sql})" for sql, _ in conditions)
    return parts, [value for _, own_values in conditions for value in own_values]


def _all(conditions: Sequence[Condition]) -> Condition:
    return " AND ".join(sql for sql, _ in conditions) or "true", [value for _, own in conditions for value in own]


def _common(filter: Filter) -> Iterator[Condition]:
    """The conditions that apply to cuts and to recordings."""
    for word in filter.text.lower().split():
        yield "contains(search, ?)", [word]
    if filter.recording:
        yield "recording_id = ?", [filter.recording]
    for column, chosen in (("channel", filter.channels), ("licence", filter.licences)):
        if chosen:
            yield f"list_contains(?::VARCHAR[], coalesce({column}, ''))", [list(chosen)]


def _of_cuts(filter: Filter) -> Iterator[Condition]:
    if filter.decisions:
        yield "list_contains(?::VARCHAR[], decision)", [list(filter.decisions)]
    for column, chosen in (("reasons", filter.reasons), ("tags", filter.tags)):
        if chosen:
            yield f"list_has_any({column}, ?::VARCHAR[])", [list(chosen)]
    if filter.people:
        yield "list_has_any(people, ?::VARCHAR[])", [list(filter.people)]
    ranges = [(name, getattr(filter, name)) for name in _RANGES if getattr(filter, name) is not None]
    for column, (low, high) in [*ranges, *((name, (low, high)) for name, low, high in filter.measures)]:
        yield f"{column} BETWEEN ? AND ?", [low, high]


def to_query(filter: Filter) -> dict[str, str | list[str]]:
    """The filter as parameters of an address, without its empty fields; `from_query` reads it."""
    asked: dict[str, str | list[str]] = {}
    for name in ("text", "recording"):
        if getattr(filter, name):
            asked[name] = getattr(filter, name)
    asked |= {name: list(getattr(filter, name)) for name in _CHOICES if getattr(filter, name)}
    asked |= {name: _written(*getattr(filter, name)) for name in _RANGES if getattr(filter, name) is not None}
    return asked | {name: _written(low, high) for name, low, high in filter.measures}


def from_query(asked: Mapping[str, Sequence[str]]) -> Filter:
    """The filter of an address; parameters that are no field of a filter are ignored. Raises BadFilter."""
    values: dict[str, Any] = {}
    known = {field.name for field in fields(Filter)} - {"measures"}
    for name in known & set(asked):
        if not asked[name]:
            continue
        if name in _CHOICES:
            values[name] = tuple(dict.fromkeys(asked[name]))
        else:
            values[name] = _read(name, asked[name][-1]) if name in _RANGES else asked[name][-1]
    measures = [(name, *_read(name, asked[name][-1])) for name in MEASURES if asked.get(name)]
    return Filter(**values, measures=tuple(measures))


def _written(low: float, high: float) -> str:
    return f"{low:g}..{high:g}"


def _read(name: str, text: str) -> Range:
    try:
        low, high = map(float, text.split(".."))
    except ValueError:
        raise BadFilter(f"{name}: {text!r} must be two numbers, such as 0.2..0.5") from None
    if math.isnan(low) or math.isnan(high):
        raise BadFilter(f"{name}: {text!r} must be two numbers, such as 0.2..0.5")
    return low, high

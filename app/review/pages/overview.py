"""The page "Overview": where the hours went, what was dropped for which reason, what a risk would yield."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import streamlit as st

from annotation.agreement import AgreementUnavailable, measure_agreement
from curation.catalog.accounting import DUPLICATE, EXCLUDING
from curation.catalog.catalog import Catalog
from curation.catalog.filters import MEASURES, Filter
from manifests.recipe import Recipe, RecipeError
from manifests.store import Corpus

from ...display.agreement_text import headline, sentences
from ...display.histograms import MEASURES as MEASURE_FORMS
from ...display.text import percent, plain, plural, visible
from ..filter_panel import DECISION_SAID, current_filter, draw_panel, write_address
from ..parts import charts
from ..shell import Shell

_FATES = ("accept", "review", "reject", *EXCLUDING, "too_short", DUPLICATE, "unheard")
_SAID = {**DECISION_SAID, "too_short": "Too short, or beside an event"}
_SAID |= {"duplicate": "In a kept copy", "unheard": "Not decided on"}
_LISTED = 12  # rows of a chart with a row a reason
_BINS = 36
Chart = dict[str, Any]


def show(shell: Shell) -> None:
    """Draw the page."""
    finder, filter = shell.finder, current_filter()
    draw_panel(finder, filter)
    seconds = finder.seconds_by_fate(filter)
    recordings = finder.count_recordings(filter)
    st.title("Overview", anchor=False)
    if not recordings:
        st.info(
            "No recording of this corpus fits all of these filters. Take one away in the panel, or clear them all."
            if not filter.is_empty
            else "This corpus holds no recordings. Curate a folder with lpse curate, then load this page again."
        )
        write_address(filter)
        return
    whole = sum(seconds.values())
    totals = finder.totals(filter)
    cuts = sum(one.cuts for one in totals.values())
    shown = f"{plural(recordings, 'recording')}, {hours(whole)}, {plural(cuts, 'cut')}"
    st.markdown(shown if filter.is_empty else f"{shown} with what the filters ask for")
    drawn = [
        _fates(seconds, finder, filter),
        _yield(finder, filter),
        *_reasons(finder, filter),
        *_progress(finder, filter),
        *_measures(finder, filter, _recipe(shell.corpus)),
    ]
    charts(data={"charts": drawn}, key="overview_charts")
    _agreement(shell.corpus, finder)
    write_address(filter)


def hours(seconds: float) -> str:
    """Hours with as many decimals as say something, minutes below one."""
    if seconds < 3600:
        return f"{seconds / 60:.0f} min" if seconds >= 600 else f"{seconds / 60:.1f} min"
    known = seconds / 3600
    return f"{known:,.0f} h" if known >= 100 else f"{known:.1f} h" if known >= 10 else f"{known:.2f} h"


def _recipe(corpus: Corpus) -> Recipe | None:
    try:
        return corpus.active_recipe()
    except RecipeError:  # recipes gain keys from version to version: a replay brings them
        return None


def _fates(seconds: Mapping[str, float], finder: Catalog, filter: Filter) -> Chart:
    whole = sum(seconds.values()) or 1.0
    totals = finder.totals(filter)
    rows = [
        {
            "name": fate,
            "said": _SAID.get(fate, fate.capitalize()),
            "share": seconds[fate] / whole,
            "value": hours(seconds[fate]),
            "percent": percent(seconds[fate], whole),
            "note": plural(totals[fate].cuts, "cut") if fate in totals else "",
        }
        for fate in _FATES
        if seconds[fate]
    ]
    note = "Of all the time in these recordings." if not filter.is_empty else None
    return {"kind": "fates", "title": "Where the hours went", "note": note, "rows": rows, "wide": True}


def _yield(finder: Catalog, filter: Filter) -> Chart:
    curve = finder.yield_curve(filter)
    points = list(zip(curve["risk"].to_pylist(), curve["seconds"].to_pylist(), strict=True))
    most = points[-1][1] if points else 1.0
    chosen = finder.chosen_point(filter)
    return {
        "kind": "curve",
        "title": "Yield against risk",
        "note": "Hours in accepted cuts and cuts for review, up to a risk.",
        "points": points,
        "most": most,
        "y": [hours(most), hours(most / 2), "0"],
        "chosen": chosen
        and {
            "x": chosen[0],
            "y": min(chosen[1], most),
            "said": f"Accepted now: {hours(chosen[1])}, of risk up to {chosen[0]:.2f}",
        },
        "wide": True,
    }


def _reasons(finder: Catalog, filter: Filter) -> Iterator[Chart]:
    dropped = finder.drops(filter)
    if dropped:
        longest = max((one.seconds or 0.0 for one in dropped), default=0.0) or 1.0
        rows = [
            {
                "said": plain(one.reason).capitalize(),
                "share": (one.seconds or 0.0) / longest,
                "value": "" if one.seconds is None else hours(one.seconds),
                "note": plural(one.items, one.item_kind),
            }
            for one in dropped[:_LISTED]
        ]
        yield {"kind": "bars", "title": "Did not make it", "note": _more(len(dropped)), "rows": rows, "wide": True}
    waiting = finder.reasons(filter, "review")
    if waiting:
        longest = max(total.seconds for total in waiting.values())
        rows = [
            {
                "said": plain(reason).capitalize(),
                "name": "review",
                "share": total.seconds / longest,
                "value": hours(total.seconds),
                "note": plural(total.cuts, "cut"),
            }
            for reason, total in list(waiting.items())[:_LISTED]
        ]
        yield {"kind": "bars", "title": "Waits for a person", "note": _more(len(waiting)), "rows": rows, "wide": True}


def _more(count: int) -> str | None:
    return f"The {_LISTED} longest of {count}." if count > _LISTED else None


def _progress(finder: Catalog, filter: Filter) -> Iterator[Chart]:
    rows = [
        {
            "said": plain(one.purpose).capitalize(),
            "share": one.given / one.wanted if one.wanted else 0.0,
            "value": percent(one.given, one.wanted),
            "note": f"{one.done:,} of {plural(one.tasks, 'task')}",
        }
        for one in finder.progress(filter)
    ]
    if rows:
        yield {
            "kind": "bars",
            "title": "Annotation",
            "note": "Answers given, of those asked for.",
            "rows": rows,
            "wide": True,
        }


def _measures(finder: Catalog, filter: Filter, recipe: Recipe | None) -> Iterator[Chart]:
    for name in MEASURES:
        title, form = MEASURE_FORMS[name]
        bounds = [] if recipe is None or name not in recipe.quality else recipe.quality[name].accept
        # the bounds belong into the picture: how far away they are is what one wants to see
        edges = [edge for edge in bounds if math.isfinite(edge)]
        found = finder.histogram(name, filter, _BINS, edges).to_pylist()
        if not found:
            continue
        low, high = found[0]["low"], found[0]["high"]
        bins: list[list[tuple[str, int]]] = [[] for _ in range(_BINS)]
        for row in found:
            bins[row["bin"]].append((row["decision"], row["cuts"]))
        width = (high - low) / _BINS
        marks = [edge for edge in edges if high > low and (edge != 0 or low < 0 < high)]
        yield {
            "kind": "histogram",
            "title": title,
            "bins": [
                {"parts": parts, "said": _bin_said(form, low + place * width, width, parts)}
                for place, parts in enumerate(bins)
            ],
            "most": max(sum(count for _, count in parts) for parts in bins),
            "low": form.format(low),
            "high": form.format(high) if high > low else "",
            "bounds": [{"at": 100 * (edge - low) / (high - low)} for edge in marks],
            "said": _bounds_said(form, bounds),
        }


def _bin_said(form: str, low: float, width: float, parts: list[tuple[str, int]]) -> str:
    counted = ", ".join(f"{count:,} {DECISION_SAID[decision].lower()}" for decision, count in parts)
    return f"{form.format(low)} to {form.format(low + width)}: {counted}"


def _bounds_said(form: str, bounds: Any) -> str:
    if not bounds or not any(map(math.isfinite, bounds)):
        return "The recipe sets no bound."
    low, high = bounds
    if low == high:
        return f"The recipe accepts {form.format(low)}."
    least = f"from {form.format(low)}" if math.isfinite(low) and low else ""
    most = f"up to {form.format(high)}" if math.isfinite(high) else ""
    return f"The recipe accepts {' '.join(filter(None, [least, most])) or form.format(low)}."


def _agreement(corpus: Corpus, finder: Catalog) -> None:
    """How far annotators agree: of the whole corpus, whatever the filters ask for."""
    if not corpus.table("annotations").count():
        return
    st.subheader("Agreement of annotators", anchor=False)
    said = st.session_state.get("overview_agreement")
    if said is None or said[0] != finder.stamp:
        with st.spinner("Measuring agreement…"):
            said = finder.stamp, _agreement_said(corpus)
        st.session_state["overview_agreement"] = said
    for sentence in said[1]:
        st.text(sentence)


def _agreement_said(corpus: Corpus) -> list[str]:
    tables = (corpus.table(name).rows() for name in ("tasks", "annotations", "verdicts"))
    try:
        agreement = measure_agreement(*tables, draws=500)
    except AgreementUnavailable as error:
        return [f"Agreement cannot be measured here: {error}"]
    return [visible(sentence) for sentence in (headline(agreement), *sentences(agreement))]

"""The page "Overview": recorded time by outcome, drops by reason, the risk curve, and the signal measures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import streamlit as st

from annotation.agreement import AgreementUnavailable, measure_agreement
from curation.catalog.accounting import DECISIONS, DUPLICATE, EXCLUDING
from curation.catalog.catalog import Catalog
from curation.catalog.filters import MEASURES, Filter
from manifests.recipe import Recipe, RecipeError
from manifests.store import Corpus

from ...display.agreement_text import headline, sentences
from ...display.measures import MEASURES as MEASURE_TEXTS
from ...display.measures import MeasureText
from ...display.text import long_clock, outcome_name, outcome_title, percent, plain, plural, visible
from ..filter_panel import current_filter, draw_panel, write_address
from ..parts import charts
from ..shell import Shell

_ORDER = (*DECISIONS, *EXCLUDING, "too_short", DUPLICATE, "undecided")
_LISTED = 12  # rows of a chart with a row per reason
_BINS = 36
Chart = dict[str, Any]


def show(shell: Shell) -> None:
    """Draw the page."""
    catalog, filter = shell.catalog, current_filter()
    draw_panel(catalog, filter)
    seconds = catalog.seconds_by_outcome(filter)
    recordings = catalog.count_recordings(filter)
    st.title("Overview", anchor=False)
    if not recordings:
        st.info(
            "No recording matches all filters. Remove a filter in the panel, or clear all of them."
            if not filter.is_empty
            else "This corpus has no recordings. Curate a folder with `lpse curate`, then load this page again."
        )
        write_address(filter)
        return
    cuts = sum(one.cuts for one in catalog.totals(filter).values())
    shown = f"{plural(recordings, 'recording')}, {long_clock(sum(seconds.values()))}, {plural(cuts, 'cut')}"
    st.markdown(shown if filter.is_empty else f"{shown} match the filters")
    drawn = [
        _outcomes(seconds, catalog, filter),
        _yield(catalog, filter),
        *_reasons(catalog, filter),
        *_progress(catalog, filter),
        *_measures(catalog, filter, _recipe(shell.corpus)),
    ]
    charts(data={"charts": drawn}, key="overview_charts")
    _agreement(shell.corpus, catalog)
    write_address(filter)


def _recipe(corpus: Corpus) -> Recipe | None:
    try:
        return corpus.active_recipe()
    except RecipeError:  # recipes gain keys from version to version: a replay brings them
        return None


def _outcomes(seconds: Mapping[str, float], catalog: Catalog, filter: Filter) -> Chart:
    whole = sum(seconds.values()) or 1.0
    totals = catalog.totals(filter)
    rows = [
        {
            "name": outcome,
            "label": outcome_title(outcome),
            "share": seconds[outcome] / whole,
            "value": long_clock(seconds[outcome]),
            "percent": percent(seconds[outcome], whole),
            "note": plural(totals[outcome].cuts, "cut") if outcome in totals else "",
        }
        for outcome in _ORDER
        if seconds[outcome]
    ]
    note = "All time of the recordings that match the filters." if not filter.is_empty else None
    return {"kind": "outcomes", "title": "Recorded time by outcome", "note": note, "rows": rows, "wide": True}


def _yield(catalog: Catalog, filter: Filter) -> Chart:
    curve = catalog.yield_curve(filter)
    most = curve[-1].seconds if curve else 1.0
    chosen = catalog.chosen_point(filter)
    return {
        "kind": "curve",
        "title": "Yield against risk",
        "note": "Time in accepted cuts and cuts for review, up to a risk (h:mm:ss).",
        "points": [(point.risk, point.seconds) for point in curve],
        "most": most,
        "y": [long_clock(most), long_clock(most / 2), "0"],
        "chosen": chosen
        and {
            "x": chosen.risk,
            "y": min(chosen.seconds, most),
            "label": f"Accepted: {long_clock(chosen.seconds)}, risk up to {chosen.risk:.2f}",
        },
        "wide": True,
    }


def _reasons(catalog: Catalog, filter: Filter) -> Iterator[Chart]:
    dropped = catalog.drops(filter)
    if dropped:
        longest = max((one.seconds or 0.0 for one in dropped), default=0.0) or 1.0
        rows = [
            {
                "label": plain(one.reason).capitalize(),
                "share": (one.seconds or 0.0) / longest,
                "value": "" if one.seconds is None else long_clock(one.seconds),
                "note": plural(one.items, one.item_kind),
            }
            for one in dropped[:_LISTED]
        ]
        yield {"kind": "bars", "title": "Dropped, by reason", "note": _more(len(dropped)), "rows": rows, "wide": True}
    waiting = catalog.reasons(filter, "review")
    if waiting:
        longest = max(total.seconds for total in waiting.values())
        rows = [
            {
                "label": plain(reason).capitalize(),
                "name": "review",
                "share": total.seconds / longest,
                "value": long_clock(total.seconds),
                "note": plural(total.cuts, "cut"),
            }
            for reason, total in list(waiting.items())[:_LISTED]
        ]
        title = "Cuts for review, by reason"
        yield {"kind": "bars", "title": title, "note": _more(len(waiting)), "rows": rows, "wide": True}


def _more(count: int) -> str | None:
    return f"The {_LISTED} longest of {count}." if count > _LISTED else None


def _progress(catalog: Catalog, filter: Filter) -> Iterator[Chart]:
    rows = [
        {
            "label": plain(one.purpose).capitalize(),
            "share": one.given / one.wanted if one.wanted else 0.0,
            "value": percent(one.given, one.wanted),
            "note": f"{one.done:,} of {plural(one.tasks, 'task')}",
        }
        for one in catalog.progress(filter)
    ]
    if rows:
        yield {
            "kind": "bars",
            "title": "Annotation",
            "note": "Share of the requested answers that annotators gave.",
            "rows": rows,
            "wide": True,
        }


def _measures(catalog: Catalog, filter: Filter, recipe: Recipe | None) -> Iterator[Chart]:
    for name in MEASURES:
        text = MEASURE_TEXTS[name]
        bounds = [] if recipe is None or name not in recipe.quality else recipe.quality[name].accept
        # the axis holds the bounds too: the distance to them is what the histogram is read for
        edges = [edge for edge in bounds if math.isfinite(edge)]
        rows = catalog.histogram(name, filter, _BINS, edges).to_pylist()
        if not rows:
            continue
        low, high = rows[0]["low"], rows[0]["high"]
        bins: list[list[tuple[str, int]]] = [[] for _ in range(_BINS)]
        for row in rows:
            bins[row["bin"]].append((row["decision"], row["cuts"]))
        width = (high - low) / _BINS
        marks = [edge for edge in edges if high > low and (edge != 0 or low < 0 < high)]
        yield {
            "kind": "histogram",
            "title": text.title,
            "bins": [
                {"parts": parts, "label": _bin_label(text, low + place * width, width, parts)}
                for place, parts in enumerate(bins)
            ],
            "most": max(sum(count for _, count in parts) for parts in bins),
            "low": text.value(low),
            "high": text.value(high) if high > low else "",
            "bounds": [{"at": 100 * (edge - low) / (high - low)} for edge in marks],
            "label": _bounds_label(text, bounds),
        }


def _bin_label(text: MeasureText, low: float, width: float, parts: list[tuple[str, int]]) -> str:
    counted = ", ".join(f"{count:,} {outcome_name(decision)}" for decision, count in parts)
    return f"{text.value(low)} to {text.value(low + width)}: {counted}"


def _bounds_label(text: MeasureText, bounds: Any) -> str:
    if not bounds or not any(map(math.isfinite, bounds)):
        return "The recipe sets no bound."
    low, high = bounds
    if low == high:
        return f"The recipe accepts {text.value(low)}."
    least = f"from {text.value(low)}" if math.isfinite(low) and low else ""
    most = f"up to {text.value(high)}" if math.isfinite(high) else ""
    return f"The recipe accepts {' '.join(filter(None, [least, most])) or text.value(low)}."


def _agreement(corpus: Corpus, catalog: Catalog) -> None:
    """The agreement of annotators over the whole corpus; filters do not apply."""
    if not corpus.table("annotations").count():
        return
    st.subheader("Agreement of annotators", anchor=False)
    known = st.session_state.get("overview_agreement")
    if known is None or known[0] != catalog.stamp:
        with st.spinner("Measuring agreement…"):
            known = catalog.stamp, _agreement_text(corpus)
        st.session_state["overview_agreement"] = known
    for sentence in known[1]:
        st.text(sentence)


def _agreement_text(corpus: Corpus) -> list[str]:
    tables = (corpus.table(name).rows() for name in ("tasks", "annotations", "verdicts"))
    try:
        agreement = measure_agreement(*tables, draws=500)
    except AgreementUnavailable as error:
        return [f"Agreement cannot be measured here: {error}"]
    return [visible(sentence) for sentence in (headline(agreement), *sentences(agreement))]

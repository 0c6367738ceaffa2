"""The page "What if": try other thresholds on the stored scores, and play the cuts that change."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from curation.catalog.accounting import DECISIONS
from curation.trust.whatif import NOWHERE, THRESHOLDS, ChangedCut, Comparison, WhatIf, adjusted, as_toml
from manifests.recipe import ContaminantName, Recipe
from manifests.store import Corpus
from manifests.uris import display_path

from ...display.text import clock, clock_range, long_clock, outcome_name, outcome_title, plain, plural, visible
from ..player.component import listen
from ..shell import Shell

HOURS: dict[str, float | None] = {"2 h": 2.0, "10 h": 10.0, "50 h": 50.0, "whole corpus": None}
ROWS = 500
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#7F7F7F"  # Okabe and Ito's, and a grey visible in both themes
HELP = {
    "review_threshold": "A cut in which the probability reaches this threshold is for review.",
    "offset": "An event ends where the probability falls below this threshold.",
    "onset": "An event begins where the probability reaches this threshold.",
    "reject_threshold": "An event that reaches this threshold is cut away without review.",
}


@st.cache_resource(max_entries=2, show_spinner=False)
def _what_if(path: Path, hours: float | None) -> WhatIf:
    """One object for all visitors, who share its cache of scores."""
    return WhatIf(Corpus.open(path), None if hours is None else hours * 3600)


def show(shell: Shell) -> None:
    """Draw the page."""
    st.title("What if", anchor=False)
    st.caption("Change a threshold to view its effect on the cuts of the corpus. Nothing is saved.")
    recipe = shell.corpus.active_recipe()
    with st.sidebar:  # the results stay visible beside the sliders
        changed = _sliders(recipe)
    if changed is None:
        return
    comparison = _compared(shell, changed)
    if not comparison.of:
        st.info("No recording has decisions yet. Curate a folder with `lpse curate`.", icon=":material/info:")
        return
    _limits(comparison)
    _totals(comparison)
    chart, text = st.columns([3, 2], gap="large")
    with chart:
        _curve(comparison)
    with text:
        _risk(comparison)
        _save(shell, changed, recipe)
    _changes(shell, comparison)


def _sliders(recipe: Recipe) -> Recipe | None:
    """The recipe of the sliders; None if the values contradict each other, with the reason on the page."""
    named = f"whatif-{recipe.hash}"  # another recipe begins with its own values
    fields = st.tabs([*(name.capitalize() for name in recipe.contaminants), "Cuts"])
    thresholds: dict[ContaminantName, dict[str, float]] = {}
    defaults: dict[str, float] = {}

    def field(make: Callable[..., Any], key: str, default: float, label: str, **options: Any) -> float:
        defaults[key] = default
        st.session_state.setdefault(key, default)
        return float(make(label, key=key, **options))

    for place, (name, contaminant) in zip(fields[:-1], recipe.contaminants.items(), strict=True):
        with place:
            thresholds[name] = {
                one: field(
                    st.slider, f"{named}-{name}-{one}", float(getattr(contaminant, one)),
                    f"{plain(one).capitalize()}, {name}", min_value=0.0, max_value=1.0, step=0.01, help=HELP[one],
                )
                for one in THRESHOLDS
            }  # fmt: skip
    with fields[-1]:
        lengths = {
            one: field(
                st.number_input, f"{named}-{one}", float(getattr(recipe.spans, one)), label,
                min_value=1.0, max_value=3600.0, step=5.0, format="%g",
            )
            for one, label in (("min_duration", "Shortest, s"), ("max_duration", "Longest, s"))
        }  # fmt: skip
    st.button("Reset", icon=":material/undo:", on_click=_reset, args=(defaults,), width="stretch")
    try:
        return adjusted(recipe, thresholds, lengths)
    except ValueError as error:
        st.warning(f"These values contradict each other: {error}.", icon=":material/warning:")
        return None


def _reset(defaults: Mapping[str, float]) -> None:
    st.session_state.update(defaults)


def _compared(shell: Shell, recipe: Recipe) -> Comparison:
    label = st.session_state.setdefault("whatif-hours", "10 h")
    bar = st.empty()

    def on_progress(share: float) -> None:
        bar.progress(share, "Deciding. The first time also reads the scores.")

    comparison = _what_if(shell.corpus.path, HOURS[label]).compare(recipe, on_progress)
    bar.empty()
    return comparison


def _limits(comparison: Comparison) -> None:
    """Draw the part of the corpus that is compared."""
    note, choice = st.columns([4, 1], vertical_alignment="center")
    all_of = comparison.recordings == comparison.of
    text = f"All {plural(comparison.of, 'recording')}." if all_of else (
        f"A random sample of {comparison.recordings:,} of {comparison.of:,} recordings, the same at every visit."
    )  # fmt: skip
    if comparison.unscored:
        text += f" {comparison.unscored:,} of them lack scores that the recipe needs; they have no cuts here."
    note.caption(text)
    with choice:
        st.selectbox("Audio to decide over", list(HOURS), key="whatif-hours", help="More audio takes longer.")


def _totals(comparison: Comparison) -> None:
    columns = st.columns(3)
    for place, decision in zip(columns, DECISIONS, strict=True):
        before, after = comparison.before.totals[decision], comparison.after.totals[decision]
        change = after.seconds - before.seconds
        delta = None if abs(change) < 0.5 else f"{'+' if change > 0 else '-'}{long_clock(abs(change))}"
        place.metric(outcome_title(decision), long_clock(after.seconds), delta, delta_color="off")
        place.caption(f"{plural(after.cuts, 'cut')}, now {before.cuts:,}")


def _risk(comparison: Comparison) -> None:
    """Draw the risk of the accepted cuts on both sides."""
    sides = {"with these values": comparison.after.chosen, "now": comparison.before.chosen}
    lines = [
        f"{name}: mean risk {point.mean:.3f}, highest {point.risk:.3f}" if point else f"{name}: no accepted cut"
        for name, point in sides.items()
    ]
    st.caption(f"Accepted cuts {'; '.join(lines)}. Unchanged: {plural(comparison.kept, 'accepted cut')}.")


def _save(shell: Shell, changed: Recipe, recipe: Recipe) -> None:
    name = f"{recipe.name}-changed"
    file = f"{name}.toml"
    same = changed.hash == recipe.hash
    st.download_button(
        "Save as a recipe",
        as_toml(replace(changed, name=name)),
        file_name=file,
        mime="application/toml",
        icon=":material/download:",
        disabled=same,
        help="No value differs from the corpus's recipe." if same else None,
    )
    if not same:
        st.caption("Apply the saved recipe to the whole corpus:")
        corpus = visible(shlex.quote(str(shell.corpus.path)))
        command = f"lpse replay --corpus {corpus} --recipe {visible(shlex.quote(file))}"
        st.code(command, language=None, wrap_lines=True)


def _curve(comparison: Comparison) -> None:
    """Draw yield against risk on both sides, with the points of the accepted cuts."""
    import altair as alt
    import pyarrow as pa

    sides = {"now": comparison.before, "with these values": comparison.after}
    most = max((point.seconds for side in sides.values() for point in side.curve[-1:]), default=0.0)
    unit, scale = ("h", 3600) if most >= 3600 else ("min", 60)
    lines = [
        {"side": name, "risk": risk, "time": seconds / scale}
        for name, side in sides.items()
        if side.curve
        for risk, seconds in [
            (0.0, 0.0),
            *((one.risk, one.seconds) for one in side.curve),
            (1.0, side.curve[-1].seconds),
        ]
    ]
    chosen = [
        {"mark": name, "risk": point.risk, "time": point.seconds / scale, "mean": point.mean}
        for name, side in sides.items()
        if (point := side.chosen)
    ]
    if not lines:
        st.caption("No cut is accepted or for review: the risk curve is empty.")
        return
    names = list(sides)
    numbers = [(name, pa.float64()) for name in ("risk", "time", "mean")]
    schema = pa.schema([("mark", pa.string()), *numbers])
    colour = alt.Color(
        "side:N", scale=alt.Scale(domain=names, range=[GREY, BLUE]), title=None, legend=alt.Legend(orient="top")
    )
    dash = alt.StrokeDash("side:N", scale=alt.Scale(domain=names, range=[[5, 4], [1, 0]]), title=None)
    risk = alt.X("risk:Q", title="risk of the cuts, up to", scale=alt.Scale(domain=[0, 1]))
    time = alt.Y("time:Q", title=f"time in cuts, {unit}")
    curve = (
        alt.Chart(pa.Table.from_pylist(lines))
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(x=risk, y=time, color=colour, strokeDash=dash)
    )
    points = (
        alt.Chart(pa.Table.from_pylist(chosen, schema))
        .mark_point(size=140, filled=True, opacity=1, color=VERMILLION)
        .encode(
            x=risk,
            y=time,
            shape=alt.Shape("mark:N", scale=alt.Scale(domain=names, range=["diamond", "circle"]), legend=None),
            tooltip=[
                alt.Tooltip("mark:N", title="thresholds"),
                alt.Tooltip("time:Q", format=".2f", title=f"{unit} accepted"),
                alt.Tooltip("risk:Q", format=".3f", title="highest risk"),
                alt.Tooltip("mean:Q", format=".3f", title="mean risk"),
            ],
        )
    )
    st.caption("Yield against risk. The marks are the accepted cuts: diamond now, circle with these values.")
    st.altair_chart((curve + points).properties(height=280), width="stretch")


def _changes(shell: Shell, comparison: Comparison) -> None:
    """Draw the added and removed accepted cuts, and a player for the chosen one."""
    st.subheader(f"{plural(len(comparison.gained), 'cut')} added, {len(comparison.lost):,} removed", anchor=False)
    changes = [("+ added", one) for one in comparison.gained] + [("− removed", one) for one in comparison.lost]
    if not changes:
        st.caption("No accepted cut changes.")
        return
    if len(changes) > ROWS:
        half = ROWS // 2
        changes = [*changes[: max(half, ROWS - len(comparison.lost))], *changes[len(comparison.gained) :]][:ROWS]
        st.caption(f"The {ROWS} longest:")
    event = st.dataframe(
        _rows(shell, changes),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="whatif-changes",
        height=min(35 * (len(changes) + 1) + 3, 400),
        column_config={
            "risk": st.column_config.ProgressColumn("risk", min_value=0.0, max_value=1.0, format="%.2f"),
            "other side": st.column_config.TextColumn(help="The outcome of most of its time on the other side."),
        },
    )
    chosen: Sequence[int] = event["selection"]["rows"]
    if not chosen or chosen[0] >= len(changes):
        st.caption("Choose a row to play the cut.")
        return
    change, one = changes[chosen[0]]
    with st.container(border=True):
        head, button = st.columns([4, 1], vertical_alignment="center")
        head.caption(
            f"{change.split()[1].capitalize()}: {clock(one.cut.start)} to {clock(one.cut.end)}, risk {one.cut.risk:.2f}"
        )
        if button.button("Inspect", icon=":material/graphic_eq:", width="stretch"):
            shell.inspect(one.cut.recording_id, one.cut.start)
        listen(one.cut.recording_id, one.cut.start, one.cut.end, key=f"whatif-{one.cut.cut_id}")


def _rows(shell: Shell, changes: Sequence[tuple[str, ChangedCut]]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = pa.array({one.cut.recording_id for _, one in changes}, pa.string())
    known = shell.corpus.table("recordings").to_arrow(["recording_id", "uri"], pc.field("recording_id").isin(ids))
    files = dict(zip(known["recording_id"].to_pylist(), known["uri"].to_pylist(), strict=True))
    words = {"added": "was", "removed": "becomes"}
    return pa.table(
        {
            "change": [change for change, _ in changes],
            "file": [
                visible(display_path(files.get(one.cut.recording_id, one.cut.recording_id))) for _, one in changes
            ],
            "time": [clock_range(one.cut.start, one.cut.end) for _, one in changes],
            "length": [clock(one.cut.segment.duration) for _, one in changes],
            "risk": [float(one.cut.risk) for _, one in changes],
            "other side": [f"{words[change.split()[1]]} {_elsewhere(one.other)}" for change, one in changes],
        }
    )


def _elsewhere(other: str) -> str:
    if other == NOWHERE:
        return "in no cut"
    return "part of another accepted cut" if other == "accept" else outcome_name(other)

"""The page "What if": other thresholds, decided at once from cached scores, and the cuts that come and go to hear."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from curation.trust.whatif import THRESHOLDS, ChangedCut, Comparison, WhatIf, adjusted, as_toml
from manifests.recipe import ContaminantName, Recipe
from manifests.store import Corpus

from ...display.text import visible
from ..filter_panel import DECISION_SAID
from ..player.component import listen
from ..shell import Shell

HOURS: dict[str, float | None] = {"2 h": 2.0, "10 h": 10.0, "50 h": 50.0, "everything": None}
ROWS = 500
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#7F7F7F"  # Okabe and Ito's, and a grey that both themes show
SAYS = {
    "review_threshold": "From here on a person has to hear it.",
    "offset": "An event lasts while the probability is at least this.",
    "onset": "An event begins where the probability reaches this.",
    "reject_threshold": "An event that reaches this is cut away without anybody hearing it.",
}


@st.cache_resource(max_entries=2, show_spinner=False)
def _what_if(path: Path, hours: float | None) -> WhatIf:
    """One for all visitors: what it has read of the scores serves everybody."""
    return WhatIf(Corpus.open(path), None if hours is None else hours * 3600)


def show(shell: Shell) -> None:
    """Draw the page."""
    st.title("What if")
    st.caption("Move a threshold: the corpus is decided again from cached scores. Nothing is written.")
    recipe = shell.corpus.active_recipe()
    with st.sidebar:  # beside what they change, which is seen while they move
        changed = _sliders(recipe)
    if changed is None:
        return
    comparison = _compared(shell, changed)
    if not comparison.of:
        st.info("No recording can be decided over: curate some with `lpse curate`.", icon=":material/info:")
        return
    _limits(comparison)
    _totals(comparison)
    picture, words = st.columns([3, 2], gap="large")
    with picture:
        _curve(comparison)
    with words:
        _risk(comparison)
        _save(shell, changed, recipe)
    _moving(shell, comparison)


def _sliders(recipe: Recipe) -> Recipe | None:
    """The recipe as the sliders have it; None, with the reason on the page, where they contradict each other."""
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
                    st.slider, f"{named}-{name}-{one}", float(getattr(contaminant, one)), f"{one.capitalize()}, {name}",
                    min_value=0.0, max_value=1.0, step=0.01, help=SAYS[one],
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
        st.warning(f"These do not go together: {error}.", icon=":material/warning:")
        return None


def _reset(defaults: Mapping[str, float]) -> None:
    st.session_state.update(defaults)


def _compared(shell: Shell, recipe: Recipe) -> Comparison:
    label = st.session_state.setdefault("whatif-hours", "10 h")
    told = st.empty()

    def tell(share: float) -> None:
        told.progress(share, "Deciding again; the first time reads the scores, then it is quick")

    ready = _what_if(shell.corpus.path, HOURS[label])
    comparison = ready.changed(recipe, tell)
    told.empty()
    return comparison


def _limits(comparison: Comparison) -> None:
    """How much of the corpus this is about."""
    words, choice = st.columns([4, 1], vertical_alignment="center")
    all_of = comparison.recordings == comparison.of
    text = f"All {comparison.of:,} recordings." if all_of else (
        f"{comparison.recordings:,} of {comparison.of:,} recordings, drawn at random and always the same ones."
    )  # fmt: skip
    if comparison.unscored:
        text += f" {comparison.unscored:,} of them lack scores that the recipe asks for: nothing is accepted of these."
    words.caption(text)
    with choice:
        st.selectbox("How much to decide again", list(HOURS), key="whatif-hours", help="More takes longer.")


def _totals(comparison: Comparison) -> None:
    columns = st.columns(3)
    for place, (decision, label) in zip(columns, DECISION_SAID.items(), strict=True):
        before, after = comparison.before.totals[decision], comparison.after.totals[decision]  # type: ignore[index]
        change = after.seconds - before.seconds
        delta = None if abs(change) < 0.5 else f"{'+' if change > 0 else '-'}{length(abs(change))}"
        place.metric(label, length(after.seconds), delta, delta_color="off")
        place.caption(f"{after.cuts:,} cuts, were {before.cuts:,}")


def _risk(comparison: Comparison) -> None:
    before_at, after_at = comparison.before.chosen, comparison.after.chosen
    st.caption(
        f"Of what is accepted the mean risk is {after_at.mean:.3f} (was {before_at.mean:.3f}), "
        f"the largest {after_at.worst:.3f} (was {before_at.worst:.3f}). {comparison.kept:,} accepted cuts stay."
    )


def length(seconds: float) -> str:
    """A length as people say it."""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"


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
        help="Nothing differs from the corpus's recipe yet." if same else None,
    )
    if not same:
        st.caption("Then decide the whole corpus by it:")
        corpus = visible(shlex.quote(str(shell.corpus.path)))
        command = f"lpse replay --corpus {corpus} --recipe {visible(shlex.quote(file))}"
        st.code(command, language=None, wrap_lines=True)


def _curve(comparison: Comparison) -> None:
    """Yield against risk, before and after, with the points that the recipes choose."""
    import altair as alt
    import pyarrow as pa

    sides = {"as it is": comparison.before, "what if": comparison.after}
    unit, scale = ("h", 3600) if max(side.chosen.seconds for side in sides.values()) >= 3600 else ("min", 60)
    lines = [
        {"side": name, "risk": point.threshold, "time": point.seconds / scale}
        for name, side in sides.items()
        for point in side.curve
    ]
    chosen = [
        {"mark": name, "risk": side.chosen.worst, "time": side.chosen.seconds / scale, "mean": side.chosen.mean}
        for name, side in sides.items()
        if side.chosen.seconds
    ]
    if not lines:
        st.caption("There is no cut whose risk could be drawn.")
        return
    names = list(sides)
    numbers = [(name, pa.float64()) for name in ("risk", "time", "mean")]
    schema = pa.schema([("mark", pa.string()), *numbers])
    colour = alt.Color(
        "side:N", scale=alt.Scale(domain=names, range=[GREY, BLUE]), title=None, legend=alt.Legend(orient="top")
    )
    dash = alt.StrokeDash("side:N", scale=alt.Scale(domain=names, range=[[5, 4], [1, 0]]), title=None)
    risk = alt.X("risk:Q", title="largest risk that is taken", scale=alt.Scale(domain=[0, 1]))
    time = alt.Y("time:Q", title=f"{unit} of sound")
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
                alt.Tooltip("mark:N", title="side"),
                alt.Tooltip("time:Q", format=".2f", title=f"{unit} accepted"),
                alt.Tooltip("risk:Q", format=".3f", title="largest risk"),
                alt.Tooltip("mean:Q", format=".3f", title="mean risk"),
            ],
        )
    )
    st.caption("Yield against risk; the marks are what is accepted: a diamond as it is, a circle what if.")
    st.altair_chart((curve + points).properties(height=280), width="stretch")


def _moving(shell: Shell, comparison: Comparison) -> None:
    """The accepted cuts that come and go, one of them to hear."""
    st.subheader(f"{len(comparison.gained):,} cuts come, {len(comparison.lost):,} go")
    moved = [("+ comes", one) for one in comparison.gained] + [("− goes", one) for one in comparison.lost]
    if not moved:
        st.caption("No accepted cut changes.")
        return
    if len(moved) > ROWS:
        half = ROWS // 2
        moved = [*moved[: max(half, ROWS - len(comparison.lost))], *moved[len(comparison.gained) :]][:ROWS]
        st.caption(f"The longest {ROWS} of them:")
    event = st.dataframe(
        _rows(shell, moved),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="whatif-moved",
        height=min(35 * (len(moved) + 1) + 3, 400),
        column_config={
            "from": st.column_config.NumberColumn("from, s", format="%.2f"),
            "to": st.column_config.NumberColumn("to, s", format="%.2f"),
            "seconds": st.column_config.NumberColumn("length, s", format="%.1f"),
            "risk": st.column_config.ProgressColumn("risk", min_value=0.0, max_value=1.0, format="%.3f"),
            "most of it": st.column_config.TextColumn(help="What most of its time was, or would be."),
        },
    )
    chosen: Sequence[int] = event["selection"]["rows"]
    if not chosen or chosen[0] >= len(moved):
        st.caption("Choose a row to hear it.")
        return
    change, one = moved[chosen[0]]
    with st.container(border=True):
        head, button = st.columns([4, 1], vertical_alignment="center")
        head.caption(
            f"{change.split()[1].capitalize()}: {one.cut.start:.2f} to {one.cut.end:.2f} s, risk {one.cut.risk:.3f}"
        )
        if button.button("Inspect", icon=":material/graphic_eq:", width="stretch"):
            shell.inspect(one.cut.recording_id, one.cut.start)
        listen(one.cut.recording_id, one.cut.start, one.cut.end, key=f"whatif-{one.cut.cut_id}")


def _rows(shell: Shell, moved: Sequence[tuple[str, ChangedCut]]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = pa.array({one.cut.recording_id for _, one in moved}, pa.string())
    known = shell.corpus.table("recordings").to_arrow(["recording_id", "uri"], pc.field("recording_id").isin(ids))
    files = dict(zip(known["recording_id"].to_pylist(), known["uri"].to_pylist(), strict=True))
    words = {"comes": "was", "goes": "becomes"}
    return pa.table(
        {
            "change": [change for change, _ in moved],
            "file": [visible(files.get(one.cut.recording_id, one.cut.recording_id)) for _, one in moved],
            "from": [one.cut.start for _, one in moved],
            "to": [one.cut.end for _, one in moved],
            "seconds": [one.cut.segment.duration for _, one in moved],
            "risk": [float(one.cut.risk) for _, one in moved],
            "most of it": [f"{words[change.split()[1]]} {_elsewhere(one.other)}" for change, one in moved],
        }
    )


def _elsewhere(other: str) -> str:
    return {"accept": "part of another cut", "review": "for review", "reject": "rejected"}.get(other, other)

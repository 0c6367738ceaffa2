"""The page "compare": generated sound against the real one, heard blind and rated; and how the systems stand."""

from __future__ import annotations

import shlex
from typing import Any, get_args

import pyarrow.compute as pc
import streamlit as st

from manifests.generated import GeneratedSound, generated_sounds
from manifests.lock import Locked
from manifests.records import REFERENCE, Cut, Question, Rating, Recording
from manifests.schema import CorpusError
from model.evaluation.listening import SystemScore, next_pair, rate, system_scores

from ...display.text import visible
from ..compare import Trial, compare, trials_of
from ..places import NotHere
from ..shell import Shell

COMPONENT = "compare_sounds"
QUESTIONS: dict[Question, tuple[str, str]] = {
    "semantic_relevance": ("Semantic relevance", "How well does it fit the picture?"),
    "quality": ("Quality", "How good does it sound?"),
}
assert set(QUESTIONS) == set(get_args(Question))


def show(shell: Shell) -> None:
    """Draw the page."""
    sounds = generated_sounds(shell.corpus)
    if not sounds:
        _nothing_yet(shell)
        return
    question, only = _chosen(sounds)
    ratings = list(shell.corpus.rows(Rating))
    if not shell.author:
        st.info(
            "Give your name at the side: ratings are kept with it, and nobody hears a pair twice before all others."
        )
    else:
        _trial(shell, sounds, ratings, question, only)
    _standings(system_scores(ratings, question), question)


def _nothing_yet(shell: Shell) -> None:
    st.info("Nothing was generated for this corpus yet. Make the sound of some cuts, by as many systems as you like:")
    corpus = visible(shlex.quote(str(shell.corpus.path)))
    st.code(
        f"lpse generate CUT --corpus {corpus} --base base.safetensors --adapters adapters.safetensors "
        "--as with-adapters\n"
        f"lpse generate CUT --corpus {corpus} --base base.safetensors --as base",
        language="bash",
    )
    st.caption("CUT is the id of a cut with pictures: Browse shows them. The real sound is compared by itself.")


def _chosen(sounds: dict[str, tuple[GeneratedSound, ...]]) -> tuple[Question, list[str]]:
    names = [REFERENCE, *sorted({sound.system for here in sounds.values() for sound in here})]
    left, right = st.columns([2, 5], vertical_alignment="bottom")
    question = left.segmented_control(
        "Question",
        list(QUESTIONS),
        format_func=lambda name: QUESTIONS[name][0],
        default="semantic_relevance",
        key="compare_question",
        label_visibility="collapsed",
    )
    only = right.multiselect(
        "Systems", names, default=names, key="compare_systems", label_visibility="collapsed", placeholder="Systems"
    )
    return question or "semantic_relevance", only


def _trial(
    shell: Shell,
    sounds: dict[str, tuple[GeneratedSound, ...]],
    ratings: list[Rating],
    question: Question,
    only: list[str],
) -> None:
    state = st.session_state
    wanted = (question, tuple(sorted(only)), shell.author)
    trials = trials_of(shell.corpus)
    trial = trials.find(state.get("compare_trial", ""))
    if trial is None or state.get("compare_wanted") != wanted:
        state["compare_wanted"], state["compare_rated"] = wanted, None
        trial = _next(shell, sounds, ratings, question, only)
        state["compare_trial"] = trial.token if trial else ""
    if trial is None:
        st.info("No cut has two sounds of these systems: choose more of them, or generate more.")
        return
    rated = state.get("compare_rated")
    recording = _recording(shell, trial.cut)
    compare(
        {
            "trial": trial.token,
            "recording_id": trial.cut.recording_id,
            "start": trial.cut.start,
            "seconds": trial.seconds,
            "video": recording.has_video,
            "question": question,
            "question_text": QUESTIONS[question][1],
            "revealed": None if rated is None else _revealed(trial, rated),
        },
        COMPONENT,
        on_rated=lambda: _rated(shell, question),
    )
    if problem := state.pop("compare_problem", None):
        st.error(problem)
    if rated is not None:
        st.button("Next pair ▸", type="primary", on_click=_forget, shortcut="n")


def _next(
    shell: Shell,
    sounds: dict[str, tuple[GeneratedSound, ...]],
    ratings: list[Rating],
    question: Question,
    only: list[str],
) -> Trial | None:
    """The next trial; what cannot be heard any more is passed over."""
    names = {cut: [REFERENCE, *(sound.system for sound in here)] for cut, here in sounds.items()}
    names = {cut: [name for name in here if name in only] for cut, here in names.items()}
    while (pair := next_pair(names, ratings, shell.author, question)) is not None:
        cut: Cut | None = next(shell.corpus.rows(Cut, pc.field("cut_id") == pair.cut_id), None)
        if cut is not None:
            try:
                by_name = {sound.system: sound for sound in sounds[pair.cut_id]}
                return trials_of(shell.corpus).begin(cut, pair.systems, by_name, _recording(shell, cut))
            except NotHere as error:
                st.warning(f"Cut {pair.cut_id} is left out: {error}")
        del names[pair.cut_id]
    return None


def _recording(shell: Shell, cut: Cut) -> Recording:
    (recording,) = shell.corpus.rows(Recording, pc.field("recording_id") == cut.recording_id)
    found: Recording = recording
    return found


def _revealed(trial: Trial, rated: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "system": trial.systems[side],
            "joins": list(trial.joins[side] or ()),
            "score": rated["scores"][side],
            "preferred": rated["preferred"] == side,
        }
        for side in (0, 1)
    ]


def _rated(shell: Shell, question: Question) -> None:
    """Keep what the component sent, if it is of the trial that is open."""
    state = st.session_state
    said = getattr(state[COMPONENT], "rated", None)
    trial = trials_of(shell.corpus).find(state.get("compare_trial", ""))
    if not isinstance(said, dict) or trial is None or said.get("trial") != trial.token or state.get("compare_rated"):
        return
    try:
        first, second = (int(score) for score in said["scores"])
        preferred = None if said["preferred"] is None else int(said["preferred"])
        comment = str(said.get("comment") or "")[:500] or None
        rate(shell.corpus, trial.cut, trial.systems, (first, second), preferred, question, shell.author, comment)
    except (CorpusError, Locked, OSError) as error:
        state["compare_problem"] = f"Not kept: {error}"
        return
    except (KeyError, TypeError, ValueError):
        state["compare_problem"] = "Not kept: the page sent no rating; load it again."
        return
    state["compare_rated"] = {"scores": (first, second), "preferred": preferred}


def _forget() -> None:
    st.session_state["compare_trial"] = ""


def _standings(rows: list[SystemScore], question: Question) -> None:
    st.subheader(f"{QUESTIONS[question][0]} so far", divider="gray")
    if not rows:
        st.caption("Nobody rated anything yet.")
        return
    st.dataframe(
        [
            {
                "system": row.system,
                "score": round(row.score, 2),
                "95 % interval": "" if row.interval is None else f"{row.interval[0]:.2f} to {row.interval[1]:.2f}",
                "preferred": f"{row.won:.0%} ({row.won_interval[0]:.0%} to {row.won_interval[1]:.0%})",
                "ratings": row.ratings,
                "cuts": row.cuts,
            }
            for row in rows
        ],
        hide_index=True,
    )
    st.caption(
        "Score: the mean over cuts of each cut's mean, 1 to 5, with a bootstrap interval over cuts. Preferred: the "
        "share of its trials, with Wilson's interval."
    )

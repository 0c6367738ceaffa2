"""The page "Compare": blind comparison of generated and recorded audio, and the scores of the systems."""

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
    "semantic_relevance": ("Semantic relevance", "How well does it fit the video?"),
    "quality": ("Quality", "How good does it sound?"),
}
assert set(QUESTIONS) == set(get_args(Question))


def show(shell: Shell) -> None:
    """Draw the page."""
    st.title("Compare", anchor=False)
    sounds = generated_sounds(shell.corpus)
    if not sounds:
        _nothing_yet(shell)
        return
    question, only = _chosen(sounds)
    ratings = list(shell.corpus.rows(Rating))
    if not shell.author:
        st.info("Enter your name under Reviewer. It is stored with your ratings; no pair repeats before all are rated.")
    else:
        _trial(shell, sounds, ratings, question, only)
    _scores(system_scores(ratings, question), question)


def _nothing_yet(shell: Shell) -> None:
    st.info("This corpus has no generated audio yet. Generate audio for some cuts with one or more systems:")
    corpus = visible(shlex.quote(str(shell.corpus.path)))
    st.code(
        f"lpse generate CUT --corpus {corpus} --base base.safetensors --adapters adapters.safetensors "
        "--as with-adapters\n"
        f"lpse generate CUT --corpus {corpus} --base base.safetensors --as base",
        language="bash",
    )
    st.caption(
        'CUT is the id of a cut with video; Browse lists them. The recorded audio takes part as the system "reference".'
    )


def _chosen(sounds: dict[str, tuple[GeneratedSound, ...]]) -> tuple[Question, list[str]]:
    names = [REFERENCE, *sorted({sound.system for of_cut in sounds.values() for sound in of_cut})]
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
        st.info("No cut has audio of two of these systems. Choose more systems, or generate more audio.")
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
    """The next trial; cuts whose audio cannot be read are left out."""
    names = {cut: [REFERENCE, *(sound.system for sound in of_cut)] for cut, of_cut in sounds.items()}
    names = {cut: [name for name in of_cut if name in only] for cut, of_cut in names.items()}
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
    """Save the rating that the component sent, if it belongs to the open trial."""
    state = st.session_state
    sent = getattr(state[COMPONENT], "rated", None)
    trial = trials_of(shell.corpus).find(state.get("compare_trial", ""))
    if not isinstance(sent, dict) or trial is None or sent.get("trial") != trial.token or state.get("compare_rated"):
        return
    try:
        first, second = (int(score) for score in sent["scores"])
        preferred = None if sent["preferred"] is None else int(sent["preferred"])
        comment = str(sent.get("comment") or "")[:500] or None
        rate(shell.corpus, trial.cut, trial.systems, (first, second), preferred, question, shell.author, comment)
    except (CorpusError, Locked, OSError) as error:
        state["compare_problem"] = f"Not saved: {error}"
        return
    except (KeyError, TypeError, ValueError):
        state["compare_problem"] = "Not saved: the page sent no rating. Load it again."
        return
    state["compare_rated"] = {"scores": (first, second), "preferred": preferred}


def _forget() -> None:
    st.session_state["compare_trial"] = ""


def _scores(rows: list[SystemScore], question: Question) -> None:
    st.subheader(f"{QUESTIONS[question][0]}: scores", divider="gray", anchor=False)
    if not rows:
        st.caption("No ratings yet.")
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
        "Score, 1 to 5: the mean over cuts of the mean per cut, with a bootstrap interval over cuts. Preferred: the "
        "share of the system's trials in which it was preferred, with Wilson's interval."
    )

"""What votes about a window come to."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.support.made_up_votes as made_up
from annotation.consensus import Conflict, ConsensusResult, ConsensusSettings, collect_votes, decide, window_of
from manifests.records import Annotation, LabelledSegment, Task

a_task, an_answer, at = made_up.a_task, made_up.an_answer, made_up.at

TASK: Task = a_task()
ADJUDICATION: Task = a_task(purpose="adjudicate")
WINDOW = window_of(TASK)
SPEECH = (12.3, 14.0, "speech")


def result(*answers: Annotation, gold: Any = None, **options: Any) -> ConsensusResult | Conflict:
    results = decide(collect_votes([TASK, ADJUDICATION], answers), ConsensusSettings(**options), gold)
    assert list(results) == [WINDOW]
    return results[WINDOW]


def outcome(*answers: Annotation, **options: Any) -> ConsensusResult:
    found = result(*answers, **options)
    assert isinstance(found, ConsensusResult), found
    return found


def cause(*answers: Annotation, **options: Any) -> str:
    found = result(*answers, **options)
    assert isinstance(found, Conflict), found
    return found.cause


def by(name: str, verdict: str = "keep", reasons: Any = (), *marked: Any, minutes: float = 0) -> Annotation:
    answer: Annotation = an_answer(TASK, name, verdict, reasons, marked, minutes=minutes)
    return answer


def stretch(start: float, end: float, label: str = "speech") -> LabelledSegment:
    return LabelledSegment(start=start, end=end, label=label)


# one voter


@pytest.mark.parametrize("rule", ["majority", "weighted", "dawid_skene"])
def test_one_voter_decides_alone(rule: Any) -> None:
    assert result(by("ann", "reject", ["av_mismatch"], minutes=3), rule=rule) == ConsensusResult(
        window=WINDOW,
        decision="reject",
        reasons=("av_mismatch",),
        excised=(),
        confidence=None,
        method="single",
        voters=("ann",),
        made_at=at(3),
    )


def test_one_unsure_voter_is_unsure() -> None:
    assert outcome(by("ann", "unsure", ["speech"])).decision == "unsure"
    assert outcome(by("ann", "unsure", ["speech"], SPEECH)).decision == "unsure"


def test_a_keep_is_but_for_what_was_marked() -> None:
    found = outcome(by("ann", "keep", (), SPEECH, (20.0, 21.0, "sfx"), (13.5, 15.0, "speech"), (1.0, 2.0, "music")))
    assert found.decision == "keep"
    assert found.excised == (stretch(1.0, 2.0, "music"), stretch(12.3, 15.0))


def test_a_reject_that_says_where_keeps_the_rest() -> None:
    found = outcome(by("ann", "reject", ["speech", "music"], SPEECH, (1.0, 2.0, "music"), (3.0, 4.0, "singing")))
    assert (found.decision, found.reasons) == ("keep", ("music", "speech"))
    assert found.excised == (stretch(1.0, 2.0, "music"), stretch(3.0, 4.0, "singing"), stretch(12.3, 14.0))


@pytest.mark.parametrize(
    ("reasons", "marked"),
    [
        ((), [SPEECH]),  # no reason
        (("speech",), []),  # no region
        (("speech", "music"), [SPEECH]),  # a region for one of two
        (("speech", "av_mismatch"), [SPEECH]),  # a reason that no region can settle
        (("noise",), [(1.0, 2.0, "noise")]),  # no contaminant
        (("speech",), [(61.0, 62.0, "speech")]),  # a region outside the window
    ],
)
def test_any_other_reject_is_of_all_of_it(reasons: Any, marked: Any) -> None:
    assert outcome(by("ann", "reject", reasons, *marked)).decision == "reject"


def test_a_reject_says_what_was_marked_all_the_same() -> None:
    assert outcome(by("ann", "reject", ["speech", "av_mismatch"], SPEECH)).excised == (stretch(12.3, 14.0),)


# several


def test_a_majority() -> None:
    found = outcome(by("cat", minutes=5), by("ann", minutes=7), by("bob", "reject", ["av_mismatch"], minutes=9))
    assert found == ConsensusResult(
        window=WINDOW,
        decision="keep",
        reasons=(),
        excised=(),
        confidence=2 / 3,
        method="majority",
        voters=("ann", "bob", "cat"),
        made_at=at(9),
    )


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ("kr", "1 keep, 1 reject"),
        ("kru", "1 keep, 1 reject, 1 unsure"),
        ("uu", "2 unsure"),
        ("uuk", "1 keep, 2 unsure"),
        ("kkru", "2 keep, 1 reject, 1 unsure: keep with confidence 0.50 < 0.60"),
        ("rrrkku", "2 keep, 3 reject, 1 unsure: reject with confidence 0.50 < 0.60"),
    ],
)
def test_what_votes_do_not_settle_is_a_conflict(verdicts: str, expected: str) -> None:
    words = {"k": "keep", "r": "reject", "u": "unsure"}
    assert cause(*(by(str(n), words[letter]) for n, letter in enumerate(verdicts))) == expected


def test_confidence_at_the_bound_is_enough() -> None:
    votes = [by(name) for name in "abc"] + [by(name, "reject") for name in "de"]
    assert outcome(*votes, min_confidence=0.6).confidence == pytest.approx(0.6)
    assert "0.60 < 0.61" in cause(*votes, min_confidence=0.61)


def test_a_reject_that_says_where_is_a_vote_to_keep() -> None:
    found = outcome(by("ann"), by("bob", "reject", ["speech"], SPEECH))
    assert (found.decision, found.confidence) == ("keep", 1.0)
    assert found.excised == (stretch(12.3, 14.0),)
    assert found.reasons == ("speech",)  # half of those who decide name it


def test_reasons_are_those_of_half_of_the_deciding_side() -> None:
    votes = [
        by("ann", "reject", ["av_mismatch", "speech"]),
        by("bob", "reject", ["av_mismatch"]),
        by("cat", "reject", ["other"]),
        by("dan", "keep", ["speech", "other"]),
    ]
    assert outcome(*votes).reasons == ("av_mismatch",)
    assert outcome(*votes[:2]).reasons == ("av_mismatch", "speech")


def test_contested_contaminants_are_a_conflict() -> None:
    assert cause(by("ann", "keep", (), SPEECH), by("bob"), by("cat")) == "speech at 12.3 to 14.0 s marked by 1 of 3"


def test_half_a_second_may_be_contested() -> None:
    def three(*marked: Any) -> list[Annotation]:
        return [by("ann", "keep", (), *marked), by("bob"), by("cat")]

    assert outcome(*three((1.0, 1.5, "speech"))).excised == ()
    assert cause(*three((1.0, 1.501, "speech"))) == "speech at 1.0 to 1.5 s marked by 1 of 3"
    # the same half second under two labels is half a second
    assert outcome(*three((1.0, 1.5, "speech"), (1.0, 1.5, "music"))).decision == "keep"
    assert outcome(*three((1.0, 3.0, "speech")), max_contested=2.0).decision == "keep"


def test_a_cause_names_the_longest_stretches() -> None:
    marked = [(float(10 * n), 10 * n + 1 + n / 10, "music") for n in range(5)]
    assert cause(by("ann", "keep", (), *marked), by("bob"), by("cat")) == (
        "music at 20.0 to 21.2 s marked by 1 of 3; music at 30.0 to 31.3 s marked by 1 of 3; "
        "music at 40.0 to 41.4 s marked by 1 of 3; 2 more"
    )


def test_contested_contaminants_do_not_matter_where_all_goes() -> None:
    votes = [
        by(name, "reject", ["other"], (n, n + 5.0, "speech")) for n, name in ((5, "ann"), (20, "bob"), (40, "cat"))
    ]
    found = outcome(*votes)
    assert (found.decision, found.excised) == ("reject", ())
    votes = [by(name, "keep", (), (n, n + 5.0, "speech")) for n, name in ((5, "ann"), (20, "bob"), (40, "cat"))]
    assert "marked by 1 of 3" in cause(*votes)


def test_the_slack_is_used() -> None:
    votes = by("ann", "keep", (), SPEECH), by("bob", "keep", (), SPEECH), by("cat", "keep", (), (12.3, 14.9, "speech"))
    assert outcome(*votes).excised == (stretch(12.3, 14.0),)
    assert cause(*votes, slack=0.1) == "speech at 14.1 to 14.9 s marked by 1 of 3"


def test_who_gives_the_window_up_need_not_say_where() -> None:
    """Speech marked by one of two who keep is a tie, whatever the one who rejects left unmarked."""
    found = outcome(by("ann", "keep", (), SPEECH), by("bob"), by("cat", "reject", ["av_mismatch"]))
    assert found.excised == (stretch(12.3, 14.0),)
    # but what they mark counts
    other = outcome(by("ann", "keep", (), SPEECH), by("bob"), by("cat", "reject", ["av_mismatch"], SPEECH))
    assert other.excised == (stretch(12.3, 14.0),)
    assert "marked by 1 of 3" in cause(by("ann"), by("bob"), by("cat", "reject", ["av_mismatch"], SPEECH))
    assert outcome(by("ann"), by("bob"), by("cat", "unsure", ["speech"])).decision == "keep"


# the other rules


def test_weights_decide_verdicts_and_stretches() -> None:
    gold = {"ann": (50, 50), "bob": (12, 20), "cat": (12, 20)}
    votes = [by("ann", "keep", (), SPEECH), by("bob", "reject", ["other"]), by("cat", "reject", ["other"])]
    found = outcome(*votes, rule="weighted", gold=gold)
    assert (found.decision, found.method) == ("keep", "weighted")
    keeping = [by("ann", "keep", (), SPEECH), by("bob"), by("cat")]
    assert outcome(*keeping, rule="weighted", gold=gold).excised == (stretch(12.3, 14.0),)
    assert "marked by 1 of 3" in cause(*keeping, rule="weighted", gold={})
    assert cause(*votes[:2], rule="weighted", gold={}) == "1 keep, 1 reject"


def test_whoever_is_mostly_wrong_has_no_say_about_stretches() -> None:
    gold = {"bob": (0, 30), "cat": (0, 30)}
    votes = [by("ann", "keep", (), SPEECH), by("bob"), by("cat"), by("dan"), by("eve", "keep", (), SPEECH)]
    assert outcome(*votes, rule="weighted", gold={}, max_contested=9).excised == ()
    assert outcome(*votes, rule="weighted", gold=gold, min_confidence=0).excised == (stretch(12.3, 14.0),)


def test_the_prior_and_the_smoothing_are_used() -> None:
    votes = [by("ann"), by("bob"), by("cat", "reject", ["other"])]
    assert outcome(*votes, rule="weighted", prior=(9, 1)).confidence == pytest.approx(81 / 91)
    assert cause(*votes, rule="weighted", prior=(6, 5)).startswith("2 keep, 1 reject: keep with confidence 0.4")
    sure = outcome(*votes, rule="dawid_skene", smoothing=0.0, min_confidence=0.0)
    assert sure.method == "dawid_skene"
    unsure = outcome(*votes, rule="dawid_skene", smoothing=1.0, min_confidence=0.0)
    assert sure.confidence is not None and unsure.confidence is not None
    assert sure.confidence > unsure.confidence


# adjudicators


def settled(name: str, verdict: str, reasons: Any = (), *marked: Any, minutes: float) -> Annotation:
    answer: Annotation = an_answer(ADJUDICATION, name, verdict, reasons, marked, minutes=minutes)
    return answer


def test_an_adjudicator_settles_a_conflict() -> None:
    votes = by("ann", minutes=1), by("bob", "reject", ["other"], minutes=2)
    assert result(*votes, settled("zoe", "reject", ["speech"], SPEECH, minutes=5)) == ConsensusResult(
        window=WINDOW,
        decision="keep",
        reasons=("speech",),
        excised=(stretch(12.3, 14.0),),
        confidence=None,
        method="adjudicator",
        voters=("zoe",),
        made_at=at(5),
    )


def test_a_conflict_that_began_later_is_not_settled() -> None:
    """The vote that stands against the other was changed after the adjudicator's answer."""
    votes = by("ann", minutes=1), by("bob", "reject", ["other"], minutes=6)
    found = result(*votes, settled("zoe", "keep", minutes=5))
    assert isinstance(found, Conflict)
    assert (found.began, found.voters) == (at(6), ("ann", "bob"))
    assert outcome(*votes, settled("zoe", "keep", minutes=6)).method == "adjudicator"


def test_further_votes_in_an_adjudicated_conflict_begin_no_new_one() -> None:
    votes = by("ann", minutes=1), by("bob", "reject", minutes=2), by("cat", "unsure", minutes=9)
    assert outcome(*votes, settled("zoe", "keep", minutes=5)).method == "adjudicator"


def test_people_of_one_side_are_in_conflict_from_the_second_on() -> None:
    found = result(by("ann", "unsure", minutes=4), by("bob", "unsure", minutes=7), by("cat", "unsure", minutes=8))
    assert isinstance(found, Conflict)
    assert found.began == at(7)


def test_an_adjudicator_outranks_what_votes_agree_on() -> None:
    found = outcome(by("ann", minutes=8), by("bob", minutes=9), settled("zoe", "reject", ["other"], minutes=5))
    assert (found.decision, found.method) == ("reject", "adjudicator")
    assert outcome(settled("zoe", "unsure", minutes=5)).decision == "unsure"


# laws

answers = st.lists(
    st.tuples(
        st.sampled_from("abcdef"),
        st.sampled_from(["keep", "reject", "unsure"]),
        st.lists(st.sampled_from(["speech", "music", "other"]), max_size=2),
        st.lists(
            st.tuples(st.integers(0, 50), st.integers(1, 10), st.sampled_from(["speech", "music"])).map(
                lambda one: (one[0], one[0] + one[1], one[2])
            ),
            max_size=3,
        ),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=7,
)


@given(answers, st.sampled_from(["majority", "weighted", "dawid_skene"]), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_every_window_gets_an_outcome_or_a_conflict_whatever_the_order(
    rows: Any, rule: Any, rng: random.Random
) -> None:
    tasks = [TASK, a_task(purpose="label"), a_task(recording="r2"), ADJUDICATION]
    given_answers = [
        an_answer(rng.choice(tasks), name, verdict, reasons, marked, minutes=minutes, answer_id=f"a{number}")
        for number, (name, verdict, reasons, marked, minutes) in enumerate(rows)
    ]
    votes = collect_votes(tasks, given_answers)
    results = decide(votes, ConsensusSettings(rule=rule))
    assert set(results) == {*votes.by_window, *votes.adjudicated}
    turned = [*given_answers]
    rng.shuffle(turned)
    assert decide(collect_votes(tasks, turned), ConsensusSettings(rule=rule)) == results
    for window, one in results.items():
        assert one.window == window
        if isinstance(one, ConsensusResult):
            assert (one.confidence is None) == (one.method in ("single", "adjudicator"))
            assert all(0 <= cut.start < cut.end <= 60 for cut in one.excised)
            if len(one.voters) > 1:
                assert one.decision != "unsure"
        else:
            assert one.cause
            assert len(one.voters) > 1

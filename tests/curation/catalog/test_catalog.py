"""The catalog: what a filter selects, against a plain reading of the tables; the filters of addresses."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.catalog.accounting import labels_inside, read_account
from curation.catalog.catalog import Catalog, catalog_of
from curation.catalog.filters import BadFilter, Filter, from_query, to_query
from manifests.identity import cut_id
from manifests.records import (
    Annotation,
    Cut,
    Drop,
    Event,
    Recording,
    Source,
    Task,
    Verdict,
)
from manifests.schema import to_table
from manifests.store import Corpus
from manifests.time import to_ms

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NASTY = "'; DROP TABLE cuts; -- %_ <b>"


def recording(name: str, duration: float | None = 400.0, uri: str = "") -> Recording:
    return Recording(recording_id=name, uri=uri or f"media:{name}.mp4", duration=duration, has_video=True, status="ok")


def cut(name: str, start: float, end: float, decision: str = "accept", risk: float = 0.1, *reasons: str) -> Cut:
    return Cut(
        cut_id=cut_id(name, to_ms(start), to_ms(end)),
        recording_id=name,
        start=start,
        end=end,
        decision=decision,  # type: ignore[arg-type]
        reasons=reasons,
        risk=risk,
        recipe_hash="r",
        loudness_lufs=-20.0 - 10 * risk,
    )


def verdict(key: str, name: str, start: float, end: float, decision: str, **more: object) -> Verdict:
    return Verdict(
        verdict_id=key,
        recording_id=name,
        start_ms=to_ms(start),
        end_ms=to_ms(end),
        decision=decision,  # type: ignore[arg-type]
        method="reviewer",
        author="ann",
        made_at=NOW,
        **more,  # type: ignore[arg-type]
    )


def answer(key: str, annotator: str, said: str) -> Annotation:
    return Annotation(
        recording_id="b",
        start_ms=0,
        end_ms=80_000,
        version_id=key,
        annotation_id=key,
        task_key="t",
        annotator=annotator,
        edited_by_other=False,
        state="submitted",
        ground_truth=False,
        verdict=said,
        created_at=NOW,
        updated_at=NOW,
        pulled_at=NOW,
        result="[]",
    )


A0, A1 = cut("a", 0.0, 90.0, "accept", 0.05), cut("a", 100.0, 200.0, "review", 0.4, "possible_speech")
B0, B1 = cut("b", 0.0, 80.0, "accept", 0.2), cut("b", 90.0, 150.0, "reject", 0.6, "clipping", "narrow_band")
C0 = cut("c", 10.0, 75.0, "review", 0.3417, "possible_music")


@pytest.fixture
def small(tmp_path: Path) -> Corpus:
    """Four recordings: two with several cuts, one with one of strange words, one that gave none."""
    corpus = Corpus.create(tmp_path / "corpus")
    corpus.replace(
        "recordings", [recording("a"), recording("b"), recording("c", uri="media:100%25/x.mp4"), recording("d", 20.0)]
    )
    corpus.replace(
        "sources",
        [
            Source(
                source_id="1", uri="u:1", recording_id="a", origin="folder", title="Harbour at Night", channel="sea"
            ),
            Source(source_id="2", uri="u:2", recording_id="a", origin="folder", title="later", licence="CC0-1.0"),
            Source(source_id="3", uri="u:3", recording_id="b", origin="folder", title="forest", channel="wood"),
            Source(source_id="4", uri="u:4", recording_id="c", origin="folder", title=NASTY, channel="sea"),
            Source(source_id="5", uri="u:5", recording_id=None, origin="folder"),
        ],
    )
    corpus.replace("cuts", [A0, A1, B0, B1, C0])
    spans = [("a", 95.0, 101.0, "speech"), ("a", 90.0, 100.0, "music"), ("b", 79.0, 79.5, "artifact")]
    corpus.replace(
        "events", [Event(recording_id=r, start=s, end=e, label=label, source="fusion") for r, s, e, label in spans]
    )
    corpus.replace(
        "drops",
        [
            Drop(item="d", item_kind="recording", stage="decide", reason="too_short"),
            Drop(item=B1.cut_id, item_kind="cut", stage="decide", reason="clipping"),
            Drop(item="5", item_kind="source", stage="identify", reason="not_media"),
        ],
    )
    corpus.append(
        "verdicts",
        [
            verdict("v1", "a", 100.0, 200.0, "reject", comment="a plane"),
            verdict("v2", "a", 100.0, 200.0, "keep", supersedes="v1", comment="no, wind"),
            verdict("v3", "b", 0.0, 80.0, "reject"),
            verdict("v4", "b", 0.0, 80.0, "open", supersedes="v3"),
        ],
    )
    corpus.append(
        "tasks",
        [
            Task(
                task_key="t",
                recording_id="b",
                start_ms=0,
                end_ms=80_000,
                span_start_ms=0,
                span_end_ms=80_000,
                purpose="agreement",
                round=1,
                prelabelled=False,
                has_picture=True,
                annotators=3,
                priority=1.0,
                why="",
                recipe_hash="r",
                planned_at=NOW,
            )
        ],
    )
    corpus.append("annotations", [answer("n1", "ann", "keep"), answer("n2", "bob", "reject")])
    return corpus


def found(corpus: Corpus, **asked: object) -> set[str]:
    catalog = Catalog(corpus)
    filter = Filter(**asked)  # type: ignore[arg-type]
    rows = set(catalog.cuts(filter)["cut_id"].to_pylist())
    assert sum(total.cuts for total in catalog.totals(filter).values()) == len(rows)
    return rows


def ids(*cuts: Cut) -> set[str]:
    return {one.cut_id for one in cuts}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, (A0, A1, B0, B1, C0)),
        ({"decisions": ("review",)}, (A1, C0)),
        ({"decisions": ("review", "reject")}, (A1, B1, C0)),
        ({"reasons": ("narrow_band",)}, (B1,)),
        ({"tags": ("speech",)}, (A1,)),
        ({"tags": ("music",)}, ()),  # it ends where one cut begins and begins where another ends: neither holds it
        ({"channels": ("sea",)}, (A0, A1, C0)),
        ({"channels": ("",)}, ()),
        ({"licences": ("",)}, (B0, B1, C0)),
        ({"licences": ("CC0-1.0", "")}, (A0, A1, B0, B1, C0)),
        ({"people": ("keep",)}, (A1,)),
        ({"people": ("reject",)}, ()),  # both rejections were taken back
        ({"people": ("disputed",)}, (B0,)),
        ({"people": ("unreviewed",)}, (A0, B1, C0)),
        ({"people": ("commented",)}, (A1,)),
        ({"risk": (0.3417, 0.3417)}, (C0,)),
        ({"risk": (0.2, 0.4)}, (A1, B0, C0)),
        ({"seconds": (80.0, 90.0)}, (A0, B0)),
        ({"measures": (("loudness_lufs", -22.0, -20.0),)}, (A0, B0)),
        ({"measures": (("clipped", 0.0, 1.0),)}, ()),  # nobody measured it
        ({"text": "NIGHT harbour"}, (A0, A1)),
        ({"text": "later"}, ()),  # only the first source's title counts
        ({"text": "wind"}, (A1,)),
        ({"text": "plane"}, ()),  # said in a row that was superseded
        ({"text": "100%/x"}, (C0,)),
        ({"text": NASTY}, (C0,)),
        ({"text": "%"}, (C0,)),
        ({"text": C0.cut_id[:9]}, (C0,)),
        ({"channels": (NASTY,)}, ()),
        ({"recording": "b", "decisions": ("accept",)}, (B0,)),
    ],
)
def test_a_filter_shows_what_it_names(small: Corpus, asked: dict[str, object], expected: tuple[Cut, ...]) -> None:
    assert found(small, **asked) == ids(*expected)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {"a", "b", "c", "d"}),
        ({"decisions": ("review",)}, {"a", "c"}),
        ({"reasons": ("too_short",)}, {"d"}),
        ({"reasons": ("clipping",)}, {"b"}),
        ({"decisions": ("accept",), "reasons": ("clipping",)}, set()),  # one cut has to have both
        ({"channels": ("",)}, {"d"}),
        ({"channels": ("sea",), "risk": (0.0, 0.1)}, {"a"}),
    ],
)
def test_recordings_have_such_a_cut_or_were_dropped_for_the_reason(
    small: Corpus, asked: dict[str, object], expected: set[str]
) -> None:
    catalog, filter = Catalog(small), Filter(**asked)  # type: ignore[arg-type]
    assert set(catalog.recordings(filter)["recording_id"].to_pylist()) == expected
    assert catalog.count_recordings(filter) == len(expected)


def test_facets_say_what_each_choice_would_show_beside_the_rest(small: Corpus) -> None:
    filter = Filter(decisions=("review",), channels=("sea",))
    catalog = Catalog(small)
    facets = catalog.facets(filter)
    assert facets["decisions"] == {"accept": 1, "review": 2}
    assert facets["channels"] == {"sea": 2}
    for name, values in facets.items():
        for value, count in values.items():
            chosen = replace(filter, **{name: (value,)})  # type: ignore[arg-type]
            assert catalog.cuts(chosen).num_rows == count, (name, value)


def test_pages_in_any_order_neither_repeat_nor_lose_a_row(small: Corpus) -> None:
    catalog = Catalog(small)
    for sort in ("risk", "decision", "channel", "licence", "title", "start"):
        for descending in (False, True):
            one_by_one = [
                catalog.cuts(Filter(), sort=sort, descending=descending, limit=1, offset=place)["cut_id"][0].as_py()
                for place in range(5)
            ]
            assert set(one_by_one) == ids(A0, A1, B0, B1, C0)
            assert one_by_one == catalog.cuts(Filter(), sort=sort, descending=descending)["cut_id"].to_pylist()
    risks = catalog.cuts(Filter(), sort="risk", descending=False)["risk"].to_pylist()
    assert risks == sorted(risks)


def test_no_other_text_than_a_column_becomes_part_of_a_query(small: Corpus) -> None:
    for ask in (Catalog(small).cuts, Catalog(small).recordings):
        with pytest.raises(KeyError, match="no column"):
            ask(Filter(), sort="risk; DROP TABLE cuts")
    with pytest.raises(KeyError, match="no column"):
        Catalog(small).histogram("search", Filter())  # type: ignore[arg-type]


def test_the_figures_of_the_overview(small: Corpus) -> None:
    catalog = Catalog(small)
    drops = {(one.item_kind, one.reason): (one.items, one.seconds) for one in catalog.drops(Filter())}
    assert drops == {
        ("recording", "too_short"): (1, 20.0),
        ("cut", "clipping"): (1, 60.0),
        ("source", "not_media"): (1, None),
    }
    assert [one.reason for one in catalog.drops(Filter(channels=("wood",)))] == ["clipping"]
    chosen = catalog.chosen_point(Filter())
    assert chosen is not None and (chosen.risk, chosen.seconds) == (0.2, 170.0)
    assert catalog.chosen_point(Filter(decisions=("review",))) is None
    curve = [(point.risk, point.seconds) for point in catalog.yield_curve(Filter())]
    assert curve == [(0.05, 90.0), (0.2, 170.0), (0.3417, 235.0), (0.4, 335.0)]
    assert [point.risk for point in catalog.yield_curve(Filter(), points=2)] == [0.05, 0.4]
    reasons = catalog.reasons(Filter(), "review")
    assert {name: (one.cuts, one.seconds) for name, one in reasons.items()} == {
        "possible_speech": (1, 100.0),
        "possible_music": (1, 65.0),
    }
    (progress,) = catalog.progress(Filter())
    assert asdict(progress) == {"purpose": "agreement", "tasks": 1, "done": 0, "wanted": 3, "given": 2}
    assert catalog.progress(Filter(channels=("sea",))) == []


def test_a_histogram_counts_every_measured_cut_once(small: Corpus) -> None:
    rows = Catalog(small).histogram("loudness_lufs", Filter(), bins=4, show=(-60.0, 0.0)).to_pylist()
    assert sum(row["cuts"] for row in rows) == 5
    assert {(row["low"], row["high"]) for row in rows} == {(-60.0, 0.0)}
    assert {row["bin"] for row in rows} == {2}  # all lie between -26 and -20.5
    assert Catalog(small).histogram("clipped", Filter()).num_rows == 0
    small.replace("cuts", [replace(one, dead_channels=0) for one in (A0, A1, B0)])
    level = Catalog(small).histogram("dead_channels", Filter(), show=(0.0, 0.0)).to_pylist()
    assert [(row["bin"], row["decision"], row["cuts"]) for row in level] == [(0, "accept", 2), (0, "review", 1)]


def test_a_changed_table_makes_a_new_catalog_and_only_that(small: Corpus) -> None:
    first = catalog_of(small)
    assert catalog_of(small) is first
    small.append("verdicts", [verdict("v9", "c", 10.0, 75.0, "keep")])
    second = catalog_of(small)
    assert second is not first
    assert second.cuts(Filter(people=("keep",))).num_rows == 2
    assert first.cuts(Filter(people=("keep",))).num_rows == 1


def test_the_next_cut_is_found_in_both_directions(small: Corpus) -> None:
    catalog = Catalog(small)
    waiting = [("a", 100.0), ("c", 10.0)]
    assert catalog.next_cut("", -1.0, 1) == waiting[0]
    assert catalog.next_cut("a", 99.0, 1) == waiting[0]
    assert catalog.next_cut("a", 100.0, 1) == waiting[1]
    assert catalog.next_cut("b", 500.0, -1) == waiting[0]
    assert catalog.next_cut("c", 10.0, 1) is None and catalog.next_cut("a", 100.0, -1) is None
    assert catalog.next_cut("a", 0.0, 1, "reject") == ("b", 90.0)
    every, place = [], catalog.next_cut("", -1.0, 1, None)
    while place is not None:
        every.append(place)
        place = catalog.next_cut(*place, 1, None)
    assert every == [("a", 0.0), ("a", 100.0), ("b", 0.0), ("b", 90.0), ("c", 10.0)]


def test_a_corpus_without_a_row_has_nothing_to_find(tmp_path: Path) -> None:
    catalog = Catalog(Corpus.create(tmp_path / "empty"))
    assert catalog.cuts(Filter()).num_rows == catalog.recordings(Filter()).num_rows == 0
    assert set(catalog.seconds_by_outcome(Filter()).values()) == {0.0}
    assert catalog.drops(Filter()) == []
    assert catalog.yield_curve(Filter()) == ()
    assert not any(catalog.facets(Filter()).values())


def test_the_account_is_that_of_the_tables(review_corpus: Corpus) -> None:
    expected = read_account(review_corpus)
    assert Catalog(review_corpus).seconds_by_outcome(Filter()) == pytest.approx(dict(expected.seconds), abs=1e-6)


_TIMES = st.integers(0, 40).map(float)
_SPANS = st.tuples(st.sampled_from("ab"), _TIMES, st.integers(1, 20).map(float))
_LABELS = st.sampled_from(["speech", "music", "silence", "noise"])


@settings(max_examples=60, deadline=None)
@given(st.lists(_SPANS, max_size=5), st.lists(st.tuples(_SPANS, _LABELS), max_size=8))
def test_labels_inside_are_of_events_that_overlap(
    cuts: list[tuple[str, float, float]], events: list[tuple[tuple[str, float, float], str]]
) -> None:
    made = [Event(recording_id=r, start=s, end=s + d, label=label, source="fusion") for (r, s, d), label in events]
    own = [cut(r, s, s + d) for r, s, d in cuts]
    labels = ("music", "speech", "silence")
    expected = [
        [
            label
            for label in labels
            if any(
                e.recording_id == c.recording_id and e.label == label and e.segment.overlaps(c.segment) for e in made
            )
        ]
        for c in own
    ]
    found: pa.Array = labels_inside(to_table("events", made), to_table("cuts", own), labels)
    assert found.to_pylist() == expected


def test_an_address_brings_the_filter_back() -> None:
    filter = Filter(
        text="a b",
        decisions=("review",),
        channels=("", "x&y=z"),
        risk=(0.25, 1.0),
        seconds=(float("-inf"), 120.0),
        measures=(("loudness_lufs", -30.0, -20.0),),
    )
    asked = {name: [value] if isinstance(value, str) else value for name, value in to_query(filter).items()}
    assert from_query(asked) == filter
    assert from_query(asked | {"list": ["recordings"]}) == filter  # what is no field is somebody else's
    assert from_query({}) == Filter()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"decisions": ["maybe"]}, "decisions: 'maybe' is not one of accept, review, reject"),
        ({"people": ["all"]}, "people: 'all' is not one of"),
        ({"risk": ["high"]}, "risk: 'high' must be two numbers"),
        ({"risk": ["0.9..0.1"]}, "the first must not be the larger"),
        ({"risk": ["nan..1"]}, "must be two numbers"),
        ({"loudness_lufs": ["1..2..3"]}, "loudness_lufs: '1..2..3' must be two numbers"),
        ({"text": ["x" * 301]}, "301 characters, the limit is 300"),
    ],
)
def test_an_address_that_asks_for_what_cannot_be_is_refused(asked: dict[str, list[str]], said: str) -> None:
    with pytest.raises(BadFilter, match=said.replace("(", r"\(")):
        from_query(asked)


def test_an_open_row_decides_nothing(small: Corpus) -> None:
    rows = {row["cut_id"]: row for row in Catalog(small).cuts(Filter()).to_pylist()}
    assert rows[B0.cut_id]["verdict"] is None
    assert (rows[A1.cut_id]["verdict"], rows[A1.cut_id]["author"], rows[A1.cut_id]["comment"]) == (
        "keep",
        "ann",
        "no, wind",
    )


def test_annotators_who_say_the_same_do_not_disagree(small: Corpus) -> None:
    assert found(small, people=("disputed",)) == ids(B0)
    later = replace(answer("n3", "bob", "keep"), annotation_id="n2", updated_at=NOW.replace(day=2))
    small.append("annotations", [later])  # bob changed his mind: his latest answer counts
    assert found(small, people=("disputed",)) == set()
    assert found(small, people=("annotated",)) == ids(B0)

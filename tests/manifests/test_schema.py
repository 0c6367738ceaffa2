"""The schemas as the design lists them, and what they refuse."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.records import AudioTrack, Cut, Drop, Duplicate, Event, LedgerRow, Measured, Rating, Recording, Source
from manifests.schema import PRIMARY_KEYS, SCHEMAS, SchemaError, migrate, sort_rows, to_records, to_table

EVENT = Event(recording_id="r", start=0.0, end=1.0, label="sfx", source="yamnet", score=0.5)
TRACK = AudioTrack(
    index=1, codec="aac", sample_rate=48_000, channels=2, language="eng", title="ü", role="", chosen=True, silent=False
)
RECORDS: dict[str, list[Any]] = {
    "sources": [
        Source(
            source_id="s",
            uri="m:ü\n",
            recording_id="r",
            origin="folder",
            fetched_at=datetime(2026, 1, 2, tzinfo=UTC),
        ),
        Source(source_id="t", uri="m:x", origin="folder"),
    ],
    "recordings": [
        Recording(
            recording_id="r",
            uri="m:x",
            bytes=2**40,
            duration=1.5,
            width=1920,
            channels=2,
            has_video=True,
            audio_tracks=(TRACK,),
            splices=(60.032,),
            status="ok",
        ),
        Recording(recording_id="q", uri="m:y", has_video=False, status="empty"),
    ],
    "events": [EVENT, replace(EVENT, score=None)],
    "cuts": [
        Cut(cut_id="c", recording_id="r", start=0, end=60, decision="accept", risk=0.25, recipe_hash="h"),
        Cut(
            cut_id="d",
            parent_cut_id="c",
            recording_id="r",
            start=0,
            end=50,
            decision="review",
            reasons=("speech near", "short"),
            risk=0.5,
            recipe_hash="h",
        ),
    ],
    "drops": [Drop(item="s", item_kind="source", stage="identify", reason="vanished", detail="x", recipe_hash=None)],
    "duplicates": [Duplicate(recording_id="r", kept_id="k", method="audio", offset=4.0, start=0, end=168)],
    "ratings": [
        Rating(
            rating_id="x",
            trial_id="t",
            cut_id="c",
            recording_id="r",
            start_ms=0,
            end_ms=8000,
            system="reference",
            question="quality",
            score=5,
            preferred=True,
            author="ann",
            made_at=datetime(2026, 1, 2, tzinfo=UTC),
        )
    ],
    "ledger": [
        LedgerRow(
            stage="score",
            key="k",
            item="r",
            outcome="done",
            result="{}",
            attempt=1,
            started_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
            seconds=0.5,
        )
    ],
}


MEASURES = [f.name for f in fields(Measured)]


def columns(name: str) -> str:
    return ", ".join(f"{f.name} {f.type}{'' if f.nullable else '*'}" for f in SCHEMAS[name])


MEASURED = (
    "loudness_lufs float, clipped float, bandwidth_hz float, dc float, dead_channels int16, copied_channels int16, "
    "mono_loss_db float, dropouts float, still_share float, scene_cuts float"
)


def test_the_schemas_are_the_designs() -> None:
    assert columns("sources") == (
        "source_id string*, uri string*, recording_id string, origin string*, channel string, title string, "
        "licence string, fetched_at timestamp[us, tz=UTC]"
    )
    assert columns("recordings") == (
        "recording_id string*, uri string*, sha256 string, bytes int64, duration double, audio_end double, "
        "video_end double, container string, "
        "audio_codec string, video_codec string, width int32, height int32, fps double, sample_rate int32, "
        "channels int16, has_video bool*, status string*, "
        "audio_tracks list<element: struct<index: int16, codec: string, sample_rate: int32, channels: int16, "
        "language: string, title: string, role: string, chosen: bool, silent: bool>>*, "
        "splices list<element: double>*, " + MEASURED
    )
    assert columns("events") == (
        "recording_id string*, start double*, end double*, label string*, source string*, score float"
    )
    assert columns("cuts") == (
        "cut_id string*, parent_cut_id string, recording_id string*, start double*, end double*, "
        "decision string*, reasons list<element: string>*, risk float*, recipe_hash string*, " + MEASURED
    )
    assert columns("drops") == (
        "item string*, item_kind string*, stage string*, reason string*, detail string, recipe_hash string"
    )
    assert columns("scores") == (
        "recording_id string*, detector string*, version string*, key string*, start double*, hop double*, "
        "window double*, labels list<element: string>*, frames int32*, values list<element: halffloat>*, "
        "tag_ids list<element: int16>, tag_scores list<element: halffloat>, tags_per_frame int8, "
        "tag_hop double"
    )
    assert columns("duplicates") == (
        "recording_id string*, kept_id string*, method string*, offset double*, start double*, end double*"
    )
    assert columns("prints") == (
        "recording_id string*, kind string*, key string*, version string*, start double*, hop double*, "
        "words list<element: uint64>*"
    )
    assert columns("ratings") == (
        "rating_id string*, trial_id string*, cut_id string*, system string*, question string*, score int8*, "
        "preferred bool*, author string*, made_at timestamp[us, tz=UTC]*, comment string, recording_id string*, "
        "start_ms int64*, end_ms int64*"
    )
    assert columns("ledger") == (
        "stage string*, key string*, item string*, outcome string*, result string, worker string, "
        "attempt int16*, started_at timestamp[us, tz=UTC]*, seconds double*"
    )
    for name, schema in SCHEMAS.items():
        # files of tables that did not change stay as they are
        version = b"4" if name in ("annotations", "recordings") else b"3"
        assert schema.metadata == {b"lpse.table": name.encode(), b"lpse.schema_version": version}
        assert set(PRIMARY_KEYS.get(name, ())) <= set(schema.names)


@pytest.mark.parametrize("name", RECORDS)
def test_records_come_back_from_arrow(name: str) -> None:
    table = to_table(name, iter(RECORDS[name]))
    assert table.schema.equals(SCHEMAS[name], check_metadata=True)
    assert list(to_records(name, table.to_batches())) == RECORDS[name]


UNKNOWN: Any = {"audio_tracks": (), "splices": ()}
"""What the columns of version 4 of `recordings` hold for files that were not read again."""


@pytest.mark.parametrize("name", ["recordings", "cuts"])
def test_tables_of_version_1_gain_the_measures_unmeasured(name: str) -> None:
    rows = [replace(row, **UNKNOWN) for row in RECORDS[name]] if name == "recordings" else RECORDS[name]
    later = ["audio_end", "video_end", *UNKNOWN] if name == "recordings" else []
    old = to_table(name, rows).drop_columns([*MEASURES, *later])
    assert list(to_records(name, migrate(name, old, 1).to_batches())) == rows
    with pytest.raises(SchemaError, match=rf"{name}: columns missing: \['recording_id'\]"):
        migrate(name, old.drop_columns("recording_id"), 1)


@pytest.mark.parametrize("name", RECORDS)
def test_tables_of_version_2_stay_as_they_are(name: str) -> None:
    old = to_table(name, RECORDS[name])
    if name == "recordings":
        old = old.drop_columns(list(UNKNOWN))
    brought = migrate(name, old, 2)
    assert brought.select(old.column_names).equals(old)
    assert set(brought.column_names) - set(old.column_names) == (set(UNKNOWN) if name == "recordings" else set())
    with pytest.raises(SchemaError, match="columns missing"):
        migrate(name, old.drop_columns(SCHEMAS[name].names[0]), 2)  # version 3 brought no column: none is made up


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.sampled_from("xy")), max_size=12))
def test_rows_are_put_in_order_unless_they_are(keys: list[tuple[str, int, str]]) -> None:
    events = [replace(EVENT, recording_id=one, start=float(start), end=9.0, label=label) for one, start, label in keys]
    made = list(to_records("events", sort_rows("events", to_table("events", events)).to_batches()))
    assert made == sorted(events, key=lambda row: (row.recording_id, row.start, row.end, row.label))
    table = to_table("events", made)
    assert sort_rows("events", table) is table


def test_arrow_of_other_types_and_order_is_fitted() -> None:
    table = to_table("events", RECORDS["events"])
    loose = table.select(table.column_names[::-1]).cast(
        pa.schema(
            [
                pa.field(f.name, pa.large_string() if f.type == pa.string() else f.type)
                for f in reversed(SCHEMAS["events"])
            ]
        )
    )
    assert to_table("events", loose).equals(table)
    assert to_table("events", iter(loose.to_batches())).equals(table)
    assert to_table("events", []).equals(SCHEMAS["events"].empty_table())


def test_what_does_not_fit_is_refused_by_column() -> None:
    table = to_table("events", RECORDS["events"])
    nothing: Any = None
    with pytest.raises(SchemaError, match=r"events: columns missing: \['label'\], columns unknown: \['tag'\]"):
        to_table("events", table.rename_columns(["recording_id", "start", "end", "tag", "source", "score"]))
    with pytest.raises(SchemaError, match=r"events.label: 1 of 2 rows are null"):
        to_table("events", [EVENT, replace(EVENT, label=nothing)])
    with pytest.raises(SchemaError, match=r"events.start"):
        to_table("events", [replace(EVENT, start="soon")])  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match=r"recordings.channels"):
        to_table("recordings", [replace(RECORDS["recordings"][0], channels=2**15)])
    with pytest.raises(SchemaError, match="events"):
        to_table("events", table.set_column(1, "start", pa.array(["soon", "later"])))
    with pytest.raises(TypeError, match="events holds Event records, not Drop"):
        to_table("events", [EVENT, RECORDS["drops"][0]])

"""The tables of a catalog in SQL: one row per cut and per recording, joined with sources, verdicts and annotations."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa

from manifests.annotations import counted
from manifests.labels import load_labels
from manifests.records import Annotation
from manifests.schema import SCHEMAS
from manifests.store import Corpus
from manifests.uris import display_path

from .accounting import labels_inside, outcomes_of

if TYPE_CHECKING:
    import duckdb

# table -> the columns that are read; of `annotations`, only the rows that count
TABLES: dict[str, tuple[str, ...]] = {
    "sources": ("source_id", "recording_id", "origin", "channel", "title", "licence"),
    "recordings": ("recording_id", "uri", "duration", "has_video", "status"),
    "cuts": tuple(name for name in SCHEMAS["cuts"].names if name != "recipe_hash"),
    "events": ("recording_id", "start", "end", "label", "source"),
    "drops": ("item", "item_kind", "stage", "reason"),
    "duplicates": ("recording_id", "start", "end"),
    "verdicts": (
        "recording_id", "start_ms", "end_ms", "verdict_id", "supersedes", "decision", "author", "comment", "made_at",
    ),
    "tasks": ("task_key", "recording_id", "purpose", "annotators"),
    "annotations": ("recording_id", "start_ms", "end_ms", "task_key", "annotator", "verdict"),
}  # fmt: skip

_STEPS = (
    # a recording may have several sources: the first that names a value gives it
    """CREATE TEMP TABLE named AS SELECT recording_id,
        arg_min(title, source_id) FILTER (WHERE title <> '') AS title,
        arg_min(channel, source_id) FILTER (WHERE channel <> '') AS channel,
        arg_min(licence, source_id) FILTER (WHERE licence <> '') AS licence,
        arg_min(origin, source_id) AS origin
    FROM sources_read WHERE recording_id IS NOT NULL GROUP BY recording_id""",
    "CREATE TABLE drops AS FROM drops_read",
    # the judgement of people: verdicts that no row supersedes, and the answers of annotators
    """CREATE TEMP TABLE ruled AS SELECT * FROM verdicts_read
    WHERE verdict_id NOT IN (SELECT supersedes FROM verdicts_read WHERE supersedes IS NOT NULL)""",
    """CREATE TEMP TABLE answered AS
    SELECT recording_id, start_ms, end_ms, task_key, count(DISTINCT annotator) AS answers,
        count(DISTINCT annotator) > 1 AND count(DISTINCT verdict) > 1 AS disputed
    FROM annotations_read GROUP BY recording_id, start_ms, end_ms, task_key""",
    """CREATE TABLE requested AS SELECT task_key, tasks_read.recording_id, purpose, annotators AS wanted,
        coalesce(given.answers, 0) AS answers
    FROM tasks_read LEFT JOIN (SELECT task_key, max(answers) AS answers FROM answered GROUP BY task_key) given
        USING (task_key)""",
    """CREATE TEMP TABLE judged AS SELECT cut_id,
        arg_max(ruled.decision, (made_at, verdict_id)) FILTER (WHERE ruled.decision <> 'open') AS verdict,
        arg_max(author, (made_at, verdict_id)) AS author,
        string_agg(comment, ' · ' ORDER BY made_at, verdict_id) FILTER (WHERE comment <> '') AS comment
    FROM cuts_read JOIN ruled ON cuts_read.recording_id = ruled.recording_id
        AND start_ms < round("end" * 1000) AND end_ms > round(start * 1000) GROUP BY cut_id""",
    """CREATE TEMP TABLE annotated AS SELECT cut_id, bool_or(disputed) AS disputed
    FROM cuts_read JOIN answered ON cuts_read.recording_id = answered.recording_id
        AND start_ms < round("end" * 1000) AND end_ms > round(start * 1000) GROUP BY cut_id""",
    """CREATE TABLE cuts AS SELECT
        cuts_read.* EXCLUDE (risk), round(risk::DOUBLE, 4) AS risk, "end" - start AS seconds,
        file, title, channel, licence, duration AS recording_seconds, has_video, verdict, author, comment,
        list_filter([verdict, CASE WHEN comment IS NOT NULL THEN 'commented' END,
            CASE WHEN annotated.cut_id IS NOT NULL THEN 'annotated' END, CASE WHEN disputed THEN 'disputed' END,
            CASE WHEN verdict IS NULL AND annotated.cut_id IS NULL THEN 'unreviewed' END],
            lambda x: x IS NOT NULL) AS people,
        lower(concat_ws(' ', title, file, channel, cuts_read.recording_id, cuts_read.cut_id, comment)) AS search
    FROM cuts_read LEFT JOIN files_read USING (recording_id) LEFT JOIN named USING (recording_id)
        LEFT JOIN judged USING (cut_id) LEFT JOIN annotated USING (cut_id)""",
    """CREATE TABLE recordings AS SELECT
        recording_id, file, title, channel, licence, origin, duration AS seconds, status, has_video,
        coalesce(cuts, 0) AS cuts, coalesce(accept, 0.0) AS accept, coalesce(review, 0.0) AS review,
        coalesce(reject, 0.0) AS reject, worst_risk, coalesce(reasons, []) AS drop_reasons,
        lower(concat_ws(' ', title, file, channel, recording_id, comments)) AS search
    FROM files_read LEFT JOIN named USING (recording_id)
    LEFT JOIN (SELECT recording_id, count(*) AS cuts, max(risk) AS worst_risk,
        sum(seconds) FILTER (WHERE decision = 'accept') AS accept,
        sum(seconds) FILTER (WHERE decision = 'review') AS review,
        sum(seconds) FILTER (WHERE decision = 'reject') AS reject,
        string_agg(comment, ' ' ORDER BY start) AS comments
        FROM cuts GROUP BY recording_id) USING (recording_id)
    LEFT JOIN (SELECT item AS recording_id, list_sort(list_distinct(list(reason))) AS reasons
        FROM drops WHERE item_kind = 'recording' GROUP BY item) USING (recording_id)""",
)


def fill(connection: duckdb.DuckDBPyConnection, corpus: Corpus) -> Callable[[], pa.Table]:
    """Make the tables `cuts`, `recordings`, `drops` and `requested`; returns a function that makes the outcomes.

    Raises CorpusError for tables that cannot be read.
    """
    read = {name: _read(corpus, name, columns) for name, columns in TABLES.items() if name != "annotations"}
    read["annotations"] = _answers(corpus, corpus.stamp("annotations"))
    labels = load_labels().names
    cuts = read["cuts"].append_column("tags", labels_inside(read["events"], read["cuts"], labels))
    views = {
        **{f"{name}_read": read[name] for name in ("sources", "drops", "verdicts", "tasks", "annotations")},
        "cuts_read": cuts,
        "files_read": read["recordings"].append_column(
            "file", pa.array(list(map(display_path, read["recordings"]["uri"].to_pylist())), pa.string())
        ),
    }
    for name, table in views.items():
        connection.register(name, table)
    for step in _STEPS:
        connection.execute(step)
    for name in views:
        connection.unregister(name)
    return lambda: outcomes_of(read)


def _read(corpus: Corpus, name: str, columns: tuple[str, ...]) -> pa.Table:
    # a writer that replaces a table removes its old file: the next attempt finds the new one
    for attempt in range(3):
        try:
            return corpus.table(name).to_arrow(list(columns))
        except FileNotFoundError:
            if attempt == 2:
                raise
    raise AssertionError


@lru_cache(2)  # a reviewer's decision changes other tables, and 20,000 annotations take a second
def _answers(corpus: Corpus, _stamp: object) -> pa.Table:
    """The annotations that count."""
    columns = TABLES["annotations"]
    rows = counted(corpus.rows(Annotation)).answers
    schema = pa.schema([SCHEMAS["annotations"].field(name) for name in columns])
    return pa.Table.from_pylist([{name: getattr(row, name) for name in columns} for row in rows], schema)

"""Other programs read every file of a feature cache: all rows, all values, in the shape of the arrays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from features.cache import CacheSpec
from tests.support.cache_cases import SPEC, cache_of, features, some
from tests.support.parquet_readers import READERS, arrow_rows

SPECS = {"float16": SPEC, "float32": replace(SPEC, dtype="float32")}


@pytest.fixture(scope="module", params=SPECS)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in several parts; some cuts have no video, so their columns are null."""
    spec: CacheSpec = SPECS[request.param]
    cuts = [*some(6, spec), features(7, clips=3, spec=spec)]
    return cache_of(tmp_path_factory.mktemp("plain"), cuts, spec)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("part", ["clips", "cuts", "texts", "index.parquet"])
def test_a_program_reads_what_was_written(path: Path, tmp_path: Path, part: str, reader: str) -> None:
    files = sorted((path / part).glob("*.parquet")) or [path / part]
    for file in files:
        expected = arrow_rows(file)
        assert expected and expected[0]
        assert READERS[reader](file, tmp_path) == expected

"""Page headers of files that nobody vouches for: read, or refused at once."""

from __future__ import annotations

import io
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.pages import DATA_PAGE, PageError, page_header, pages
from tests.support.limits import within
from tests.support.thrift_bytes import HOSTILE, header


def _real() -> tuple[bytes, int, int]:
    """A Parquet file, and the span of one of its columns, which has several pages."""
    file = io.BytesIO()
    table = pa.table({"a": pa.array([[float(i)] * (i % 5) for i in range(500)], pa.list_(pa.float32()))})
    pq.write_table(table, file, compression="NONE", use_dictionary=False, data_page_size=400, write_batch_size=50)
    chunk = pq.ParquetFile(file).metadata.row_group(0).column(0)
    return file.getvalue(), chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size


FILE, BEGIN, END = _real()


def test_a_header_made_by_hand_is_read() -> None:
    made = page_header(header(20, 30, 7) + b"content")
    assert (made.kind, made.size, made.uncompressed, made.values) == (DATA_PAGE, 20, 30, 7)
    assert made.length == len(header(20, 30, 7)) and made.crc is None


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_headers_are_refused_at_once(data: bytes) -> None:
    with within(1), pytest.raises(PageError, match=r"^no page header$"):
        page_header(data)


@given(st.binary(max_size=200))
def test_a_header_of_anything_ends_well(data: bytes) -> None:
    _ends_well(data)


@given(st.integers(0, 39), st.binary(min_size=1, max_size=12))
def test_a_damaged_header_ends_well(at: int, damage: bytes) -> None:
    _ends_well(FILE[BEGIN : BEGIN + at] + damage + FILE[BEGIN + at + len(damage) : END])


def _ends_well(data: bytes) -> None:
    try:
        made = page_header(data)
    except PageError as reason:
        assert str(reason) == "no page header"
    else:
        assert 0 < made.length <= len(data)
        assert min(made.kind, made.size, made.uncompressed, made.values or 0, made.encoding or 0) >= 0
        assert made.crc is None or 0 <= made.crc < 1 << 32


def test_pages_follow_each_other_to_the_end_of_the_column() -> None:
    found = list(pages(memoryview(FILE), BEGIN, END))
    assert len(found) > 3 and found[0][0] == BEGIN
    for (at, one), (after, _) in pairwise(found):
        assert at + one.length + one.size == after
    chunk = pq.read_metadata(io.BytesIO(FILE)).row_group(0).column(0)
    assert sum(one.values or 0 for _, one in found) == chunk.num_values


@given(st.integers(BEGIN, END - 1), st.integers(0, 255))
def test_damaged_pages_stay_within_their_column(at: int, byte: int) -> None:
    changed = FILE[:at] + bytes([byte]) + FILE[at + 1 :]
    try:
        for place, one in pages(memoryview(changed), BEGIN, END):
            assert place + one.length + one.size <= END
    except PageError:
        pass


@pytest.mark.parametrize(("begin", "end"), [(-5, 10), (10, 5), (0, len(FILE) + 1), (1 << 62, 1 << 63)])
def test_columns_outside_the_file_are_refused(begin: int, end: int) -> None:
    with pytest.raises(PageError, match="beyond the file"):
        list(pages(memoryview(FILE), begin, end))

"""Footers on which pyarrow ends the whole process are refused before it gets to them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.declared import open_declared
from manifests.footer import check_footer
from manifests.pages import PageError

LISTS = pa.table({"a": pa.array([[1.0, None], None, []] * 40, pa.list_(pa.float32())), "b": range(120)})


def _written(path: Path) -> bytes:
    pq.write_table(LISTS, path, row_group_size=50)
    return path.read_bytes()


def _short_histogram(content: bytes) -> bytes:
    """The last column of lists gets a histogram of three levels in place of four."""
    length = int.from_bytes(content[-8:-4], "little")
    footer = content[-8 - length : -8]
    at = footer.rindex(b"\x19\x46")  # a list field of four int64, after the field before it
    end = at + 2
    while footer[end] & 0x80:
        end += 1
    end += 1
    changed = footer[:at] + b"\x19\x36" + footer[end:]
    return content[: -8 - length] + changed + len(changed).to_bytes(4, "little") + b"PAR1"


def test_honest_footers_pass(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for options in ({}, {"write_statistics": False}, {"write_page_index": True}, {"compression": "zstd"}):
        pq.write_table(LISTS, path, row_group_size=50, **options)
        check_footer(memoryview(path.read_bytes()), pq.read_metadata(path))
        assert open_declared(path).read().equals(LISTS)


def test_a_histogram_of_another_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(_short_histogram(_written(path)))
    with pytest.raises(PageError, match="column 0: statistics of 3 levels, it has 4"):
        open_declared(path)
    # the reason: the library aborts
    program = f"import pyarrow.parquet as pq; pq.read_metadata({str(path)!r}).row_group(2).column(0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode < 0 and "histogram size mismatch" in done.stderr


@given(st.binary(max_size=300), st.integers(0, 400))
def test_a_footer_of_anything_ends_well(tmp_path_factory: pytest.TempPathFactory, damage: bytes, at: int) -> None:
    path = tmp_path_factory.mktemp("footers") / "a.parquet"
    content = _written(path)
    metadata = pq.read_metadata(path)
    length = int.from_bytes(content[-8:-4], "little")
    begin = len(content) - 8 - length + at % length
    changed = content[:begin] + damage + content[begin + len(damage) : -8] + content[-8:]
    try:
        check_footer(memoryview(changed), metadata)
    except PageError as error:
        assert len(str(error).splitlines()) == 1

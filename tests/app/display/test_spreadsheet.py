"""CSV for spreadsheets: no cell begins as a formula does, and all other text stays as it is."""

from __future__ import annotations

import csv
import io
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.display.spreadsheet import as_csv

SIGNS = "=+-@＝＋－＠﹦﹢﹣﹫−"


def _read(*texts: str, kind: pa.DataType | None = None) -> list[str]:
    table = pa.table({"text": pa.array(texts, kind or pa.string()), "number": range(len(texts))})
    return [row["text"] for row in csv.DictReader(io.StringIO(as_csv(table).decode(), newline=""))]


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("before", ["", "\n", "\r", "\r\n", "\t", " ", "  \n ", "\u3000", "\u00a0", "\ufeff", "\u200b"])
def test_a_quote_precedes_a_formula(sign: str, before: str) -> None:
    formula = f"{before}{sign}1+1"
    for kind in (pa.string(), pa.large_string()):
        (written,) = _read(formula, kind=kind)
        assert written.startswith("'") and written.replace("'", "") == formula


@pytest.mark.parametrize("text", ["\ta", "\ra", "\na", "\n", "\t"])
def test_a_quote_precedes_a_leading_break(text: str) -> None:
    assert _read(text) == [f"'{text}"]


@pytest.mark.parametrize("text", ["a=b", "rain", "", " rain", "'=1", "1-2", "über", "雨＋風", "a\nb", "#1", "(=)"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert _read(text) == [text]


def test_a_formula_behind_a_line_break_is_guarded_too() -> None:
    assert _read("rain\n=1+1", "rain\t\uff1d1", "a\n b") == ["rain\n'=1+1", "rain\t'\uff1d1", "a\n b"]


def test_numbers_and_lists_keep_their_form() -> None:
    table = pa.table({"n": [-1.5, 2.0], "words": [["=a", "b"], ["c", "=d"]], "none": pa.array([None, "x"])})
    lines = as_csv(table).decode().splitlines()
    assert lines == ['"n","words","none"', '-1.5,"\'=a b",', '2,"c =d","x"']


@given(st.text(max_size=20))
def test_no_cell_begins_with_a_sign(text: str) -> None:
    (written,) = _read(text.replace("\0", ""))
    for line in written.replace("\r", "\n").replace("\t", "\n").split("\n"):
        shown = line.lstrip("".join({c for c in line if unicodedata.category(c) in ("Zs", "Zl", "Zp", "Cc", "Cf")}))
        assert not shown.startswith(tuple(SIGNS))

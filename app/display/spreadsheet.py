"""Tables for spreadsheets, as CSV in which no cell is a formula."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

# what programs take for the beginning of a formula: the signs, their full-width, small and mathematical forms
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212"
# they skip spaces and invisible characters before it, and some split a cell at a line break or a tab
_FORMULA = rf"^([\t\r\n]|[\s\pZ\pC]*[{_SIGNS}])"
_AFTER_BREAK = rf"([\t\r\n])((?:\pZ|[^\PC\t\r\n])*[{_SIGNS}])"


def as_csv(rows: pa.Table) -> bytes:
    """The rows as CSV in UTF-8: lists are joined by spaces; a quote precedes text that could be run as a formula."""
    columns = []
    for column in rows.columns:
        if pa.types.is_list(column.type):
            column = pc.binary_join(column, " ")
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = pc.replace_substring_regex(column, _FORMULA, r"'\1")
            column = pc.replace_substring_regex(column, _AFTER_BREAK, r"\1'\2")
        columns.append(column)
    file = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(columns, rows.column_names), file)
    return file.getvalue()

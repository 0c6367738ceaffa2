"""Measures how far annotators agree with each other, with gold answers and with the detectors, and their working time.

`measure_agreement` computes it from the tables; every figure is a row that can be written to Parquet and read back.
"""

from .figures import Agreement, Figure, agreement_table, read_agreement
from .measure import measure_agreement
from .optional_imports import AgreementUnavailable

__all__ = [
    "Agreement",
    "AgreementUnavailable",
    "Figure",
    "agreement_table",
    "measure_agreement",
    "read_agreement",
]

"""How far annotators agree with each other, with known answers and with the machine, and how long they take.

`measure_agreement` makes it of the tables; every figure is a row that goes into Parquet and comes back.
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

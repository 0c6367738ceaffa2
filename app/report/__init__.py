"""`lpse report`: a corpus as one page that needs nothing but a browser."""

from .build import write_report

__all__ = ["write_report"]

"""`lpse review`: a corpus in the browser, to view, to play and to decide about."""

from .security import is_loopback
from .serve import ReviewUnavailable, serving

__all__ = ["ReviewUnavailable", "is_loopback", "serving"]

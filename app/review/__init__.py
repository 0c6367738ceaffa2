"""The app of `lpse review`: watch, play to and decide about the cuts of a corpus in the browser."""

from .security import is_loopback
from .serve import ReviewUnavailable, serving

__all__ = ["ReviewUnavailable", "is_loopback", "serving"]

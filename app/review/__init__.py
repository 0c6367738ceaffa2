"""`lpse review`: a corpus in the browser, to see, to hear and to decide about."""

from .serve import ReviewUnavailable, is_loopback, serving

__all__ = ["ReviewUnavailable", "is_loopback", "serving"]

"""The player: video, audio and tracks with one playhead, as a component of the page; and a small one for a span."""

from .component import listen, play

__all__ = ["listen", "play"]

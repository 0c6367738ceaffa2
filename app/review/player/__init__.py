"""The player: video, sound and tracks with one playhead, as a component in the page; and a small one for a span."""

from .component import listen, play

__all__ = ["listen", "play"]

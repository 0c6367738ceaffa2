"""What goes wrong with models that people bring."""


class ModelError(ValueError):
    """A checkpoint, a cache or a setting that does not fit the network; the message is one line that says what."""

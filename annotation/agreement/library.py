"""What is used of other libraries, imported when it is needed, without files in the home folder."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace


class AgreementUnavailable(RuntimeError):
    """A package that the figures need is not installed."""


@cache
def library() -> SimpleNamespace:
    """Parts of pyannote.core, pyannote.metrics, scikit-learn and SciPy. Raises AgreementUnavailable."""
    try:
        with _matplotlib_elsewhere():
            from pyannote.core import Annotation, Segment, Timeline
            from pyannote.metrics.detection import DetectionPrecisionRecallFMeasure
            from pyannote.metrics.matcher import LabelMatcher
        from scipy.stats import binomtest
        from sklearn.metrics import cohen_kappa_score
    except ImportError as error:
        raise AgreementUnavailable(
            f"agreement figures need pyannote.metrics and scikit-learn: pip install 'lpse[labelstudio]' ({error})"
        ) from error
    return SimpleNamespace(
        Annotation=Annotation,
        Detection=DetectionPrecisionRecallFMeasure,
        LabelMatcher=LabelMatcher,
        Segment=Segment,
        Timeline=Timeline,
        binomtest=binomtest,
        cohen_kappa_score=cohen_kappa_score,
    )


@contextmanager
def _matplotlib_elsewhere() -> Iterator[None]:
    """Where matplotlib is installed, pyannote.core imports it, and it lists the fonts in the home folder: not there."""
    logger, setting = logging.getLogger("matplotlib.font_manager"), "MPLCONFIGDIR"
    if os.environ.get(setting):
        yield
        return
    level = logger.level
    with tempfile.TemporaryDirectory(prefix="lpse-") as folder:
        os.environ[setting] = folder
        logger.setLevel(logging.ERROR)  # it tells that it lists them
        try:
            yield
        finally:
            logger.setLevel(level)
            del os.environ[setting]

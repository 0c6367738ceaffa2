"""Imports the optional libraries when they are needed, without files in the home folder."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

from curation.backends.matplotlib_home import matplotlib_elsewhere
from manifests.errors import LpseError


class AgreementUnavailable(LpseError, RuntimeError):
    """A package that the figures need is not installed."""


@cache
def library() -> SimpleNamespace:
    """Parts of pyannote.core, pyannote.metrics, scikit-learn and SciPy. Raises AgreementUnavailable."""
    try:
        with matplotlib_elsewhere():
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

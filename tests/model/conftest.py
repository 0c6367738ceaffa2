"""What all tests of networks share."""

from collections.abc import Iterator

import pytest
from training_cases import one_thread


@pytest.fixture(scope="module", autouse=True)
def threads() -> Iterator[None]:
    """One thread: sums over several are other sums, and small networks only wait for them."""
    with one_thread():
        yield

"""The public names of the package, and the cache of a corpus by default and by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import features
import model
from manifests.recipe import load_recipe
from manifests.store import Corpus
from tests.support.cache_cases import cache_of, some


@pytest.mark.parametrize("package", [features, model])
def test_every_public_name_is_there_and_none_is_a_module_of_the_package(package: object) -> None:
    names, folder = package.__all__, Path(str(package.__file__)).parent  # type: ignore[attr-defined]
    assert list(names) == sorted(names) and set(names) <= set(dir(package))
    assert all(getattr(package, name) is not None for name in names)
    assert not set(names) & {path.stem for path in folder.iterdir()}
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing  # type: ignore[attr-defined]


def test_importing_the_packages_loads_no_torch() -> None:
    program = "import sys, features, model; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_a_corpus_has_one_cache_or_its_recipes_or_the_named_one(tmp_path: Path) -> None:
    corpus, recipe = Corpus.create(tmp_path / "corpus"), load_recipe("packaged")
    corpus.set_recipe(recipe.settings(), recipe.hash)
    with pytest.raises(features.CacheError, match="no features yet: run lpse extract --corpus"):
        features.FeatureCache.of(corpus)
    one, other = (corpus.path / "features" / name for name in ("one", "other"))
    cache_of(one, some(1))
    assert features.FeatureCache.of(corpus).path == one
    cache_of(other, some(2))
    assert features.FeatureCache.of(corpus, "other").path == other
    with pytest.raises(features.CacheError, match="no cache third; there are one, other"):
        features.FeatureCache.of(corpus, "third")
    # the codec of the active recipe has no fit here: its own cache is unknown
    with pytest.raises(features.CacheError, match=r"several caches, name one of them: .*one, .*other"):
        features.FeatureCache.of(corpus)

"""Scikit-learn's own checks of the classifiers: of small ones, and in slow tests of those with the default settings."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from contractive import (
    ContractiveAutoencoder,
    ContractiveClassifier,
    ManifoldTangentClassifier,
    TangentNeighborsClassifier,
)

pytestmark = pytest.mark.usefixtures("quickly_compiled")

QUICK = {"max_epochs": 60, "learning_rate": 0.02}


def layer() -> ContractiveAutoencoder:
    return ContractiveAutoencoder(10, max_epochs=3)


@parametrize_with_checks([ContractiveClassifier(layer(), **QUICK)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([TangentNeighborsClassifier(layer())])
def test_scikit_learns_own_checks_of_neighbors(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([ContractiveClassifier(), ManifoldTangentClassifier(), TangentNeighborsClassifier()])
def test_scikit_learns_own_checks_of_the_defaults(estimator, check):
    check(estimator)

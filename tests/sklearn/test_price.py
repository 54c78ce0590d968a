"""What `price` refuses to vouch for: steps that learn from private rows, and scores of them."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingRegressor, VotingRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_extraction.image import PatchExtractor
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, KFold, PredefinedSplit, RandomizedSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

import dpstruct as dps
from dpstruct.sklearn import NTKClassifier, NTKRegressor, price

SHARE = 0.1


@pytest.fixture
def spent():
    return dps.Budget(4.0, 1e-6, neighbors="add-remove")


def regressor(spent, **options):
    return NTKRegressor(
        spent, share=SHARE, bounds=dps.Box(-1, 1), target=(-1, 1), expected_rows=500, n_features=20, **options
    )


def units(told, spent):
    return told.cost.units / (SHARE * spent.total.units)


class Untagged:
    """A transformer that says nothing about itself."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X


class Silent(TransformerMixin, BaseEstimator):
    """A transformer of a third party with the tags everyone inherits: it is taken to learn."""

    def fit(self, X, y=None):
        self.mean_ = X.mean(axis=0)
        return self

    def transform(self, X):
        return X - self.mean_


#: Compositions that fit something to private rows without a charge, and what the message names.
LEARNING = {
    "scaler": (lambda r: make_pipeline(StandardScaler(), r), "'standardscaler'.*StandardScaler"),
    "first of two": (lambda r: make_pipeline(PCA(1), Normalizer(), r), "'pca'.*PCA"),
    "patches": (lambda r: make_pipeline(PatchExtractor(), r), "'patchextractor'"),
    "inner pipeline": (lambda r: make_pipeline(make_pipeline(StandardScaler()), r), "'standardscaler'"),
    "columns": (lambda r: make_pipeline(ColumnTransformer([("one", StandardScaler(), [0])]), r), "'one'"),
    "other columns": (
        lambda r: make_pipeline(ColumnTransformer([("one", "drop", [0])], remainder=StandardScaler()), r),
        "'remainder'",
    ),
    "union": (lambda r: make_pipeline(FeatureUnion([("raw", "passthrough"), ("pca", PCA(1))]), r), "'pca'"),
    "untagged": (lambda r: make_pipeline(Untagged(), r), "Untagged"),
    "third party": (lambda r: make_pipeline(Silent(), r), "Silent"),
    "no transformer": (lambda r: FeatureUnion([("gp", GaussianProcessRegressor())]), "'gp'"),
    "not private": (lambda r: VotingRegressor([("private", r)]), "VotingRegressor"),
    "many fits": (lambda r: BaggingRegressor(r, n_estimators=10), "BaggingRegressor"),
    "more fits": (lambda r: MultiOutputRegressor(r), "MultiOutputRegressor"),
    "targets": (lambda r: TransformedTargetRegressor(r, transformer=StandardScaler()), "TransformedTargetRegressor"),
    "calibration": (lambda r: CalibratedClassifierCV(NTKClassifier(r.budget, share=SHARE)), "CalibratedClassifierCV"),
    "halving": (lambda r: HalvingGridSearchCV(r, {"depth": [1, 2]}), "HalvingGridSearchCV"),
}


@pytest.mark.parametrize("case", LEARNING)
def test_what_learns_without_a_charge_has_no_price(spent, case):
    make, named = LEARNING[case]
    with pytest.raises(dps.InvalidParameter, match=named) as told:
        price(make(regressor(spent)), scored_on="public")
    assert "FrozenEstimator" in str(told.value)


def test_steps_that_learn_nothing_are_free(spent):
    frozen = FrozenEstimator(StandardScaler().fit(np.ones((3, 2))))
    columns = ColumnTransformer([("norm", Normalizer(), [0]), ("none", "passthrough", [1])], remainder="drop")
    union = FeatureUnion([("all", FunctionTransformer()), ("raw", "passthrough"), ("no", "drop")])
    steps = [("a", None), ("b", "passthrough"), ("c", frozen), ("d", columns), ("e", union), ("f", Normalizer())]
    assert units(price(Pipeline([*steps, ("model", regressor(spent))])), spent) == pytest.approx(1)
    assert units(price(make_pipeline(Normalizer(), regressor(spent)), fits=3), spent) == pytest.approx(3)


def test_a_step_that_a_search_puts_in_is_looked_at(spent):
    pipeline = Pipeline([("scale", "passthrough"), ("model", regressor(spent))])
    grid = {"scale": ["passthrough", StandardScaler()]}
    for search in (GridSearchCV(pipeline, grid, cv=2), RandomizedSearchCV(pipeline, grid, n_iter=2, random_state=0)):
        with pytest.raises(dps.InvalidParameter, match=r"'scale'.*StandardScaler"):
            price(search, scored_on="public")


@pytest.mark.parametrize("wrap", [lambda search: search, lambda search: make_pipeline(Normalizer(), search)])
def test_scores_of_private_rows_have_no_price(spent, wrap):
    search = GridSearchCV(regressor(spent), {"depth": [1, 2]}, cv=KFold(2))
    with pytest.raises(dps.InvalidParameter, match=r"scored_on.*GridSearchCV.*PredefinedSplit"):
        price(wrap(search))
    with pytest.raises(dps.InvalidParameter, match="scored_on"):
        price(wrap(search), scored_on="private")
    assert units(price(wrap(search), scored_on="public"), spent) == pytest.approx(5)
    search.set_params(return_train_score=True)
    with pytest.raises(dps.InvalidParameter, match="return_train_score"):
        price(wrap(search), scored_on="public")


def test_candidates_are_known_beforehand(spent):
    search = RandomizedSearchCV(regressor(spent), {"share": [0.001, 0.3]}, n_iter=1, cv=2)
    for state in (None, np.random.RandomState(0), True):
        with pytest.raises(dps.InvalidParameter, match="random_state"):
            price(search.set_params(random_state=state), scored_on="public")


def test_a_search_scored_on_public_rows_spends_its_price(spent):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 2))
    split = PredefinedSplit(np.repeat([-1, 0], [250, 50]))
    search = GridSearchCV(make_pipeline(Normalizer(), regressor(spent)), {"ntkregressor__depth": [1, 2]}, cv=split)
    told = price(search, scored_on="public")
    search.fit(X, X[:, 0])
    assert units(told, spent) == pytest.approx(3)
    assert spent.total.units - spent._left().units == told.cost.units

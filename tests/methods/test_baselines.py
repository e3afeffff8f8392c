"""Each baseline against its formula, written again with numpy, scipy and scikit-learn."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from scipy.special import logsumexp, softmax
from scipy.stats import entropy
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors

from harness.methods.discovery import baseline_names
from harness.methods.outputs import NotOfferedError

from .tasks import CLASSES, FEATURES, Task, confidence


@pytest.fixture(scope="module")
def task():
    return Task(np.random.default_rng(3))


def hidden(task, part):
    """Float64 copies of what a set holds, as formulas want them."""
    return {name: np.asarray(array, dtype=np.float64) for name, array in getattr(task, part).items()}


def entropies(probabilities):
    return entropy(probabilities, axis=-1)


POINTWISE = {
    "msr": lambda s, p: p.max(1),
    "mls": lambda s, p: s["logits"].max(1),
    "energy": lambda s, p: logsumexp(s["logits"], axis=1),
    "pe": lambda s, p: -entropies(p),
    "dg-pe": lambda s, p: -entropies(p),
    "margin": lambda s, p: np.sort(p, 1)[:, -1] - np.sort(p, 1)[:, -2],
    "gen": lambda s, p: -np.sum(p**0.1 * (1 - p) ** 0.1, axis=1),
    "confidnet": lambda s, p: s["head_confidence"],
    "devries": lambda s, p: s["head_confidence"],
    "dg-residual": lambda s, p: s["head_confidence"],
    "mcd-msr": lambda s, p: members(s).mean(0).max(1),
    "dg-mcd-msr": lambda s, p: members(s).mean(0).max(1),
    "mcd-mls": lambda s, p: s["mc_logits"].mean(0).max(1),
    "mcd-pe": lambda s, p: -entropies(members(s).mean(0)),
    "mcd-ee": lambda s, p: -entropies(members(s)).mean(0),
    "mcd-mi": lambda s, p: entropies(members(s)).mean(0) - entropies(members(s).mean(0)),
    "mcd-variance": lambda s, p: -np.sqrt(((members(s) - members(s).mean(0)) ** 2).mean(0)).mean(1),
}


def members(samples):
    return softmax(samples["mc_logits"], axis=2)


@pytest.mark.parametrize("name", POINTWISE)
def test_scores_of_the_outputs_alone(task, name):
    samples = hidden(task, "test")
    expected = POINTWISE[name](samples, softmax(samples["logits"], axis=1))
    np.testing.assert_allclose(confidence(name, task), expected, rtol=1e-9, atol=1e-12)


def test_gen_takes_the_hundred_most_probable_classes():
    logits = np.random.default_rng(0).normal(size=(5, 130)) * 3
    p = np.sort(softmax(logits, axis=1), axis=1)[:, -100:]
    found = confidence("gen", Task.of({"logits": logits}))
    np.testing.assert_allclose(found, -np.sum(p**0.1 * (1 - p) ** 0.1, axis=1), rtol=1e-9)


def test_random_is_uniform_and_belongs_to_the_sample(task):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, CLASSES)).astype(np.float32)
    scores = confidence("random", Task.of({"logits": logits}))
    assert len(np.unique(scores)) > 3990, "equal only by chance"
    np.testing.assert_allclose(np.quantile(scores, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.03)
    assert abs(np.corrcoef(scores, softmax(logits, axis=1).max(1))[0, 1]) < 0.05
    order = rng.permutation(4000)
    np.testing.assert_array_equal(confidence("random", Task.of({"logits": logits[order]})), scores[order])


def test_random_does_not_tie_samples_of_which_the_model_is_equally_sure():
    logits = np.linspace(200, 300, 50)[:, None] * np.eye(CLASSES)[0]
    assert len(np.unique(softmax(logits, axis=1).astype(np.float32), axis=0)) == 1
    assert len(np.unique(confidence("random", Task.of({"logits": logits})))) == 50


# what is learnt from validation and training outputs ----------------------------------------------


def negative_log_likelihood(temperature, logits, labels):
    scaled = logits / temperature
    return float((logsumexp(scaled, axis=1) - scaled[np.arange(len(labels)), labels]).mean())


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 8.0])
def test_temperature_is_the_one_of_least_validation_loss(task, sharpness):
    logits, labels = task.validation["logits"] * sharpness, task.validation["labels"]
    changed = Task.of({"logits": task.test["logits"]}, validation={"logits": logits, "labels": labels})
    logits = logits.astype(np.float64)
    grid = np.exp(np.linspace(-5, 5, 20_001))
    coarse = grid[np.argmin([negative_log_likelihood(t, logits, labels) for t in grid[::20]]) * 20]
    near = grid[np.abs(np.log(grid / coarse)) < 0.02]
    best = near[np.argmin([negative_log_likelihood(t, logits, labels) for t in near])]
    assert grid[1] < best < grid[-2], "the task must have an optimum inside the bounds"
    expected = softmax(task.test["logits"].astype(np.float64) / best, axis=1).max(1)
    np.testing.assert_allclose(confidence("temperature-mls", changed), expected, atol=2e-4)


def test_temperature_needs_probabilities_only(task):
    """Logarithms of probabilities differ from logits by a constant per sample, which changes nothing."""
    as_probabilities = {
        part: {"probabilities": softmax(getattr(task, part)["logits"].astype(np.float64), axis=1)}
        for part in ("test", "validation")
    }
    as_probabilities["validation"]["labels"] = task.validation["labels"]
    found = confidence("temperature-mls", Task.of(as_probabilities["test"], validation=as_probabilities["validation"]))
    np.testing.assert_allclose(found, confidence("temperature-mls", task), atol=1e-6)


def test_mahalanobis_is_the_nearest_class_under_the_within_class_covariance(task):
    train, test = hidden(task, "train"), hidden(task, "test")
    means = np.stack([train["features"][train["labels"] == c].mean(0) for c in range(CLASSES)])
    within = train["features"] - means[train["labels"].astype(int)]
    precision = np.linalg.inv(EmpiricalCovariance(assume_centered=True).fit(within).covariance_)
    expected = [-min(mahalanobis(f, mean, precision) ** 2 for mean in means) for f in test["features"]]
    np.testing.assert_allclose(confidence("mahalanobis", task), expected, rtol=1e-8)


def test_mahalanobis_fd_shifts_is_the_predicted_class_under_the_total_covariance(task):
    train, test = hidden(task, "train"), hidden(task, "test")
    means = np.stack([train["features"][train["labels"] == c].mean(0) for c in range(CLASSES)])
    precision = np.linalg.inv(np.cov(train["features"].T))
    predicted = test["logits"].argmax(1)
    expected = [-(mahalanobis(f, means[c], precision) ** 2) for f, c in zip(test["features"], predicted, strict=True)]
    np.testing.assert_allclose(confidence("mahalanobis-fd-shifts", task), expected, rtol=1e-8)
    assert not np.allclose(confidence("mahalanobis", task), expected)


@pytest.mark.parametrize("name", ["mahalanobis", "mahalanobis-fd-shifts"])
@pytest.mark.parametrize("missing", [0, CLASSES - 1])
def test_mahalanobis_without_training_samples_of_a_class(task, name, missing):
    rows = task.train["labels"] != missing
    train = {key: task.train[key][rows] for key in ("features", "labels")}
    found = confidence(name, Task.of(task.test, train=train))
    assert np.isfinite(found).all()
    assert (task.test["logits"].argmax(1) == missing).any(), "the class is predicted all the same"


def test_knn_is_the_50th_neighbour_among_normalised_features(task):
    train, test = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in features_of(task))
    distances, _ = NearestNeighbors(n_neighbors=50, algorithm="brute").fit(train).kneighbors(test)
    np.testing.assert_allclose(confidence("knn", task), -distances[:, -1], rtol=1e-6)


def test_knn_fd_shifts_is_squared_and_takes_the_first_thousand_rows_as_they_are(task):
    train, test = features_of(task)
    assert len(train) > 1000, "the cut must matter"
    distances, _ = NearestNeighbors(n_neighbors=50, algorithm="brute").fit(train[:1000]).kneighbors(test)
    found = confidence("knn-fd-shifts", task)
    np.testing.assert_allclose(found, -(distances[:, -1] ** 2), rtol=1e-6)
    everything, _ = NearestNeighbors(n_neighbors=50, algorithm="brute").fit(train).kneighbors(test)
    assert not np.allclose(found, -(everything[:, -1] ** 2))


def test_knn_with_fewer_training_samples_than_neighbours_takes_the_farthest(task):
    train = {key: array[:7] for key, array in task.train.items()}
    distances = np.linalg.norm(task.test["features"][:, None] - train["features"], axis=2)
    found = confidence("knn-fd-shifts", Task.of(task.test, train=train))
    np.testing.assert_allclose(found, -(distances.max(1) ** 2), rtol=1e-5)


def features_of(task):
    return hidden(task, "train")["features"], hidden(task, "test")["features"]


@pytest.mark.parametrize(("name", "centred_again"), [("vim", False), ("vim-fd-shifts", True)])
def test_vim(task, name, centred_again):
    weight, bias = task.shared["weight"].astype(float), task.shared["bias"].astype(float)
    train, test = features_of(task)
    origin = -np.linalg.pinv(weight) @ bias
    covariance = (
        np.cov(train.T) if centred_again else EmpiricalCovariance(assume_centered=True).fit(train - origin).covariance_
    )
    values, vectors = np.linalg.eig(covariance)
    outside = vectors[:, np.argsort(values)[: FEATURES - FEATURES // 2]]
    alpha = (train @ weight.T + bias).max(1).mean() / np.linalg.norm((train - origin) @ outside, axis=1).mean()
    residual = np.linalg.norm((test - origin) @ outside, axis=1)
    expected = logsumexp(hidden(task, "test")["logits"], axis=1) - alpha * residual
    np.testing.assert_allclose(confidence(name, task), expected, rtol=1e-7, atol=1e-7)


def test_vim_of_the_paper_and_of_fd_shifts_differ(task):
    assert not np.allclose(confidence("vim", task), confidence("vim-fd-shifts", task), rtol=1e-3)


def test_vim_where_features_never_leave_the_principal_subspace(task):
    """Most units dead: rounding noise must not become the score."""
    alive = np.arange(FEATURES) < FEATURES // 2 - 1
    parts = {part: {**getattr(task, part), "features": getattr(task, part)["features"] * alive} for part in PARTS}
    shared = {**task.shared, "bias": task.shared["bias"] * 0}
    found = confidence("vim", Task.of(parts["test"], shared=shared, train=parts["train"]))
    np.testing.assert_allclose(found, logsumexp(task.test["logits"].astype(float), axis=1), atol=0.05)


PARTS = ("test", "train")


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("react-msr", lambda z: softmax(z, axis=1).max(1)),
        ("react-mls", lambda z: z.max(1)),
        ("react-energy", lambda z: logsumexp(z, axis=1)),
    ],
)
@pytest.mark.parametrize(("variant", "percentile"), [("", 90), ("-fd-shifts", 99)])
def test_react_clips_at_one_quantile_of_all_activations(task, name, score, variant, percentile):
    train, test = features_of(task)
    ceiling = np.percentile(train.reshape(-1), percentile)
    assert (test > ceiling).any()
    clipped = np.where(test > ceiling, ceiling, test)
    logits = clipped @ task.shared["weight"].astype(float).T + task.shared["bias"]
    np.testing.assert_allclose(confidence(name + variant, task), score(logits), rtol=1e-8)


# extremes -----------------------------------------------------------------------------------------

OUTPUTS_ALONE = [*POINTWISE, "random", "temperature-mls"]


@pytest.mark.parametrize("scale", [1e-30, 1e4, 1e30])
@pytest.mark.parametrize("name", OUTPUTS_ALONE)
def test_extreme_logits_give_finite_confidences(task, name, scale):
    parts = {}
    for part in ("test", "validation"):
        given = getattr(task, part)
        parts[part] = {**given, **{key: given[key] * scale for key in ("logits", "mc_logits")}}
    assert np.isfinite(confidence(name, Task.of(parts["test"], validation=parts["validation"]))).all()


@pytest.mark.parametrize("name", ["msr", "pe", "margin", "gen", "random", "temperature-mls", "mcd-pe", "mcd-mi"])
def test_probabilities_of_exactly_zero_and_one(name):
    p = np.array([[1.0, 0, 0], [0, 0.5, 0.5], [0, 0, 1], [0.2, 0.3, 0.5]])
    both = {"probabilities": p, "mc_probabilities": np.stack([p, p])}
    found = confidence(name, Task.of(both, validation={"probabilities": p, "labels": np.array([0, 1, 0, 2])}))
    assert np.isfinite(found).all()
    if name in ("msr", "pe", "margin", "gen"):
        best = {"msr": 1, "pe": 0, "margin": 1, "gen": 0}[name]
        np.testing.assert_allclose(found[[0, 2]], best, atol=1e-12)
        assert (found[[0, 2]] > found[[1, 3]].max()).all()


# directions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in baseline_names("confidence") if name not in ("random", "oracle")])
def test_easy_samples_get_more_confidence_than_hard_ones(name):
    easy, hard = Task.easy_and_hard(np.random.default_rng(5))
    assert np.mean(confidence(name, easy)[:, None] > confidence(name, hard)) > 0.9


# where there is little to learn from, or nothing --------------------------------------------------


def taken(task, part, rows):
    """The task with some rows of a part."""
    found = {
        key: array[:, rows] if key.startswith("mc_") else array[rows] for key, array in getattr(task, part).items()
    }
    parts = {"test": task.test, "train": task.train, "validation": task.validation, part: found}
    return Task.of(shared=task.shared, **parts)


def with_features(task, change):
    parts = {each: {**getattr(task, each), "features": change(getattr(task, each)["features"])} for each in PARTS}
    return Task.of(parts["test"], task.shared, parts["train"], task.validation)


def right(task):
    return task.validation["logits"].argmax(1) == task.validation["labels"]


def test_temperature_stays_at_one_where_no_validation_sample_is_wrong(task):
    """The likelihood has no maximum there: it grows as the temperature falls to 0."""
    changed = taken(task, "validation", np.flatnonzero(right(task)))
    np.testing.assert_allclose(confidence("temperature-mls", changed), confidence("msr", task), rtol=1e-12)


def test_one_wrong_validation_sample_is_enough_for_a_temperature(task):
    rows = np.append(np.flatnonzero(right(task)), np.flatnonzero(~right(task))[:1])
    found = confidence("temperature-mls", taken(task, "validation", rows))
    assert len(np.unique(found)) > 10
    assert (found >= confidence("msr", task)).all(), "nearly all are right: the network should be surer"


@pytest.mark.parametrize("rows", ["right", "wrong"])
@pytest.mark.parametrize("name", ["temperature-mls", "temperature-mls-fd-shifts", "react-temperature-mls-fd-shifts"])
def test_temperatures_on_validation_samples_of_one_outcome_are_finite(task, name, rows):
    found = confidence(name, taken(task, "validation", np.flatnonzero(right(task) == (rows == "right"))))
    assert ((found > 1 / CLASSES) & (found <= 1)).all()
    assert len(np.unique(found)) > 10


def test_a_temperature_that_the_published_optimiser_throws_away_has_a_sentence():
    """A gradient beyond float32, in which the optimiser works."""
    logits = np.array([[0, 1e30], [1e30, 0]])
    with pytest.raises(ValueError, match="L-BFGS left the temperature at"):
        confidence(
            "temperature-mls-fd-shifts",
            Task.of({"logits": logits}, validation={"logits": logits * 1e10, "labels": np.array([0, 1])}),
        )


@pytest.mark.parametrize("count", [1, FEATURES // 2])
def test_vim_of_fewer_samples_than_the_principal_subspace_has_dimensions_is_the_energy(task, count):
    found = confidence("vim", taken(task, "train", np.arange(count)))
    np.testing.assert_allclose(found, confidence("energy", task), rtol=1e-12)


def test_vim_fd_shifts_of_one_sample_stays_in_the_range_of_logits(task):
    """Its covariance is centred at the mean, so that how far the mean lies from the origin is left to learn from."""
    found = confidence("vim-fd-shifts", taken(task, "train", np.arange(1)))
    assert np.abs(found).max() < 100


@pytest.mark.parametrize("name", ["mahalanobis-fd-shifts", "dg-mahalanobis-fd-shifts"])
def test_a_covariance_of_one_sample_is_refused(task, name):
    with pytest.raises(NotOfferedError, match="a covariance needs two training samples or more, and there is one"):
        confidence(name, taken(task, "train", np.arange(1)))


def test_mahalanobis_fd_shifts_of_one_feature_is_the_standardised_square(task):
    changed = with_features(task, lambda features: features[:, :1])
    train, test = (hidden(changed, part) for part in ("train", "test"))
    means = np.array([train["features"][train["labels"] == c, 0].mean() for c in range(CLASSES)])
    difference = test["features"][:, 0] - means[test["logits"].argmax(1)]
    expected = -(difference**2) / train["features"][:, 0].var(ddof=1)
    np.testing.assert_allclose(confidence("mahalanobis-fd-shifts", changed), expected, rtol=1e-8)


@pytest.mark.parametrize("name", ["mahalanobis", "mahalanobis-fd-shifts", "knn", "vim", "vim-fd-shifts", "react-msr"])
@pytest.mark.parametrize("change", [lambda f: f[:, :1] * 0 + 1, lambda f: f * 0, lambda f: f * 0 + 1])
def test_constant_features_give_finite_numbers(task, name, change):
    shared = dict(task.shared)
    if change(task.test["features"]).shape[1] == 1:
        shared |= {"weight": shared["weight"][:, :1]}
    changed = with_features(task, change)
    found = confidence(name, Task.of(changed.test, shared, changed.train))
    assert np.isfinite(found).all()
    if name in ("mahalanobis", "mahalanobis-fd-shifts"):
        np.testing.assert_array_equal(found, 0)


LEARNING = [
    name
    for name in baseline_names("confidence")
    if name.removeprefix("dg-").split("-")[0] in ("knn", "mahalanobis", "vim", "react")
]


@pytest.mark.parametrize("name", LEARNING)
def test_training_samples_of_a_single_class_are_enough(task, name):
    found = confidence(name, taken(task, "train", np.flatnonzero(task.train["labels"] == 1)))
    assert np.isfinite(found).all()
    assert found.min() < found.max()


@pytest.mark.parametrize("name", ["mcd-mi", "mcd-variance", "dg-mcd-mi", "dg-mcd-variance"])
def test_how_far_members_disagree_needs_two_of_them(task, name):
    one = Task.of({**task.test, "mc_logits": task.test["mc_logits"][:1]})
    with pytest.raises(NotOfferedError, match="needs two of them, and there is one"):
        confidence(name, one)


@pytest.mark.parametrize(
    ("name", "alone"), [("mcd-msr", "msr"), ("mcd-pe", "pe"), ("mcd-ee", "pe"), ("mcd-mls", "mls")]
)
def test_the_mean_over_one_member_is_that_member(task, name, alone):
    one = Task.of({**task.test, "mc_logits": task.test["logits"][None]})
    np.testing.assert_allclose(confidence(name, one), confidence(alone, task), rtol=1e-12, atol=1e-15)

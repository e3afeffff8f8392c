from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from harness.data.catalog import find_protocol
from harness.metrics.attribution import METRICS, ORDERS, make_metric
from harness.metrics.attribution.complexity import EffectiveComplexity
from harness.spec.attribution import AttributionBenchmark, MetricUse
from harness.spec.errors import UsageError

from ._worlds import world

# LATEC, section "metrics": the order of its tables, and whether higher is better.
LATEC = {
    "faithfulness_correlation": True,
    "faithfulness_estimate": True,
    "monotonicity_correlation": True,
    "pixel_flipping": False,
    "region_perturbation": True,
    "insertion": True,
    "deletion": False,
    "irof": True,
    "road": False,
    "sufficiency": True,
    "local_lipschitz": False,
    "max_sensitivity": False,
    "continuity": True,
    "relative_input_stability": False,
    "relative_output_stability": False,
    "relative_representation_stability": False,
    "infidelity": False,
    "sparseness": True,
    "complexity": False,
    "effective_complexity": False,
}
OTHERS = {"relevance_mass": True, "relevance_rank": True, "pointing_game": True, "parameter_randomisation": False}


def test_all_metrics_in_order():
    assert list(METRICS) == [*LATEC, *OTHERS]


@pytest.mark.parametrize("id", METRICS)
def test_what_a_metric_says_of_itself(id):
    metric = METRICS[id]
    assert metric.id == id
    assert (metric.direction == "higher") == {**LATEC, **OTHERS}[id]
    assert metric.title
    assert metric.citation
    assert metric.version
    assert metric.range[0] < metric.range[1]
    assert metric.needs <= {"explain", "masks"}
    assert len(metric.__doc__.splitlines()) > 1


def test_criteria():
    members = {}
    for metric in METRICS.values():
        members.setdefault(metric.criterion, set()).add(metric.id)
    latec = list(LATEC)
    assert members == {
        "faithfulness": {*latec[:10], "infidelity"},
        "robustness": set(latec[10:16]),
        "complexity": set(latec[17:]),
        "localisation": {"relevance_mass", "relevance_rank", "pointing_game"},
        "randomisation": {"parameter_randomisation"},
    }


def test_who_asks_again_and_who_needs_masks():
    asking = {id for id, metric in METRICS.items() if "explain" in metric.needs}
    assert asking == {id for id, metric in METRICS.items() if metric.criterion in ("robustness", "randomisation")}
    masked = {id for id, metric in METRICS.items() if "masks" in metric.needs}
    assert masked == {id for id, metric in METRICS.items() if metric.criterion == "localisation"}


def test_published_order():
    published = ORDERS["published"]
    assert published == tuple(LATEC)
    # The positions that LATEC's notebooks turn around, because there higher is better.
    higher = [position for position, id in enumerate(published) if METRICS[id].direction == "higher"]
    assert higher == [0, 1, 2, 4, 5, 7, 9, 12, 17]


def test_config_order():
    config = ORDERS["config"]
    assert sorted(config) == sorted(ORDERS["published"])
    assert config[10] == "infidelity"
    assert [id for id in config if id != "infidelity"] == [id for id in ORDERS["published"] if id != "infidelity"]
    assert config[12] == "max_sensitivity"
    assert config[13] == "continuity"


def test_the_tables_are_frozen():
    with pytest.raises(TypeError):
        METRICS["insertion"] = METRICS["deletion"]
    with pytest.raises(TypeError):
        ORDERS["published"] = ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_metric("max_sensitivity").draws = 3


@pytest.mark.parametrize("id", METRICS)
def test_defaults_are_constants_of_a_protocol(id):
    metric = make_metric(id)
    assert metric == METRICS[id]()
    written = {
        name: value for name, value in metric.constants.items() if value is not None
    }  # None: by the input's size
    assert make_metric(id, MetricUse(id=id, constants=written).constants) == metric


def test_constants_are_taken():
    metric = make_metric("max_sensitivity", {"draws": 3, "radius": 1, "reading": "latec"})
    assert metric.constants == {"draws": 3, "radius": 1.0, "reading": "latec"}
    assert isinstance(metric.constants["radius"], float)


@pytest.mark.parametrize("id", LATEC)
def test_a_reading_is_an_argument_or_a_constant(id):
    assert make_metric(id) == make_metric(id, reading="corrected") == make_metric(id, {"reading": "corrected"})
    latec = make_metric(id, reading="latec")
    assert latec == make_metric(id, {"reading": "latec"}) == make_metric(id, {"reading": "latec"}, "latec")
    assert latec.constants["reading"] == "latec"
    with pytest.raises(UsageError, match=f"{id}: its reading is 'corrected' and, among its constants, 'latec'"):
        make_metric(id, {"reading": "latec"}, reading="corrected")
    with pytest.raises(UsageError, match="no reading is called 'published'; there are: corrected, latec"):
        make_metric(id, reading="published")


@pytest.mark.parametrize("id", OTHERS)
def test_metrics_that_latec_does_not_have(id):
    assert make_metric(id, reading="corrected") == make_metric(id)
    with pytest.raises(UsageError, match=f"{id} has no reading 'latec': LATEC does not have this metric"):
        make_metric(id, reading="latec")


@pytest.mark.parametrize(("set", "dimensions"), [("imagenet", 2), ("adrenal", 3), ("coma", 1)])
def test_latecs_constants_are_those_of_its_protocol(set, dimensions):
    """Those that the protocol names; by the modality of the inputs."""
    protocol = find_protocol("attribution-latec@1").of(AttributionBenchmark)
    for use in protocol.metrics:
        named = {**use.constants, **use.by_study.get(set, {})}
        metric = make_metric(use.id, reading="latec")._suited(dimensions)
        for name, value in named.items():
            if (name, dimensions) not in {("sigma", 1), ("kernel", 1)}:
                assert metric.constants[name] == (tuple(value) if isinstance(value, list) else value), (
                    f"{use.id} {name}"
                )


def test_latecs_constants_follow_the_inputs_unless_given():
    given = world("volume", samples=2)
    own = make_metric("effective_complexity", reading="latec")
    assert given.score(own).tolist() == given.score(EffectiveComplexity(epsilon=0.001, reading="latec")).tolist()
    named = make_metric("effective_complexity", {"epsilon": 0.5}, reading="latec")
    assert given.score(named).tolist() == given.score(EffectiveComplexity(epsilon=0.5, reading="latec")).tolist()


@pytest.mark.parametrize(
    ("id", "constants", "sentence"),
    [
        ("max_sensitivty", {}, "did you mean max_sensitivity"),
        ("max_sensitivity", {"radios": 0.1}, "did you mean radius"),
        ("sparseness", {"draws": 3}, "no constant of sparseness is called 'draws'"),
        ("max_sensitivity", {"draws": 3.0}, "constant draws: it must be a whole number, not 3.0"),
        ("max_sensitivity", {"draws": True}, "constant draws: it must be a whole number, not True"),
        ("max_sensitivity", {"radius": "0.2"}, "constant radius: it must be a number, not '0.2'"),
        ("max_sensitivity", {"radius": float("nan")}, "constant radius: it must be a finite number, not nan"),
        ("max_sensitivity", {"reading": "LATEC"}, "no reading is called 'LATEC'; did you mean latec?"),
        ("max_sensitivity", {"reading": "Latec"}, "did you mean latec"),
        ("max_sensitivity", {"reading": 3}, "no reading is called '3'"),
        ("relevance_mass", {"reading": "latec"}, "relevance_mass has no reading 'latec'"),
        (
            "irof",
            {"baseline": "grey"},
            "constant baseline: it must be 'black', 'zero', 'mean' or 'uniform', not 'grey'",
        ),
        ("road", {"percentages": [50, 120]}, "percentages must be two or more, ascending, between 0 and 100"),
        ("road", {"counted": "channels"}, "constant counted: it must be 'pixels' or 'numbers'"),
        ("sufficiency", {"chunk": 0}, "chunk must be at least 1"),
        ("max_sensitivity", {"draws": 0}, "max_sensitivity: draws must be at least 1"),
    ],
)
def test_mistakes(id, constants, sentence):
    with pytest.raises(UsageError, match=sentence):
        make_metric(id, constants)


def test_the_registry_loads_nothing_heavy():
    heavy = "torch scipy sklearn skimage pandas captum quantus"
    code = (
        "import sys\n"
        "from harness.metrics.attribution import METRICS, make_metric\n"
        "made = [make_metric(id).constants for id in METRICS]\n"
        f"assert len(made) == 24 and not set(sys.modules) & set({heavy!r}.split())"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

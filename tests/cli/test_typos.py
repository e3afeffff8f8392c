"""What a typo is answered with: the word that was mistyped, and what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.spec.errors import nearest
from tests.cli.own_benchmarks import explained
from tests.cli.support import harness, write_toy

pytestmark = pytest.mark.usefixtures("in_this_process")

METHOD = """from {package} import {imported}


@{decorator}({arguments})
def mine(outputs):
    return outputs.logits[:, 0]
"""
RIGHT = {
    "package": "harness",
    "imported": "confidence_score",
    "decorator": "confidence_score",
    "arguments": 'version="1.0"',
}
METHODS = {
    "version as a number": (
        {"arguments": "version=1.0"},
        'line 4: version: it must be text, not 1.0; write version="1.0".',
    ),
    "needs as text": (
        {"arguments": 'version="1.0", needs="inputs"'},
        "line 4: needs: it must be a list, not 'inputs'; write needs=(\"inputs\",).",
    ),
    "import of another name": (
        {"imported": "confidence_scores", "decorator": "confidence_scores"},
        "line 1: harness has no confidence_scores; did you mean confidence_score?",
    ),
    "import from elsewhere": (
        {"package": "harnes"},
        "line 1: write `from harness import confidence_score`, not from harnes.",
    ),
    "nothing imported": (
        {"package": "torch", "imported": "nn"},
        "line 4: @confidence_score is not imported; write `from harness import confidence_score`.",
    ),
    "another decorator": (
        {"decorator": "confidence"},
        "line 4: no decorator is called @confidence; did you mean confidence_score?",
    ),
}


@pytest.mark.parametrize(("changes", "sentence"), METHODS.values(), ids=METHODS)
def test_in_a_methods_file(changes: dict[str, str], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(METHOD.format(**{**RIGHT, **changes}))
    done = harness("check", "mine.py", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: mine.py")
    assert done.stderr.endswith(f"{sentence}\n")


BENCHMARKS = {
    "a key at the top": ("metrics =", "metrcs =", "metrcs: nothing is called so here; did you mean metrics?"),
    "a key of the source": ("values =", "valuse =", "source.valuse: nothing is called so here; did you mean values?"),
    "a key of a study": (
        "samples =",
        "sampels =",
        "studies.0.sampels: nothing is called so here; did you mean samples?",
    ),
    "a key that may be left out": (
        "title =",
        'descriptoin = ""\ntitle =',
        "descriptoin: nothing is called so here; correct the name, or remove it.",
    ),
    "a file of one's own": ("table.npz", "tabel.npz", "there is no file tabel.npz beside it; did you mean table.npz?"),
    "no such file at all": (
        "table.npz",
        "x.parquet",
        "there is no file x.parquet beside it; paths in a benchmark file are relative to that file.",
    ),
}


@pytest.mark.parametrize(("right", "wrong", "sentence"), BENCHMARKS.values(), ids=BENCHMARKS)
def test_in_a_benchmarks_file(right: str, wrong: str, sentence: str, tmp_path: Path) -> None:
    toy = write_toy(tmp_path)
    toy.write_text(toy.read_text().replace(right, wrong))
    done = harness("plan", "msr", "--benchmark", "toy.toml", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"error: toy.toml: {sentence}\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("check", "MSR"), "no method is called 'MSR'; did you mean msr?"),
        (("check", "head_confidence"), "did you mean head-confidence?"),
        (("check", "nothing-like-it"), "that there are looks like it. `harness list methods` names all"),
        (("plan", "random", "--benchmark", "query-mnist"), "one for query; did you mean random-sampling?"),
        (("plan", "msr", "--benchmark", "Confidence-MNIST"), "did you mean confidence-mnist?"),
    ],
)
def test_in_a_name(words: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    done = harness(*words, folder=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr) < 300


def test_names_much_less_alike_are_not_asked_about() -> None:
    known = ["confidence-mnist", "confidence-medmnist", "confidence-fdshifts", "energy", "expected-entropy"]
    assert nearest("Confidence_MNIST", known) == ["confidence-mnist"]
    assert nearest("confidence-mnst", known) == ["confidence-mnist", "confidence-medmnist"]
    assert nearest("entropy", known) == ["expected-entropy"]


MISSING = """
import torch
from harness import confidence_score


@confidence_score(version="1")
def mine(outputs):
    torch.load({path})
    return outputs.logits[:, 0]
"""


@pytest.mark.parametrize("path", ['"weights.pt"', '__import__("pathlib").Path.home() / "weights.pt"'])
def test_a_file_that_a_method_does_not_find(path: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MISSING.format(path=path))
    done = harness("check", "mine.py", folder=tmp_path)
    assert done.returncode == 1
    assert "weights.pt, which does not exist (line 8); a method works in a temporary folder" in done.stdout
    assert "its home (~) too" in done.stdout


@pytest.mark.parametrize("metrics", [["augcr"], ["augcr", "failure_auroc"]])
def test_in_the_metric_that_ranks(metrics: list[str], tmp_path: Path) -> None:
    """The typo does not count as a metric that there is."""
    toy = write_toy(tmp_path)
    toy.write_text(toy.read_text().replace('["augrc", "failure_auroc"]', str(metrics)))
    done = harness("plan", "msr", "--benchmark", "toy.toml", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: no metric in toy.toml is called 'augcr'; did you mean augrc?\n"


def test_in_a_metric_that_a_study_takes(tmp_path: Path) -> None:
    explained(tmp_path)
    text = (tmp_path / "my.toml").read_text()
    (tmp_path / "my.toml").write_text(text.replace('id = "deletion"', 'id = "deleton"'))
    done = harness("plan", "saliency", "--benchmark", "my.toml", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: no metric in my.toml is called 'deleton'; did you mean deletion?\n"


def test_a_metric_that_ranks_and_is_not_computed(tmp_path: Path) -> None:
    toy = write_toy(tmp_path)
    toy.write_text(toy.read_text().replace('["augrc", "failure_auroc"]', '["failure_auroc"]'))
    done = harness("plan", "msr", "--benchmark", "toy.toml", folder=tmp_path)
    assert done.returncode == 2
    assert "the primary metric 'augrc' is not in `metrics`; add it" in done.stderr


ASKED = """
from harness import confidence_score, query_strategy


@query_strategy(version="1", tasks=("{task}",))
class Strategy:
    def query(self, pool, budget, rng):
        {code}


@confidence_score(version="1")
def score(outputs):
    {code}
"""


@pytest.mark.parametrize(
    ("method", "task", "code", "sentence"),
    [
        (
            "Strategy",
            "classification",
            "pool.probabilites",
            "did you mean probabilities? it has best, candidates, classes, ",
        ),
        ("Strategy", "classification", "pool.labeled_inputs", "did you mean labelled_inputs"),
        ("Strategy", "segmentation", "pool.image", "did you mean images? it has annotated, best, candidates, "),
        ("Strategy", "segmentation", "pool.images[0].label", "did you mean labels"),
        ("Strategy", "segmentation", "pool.zzz", "(line 8); it has annotated, best, candidates, "),
        ("score", "classification", "outputs.logit", "did you mean logits? it has bias, features, "),
        ("score", "classification", "outputs.labels", "a method learns from reference.train"),
    ],
)
def test_in_what_a_method_asks_for(method: str, task: str, code: str, sentence: str, tmp_path: Path) -> None:
    """Names of what the harness hands to a method are those that are printed, since there is no other list at hand."""
    (tmp_path / "mine.py").write_text(ASKED.format(task=task, code=code))
    done = harness("check", f"mine.py:{method}", folder=tmp_path)
    assert done.returncode == 1
    assert sentence in done.stdout
    assert "labels," not in done.stdout or method != "score", "what is never given is not offered"


def test_in_what_is_the_methods_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ASKED.format(task="classification", code="object().nothing"))
    done = harness("check", "mine.py:score", folder=tmp_path)
    assert "AttributeError: 'object' object has no attribute 'nothing'" in done.stdout
    assert "it has" not in done.stdout

"""The check of graphics processors: on the processor beside itself, and what it says where something differs."""

import dataclasses
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.data.catalog import load_protocol
from harness.execution import fence
from harness.execution.evaluate import Request, prepare
from harness.execution.job import UnitEnd
from harness.execution.plan import unit_result
from harness.metrics.attribution.registry import METRICS
from harness.spec.run import Unit
from tests.performance import gpu_check
from tests.performance.gpu.large import write_images, write_volumes
from tests.performance.gpu.rows import TRAINED, compared_rows, measured_rows
from tests.performance.gpu.units import CardMemory, Case, CaseRun, Ran

SUM = "0" * 64
CASE = Case("confidence", "msr", "confidence-mnist@2")


def test_the_processor_agrees_with_itself(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    cache = os.environ.get("HARNESS_CACHE")
    arguments = ["--device", "cpu", "--sections", "kinds", "--only", "confidence", "--out", str(tmp_path)]
    assert gpu_check.main(arguments) == 0
    report = (tmp_path / "report.md").read_text()
    assert report in capsys.readouterr().out
    assert "**all of it holds**" in report
    assert report.count("| confidence | cpu, cpu | all outputs | 2 of 2 units byte for byte") == 1
    assert "| corruption-5 · plain-0 |" in report
    assert os.environ.get("HARNESS_CACHE") == cache, "the user's own cache is used again"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_slots_and_networks_at_the_scale_of_the_papers_on_small_images(tmp_path):
    arguments = ["--device", "cpu", "--sections", "slots", "fences", "large", "--side", "64", "--out", str(tmp_path)]
    assert gpu_check.main(arguments) == 0
    report = (tmp_path / "report.md").read_text()
    assert "| confidence | one slot, two | all outputs | 2 of 2 units byte for byte" in report
    for unit in ("images · resnet50", "images · vit-b16"):
        assert unit in report
    assert ("balls · nnunet-1" in report) is (importlib.util.find_spec("nnunetv2") is not None)


def test_without_a_card_it_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main(["--out", str(tmp_path)]) == 2
    said = capsys.readouterr().out
    assert said.startswith(f"torch {torch.__version__} finds no usable graphics processor: it is built ")
    assert "Nothing was checked; with `--device cpu`" in said
    assert not list(tmp_path.iterdir())


def test_a_section_that_breaks_off_is_a_problem_and_the_others_go_on(tmp_path, capsys, monkeypatch):
    def broken(wanted):
        raise fence.UsageError("it cannot be done.")

    monkeypatch.setitem(gpu_check.SECTIONS, "kinds", broken)
    monkeypatch.setitem(gpu_check.SECTIONS, "slots", lambda wanted: gpu_check.Section("Slots", notes=("none",)))
    arguments = ["--device", "cpu", "--sections", "kinds", "slots", "--out", str(tmp_path)]
    assert gpu_check.main(arguments) == 1
    said = capsys.readouterr().out
    assert "**1 problems**" in said
    assert "it cannot be done." in said
    assert "## Slots" in said


def confidence_run(scores, status="ok", reason=""):
    """A unit of confidence-mnist as if it had been run."""
    prepared = prepare(Request(CASE.method, CASE.benchmark, device="cpu", out=Path("unused")))
    track, unit = prepared.track, next(iter(prepared.plan.units.values()))
    end = UnitEnd(unit_result(unit, status, reason), 1.0, memory=2.0, fence="landlock 7")
    answers = None if scores is None else {"confidence": scores}
    return CaseRun(track, {unit.label: Ran(unit, end, answers, 3.0, None)}, "")


@pytest.mark.parametrize(("apart", "agree"), [(0.0, True), (5e-5, True), (1e-3, False)])
def test_outputs_may_differ_as_the_track_says(apart, agree):
    scores = np.linspace(0.5, 0.9, 2600)
    one, other = confidence_run(scores), confidence_run(scores * (1 + apart))
    rows = [*compared_rows(CASE, "cpu, cuda", one, other, trained=False)]
    assert [bool(row.problems) for row in rows] == [False, not agree]
    assert rows[0].cells[2] == "confidence"
    assert rows[0].cells[4].startswith("0.0001 ")
    assert float(rows[0].cells[3]) == pytest.approx(apart, rel=2e-2)
    assert rows[1].cells[3] == f"{int(not apart)} of 1 units byte for byte"


def test_a_unit_that_fails_on_one_device_is_a_problem():
    one, other = confidence_run(np.linspace(0.5, 0.9, 2600)), confidence_run(None, "failed", "no kernel image")
    assert [row.problems for row in measured_rows(CASE, one, other)] == [("failed: no kernel image",)]
    (row,) = compared_rows(CASE, "cpu, cuda", one, other, trained=False)
    assert "had scores, and now ended as failed: no kernel image" in row.verdict


@pytest.mark.parametrize("apart", [0.0, TRAINED - 0.01, TRAINED + 0.01])
def test_campaigns_with_other_networks_agree_in_performance_alone(monkeypatch, apart):
    from tests.performance.gpu import rows

    unit = Unit(
        task="query", benchmark_hash=SUM, method_hash=SUM, model="m", model_seed=0, seed=0, artefacts_hash=SUM, study="s",
        device="cpu", limit=None, metrics_hash=SUM,
    )  # fmt: skip
    end = UnitEnd(unit_result(unit, "ok"), 1.0)

    def run(start, performance):
        answers = {"picks.0": np.array(start), "performance": np.array(performance)}
        return CaseRun(None, {unit.label: Ran(unit, end, answers, 1.0, 1.5)}, "")

    def scores(track, ran):
        return {name: float(ran.answers["performance"]) for name in rows.PERFORMANCES}

    monkeypatch.setattr(rows, "_scores", scores)
    case = dataclasses.replace(CASE, trained=True)
    one = run([1, 2], 0.6)
    problems = [row.problems for row in compared_rows(case, "cpu, cuda", one, run([1, 2], 0.6 + apart), trained=True)]
    assert [bool(each) for each in problems] == [False, apart > TRAINED, apart > TRAINED]
    first = next(iter(compared_rows(case, "cpu, cuda", one, run([1, 3], 0.6), trained=True)))
    assert first.problems == ("campaigns start with other samples",)
    assert next(measured_rows(case, one)).cells[-1] == "1.50"


def test_memory_of_cards_is_the_most_since_it_was_last_asked():
    taken = [10 << 30]
    with CardMemory("cuda", lambda: taken[0]) as cards:
        taken[0] = 13 << 30
        assert cards.peak() == 3.0
        taken[0] = 11 << 30
        assert cards.peak() == 1.0
        taken[0] = 9 << 30
        assert cards.peak() == 0.0
    with CardMemory("cpu") as cards:
        assert cards.peak() is None


def test_device_files_of_graphics_processors_are_open_for_cuda_alone(monkeypatch):
    there = {"dev/nvidia*": ["/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl"], "dev/dri": ["/dev/dri"]}
    monkeypatch.setattr(fence, "_found", lambda pattern: there.get(pattern, []))
    assert {*fence.device_files("cuda")} - {*fence.device_files("cpu")} == {
        each for one in there.values() for each in one
    }


def test_large_benchmarks_are_those_of_the_papers(tmp_path):
    images = load_protocol(write_images(tmp_path / "images"))
    (study,) = images.benchmark.studies
    assert set(study.metrics) == set(METRICS)
    assert len(study.metrics) == 24
    assert study.models == ("resnet50", "vit-b16")
    pytest.importorskip("SimpleITK", reason="needs the extra `query`")
    volumes = load_protocol(write_volumes(tmp_path / "volumes", 56))
    (training,) = volumes.benchmark.trainings
    assert training.patch_size is None, "nnU-Net plans it"

"""Scripts that define a method and evaluate it, as users write them: run as they are, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import MARGIN, write_toy

CALL = "harness.evaluate(margin, benchmark='toy.toml', workers=1{})"
AROUND = {
    "no guard": "result = {call}\n",
    "a guard": "result = None\nif __name__ == '__main__':\n    result = {call}\n",
    "in a function": "def main():\n    return {call}\n\n\nresult = main()\n",
    "what catches all errors": "try:\n    result = {call}\nexcept Exception as error:\n    print(error)\n",
}


def run(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    write_toy(folder)
    (folder / "script.py").write_text(text)
    return subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_a_script_evaluates_its_own_method(around: str, tmp_path: Path) -> None:
    text = f"import harness\n{MARGIN}\nprint('once')\n{around.format(call=CALL.format(''))}"
    done = run(tmp_path, f"{text}if result: print(result.complete, len(result.document.units))\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "once\nTrue 1\n", "what the script prints is printed once"
    assert "units" in done.stderr or "✓" in done.stderr


def test_a_check_in_a_script_too(tmp_path: Path) -> None:
    done = run(tmp_path, f"from harness.testing import check_method\n{MARGIN}\ncheck_method(margin)\nprint('passed')\n")
    assert done.stdout == "passed\n", done.stderr


def test_a_call_before_the_method_is_answered_with_a_sentence(tmp_path: Path) -> None:
    """The command line is given a file that evaluates something before it comes to its method."""
    write_toy(tmp_path)
    (tmp_path / "script.py").write_text(
        f"import harness\nharness.evaluate('msr', benchmark='toy.toml', workers=1)\n{MARGIN}"
    )
    command = [sys.executable, "-m", "harness", "check", "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert 'put that call at the end of the file, under `if __name__ == "__main__":`' in done.stdout


def test_without_progress_nothing_is_said(tmp_path: Path) -> None:
    done = run(tmp_path, f"import harness\n{MARGIN}\n{CALL.format(', progress=False')}\n")
    assert done.returncode == 0
    assert (done.stdout, done.stderr) == ("", "")

"""The card of an inference pack: what it holds, whose it is, how it is used."""

from __future__ import annotations

import json

from harness.spec.pack import Pack

_MEANINGS = """\
| file | what |
|---|---|
| `outputs/<model>/<set>.safetensors` | what a model said of each sample of a set, in the precision in which it was computed: `logits` or `probabilities` (n, classes), and where they exist `features` (n, f), `mc_logits` (members, n, classes), `head_confidence` (n,); `labels` (n,) |
| `outputs/index.parquet` | one row for each sample: `set`, `row` in the arrays, `model` (empty: the row holds for all), `sample` (its name at its origin), `label`, `studies` that ask for it |
| `models/<model>.safetensors` | `weight` (classes, f) and `bias` (classes,) of the last layer, where they are known |
| `pack.json` | sha256 and size of every file, benchmark and hash, versions of the packages that computed the outputs |
| `benchmark.toml` | the benchmark's studies and metrics with this pack for its source |
"""


def pack_card(pack: Pack) -> str:
    """Markdown with the front matter of a Hub's data set card."""
    sizes = [f"| {model} | {len(sets)} | {sum(sets.values())} |" for model, sets in pack.samples.items()]
    head = {
        "license": "other",
        "license_name": "see-card",
        "pretty_name": f"Inference pack of {pack.benchmark}",
        "tags": ["inference-pack", "failure-detection", "confidence"],
    }
    inputs = (
        "`inputs/<set>.safetensors` holds what the networks were given, and `networks/<model>.safetensors` their weights."
        if pack.inputs
        else "Inputs and networks are not in it: scores that need them do not apply."
    )
    return "\n".join(
        [
            "---",
            *(f"{name}: {json.dumps(value)}" for name, value in head.items()),
            "---",
            f"# Inference pack of {pack.benchmark}",
            "",
            f"{pack.title}: outputs of its models, so that a confidence score is evaluated without images and networks,"
            " with the same scores to the last bit.",
            "",
            "```",
            "pip install reliabench",
            "harness evaluate my_method.py --benchmark benchmark.toml",
            "```",
            "",
            _MEANINGS,
            inputs,
            "",
            f"Made of {pack.benchmark} (hash `{pack.benchmark_hash}`) on {pack.device} with "
            f"{', '.join(f'{name} {version}' for name, version in pack.made_with.items())}.",
            "",
            "| model | sets | samples |",
            "|---|---|---|",
            *sizes,
            "",
            "## Licence",
            "",
            pack.licence or "The benchmark states none.",
            "",
            "## Citation",
            "",
            *(f"- {work}" for work in pack.citation),
            "",
        ]
    )

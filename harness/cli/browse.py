"""`harness browse`: the failures of a network in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options


def browse(
    target: Annotated[
        Path,
        typer.Argument(
            help="folder of a run or of FD-Shifts results, a .csv, .parquet or .npz table, or a benchmark file of your own"
        ),
    ],
    scores: Annotated[
        list[str] | None,
        typer.Option(
            "--scores",
            help="rows of the board or baselines to show beside the run's own: a,b, or all rows: all; default: best, median, simplest",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="networks to choose from on the page: a,b, or all; default: the run's first four"),
    ] = None,
    embedding: Annotated[
        str, typer.Option(help="auto, pca, tsne or umap; auto takes tsne or umap where reliabench[browse] is installed")
    ] = "auto",
    points: Annotated[
        int, typer.Option(min=100, help="points beyond which successes and training samples are drawn from")
    ] = 20_000,
    images: Annotated[
        bool, typer.Option(help="small images of samples inside the page, where the benchmark has any")
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="the page's file; default: browse.html in the run's folder, NAME-browse.html here for NAME.csv",
        ),
    ] = None,
    benchmark: options.OwnBenchmark = None,
    show: Annotated[bool, typer.Option("--open", help="open the page in the browser")] = False,
    json: options.AsJson = False,
) -> None:
    """Write a page to look at failures: all samples of a network in one picture, coloured by what scores say of them.

    Of query strategies it shows held-out cases with truth and prediction and what was queried, of XAI methods every map,
    those first on which metrics disagree.

    The page is one file that opens from disk and loads nothing. It holds what it shows: samples' labels, predictions and
    small images. Leave the images out with --no-images.

    A table has the columns label, prediction, confidence; or labels (also label, ground_truth, target, targets, y_true) and
    a matrix (n, classes) called logits, probabilities, softmax, probs, predictions or outputs, in .csv and .parquet also
    as logits_0, logits_1, and so on. If there are any, it may have features, confidence or head_confidence, mc_logits,
    mc_probabilities or members (several passes), set (names of sets) and id (names of samples). Where columns have other
    names, a benchmark file of your own says what they hold: harness browse my_benchmark.toml.

    Example: harness browse runs/confidence-mnist-2-msr-0123456789ab --scores margin,knn --open
    """
    from typing import cast

    from harness.cli.output import say_json
    from harness.reports.browse.embedding import HOW, How
    from harness.reports.browse.listing import write_listing
    from harness.reports.browse.opening import open_browsed, run_of
    from harness.reports.browse.page import PAGE, PageRequest, write_browser
    from harness.spec.errors import UsageError, unknown

    if embedding not in HOW:
        raise unknown("embedding", embedding, HOW)
    names, models = (
        [name.strip() for each in given or () for name in each.split(",") if name.strip()] for given in (scores, model)
    )
    run = run_of(target)
    page = out or (run.folder / PAGE if run else Path(f"{Path(target).stem or 'results'}-{PAGE}"))
    if page.is_dir() or not page.parent.is_dir():
        raise UsageError(f"--out {page}: name a file in a folder that exists.")
    if run is not None and run.document.spec.task != "confidence":
        if names or models:
            raise UsageError(
                f"{target} is a run of {run.document.spec.task}: --scores and --model are for confidence scores."
            )
        write_listing(run, run.protocol(benchmark), page, images)
    else:
        say = PageRequest(
            page, tuple(models), cast(How, embedding), images, points, lambda text: typer.echo(text, err=True)
        )
        write_browser(open_browsed(target, names, benchmark), say)
    if show:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
    if json:
        say_json({"page": str(page)})
    else:
        typer.echo(str(page))

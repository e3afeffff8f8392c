"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Method = Annotated[
    str, typer.Argument(help="file.py, file.py:name, package/name of a plug-in, or a baseline such as msr")
]
Benchmark = Annotated[
    str | None, typer.Option(help="id, id@version, or path.toml of your own; default: the embedded benchmark")
]
OwnBenchmark = Annotated[
    Path | None, typer.Option("--benchmark", help="the file of a benchmark of your own, where it was moved since")
]
Limit = Annotated[
    int | None,
    typer.Option(
        help="at most so many samples of each set, or loops of each campaign (at least 2); the run is then a rehearsal"
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]
Seed = Annotated[int, typer.Option(help="seed handed to the method")]
Out = Annotated[Path, typer.Option(help="folder in which runs are kept")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of tables")]
Seconds = Annotated[float, typer.Option("--timeout", help="seconds that one call of the method may take")]
Memory = Annotated[float, typer.Option("--memory", help="GiB by which the method may grow")]
Repo = Annotated[str, typer.Option("--repo", help="data set repository on the Hub, ORG/NAME; made if it is missing")]
CreatePr = Annotated[bool, typer.Option("--create-pr", help="as a pull request, for those who may not write")]
Workers = Annotated[
    int | None,
    typer.Option(
        help="unit processes, or workers of a cluster; default: one per core or graphics processor, at most 4"
    ),
]
Threads = Annotated[int, typer.Option(help="processor threads of each unit process; recorded with the run")]
Fence = Annotated[
    str,
    typer.Option(
        help="around the method's process: auto (landlock where the kernel has it), landlock, bubblewrap, or none"
    ),
]
AllowRead = Annotated[
    list[Path] | None,
    typer.Option(
        "--allow-read", help="a file or folder that the method may read beside its own folder; recorded with the run"
    ),
]
Retries = Annotated[
    int,
    typer.Option(help="how often a unit is begun again on another worker after one was lost with it; then it is lost"),
]

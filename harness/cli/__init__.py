"""The command `harness`: one verb per file; each parses, calls one function, and renders."""

from __future__ import annotations

import atexit
import gc
import inspect
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import typer

_INTERRUPTED = "interrupted; the same command goes on from here."


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 some units failed, 2 a mistake to mend, 3 damaged or changed data."""
    _outlive_readers()
    atexit.register(gc.freeze)  # what is left when a command ends need not be looked through for garbage: 0.15 s
    debug = "--debug" in sys.argv[1:]
    sys.argv[1:] = [argument for argument in sys.argv[1:] if argument != "--debug"]
    signals = _Signals()
    try:
        with signals:
            command()()
    except Exception as error:
        if debug:
            raise
        code = _exit_code(error)
        if code is None:
            _complain(f"unexpected {type(error).__name__}: {error} (--debug shows where; please report it)")
            raise SystemExit(1) from None
        _complain(str(error))
        raise SystemExit(code) from None
    except KeyboardInterrupt:
        _complain(_INTERRUPTED)
        raise SystemExit(signals.code) from None
    except SystemExit as ended:
        if ended.code != 130:
            raise
        _complain(_INTERRUPTED)  # typer has caught the interrupt
        raise SystemExit(signals.code) from None


class _Signals:
    """Makes SIGTERM, by which schedulers and `timeout` end a command, the same as Ctrl-C; `code`: what it then ends with."""

    code = 130

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._end)

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._before)

    def _end(self, number: int, frame: object) -> None:
        self.code = 128 + number
        raise KeyboardInterrupt


def command() -> Any:
    """The command as it is run: flags say what they do, and no type of value, since they take none. Texts are shown as
    they were written, but for line breaks within paragraphs."""
    import typer.main

    made = typer.main.get_command(application())
    waiting = [made]
    while waiting:
        each = waiting.pop()
        named = typer.Context(each, **made.context_settings)  # the option that asks for help stays as it is made here
        for parameter in (*each.params, each.get_help_option(named)):
            if parameter is not None and getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        described: Any
        for described in (each, *each.params):
            described.help = _shown(getattr(described, "help", None) or "")
        waiting += getattr(each, "commands", {}).values()
    return made


def _shown(text: str) -> str:
    """A text of help as typer must get it to show it whole: what would be markup is escaped, paragraphs are one line."""
    text = re.sub(r"(?<=\S)\n(?=\S)", " ", inspect.cleandoc(text))
    return re.sub(r"(\\*)(\[[a-z#/@][^\[]*?\])", r"\1\1\\\2", text)


def application() -> typer.Typer:
    """The command with all its verbs."""
    import typer

    from harness.cli import (
        board,
        browse,
        check,
        cite,
        claims,
        compare,
        data,
        doctor,
        evaluate,
        gather,
        listing,
        plan,
        replay,
        report,
        reproduce,
        show,
        site,
        status,
        submit,
        validate,
        worker,
    )

    app = typer.Typer(
        name="harness",
        help="Evaluate a confidence score, a query strategy or an XAI method under fixed protocols and see its place.\n\n"
        "Example: harness evaluate my_method.py",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Any command takes --debug, which shows tracebacks.",
    )
    app.callback()(_callback())
    for verb in (
        *(
            evaluate.evaluate,
            check.check,
            plan.plan,
            show.show,
            report.report,
            browse.browse,
            replay.replay,
            submit.submit,
            validate.validate,
        ),
        *(reproduce.reproduce, compare.compare, claims.claims, cite.cite),
        *(worker.worker, gather.gather, status.status),
    ):
        app.command(verb.__name__)(verb)
    app.command("list")(listing.listing)
    app.command("doctor")(doctor.doctor)
    app.add_typer(board.app, name="board")
    app.add_typer(data.app, name="data")
    app.add_typer(site.app, name="site")
    return app


def _outlive_readers() -> None:
    """Let a command end as it would have where who reads its output stops early, as `head` does: it goes on unseen."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream is not getattr(sys, f"__{name}__"):  # replaced by whoever calls: theirs to heed
            continue
        stream.flush()
        raw = io.BufferedWriter(_Unread(stream.fileno(), "wb", closefd=False))
        own = io.TextIOWrapper(
            raw, stream.encoding, stream.errors, line_buffering=stream.line_buffering or name == "stderr"
        )
        setattr(sys, name, own)


class _Unread(io.FileIO):
    """A stream that takes what nobody reads any more."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(data)


def _callback() -> Callable[..., None]:
    """What belongs to no verb."""
    import typer

    def say_version(asked: bool) -> None:
        if asked:
            import harness

            typer.echo(f"reliabench {harness.__version__}")
            raise typer.Exit

    def begin(
        version: bool = typer.Option(
            False, "--version", help="show the version and stop", callback=say_version, is_eager=True
        ),
    ) -> None: ...

    return begin


def _exit_code(error: Exception) -> int | None:
    from harness.spec.errors import UsageError
    from harness.storage import IntegrityError, RunLockedError, StorageError

    if isinstance(error, UsageError | RunLockedError | StorageError):
        return 2
    return 3 if isinstance(error, IntegrityError) else None


def _complain(sentence: str) -> None:
    from rich.console import Console
    from rich.markup import escape

    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]error:[/] {escape(sentence)}")

"""What commands print: one JSON document or text on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from mbd.canonical.text import printable
from mbd.errors import MbdError, UsageError

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """The `--json` flag that every command has; the parameter is `as_json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="One JSON document on standard output."
    )(function)


def emit(command: str, payload: dict[str, Any], as_json: bool, text: str) -> None:
    """Print the result of `command`, e.g. 'data import': the payload as JSON, or the text."""
    if not as_json:
        click.echo(text)
        return
    document = {"schema": _schema(command), **payload}
    click.echo(json.dumps(document, ensure_ascii=False, allow_nan=False))


def fail(command: str, error: MbdError, as_json: bool, exit_code: int | None = None) -> int:
    """Print `error` where its reader looks for it and return its exit code."""
    status = error.exit_code if exit_code is None else exit_code
    if as_json:
        body = {
            "code": error.code,
            "exitCode": status,
            "message": error.message,
            "field": error.field,
            "hint": error.hint,
        }
        document = {"schema": _schema(command), "error": body}
        click.echo(json.dumps(document, ensure_ascii=False))
        return status
    where = f"{error.field}: " if error.field else ""
    click.echo(_lines(f"mbd: {where}{error.message}"), err=True)
    if error.hint:
        click.echo(_lines(f"     {error.hint}"), err=True)
    return status


def _lines(text: str) -> str:
    """Each line printable: names of files and fields come from elsewhere."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _schema(command: str) -> str:
    return f"urn:mbd:cli:{command.replace(' ', '-')}:v1"


def note(text: str) -> None:
    """A line for the person at the terminal; never part of the data on stdout."""
    if not _quiet():
        click.echo(text, err=True)


def confirm(question: str, yes: bool, as_json: bool) -> None:
    """Ask before something that cannot be undone; `yes` answers.

    Raises:
        UsageError: There is nobody to ask.
        click.exceptions.Exit: The answer is no.
    """
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise UsageError("this cannot be undone", field="--yes", hint="add --yes to do it")
    if not click.confirm(question, err=True):
        note("nothing was changed")
        raise click.exceptions.Exit(1)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns aligned with spaces, numbers to the right."""
    cells = [[str(value) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(header)]
    numeric = [bool(cells) and all(_is_number(row[i]) for row in cells) for i in range(len(header))]

    def line(values: Sequence[str]) -> str:
        parts = [
            value.rjust(width) if right else value.ljust(width)
            for value, width, right in zip(values, widths, numeric, strict=True)
        ]
        return "  ".join(parts).rstrip()

    return "\n".join([line(list(header)), *(line(row) for row in cells)])


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, nothing elsewhere.

    Yields a function `(done, total)` to call as work proceeds.
    """
    if _quiet() or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, no_color="NO_COLOR" in os.environ)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _quiet() -> bool:
    context = click.get_current_context(silent=True)
    return bool(context and context.obj and context.obj.get("quiet"))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in {"-", ""}
    return True

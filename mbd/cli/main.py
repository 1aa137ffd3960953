"""The `mbd` command: a lazy table of commands, one place where errors become exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from pathlib import Path

import click

from mbd import __version__
from mbd.cli.output import fail
from mbd.errors import MbdError, StorageError, UsageError

_REFUSED_BY_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


class LazyGroup(click.Group):
    """Imports a command's module only when the command runs.

    So `mbd --help` and `mbd verify` start without torch, scipy or SQLAlchemy.
    """

    def __init__(self, *args: object, table: dict[str, tuple[str, str]], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._table:
            return None
        module, _, attribute = self._table[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._table.items()])


_COMMANDS = {
    "init": ("mbd.cli.init:init", "Make a workspace: folders, keys, ledger."),
    "demo": ("mbd.cli.demo:demo", "The whole story on synthetic data, in minutes."),
    "data": ("mbd.cli.data:data", "Generate, import and look at data."),
    "train": ("mbd.cli.train:train", "Train a core and the heads that can forget."),
    "eval": ("mbd.cli.evaluate:evaluate", "Measure the model while something is missing."),
    "predict": ("mbd.cli.predict:predict", "Predict from the channels that may be used."),
    "model": ("mbd.cli.model:model", "The released model as a folder of its own."),
    "revoke": ("mbd.cli.revoke:revoke", "Remove one person's modality from the model."),
    "consent": ("mbd.cli.consent:consent", "Let a revoked channel be used again, later data."),
    "resume": ("mbd.cli.revoke:resume", "Finish what a crash left."),
    "state": ("mbd.cli.state:state", "Rebuild the state from scratch and compare."),
    "verify": ("mbd.cli.verify:verify", "Check deletion certificates, offline."),
    "export": ("mbd.cli.export:export", "A certificate in a form that other tools read."),
    "certificate": ("mbd.cli.certificate:certificate", "A certificate in plain words, to print."),
    "receipt": ("mbd.cli.receipt:receipt", "What a receipt holds; an excerpt for one item."),
    "ledger": ("mbd.cli.ledger:ledger", "The auditor's view of the tamper-evident log."),
    "secrets": ("mbd.cli.secrets:secrets", "Forget whose certificates are whose."),
    "key": ("mbd.cli.key:key", "Keys: announce, put in force, distrust, show."),
    "trust": ("mbd.cli.trust:trust", "Whom to believe: an auditor's trust file."),
    "db": ("mbd.cli.db:db", "Version of the ledger's tables; upgrade them; move to a server."),
    "doctor": ("mbd.cli.doctor:doctor", "Examine the workspace end to end."),
    "backup": ("mbd.cli.backup:backup", "Copy the workspace, with the digest of every file."),
    "restore": ("mbd.cli.backup:restore", "Put a backup back, without what was revoked since."),
}


@click.group(
    cls=LazyGroup,
    table=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: mbd revoke --user 42 --modality audio",
)
@click.version_option(__version__, "--version", prog_name="mbd")
@click.option(
    "-w",
    "--workspace",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="MBD_WORKSPACE",
    help="Workspace folder; default: the nearest one at or above this folder.",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress, no notes.")
@click.option("-v", "--verbose", count=True, help="Say more; show where an error came from.")
@click.pass_context
def main(ctx: click.Context, workspace: Path | None, quiet: bool, verbose: int) -> None:
    """Missing-by-Design: honour "stop using my voice", and prove what was done.

    Every command has --json (one document on standard output) and --help with an example.
    """
    ctx.obj = {"workspace": workspace, "quiet": quiet, "verbose": verbose}


def run(arguments: list[str] | None = None) -> None:
    """Entry point: run a command and leave with the exit code of what happened."""
    sys.exit(invoke(sys.argv[1:] if arguments is None else arguments))


def invoke(arguments: list[str]) -> int:
    """Run one command line and return its exit code; errors are printed, never raised."""
    try:
        code = _invoke(arguments)
        if sys.stdout is not None:  # it is where the caller closed it: the code says it all
            sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        return _lost_code(arguments)
    except OSError as error:
        return _output_lost(error, _lost_code(arguments))
    return code


def _invoke(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    verbose = any(a in ("-v", "-vv", "--verbose") for a in arguments)
    command = "mbd"
    try:
        _check_unicode(arguments)
        command = _command_named(arguments)
        result = main.main(args=arguments, prog_name="mbd", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except MbdError as error:
        if verbose:
            traceback.print_exc()
        return fail(command, error, as_json)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as help_text:
        click.echo(help_text.format_message(), err=True)
        return help_text.exit_code
    except click.ClickException as error:
        return fail(command, _usage(error, command), as_json)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:
        raise
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not _stands_somewhere():
            return fail(command, _NOWHERE, as_json)
        if error.errno not in _REFUSED_BY_DISK:
            return _defect(command, error, as_json)
        raise
    except Exception as error:  # noqa: BLE001  the last net: anything here is a defect of ours
        return _defect(command, error, as_json)


def _stands_somewhere() -> bool:
    """Whether the folder that this process was started in still exists."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


_NOWHERE = UsageError(
    "the folder that this command was started in is gone, or was replaced",
    code="usage.folder",
    hint="go to a folder that exists: `cd` to it anew",
)


def _defect(command: str, error: Exception, as_json: bool) -> int:
    """Called in an except clause: show the traceback, and say whose fault it is."""
    traceback.print_exc()
    defect = MbdError(
        f"unexpected {type(error).__name__}: {error}",
        code="internal",
        hint="this is a defect in mbd: please report the lines above",
    )
    return fail(command, defect, as_json, exit_code=70)


def _lost_code(arguments: list[str]) -> int:
    """For a result that reached nobody: 1, which of `verify` alone would be a verdict."""
    return 70 if _command_named(arguments) == "verify" else 1


def _output_lost(error: OSError, exit_code: int) -> int:
    """The disk took no more, so the result reached nobody: say so on the channel that is left."""
    _silence_stdout()
    lost = StorageError(f"{error.strerror or error}: the result could not be written")
    return fail("mbd", lost, as_json=False, exit_code=exit_code)


def _silence_stdout() -> None:
    """Point stdout at nothing, so that what is left in its buffer does not fail at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _command_named(arguments: list[str]) -> str:
    """The words that name a command in these arguments: 'ledger list', or 'mbd' for none."""
    group: click.Group = main
    words, rest, context = list[str](), iter(arguments), click.Context(main)
    for argument in rest:
        if argument in ("-w", "--workspace"):
            next(rest, None)
        if argument.startswith("-"):
            continue
        found = group.get_command(context, argument)
        if found is None:
            break
        words.append(argument)
        if not isinstance(found, click.Group):
            break
        group = found
    return " ".join(words) or "mbd"


def _check_unicode(arguments: list[str]) -> None:
    """Refuse bytes that are no text: no name, path or output of ours could hold them."""
    for argument in arguments:
        if not argument.isascii() and any("\ud800" <= letter <= "\udfff" for letter in argument):
            raise UsageError(f"argument {argument!r} is not UTF-8", code="usage.encoding")


def _usage(error: click.ClickException, command: str) -> UsageError:
    option = getattr(error, "param", None)
    context = getattr(error, "ctx", None)
    named = command if command == "mbd" else f"mbd {command}"  # some errors have no context
    where = context.command_path if context is not None else named
    name = option.opts[0] if option is not None and option.opts else None
    return UsageError(error.format_message(), field=name, hint=f"see `{where} --help`")

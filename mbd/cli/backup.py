"""`mbd backup` and `mbd restore`: a copy that can be checked, and put back without forgetting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mbd.cli.context import open_here
from mbd.cli.output import emit, json_option, note, progress
from mbd.errors import UsageError

if TYPE_CHECKING:
    from mbd.workflows.backup import Backup
    from mbd.workflows.restore import Restored


@click.command(epilog="Example: mbd backup /backups/2026-01-31")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--with-keys", is_flag=True, help="Copy keys/ too; then keep DIR as safe as keys.")
@click.option(
    "--for-auditor",
    is_flag=True,
    help="Copy only what `mbd verify --reproduce` needs: no keys, secrets, receipts or requests. "
    "It holds everybody's retained data, and cannot be restored.",
)
@json_option
@click.pass_context
def backup(
    ctx: click.Context, directory: Path, with_keys: bool, for_auditor: bool, as_json: bool
) -> None:
    """Copy the workspace to the new folder DIR, with the digest of every file.

    Receipts and staging are never copied. Interrupted requests are finished first, and nobody
    writes meanwhile. A backup holds what somebody may revoke tomorrow: give it an end.
    """
    from mbd.workflows.backup import make_backup
    from mbd.workflows.opening import open_session

    if for_auditor:
        _copy_for_auditor(ctx, directory, with_keys, as_json)
        return
    with (
        open_session(open_here(ctx), write=True, note=note) as session,
        progress("copying") as report,
    ):
        made = make_backup(session, directory, with_keys=with_keys, progress=report)
    payload = {"backup": str(directory.resolve()), **_described(made)}
    keys = "with keys: whoever has them can sign" if with_keys else "without keys: keep them apart"
    text = (
        f"Backup {directory.resolve()}\n"
        f"  {len(made.files)} files, {made.size_bytes} bytes, {keys}\n"
        f"  ledger of {made.ledger_size} entries, root {made.ledger_root[:16]}…"
    )
    emit("backup", payload, as_json, text)


def _copy_for_auditor(ctx: click.Context, directory: Path, with_keys: bool, as_json: bool) -> None:
    from mbd.workflows.auditor_copy import make_auditor_copy
    from mbd.workflows.opening import open_session

    if with_keys:
        raise UsageError("an auditor gets no keys", field="--with-keys")
    with (
        open_session(open_here(ctx), write=True, note=note) as session,
        progress("copying") as report,
    ):
        made = make_auditor_copy(session, directory, progress=report)
    payload = {"copy": str(made.folder), "files": made.files, "bytes": made.size_bytes}
    text = (
        f"Copy for an auditor {made.folder}\n"
        f"  {made.files} files, {made.size_bytes} bytes; no keys, secrets, receipts or requests\n"
        "It holds everybody's retained data, with their names as the data set has them: hand it\n"
        "over as carefully as the data itself, and have it deleted after the audit.\n"
        f"Check with: mbd verify CERT.json --reproduce {made.folder} --escrow FILE\n"
        "where FILE is the output of `mbd certificate escrow CERT.json`"
    )
    emit("backup", payload, as_json, text)


@click.command(epilog="Example: mbd restore /backups/2026-01-31")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="The workspace, or a new folder; default: the workspace here.",
)
@click.option(
    "--ledger",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="For a new folder: the newest ledger.db that was saved.",
)
@click.option(
    "--keys",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="For a new folder: the folder with the keys, if DIR has none.",
)
@json_option
@click.pass_context
def restore(
    ctx: click.Context,
    directory: Path,
    into: Path | None,
    ledger: Path | None,
    keys: Path | None,
    as_json: bool,
) -> None:
    """Put the backup DIR back, without what was revoked since it was made.

    Every file of DIR is checked first. An existing workspace keeps its ledger, secrets, keys
    and suppressions: channels that were revoked after the backup are subtracted from its model
    and erased from its data before any of it is in force. In a new folder the backup's ledger
    is taken, unless this machine knows that the log went on: then the newest ledger.db is
    needed (exit code 5).
    """
    from mbd.workflows.backup import open_backup
    from mbd.workflows.restore import restore_anew, restore_into
    from mbd.workspace.layout import SETTINGS_FILE, open_workspace

    with progress("checking") as report:
        found = open_backup(directory, report)
    if into is not None and not (into / SETTINGS_FILE).exists():
        with progress("copying") as report:
            done = restore_anew(into, found, ledger=ledger, keys=keys, progress=report)
    elif ledger is not None or keys is not None:
        raise UsageError(
            "--ledger and --keys are for a new folder; a workspace keeps its own",
            field="--into",
        )
    else:
        workspace = open_here(ctx) if into is None else open_workspace(into)
        with progress("copying") as report:
            done = restore_into(workspace, found, report)
    _show(done, found, as_json)


def _show(done: Restored, found: Backup, as_json: bool) -> None:
    payload = {
        "workspace": str(done.workspace),
        "backup": _described(found),
        "entriesSince": done.entries_since,
        "channelsErased": done.channels,
        "headsReleased": list(done.heads),
        "model": done.model,
    }
    lines = [f"Restored {done.workspace} to {done.created_at}"]
    if done.entries_since:
        lines.append(f"  {done.entries_since} ledger entries came after the backup, and are kept")
    if done.channels:
        what = "channel was" if done.channels == 1 else "channels were"
        lines.append(f"  {done.channels} {what} revoked since: subtracted and erased again")
    if done.heads:
        lines.append(f"  released anew: {', '.join(done.heads)}")
    lines.append("Data and models that were added after the backup are gone.")
    emit("restore", payload, as_json, "\n".join(lines))


def _described(backup: Backup) -> dict[str, object]:
    return {
        "createdAt": backup.created_at,
        "files": len(backup.files),
        "bytes": backup.size_bytes,
        "keys": backup.with_keys,
        "ledger": {"size": backup.ledger_size, "root": backup.ledger_root},
    }

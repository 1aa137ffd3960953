"""`mbd data`: generate, import and look at data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mbd.cli.context import session_here
from mbd.cli.output import emit, json_option, note, table
from mbd.cli.scan import scan
from mbd.cli.source import GRAMMAR, problems_text, reading, source_options, validation
from mbd.errors import NotFoundError
from mbd.values import COHORTS

if TYPE_CHECKING:
    from mbd.data.intake import Intake
    from mbd.data.records import Records, Suppressions
    from mbd.data.rules import BadValue, Dropped
    from mbd.data.schema import DatasetSchema
    from mbd.data.store import Store

_LISTED = 100  # dropped records and bad values listed one by one


@click.group()
def data() -> None:
    """Generate, import and look at data."""


data.add_command(scan)


@data.command(epilog="Example: mbd data synth --users 60 --records 1200 --seed 0")
@click.option("--users", type=click.IntRange(1, 1_000_000), default=60, show_default=True,
              help="Subjects, named 0 to N-1.")  # fmt: skip
@click.option("--records", type=click.IntRange(1, 10_000_000), default=1200, show_default=True,
              help="Records in total.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True,
              help="Everything follows from it.")  # fmt: skip
@json_option
@click.pass_context
def synth(ctx: click.Context, users: int, records: int, seed: int, as_json: bool) -> None:
    """Make a synthetic data set: people with habits, three channels, some missing."""
    from mbd.data.synthetic import synthesise

    made, schema = synthesise(users, records, seed)
    _take_in(ctx, "data synth", made, schema, (), (), as_json)


@data.command(
    "import",
    help="Read SRC as records." + GRAMMAR,
    epilog="Example: mbd data import mosi_utt.npz --spec mosi.toml",
)
@source_options
@json_option
@click.pass_context
def import_(ctx: click.Context, /, as_json: bool, **source: Any) -> None:
    from mbd.data.sources import import_source

    found = import_source(reading(**source))
    _take_in(
        ctx, "data import", found.records, found.schema, found.dropped, found.bad_values, as_json
    )


@data.command(epilog="Example: mbd data add monday.csv --spec mosi.toml")
@source_options
@json_option
@click.pass_context
def add(ctx: click.Context, /, as_json: bool, **source: Any) -> None:
    """Import more records of the same data set, and let the model learn them.

    Heads learn by adding to the state: no training again, and the state is bit for bit that of
    a model which had them from the start under its policy. Records that were imported without
    being learned are learned along. Revoked channels are not taken. `mbd data import --help`
    explains SRC and the spec.
    """
    from mbd.data.sources import import_source
    from mbd.workflows.grow import add_data

    found = import_source(reading(**source))
    with session_here(ctx, write=True) as session:
        added = add_data(session, found.records, found.schema)
        payload = {
            **_describe(added.intake.store, session.suppressions),
            **_losses(added.intake, found.dropped, found.bad_values),
            "learned": added.learned,
            "model": added.model,
            "state": added.state,
        }
    emit("data add", payload, as_json, f"{_as_text(payload)}\n\n{_learned(payload)}")
    _note_losses(payload)


@data.command(epilog="Example: mbd data validate features.csv --spec spec.toml")
@source_options
@click.option("--joining", is_flag=True,
              help="SRC will join data already held: listed people need not be in it.")  # fmt: skip
@json_option
@click.pass_context
def validate(ctx: click.Context, /, joining: bool, as_json: bool, **source: Any) -> None:
    """Name every problem of SRC before an import; change nothing.

    `mbd data import --help` explains SRC and the spec. Exit code 0 if there is no problem, 1
    if there is any, though an import may go on without the records and channels concerned.
    No workspace is needed.
    """
    from mbd.data.sources import validate_source

    found = validate_source(reading(**source), joining=joining)
    payload = validation(found)
    emit("data validate", payload, as_json, problems_text(payload))
    ctx.exit(1 if found.problems else 0)


@data.command(epilog="Example: mbd data info --json")
@json_option
@click.pass_context
def info(ctx: click.Context, as_json: bool) -> None:
    """What is held."""
    with session_here(ctx, write=False) as session:
        store = session.store()
        payload = _describe(store, session.suppressions)
    emit("data info", payload, as_json, _as_text(payload))


@data.command(epilog="Example: mbd data subjects --cohort revocable --modality audio")
@click.option("--cohort", type=click.Choice(COHORTS), help="Only this cohort.")
@click.option("--modality", help="Only those of whom this channel is held.")
@json_option
@click.pass_context
def subjects(ctx: click.Context, cohort: str | None, modality: str | None, as_json: bool) -> None:
    """Who is in the data."""
    with session_here(ctx, write=False) as session:
        store = session.store()
        if modality is not None:
            store.schema.modality(modality)
        found = [
            one
            for one in store.subjects(session.suppressions)
            if cohort in (None, one.cohort) and (modality is None or modality in one.available)
        ]
    rows = [
        {
            "user": one.user,
            "cohort": one.cohort,
            "available": sorted(one.available),
            "records": one.records,
        }
        for one in found
    ]
    header = ("user", "cohort", "records", "available")
    cells = [(one.user, one.cohort, one.records, "+".join(sorted(one.available))) for one in found]
    emit("data subjects", {"subjects": rows}, as_json, table(header, cells))


@data.command(epilog="Example: mbd data show --user 42")
@click.option("--user", required=True, help="The id that the data set uses.")
@json_option
@click.pass_context
def show(ctx: click.Context, user: str, as_json: bool) -> None:
    """What is held on one person, and which models learned from it."""
    with session_here(ctx, write=False) as session:
        store = session.store()
        held = store.read(subjects=[user], suppressions=session.suppressions)
        revoked = [m for m in store.schema.names if session.suppressions.blocks(user, m)]
        granted = [m for m in store.schema.names if session.suppressions.granted(user, m)]
        if not len(held) and not revoked and not granted:
            raise NotFoundError(
                f"no user {user!r}", field="--user", hint="`mbd data subjects` lists them"
            )
        payload = {
            "user": user,
            "cohort": store.schema.cohorts.cohort_of(user),
            "revoked": revoked,
            "granted": granted,
            "records": [_record(held, index) for index in range(len(held))],
            "models": session.models_using(user),
        }
    emit("data show", payload, as_json, _person(payload))


def _take_in(
    ctx: click.Context,
    command: str,
    records: Records,
    schema: DatasetSchema,
    dropped: tuple[Dropped, ...],
    bad_values: tuple[BadValue, ...],
    as_json: bool,
) -> None:
    """Put records in the store of this workspace and say what became of them."""
    from mbd.data.intake import take_in

    with session_here(ctx, write=True) as session:
        folder = session.workspace.data / "store"
        taken = take_in(folder, session.key, records, schema, session.suppressions)
        payload = {
            **_describe(taken.store, session.suppressions),
            **_losses(taken, dropped, bad_values),
        }
        unlearned = session.find_model() is not None
    emit(command, payload, as_json, _as_text(payload))
    _note_losses(payload)
    if unlearned:
        note("the model did not learn this: `mbd train` or the next `mbd data add` does")


def _note_losses(payload: dict[str, Any]) -> None:
    """Say what was not taken, if anything."""
    if payload["droppedCount"] or payload["badValuesCount"] or payload["suppressed"]:
        note(
            f"dropped {payload['droppedCount']} records; "
            f"{payload['badValuesCount']} channels absent for a bad value; "
            f"{payload['suppressed']} channels not taken: revoked"
        )


def _losses(
    taken: Intake, dropped: tuple[Dropped, ...], bad_values: tuple[BadValue, ...]
) -> dict[str, Any]:
    gone = (*dropped, *taken.dropped)
    return {
        "imported": taken.taken,
        "suppressed": taken.suppressed,
        "droppedCount": len(gone),
        "dropped": [{"record": one.record, "reason": one.reason} for one in gone[:_LISTED]],
        "badValuesCount": len(bad_values),
        "badValues": [
            {"record": one.record, "modality": one.modality, "reason": one.reason}
            for one in bad_values[:_LISTED]
        ],
    }


def _describe(store: Store, suppressions: Suppressions) -> dict[str, Any]:
    found = store.describe(suppressions)
    return {
        "name": store.schema.name,
        "task": store.schema.task.kind,
        "records": found.records,
        "subjects": found.subjects,
        "modalities": [
            {
                "name": one.name,
                "width": one.width,
                "maxLength": one.max_length,
                "records": records,
                "derivedFrom": list(one.derived_from),
            }
            for one, records in found.modalities
        ],
        "cohorts": found.cohorts,
        "splits": found.splits,
    }


def _as_text(payload: dict[str, Any]) -> str:
    header = ("modality", "records", "width", "steps")
    rows = [(m["name"], m["records"], m["width"], m["maxLength"]) for m in payload["modalities"]]
    cohorts = ", ".join(f"{count} {name}" for name, count in payload["cohorts"].items())
    splits = ", ".join(f"{count} {name}" for name, count in payload["splits"].items())
    return (
        f"{payload['name']}: {payload['records']} records of {payload['subjects']} subjects\n"
        f"subjects  {cohorts}\n"
        f"records   {splits}\n\n" + table(header, rows)
    )


def _learned(payload: dict[str, Any]) -> str:
    rows = list(payload["learned"].items())
    if not rows:
        return "There was nothing to learn." if payload["model"] else "There is no model yet."
    return table(("head", "rows learned"), rows) + f"\n\nModel {payload['model']} is in service."


def _record(held: Records, index: int) -> dict[str, Any]:
    return {
        "record": held.record_ids[index],
        "split": held.splits[index],
        "label": float(held.labels[index]),
        "available": sorted(held.availability(index)),
    }


def _person(payload: dict[str, Any]) -> str:
    header = ("record", "split", "label", "available")
    rows = [
        (r["record"], r["split"], f"{r['label']:g}", "+".join(r["available"]))
        for r in payload["records"]
    ]
    models = [str(model.get("model", model)) for model in payload["models"]]
    return (
        f"{payload['user']}: {payload['cohort']}, {len(rows)} records\n"
        f"revoked             {', '.join(payload['revoked']) or 'nothing'}\n"
        f"granted again       {', '.join(payload['granted']) or 'nothing'}\n"
        f"models that learned {', '.join(models) or 'none'}\n\n" + table(header, rows)
    )

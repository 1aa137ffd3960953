"""Whatever happens in a workspace, nothing that others see tells who the people in it are."""

from __future__ import annotations

import csv
import itertools
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mbd.ledger.bodies import SEALED, is_sealed
from tests.workflows.children import KILLED, child_mbd, die_before, table_of
from tests.workflows.planted import Record, plant, write
from tests.workflows.searcher import Searcher
from tests.workflows.test_privacy import rows_of
from tests.workflows.test_unlinkable import flat
from tests.workflows.trail import Trail
from tests.workspaces import must_run

WIDTH = "heads.width=160"


class World:
    """A workspace with a planted data set, and the trail that it leaves."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.folder = folder
        self.planted = plant(seed)
        people = iter(self.planted.revocable)
        self.twice, self.exact, self.whole, self.stranger, *self.others = people
        self.later = self.planted.more(self.twice, 0, 0, 0, 1)
        self.arriving = self.planted.more(f"Newcomer {seed} of the second day", 0, 0, 2)
        (folder / "scratch").mkdir()
        must_run(folder, "init", str(folder / "service"))
        searcher = Searcher(self.planted.traces())
        self.trail = Trail(folder / "service", searcher, folder / "scratch")
        self.trail.check()  # nothing of what is planted lies there by chance

    def source(self, records: list[Record], name: str) -> list[str]:
        return write(records, self.planted.spec, self.folder / name)

    def begin(self) -> None:
        """Import everything but what arrives later, and train."""
        late = {record.name for record in (*self.later, *self.arriving)}
        now = [record for record in self.planted.records if record.name not in late]
        self.trail.run("data", "import", *self.source(now, "people.npz"))
        self.trail.run("-v", "train", "--core", "none", "--set", WIDTH)

    def revoke(self, user: str, modality: str, *more: str, **how: Any) -> Any:
        asked = ("revoke", "--user", user, "--modality", modality, *more, "--json")
        return self.trail.run(*asked, **how).json

    def revoke_killed(self, user: str, dying: Any) -> None:
        """A revocation that does not come to its end."""
        asked = ("revoke", "--user", user, "--modality", "vision")
        self.trail.run(*asked, run=dying, code=KILLED, unfinished=self.all_of(user))

    def records_of(self, user: str) -> list[Record]:
        return [record for record in self.planted.records if record.subject == user]

    def facts_of(self, user: str) -> set[str]:
        """What a command that is asked about somebody may say."""
        records = self.records_of(user)
        return {user, *(r.name for r in records), *(f"label of {r.name}" for r in records)}

    def all_of(self, user: str) -> set[str]:
        """The same, and fingerprints of what is to be erased."""
        channels = itertools.product(self.records_of(user), ("audio", "text", "vision"))
        return self.facts_of(user) | {f"{name} of {record.name}" for record, name in channels}


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    made = World(getattr(request, "param", 0), tmp_path)
    made.begin()
    return made


def look_around(world: World) -> None:
    """Every command that reads, as an operator or an auditor runs it."""
    trail, root = world.trail, world.trail.root
    for line in (
        "doctor", "doctor --json", "-v state check", "data info", "data info --json", "eval --json",
        "ledger list", "ledger list --json", "ledger check --json", "ledger checkpoint",
        "key list", "key export", "db status",
    ):  # fmt: skip
        trail.run(*line.split(), code=None, look=False)
    size = trail.run("ledger", "check", "--json").json["size"]
    for index in range(size):
        trail.run("ledger", "show", str(index), "--json", look=False)
        trail.run("ledger", "proof", str(index), code=None, look=False)
    for bundle in sorted((root / "certs").iterdir()):
        trail.run("-v", "verify", str(bundle), code=None, look=False)
    exports = world.folder / "exports"
    kinds = {"--csv": "l.csv", "--jsonl": "l.jsonl", "--sqlite": "l.db", "--tiles": "tiles"}
    exports.mkdir(exist_ok=True)
    for kind, name in kinds.items():
        target = exports / f"{size}-{name}"
        if not target.exists():
            trail.run("ledger", "export", kind, str(target))
            trail.outside.append(target)
    trail.check()
    assert_open_bodies_say_nothing(root)


OPAQUE = re.compile(
    r"[0-9a-f]{64}|[0-9A-HJKMNP-TV-Z]{26}|[a-z]+([ +][a-z]+)*|urn:mbd:[a-z:0-9-]+|\d+"
)
"""Digests, ids, names of heads and of reasons, indices."""


def assert_open_bodies_say_nothing(root: Path) -> None:
    """But for policies and keys, what lies open is commitments, and whatever is random."""
    kind = {row["entry_index"]: row["type"] for row in rows_of(root, "entry")}
    for row in rows_of(root, "body"):
        if kind[row["entry_index"]] in ("attempt", "cancel", "consent", "growth", "erasure"):
            for path, value in flat(json.loads(row["content"])):
                assert OPAQUE.fullmatch(str(value)), (kind[row["entry_index"]], path, value)
        elif kind[row["entry_index"]] in SEALED:
            assert is_sealed(row["content"])


def use_receipts(world: World) -> None:
    """What is asked with a receipt is asked about its person; the file itself is theirs."""
    trail = world.trail
    for path in sorted((trail.root / "receipts").iterdir()):
        about = world.facts_of(json.loads(path.read_text())["subject"])
        for line in ("data scan --receipt", "state check --receipt", "ledger list --receipt"):
            trail.run(*line.split(), str(path), told=about, code=None, look=False)
        bundle = str(trail.root / "certs" / path.name)
        trail.run("verify", bundle, "--receipt", str(path), "--json", told=about, look=False)
    trail.check()


def test_one_revocation_and_a_second_one_of_the_same_channel(world: World) -> None:
    trail, user = world.trail, world.twice
    world.revoke(user, "audio", told=())
    trail.run("consent", "grant", "--user", user, "--modality", "audio")
    trail.run("data", "add", *world.source([*world.later, *world.arriving], "monday.npz"))
    done = world.revoke(user, "audio")
    trail.run("ledger", "erase-body", done["certificateId"], "--yes", "--json")
    trail.run("secrets", "forget", "--user", user, "--yes")
    look_around(world)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("world", [2, 3], indirect=True, ids=["listed", "drawn"])
def test_everything_that_can_happen(world: World) -> None:
    """One workspace, one long life: each step is followed by a look at every file."""
    look_around(world)
    singly(world)
    in_a_batch(world)
    queued_and_cancelled(world)
    killed(world)
    trained_again(world)
    saved = str(world.folder / "saved")
    world.trail.run("backup", saved, "--with-keys")
    growing_and_again(world)
    new_key(world)
    use_receipts(world)
    look_around(world)
    world.trail.run("restore", saved)
    world.trail.run("state", "check", "--json")
    use_receipts(world)
    refusals(world)
    forgotten(world)
    look_around(world)


def singly(world: World) -> None:
    """A release with noise, one without, and somebody who goes altogether."""
    world.revoke(world.twice, "audio", "--request-id", "first")
    world.revoke(world.exact, "vision", "--method", "exact")
    user = world.whole
    world.trail.run("-v", "revoke", "--user", user, "--modality", "all", "--dry-run")
    world.trail.run("-v", "revoke", "--user", user, "--modality", "all")


def in_a_batch(world: World) -> None:
    """Three people at once, one of them twice; rows that are refused name who they are about."""
    one, two, three = world.others[:3]
    rows = [
        (one, "audio"), (two, "all"), (three, "text+vision"), (three, "audio"),
        (world.whole, "audio"), (one, "smell"), (world.planted.foundation[0], "text"),
    ]  # fmt: skip
    path = world.folder / "batch.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("user", "modality"), *rows])
    named = {user for user, _ in rows}
    world.trail.run("revoke", "--batch", str(path), "--dry-run", told=named, code=8)
    world.trail.run("-v", "revoke", "--batch", str(path), told=named, code=8)


def queued_and_cancelled(world: World) -> None:
    """What waits says whom it is about; what was given up says it no more."""
    trail, user = world.trail, world.planted.foundation[1]
    waiting = {user}
    queue = ("--method", "retrain", "--queue", "--request-id", "waits")
    world.revoke(user, "audio", *queue, unfinished=waiting)
    for line in ("doctor", "ledger list --json", "data info"):
        trail.run(*line.split(), unfinished=waiting, code=None)
    trail.run("revoke", "--cancel", "waits", "--json")


def killed(world: World) -> None:
    """Killed after erasure, and finished by the next command."""
    trail, user = world.trail, world.others[3]
    dying = partial(child_mbd, prelude=partial(die_before, table_of("scanned"), "scanned"))
    world.revoke_killed(user, dying)
    trail.run("doctor", "--json", unfinished=world.all_of(user), code=None)
    trail.run("-v", "resume")


def growing_and_again(world: World) -> None:
    """Consent, data that arrives, and the same channel revoked again."""
    trail, user = world.trail, world.twice
    trail.run("consent", "grant", "--user", user, "--modality", "audio", "--json")
    records = [*world.later, *world.arriving]
    trail.run("-v", "data", "add", *world.source(records, "monday.npz"))
    world.revoke(user, "audio", "--request-id", "second")
    world.revoke(user, "text")


def trained_again(world: World) -> None:
    """Somebody whom the settings were learned from."""
    user = world.planted.foundation[2]
    world.revoke(user, "text", "--method", "retrain")
    world.trail.run("ledger", "list", "--json")


def new_key(world: World) -> None:
    trail = world.trail
    trail.run("-v", "key", "rotate")
    world.revoke(world.others[4], "audio")


def refusals(world: World) -> None:
    """An error names what was typed, and nothing else; also where it shows its origin."""
    trail, user = world.trail, world.twice
    gone = world.records_of(world.whole)[0].name
    held = world.records_of(world.stranger)[0].name
    for line in (
        ("revoke", "--user", user, "--modality", "audio"),
        ("revoke", "--user", "nobody", "--modality", "audio"),
        ("revoke", "--user", world.planted.foundation[3], "--modality", "audio"),
        ("revoke", "--user", world.stranger, "--modality", "audio", "--request-id", "first"),
        ("consent", "grant", "--user", world.stranger, "--modality", "audio"),
        ("consent", "withdraw", "--user", user, "--modality", "audio"),
        ("predict", "--record", gone),
        ("revoke", "--cancel", "first"),
        ("secrets", "forget", "--user", world.stranger, "--yes"),
        ("ledger", "show", user),
        ("restore", str(world.folder / "nothing")),
    ):
        for more in ((), ("--json",)):
            ran = trail.run("-v", *line, *more, code=None, look=not more)
            assert ran.code in range(1, 9), (line, ran)
    trail.run("predict", "--record", held)
    trail.run("data", "show", "--user", user, told=world.facts_of(user))


def forgotten(world: World) -> None:
    """Secrets and bodies destroyed; nothing says whose they were."""
    trail, bundles = world.trail, sorted((world.trail.root / "certs").iterdir())
    trail.run("secrets", "forget", "--user", world.twice, "--yes", "--json")
    trail.run("ledger", "erase-body", bundles[0].stem, "--with-bundle", "--yes")
    trail.run("-v", "secrets", "forget", "--user", world.exact, "--yes")

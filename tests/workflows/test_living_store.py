"""Random sequences of everything that happens to a store in its life, killed anywhere.

After every step the workspace is held against a small model of it: which values must be there,
which channels are off, how many certificates were issued. A sequence is drawn from the seed in
the test's name; the commands of one that fails are printed.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mbd.database.journal import Journal
from mbd.errors import RefusedError
from mbd.workflows.predict import predict_input, predict_record
from mbd.workflows.session import Session
from tests.conftest import SERVICE, STATE
from tests.workflows.arrivals import ALL, SHAPES, archive, from_scratch
from tests.workflows.children import KILLED, child_mbd, die_after, die_before
from tests.workspaces import TrainedWorkspace, describe, must_run, run_mbd

USERS, RECORDS, WIDTH = 12, 60, 160
PEOPLE = 3  # two who were there from the start, and one who comes later

Channel = tuple[str, str]
"""Of a person: (subject, modality)."""
Held = Mapping[tuple[str, str], tuple[str, str]]
"""Subject and digest of each value, by record and modality."""


@dataclass(frozen=True)
class World:
    """What must hold."""

    held: Held
    off: frozenset[Channel] = frozenset()
    granted: frozenset[Channel] = frozenset()
    revoked: tuple[Channel, ...] = ()
    """One per certificate, in order."""
    unlearned: frozenset[str] = frozenset()
    """Records that were imported without being learned."""

    def of(self, channel: Channel) -> bool:
        """Whether anything of a channel is held."""
        return any((owner, m) == channel for (_, m), (owner, _) in self.held.items())

    def without(self, gone: frozenset[Channel]) -> Held:
        """What is left without these channels."""
        return {key: value for key, value in self.held.items() if (value[0], key[1]) not in gone}

    def add(self, arriving: Held, *, learn: bool) -> World:
        """Only what is not off is taken."""
        taken = replace(self, held=arriving).without(self.off)
        new = frozenset() if learn else self.unlearned | {name for name, _ in taken}
        return replace(self, held={**self.held, **taken}, unlearned=new)

    def revoke(self, channel: Channel) -> World:
        """Its values go, and there is one more certificate."""
        gone = frozenset({channel})
        return replace(
            self,
            held=self.without(gone),
            off=self.off | gone,
            granted=self.granted - gone,
            revoked=(*self.revoked, channel),
        )

    def grant(self, channel: Channel) -> World:
        """Nothing comes back."""
        return replace(self, off=self.off - {channel}, granted=self.granted | {channel})

    def withdraw(self, channel: Channel) -> World:
        """As if it had not been granted."""
        return replace(self, off=self.off | {channel}, granted=self.granted - {channel})

    def restore(self, then: World) -> World:
        """What was held then, without all that is off or was revoked since; the rest is now's."""
        since = frozenset(self.revoked[len(then.revoked) :])
        return replace(self, held=then.without(self.off | since), unlearned=then.unlearned)

    @property
    def behind(self) -> bool:
        """Whether something is held that the model did not learn."""
        return any(record in self.unlearned for record, _ in self.held)


DATABASE = "mbd.database.engine.Database"
PLACES = [
    *[("os", "fsync", 24)] * 3,
    ("os", "replace", 12),
    ("os", "rename", 3),
    ("os", "link", 6),
    ("os", "unlink", 6),
    *[(DATABASE, "transaction", 8)] * 2,
    (DATABASE, "read", 16),
    (DATABASE, "purge", 2),
]
"""Where a command is killed, and up to which call."""

NEXT = ["resume", "data info", "predict --record", "eval"]


class LivingStore:
    """A workspace, the model of it, and what happens to both."""

    def __init__(self, workspace: TrainedWorkspace, seed: int) -> None:
        self.workspace = workspace
        self.random = random.Random(seed)
        cohorts = self.session().store().schema.cohorts
        names = (f"new-{number}" for number in range(100))
        stranger = next(name for name in names if cohorts.cohort_of(name) == "revocable")
        self.people = (*workspace.revocable[: PEOPLE - 1], stranger)
        self.world = World(read(self.session()))
        self.stays = min(
            n for (n, _), (who, _) in self.world.held.items() if who not in self.people
        )
        self.backups: list[tuple[Path, World]] = []
        self.arrivals = 0

    @property
    def root(self) -> Path:
        return self.workspace.root

    def session(self) -> Session:
        return self.workspace.session()

    def walk(self, steps: int) -> None:
        """Let so many things happen."""
        for _ in range(steps):
            actions = [
                *[self.arrive] * 3,
                *[self.revoke] * 3,
                *[self.grant] * 2 * bool(self.world.off),
                *[self.withdraw] * bool(self.world.granted),
                *[self.back_up] * (1 if self.backups else 3),
                *[self.restore] * 2 * bool(self.backups),
            ]
            self.random.choice(actions)()
        self.certificates_hold()

    # What happens

    def arrive(self) -> None:
        """Two records of one person, learned or only held."""
        draw = self.random
        user, learn = draw.choice(self.people), draw.random() < 2 / 3
        channels = tuple(sorted(draw.sample(ALL, draw.randint(1, len(ALL)))))
        self.arrivals += 1
        names = [f"n{self.arrivals}-{number}" for number in range(2)]
        source = archive(self.workspace, names, user, channels, seed=self.arrivals)
        with np.load(source[0]) as arrays:
            arriving = {
                (name, modality): (user, digest(arrays[modality][index]))
                for index, name in enumerate(names)
                for modality in channels
            }
        halfway = [replace(self.world, unlearned=frozenset())] if learn else []
        after = self.world.add(arriving, learn=learn)
        self.perform(["data", "add" if learn else "import", *source], after, halfway)

    def revoke(self) -> None:
        channels = [(user, modality) for user in self.people for modality in ALL]
        if self.random.random() < 9 / 10:
            channels = [channel for channel in channels if self.world.of(channel)] or channels
        channel = self.random.choice(channels)
        argv = ["revoke", "--user", channel[0], "--modality", channel[1]]
        if self.world.of(channel):
            self.perform(argv, self.world.revoke(channel))
        else:
            self.refused(argv, 6 if channel in self.world.off else 4)

    def grant(self) -> None:
        channel = self.random.choice(sorted(self.world.off))
        argv = ["consent", "grant", "--user", channel[0], "--modality", channel[1]]
        self.perform(argv, self.world.grant(channel))

    def withdraw(self) -> None:
        channel = self.random.choice(sorted(self.world.granted))
        argv = ["consent", "withdraw", "--user", channel[0], "--modality", channel[1]]
        if self.world.of(channel):
            self.refused(argv, 6)
        else:
            self.perform(argv, self.world.withdraw(channel))

    def back_up(self) -> None:
        folder, before = self.root.parent / f"backup-{len(self.backups)}", self.world
        self.perform(["backup", str(folder)], before)
        if folder.exists():
            self.backups.append((folder, before))

    def restore(self) -> None:
        folder, world = self.random.choice(self.backups)
        self.perform(["restore", str(folder)], self.world.restore(world))

    # What must hold

    def perform(self, argv: list[str], after: World, halfway: Sequence[World] = ()) -> None:
        """Run a command to its end; or kill it, and let another command find what it left.

        Args:
            argv: The command.
            after: What it leads to.
            halfway: What else it may have come to if it was killed.
        """
        if self.random.random() < 1 / 2:
            self.tell(argv)
            must_run(self.root, *argv)
            self.settle([after])
        elif not self.killed(argv):
            self.settle([after])
        else:
            # A request that is recorded will be carried out; all else may not have happened.
            worlds = [after] if self.open_requests() else [after, self.world, *halfway]
            while self.random.random() < 1 / 3:
                self.killed(["resume"])
            then = self.random.choice(NEXT).split()
            then += [self.stays] * (then[0] == "predict")
            self.tell(then)
            must_run(self.root, *then)
            self.settle(worlds)

    def killed(self, argv: list[str]) -> bool:
        """Run a command that is killed if it gets so far; whether it was."""
        owner, name, most = self.random.choice(PLACES)
        kill, call = self.random.choice([die_before, die_after]), self.random.randint(1, most)
        ran = child_mbd(self.root, *argv, prelude=partial(kill, owner, name, call=call))
        self.tell(argv, f"  # {kill.__name__} {owner}.{name}, call {call}: {ran.code}")
        assert ran.code in (0, KILLED), ran
        return ran.code == KILLED

    def tell(self, argv: list[str], outcome: str = "") -> None:
        """Print a command, to be read if the test fails."""
        print(" ".join(["mbd", *argv]).replace(str(self.root.parent), "..") + outcome)

    def refused(self, argv: list[str], code: int) -> None:
        self.tell(argv, "  # refused")
        ran = run_mbd(self.root, *argv)
        assert ran.code == code, ran
        self.settle([self.world])

    def settle(self, worlds: Sequence[World]) -> None:
        """Find out which world it is, and hold everything against it."""
        session = self.session()
        held, off = read(session), self.off(session)
        learned = session.state().digest == from_scratch(session)
        certificates = len(list(session.workspace.certs.iterdir()))
        found = [
            world
            for world in worlds
            if (world.held, world.off, not world.behind) == (held, off, learned)
            and len(world.revoked) == certificates
        ]
        if not found:
            pytest.fail("\n".join(differences(worlds[0], held, off, learned, certificates)))
        self.world = found[0]
        assert not self.open_requests()
        for command in ("state check", "ledger check"):
            must_run(self.root, *command.split())
        entries = must_run(self.root, "ledger", "list", "--json").json["entries"]
        assert sum(entry["type"] == "certificate" for entry in entries) == certificates
        self.refuses_what_is_off(session)

    def refuses_what_is_off(self, session: Session) -> None:
        """No prediction uses a channel that is off, whether it is stored or arrives."""
        for user, modality in sorted(self.world.off):
            records = {name for (name, _), (owner, _) in self.world.held.items() if owner == user}
            for record in sorted(records)[:1]:
                made = predict_record(session, record)
                assert modality in made.refused
                assert modality not in made.used
            path = self.root.parent / "input.npz"
            np.savez(path, **{modality: np.ones(SHAPES[modality], np.float32)})
            with pytest.raises(RefusedError):
                predict_input(session, path, user=user)

    def off(self, session: Session) -> frozenset[Channel]:
        everybody = {*self.people, *(one.user for one in session.store().subjects())}
        blocks = session.suppressions.blocks
        return frozenset((user, name) for user in everybody for name in ALL if blocks(user, name))

    def open_requests(self) -> int:
        with self.session().database.read() as connection:
            return len(Journal(connection).open_requests())

    def certificates_hold(self) -> None:
        """Every certificate is valid, and nothing that one is about is found anywhere."""
        for bundle in (self.root / "certs").iterdir():
            receipt = self.root / "receipts" / bundle.name
            must_run(self.root, "verify", str(bundle))
            ran = run_mbd(self.root, "verify", str(bundle), "--receipt", str(receipt))
            # Records that were imported and never learned from: a receipt alone cannot tell.
            assert ran.code == 0 or (ran.code == 3 and NEVER_USED in ran.out), ran.out
            must_run(self.root, "data", "scan", "--receipt", str(receipt))
            must_run(self.root, "state", "check", "--receipt", str(receipt))


NEVER_USED = "ask why they were stored and never used"


def choose(channels: frozenset[Channel], number: int) -> Channel:
    return sorted(channels)[number % len(channels)]


def digest(value: np.ndarray) -> str:
    return hashlib.sha256(repr(value.shape).encode() + value.tobytes()).hexdigest()


def read(session: Session) -> Held:
    """Everything in the store, suppressed or not."""
    records = session.store().read()
    return {
        (name, modality): (records.subjects[index], digest(value))
        for modality, column in records.x.items()
        for index, (name, value) in enumerate(zip(records.record_ids, column, strict=True))
        if value is not None
    }


def differences(
    world: World, held: Held, off: frozenset[Channel], learned: bool, certificates: int
) -> list[str]:
    """What is not as it would be if the command had run to its end."""
    there, wanted = set(held.items()), set(world.held.items())
    return [
        *(f"lost or changed: {key} of {value[0]}" for key, value in sorted(wanted - there)),
        *(f"there and must not be: {key} of {value[0]}" for key, value in sorted(there - wanted)),
        f"off: {sorted(off)}, want {sorted(world.off)}",
        f"the state is from scratch: {learned}, want {not world.behind}",
        f"certificates: {certificates}, want {len(world.revoked)}",
    ]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained workspace, smaller than that of other tests."""
    folder = tmp_path_factory.mktemp("living") / "original"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / STATE))
        root = folder / SERVICE
        must_run(folder, "init", str(root))
        must_run(root, "data", "synth", "--users", str(USERS), "--records", str(RECORDS),
                 "--seed", "1")  # fmt: skip
        must_run(root, "train", "--core", "none", "--set", f"heads.width={WIDTH}")
    return folder


def live(small: Path, folder: Path, *, seed: int, steps: int) -> None:
    """Let things happen to a copy of the workspace."""
    shutil.copytree(small, folder, dirs_exist_ok=True)
    LivingStore(describe(folder / SERVICE), seed).walk(steps)


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
def test_whatever_happens_to_a_store_nothing_revoked_is_there_and_nothing_else_is_lost(
    small: Path, tmp_path: Path, seed: int
) -> None:
    live(small, tmp_path, seed=seed, steps=8)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 106))
def test_the_same_for_longer(small: Path, tmp_path: Path, seed: int) -> None:
    live(small, tmp_path, seed=seed, steps=16)

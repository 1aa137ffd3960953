"""One trial: a revocation, a fault in the middle of it, recovery, and every promise judged."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commands import KILLED, Ran
from faults import COUNT, ENDING, Fault
from places import MODALITY, Broken, Known, Person, Place

REFUSALS = ("storage", "database", "workspace.busy", "memory")
"""What the codes of errors begin with that a disk may be the reason for."""

BATCH_FILE = "batch.csv"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked for, and by which command."""

    kind: str
    """single, batch or retrain."""
    people: tuple[Person, ...]
    requests: tuple[str, ...]
    """The caller's id of each person's request."""
    arguments: tuple[str, ...]

    @classmethod
    def single(cls, person: Person) -> Asked:
        """One channel of one person."""
        return cls(
            kind="single",
            people=(person,),
            requests=("r-0",),
            arguments=("revoke", *_one(person), "--request-id", "r-0"),
        )

    @classmethod
    def retrain(cls, person: Person) -> Asked:
        """One channel of somebody whom the choices or the core have seen."""
        return cls(
            kind="retrain",
            people=(person,),
            requests=("r-0",),
            arguments=("revoke", *_one(person), "--request-id", "r-0", "--method", "retrain"),
        )

    @classmethod
    def batch(cls, people: Sequence[Person]) -> Asked:
        """One channel of several people, in one file."""
        return cls(
            kind="batch",
            people=tuple(people),
            requests=tuple(f"r-{number}" for number in range(len(people))),
            arguments=("revoke", "--batch", f"../{BATCH_FILE}"),
        )

    def write_file(self, place: Place) -> None:
        """The file that a batch is asked for in, beside the workspace."""
        rows = [
            f"{person.user},{MODALITY},{request}"
            for person, request in zip(self.people, self.requests, strict=True)
        ]
        text = "\n".join(["user,modality,requestId", *rows, ""])
        (place.folder / BATCH_FILE).write_text(text, "utf-8")


def _one(person: Person) -> tuple[str, ...]:
    return "--user", person.user, "--modality", MODALITY


@dataclass(frozen=True, kw_only=True)
class Whole:
    """A revocation that nothing happened to."""

    seconds: float
    changes: int
    """Calls that change a file or folder."""
    epsilon: float
    """What its release costs a person."""
    learned: Mapping[str, str]
    """Digests of the core and the heads, by path; a retraining gives them again, bit for bit."""

    @classmethod
    def measure(cls, place: Place, asked: Asked) -> Whole:
        """Carry out a revocation to its end, and count.

        Raises:
            Broken: It failed, though nothing was in its way.
        """
        trace = place.folder / "trace"
        asked.write_file(place)
        started = time.perf_counter()
        ran = place.run(*asked.arguments, fault=COUNT, trace=trace)
        seconds = time.perf_counter() - started
        if ran.code != 0:
            raise Broken(f"nothing went wrong, and it ended with {ran.code}: {ran.said}")
        bundles = (place.service / "certs").iterdir()
        return cls(
            seconds=seconds,
            changes=len(trace.read_text("utf-8").splitlines()),
            epsilon=max(float(_statement(one)["guarantee"]["epsilon"]) for one in bundles),
            learned=_learned(place),
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a trial showed."""

    kind: str
    fault: str
    stage: str
    """How far the request was when the fault struck; of several, the one least far."""
    ended: str
    """How the command ended."""
    recovery: str
    killed_again: bool
    """The first recovery was killed as well."""
    attempts: int
    redrawn: bool
    """Noise had been drawn and was lost, so that it was drawn again."""
    broken: str = ""
    """The promise that was not kept; empty if all were."""


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What is done about it."""

    name: str
    arguments: Callable[[Asked], Sequence[str]]


RECOVERIES = (
    Recovery(name="mbd resume", arguments=lambda asked: ["resume"]),
    Recovery(name="the same command", arguments=lambda asked: asked.arguments),
    Recovery(name="mbd data info", arguments=lambda asked: ["data", "info"]),
    Recovery(name="mbd eval", arguments=lambda asked: ["eval"]),
    Recovery(
        name="mbd predict",
        arguments=lambda asked: ["predict", "--record", asked.people[0].record],
    ),
)


@dataclass
class Trial:
    """A copy of the workspace, and what happens to it."""

    place: Place
    asked: Asked
    whole: Whole
    """The same revocation without a fault."""
    struck: Known = field(init=False)
    """What the database said when the fault struck."""
    _ended: str = field(init=False, default="")
    _killed_again: bool = field(init=False, default=False)

    def run(
        self, moment: Fault | float, recovery: Recovery, *, again: float | None = None
    ) -> Outcome:
        """Do it all.

        Args:
            moment: The fault, or after how many seconds the command is killed.
            recovery: What is done about it.
            again: After how many seconds a first recovery is killed too; None for not.
        """
        broken = ""
        try:
            self.strike(moment)
            if again is not None:
                self.kill_again(recovery, again)
            self.recover(recovery)
            self.judge()
        except (Broken, TimeoutError) as error:
            broken = str(error)
        return Outcome(
            kind=self.asked.kind,
            fault=str(moment) if isinstance(moment, Fault) else f"kill after {moment:.4f} s",
            stage=self.stage,
            ended=self._ended,
            recovery=recovery.name,
            killed_again=self._killed_again,
            attempts=self.place.known().drawn,
            redrawn=self._lost_a_release(),
            broken=broken,
        )

    @property
    def stage(self) -> str:
        """How far the request was when the fault struck that was least far."""
        order = ("unknown", *STAGES)
        found = [self.struck.stages.get(one, "unknown") for one in self.asked.requests]
        return min(found, key=order.index)

    def strike(self, moment: Fault | float) -> None:
        """Run the command into its fault; a process that was stopped is looked at, then killed.

        Raises:
            Broken: It used the channel meanwhile, or said nothing sensible.
        """
        self.asked.write_file(self.place)
        self.struck = self.place.known()
        fault = moment if isinstance(moment, Fault) else None
        child = self.place.start(*self.asked.arguments, "--json", fault=fault)
        ran = child.wait() if isinstance(moment, Fault) else child.wait(moment)
        if ran is None:
            child.stop()
            self.struck = self.place.known()
            self.serve()
            ran = child.kill()
        else:
            self.struck = self.place.known()
        self._ended = "killed" if ran.code == KILLED else f"exit {ran.code}"
        killing = fault is None or fault.action in (*ENDING, "stop")
        if not killing:
            check_refusal(ran)
        elif ran.code not in (0, KILLED):
            raise Broken(f"the command ended with {ran.code}: {ran.said}")

    def serve(self, fault: Fault | None = None) -> None:
        """Predict in the middle of it all: what is suppressed is not used.

        Args:
            fault: What the prediction suffers from itself.

        Raises:
            Broken: It is used, or the program knows no answer.
        """
        for person, request in zip(self.asked.people, self.asked.requests, strict=True):
            arguments = ["predict", "--record", person.record, "--json"]
            ran = self.place.run(*arguments, fault=fault, busy_seconds=0.2)
            if fault is not None:
                check_refusal(ran)
            elif ran.code not in (0, 7):
                raise Broken(f"meanwhile `mbd predict` ended with {ran.code}: {ran.said}")
            if ran.code != 0:
                return  # the database is held, or gone: nobody is served at all
            if self.struck.is_suppressed(request) and MODALITY in ran.json["used"]:
                raise Broken(f"{request} was suppressed, and its channel was used")

    def kill_again(self, recovery: Recovery, seconds: float) -> None:
        """Begin the recovery, and kill it after so long."""
        child = self.place.start(*recovery.arguments(self.asked))
        self._killed_again = child.wait(seconds) is None
        if self._killed_again:
            child.kill()

    def recover(self, recovery: Recovery) -> None:
        """What is done about it, and then the same command again, as a caller would.

        Raises:
            Broken: That does not end it.
        """
        self.place.must(*recovery.arguments(self.asked))
        self.place.must(*self.asked.arguments)

    def judge(self) -> None:
        """Every promise.

        Raises:
            Broken: One was not kept.
        """
        place, known = self.place, self.place.known()
        want = dict.fromkeys(self.asked.requests, "completed")
        if dict(known.stages) != want:
            raise Broken(f"the requests are {dict(known.stages)}")
        _check_tidy(place)
        statements = self._certificates()
        _check_ledger(place, set(statements))
        if not place.must("state", "check")["equal"]:
            raise Broken("the state is not what the data gives")
        for person in self.asked.people:
            used = place.must("predict", "--record", person.record)["used"]
            if MODALITY in used:
                raise Broken(f"the channel of {person.user} is still used")
        for statement in statements.values():
            self._check_guarantee(statement["guarantee"], known)
        if self.asked.kind == "retrain" and _learned(place) != self.whole.learned:
            raise Broken("retraining gave another model than without the fault")

    def _certificates(self) -> dict[str, dict[str, Any]]:
        """By id, what each certificate states; each was verified with its receipt."""
        folders = [self.place.service / name for name in ("certs", "receipts")]
        bundles, receipts = (sorted(path.name for path in folder.iterdir()) for folder in folders)
        if bundles != receipts or len(bundles) != len(self.asked.requests):
            raise Broken(f"certificates {bundles}, receipts {receipts}")
        found = {}
        for name in bundles:
            bundle, receipt = (str(folder / name) for folder in folders)
            if self.place.must("verify", bundle, "--receipt", receipt)["exitCode"] != 0:
                raise Broken(f"{name} does not verify")
            found[Path(name).stem] = _statement(Path(bundle))
        return found

    def _check_guarantee(self, guarantee: dict[str, Any], known: Known) -> None:
        attempts = guarantee["attempts"]
        if attempts != known.drawn:
            raise Broken(f"{attempts} attempts are stated, {known.drawn} are in the ledger")
        if self._lost_a_release() and attempts < 2:
            raise Broken("a release was lost and drawn again; one attempt is stated")
        if attempts > 1 and not float(guarantee["epsilon"]) > self.whole.epsilon:
            raise Broken(f"{attempts} attempts cost epsilon {guarantee['epsilon']}, as one does")

    def _lost_a_release(self) -> bool:
        stages = self.struck.stages
        return any(
            self.struck.attempts.get(one, 0) and stages[one] == "suppressed"
            for one in self.asked.requests
        )


STAGES = (
    "received",
    "suppressed",
    "staged",
    "activated",
    "erased",
    "scanned",
    "signed",
    "logged",
    "completed",
)


def strikes_by_stage(place: Place, asked: Asked) -> dict[str, Fault]:
    """For every stage a fault that kills the command as soon as the database says it is reached.

    The command runs once, to its end; it is stopped wherever the database writes to its log.
    """
    asked.write_file(place)
    log = f"{place.database.name}-wal"
    child = place.start(*asked.arguments, fault=Fault.parse(f"stop@fsync:1+:{log}"))
    found: dict[str, Fault] = {}
    number = 0
    while child.wait() is None:
        number += 1
        stages = place.known().stages
        reached = {stages.get(request, "unknown") for request in asked.requests}
        if len(reached) == 1:
            found.setdefault(reached.pop(), Fault.parse(f"kill@fsync:{number}:{log}"))
        child.go_on()
    return found


def check_refusal(ran: Ran) -> None:
    """A command that a disk refused says so in one document, or did not need the disk.

    Raises:
        Broken: It did neither.
    """
    if ran.code == 0:
        return
    try:
        error = ran.json["error"]
    except (ValueError, KeyError) as missing:
        raise Broken(f"exit {ran.code} without an error: {ran.said}") from missing
    if not error["code"].startswith(REFUSALS) or "Traceback" in ran.err:
        raise Broken(f"not an error of a disk: {error} {ran.err[-2000:]}")
    if "/" not in error["message"]:
        raise Broken(f"no file is named: {error}")


def _check_ledger(place: Place, certificates: set[str]) -> None:
    if not place.must("ledger", "check")["ok"]:
        raise Broken("the ledger does not check")
    listed = place.must("ledger", "list")
    logged = [one["certificateId"] for one in listed["entries"] if one["type"] == "certificate"]
    if sorted(logged) != sorted(certificates) or listed["interrupted"]:
        raise Broken(f"the ledger lists {logged}, there are certificates {certificates}")


def _check_tidy(place: Place) -> None:
    """Nothing lies about: the doctor finds receipts to hand over, and nothing else."""
    findings = place.must("doctor")["findings"]
    others = [one for one in findings if one["code"] != "receipt.waiting"]
    if others:
        raise Broken(f"the doctor finds {others}")
    service = place.service
    left = [path.name for path in (service / "staging").iterdir()]
    for folder in (service / "models", service / "state", service / "data" / "prepared"):
        names = [path.name for path in folder.iterdir()]
        left += names if len(names) != 1 else []
    left += [path.name for path in service.rglob("*.partial")]
    if left:
        raise Broken(f"left over: {left}")


def _statement(bundle: Path) -> dict[str, Any]:
    payload = json.loads(bundle.read_bytes())["envelope"]["payload"]
    statement = json.loads(base64.b64decode(payload))
    assert isinstance(statement, dict)
    predicate = statement["predicate"]
    assert isinstance(predicate, dict)
    return predicate


def _learned(place: Place) -> dict[str, str]:
    """Digests of the files of the model that numbers were learned into."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (place.service / "models").rglob("*.safetensors")
    }

"""Verify one bundle: every check runs, then the verdict is made.

 1 bundle               SIGNED      strict bytes, closed schema, at most 2.5 MB
 2 payload type         SIGNED      in-toto, nothing else
 3 statement            SIGNED      strict bytes, closed schema, known version
 4 model digest         SIGNED      subject[0], modelAfter, its files and policy agree
 5 class rules          SIGNED      what the class may state, in which words; days in order
 6 theorem              SIGNED      in the registry, in its own words
 7 heads                SIGNED      those of the files; none that saw a revoked modality left out
 8 privacy arithmetic   SIGNED      recomputed rho and epsilon <= stated
 9 accepted limits      SIGNED      epsilon and delta within the trust file's
10 signature            SIGNED      by a trusted key, for this issuer
11 leaf                 LOGGED      the entry binds these bytes and signatures
12 inclusion            LOGGED      the entry is in the tree of the checkpoint
13 log signature        LOGGED      the trusted log signed the checkpoint
14 ledger reference     LOGGED      issued for this log, before the entry
15 time window          LOGGED      issued, soon after logged, not in the future
16 key at index         LOGGED      the key was announced, and not retired or distrusted, there
17 consistency          CONSISTENT  of one history with the checkpoint seen before
18 witnesses            WITNESSED   enough trusted witnesses signed it
19 model files          ARTIFACTS   the given folder matches the manifest and the claim
20 receipt              SUBJECT     the receipt opens the commitments, proves its items
21 reproduction         REPRODUCED  the retained data gives the state and the heads again

No network, no workspace. What an earlier visit left is an argument, and what to remember of
this one is in the report: whoever calls reads and writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mbd.canonical.text import printable
from mbd.errors import DataError, IntegrityError, StorageError, UsageError
from mbd.verify import artifacts, consistency, extras, logged, signed, witnesses
from mbd.verify.case import Case, CheckFailed, Undecided
from mbd.verify.last_visit import Recalled
from mbd.verify.report import DEFAULT_LEVEL, LEVELS, CheckResult, Level, Report
from mbd.verify.trusted import TrustPolicy

Check = Callable[[Case], str]

CHECKS: tuple[tuple[str, Level, Check], ...] = (
    ("bundle", "SIGNED", signed.parse),  # 1
    ("payload type", "SIGNED", signed.payload_type),  # 2
    ("statement", "SIGNED", signed.statement),  # 3
    ("model digest", "SIGNED", signed.model),  # 4
    ("class rules", "SIGNED", signed.rules),  # 5
    ("theorem", "SIGNED", signed.theorem),  # 6
    ("heads", "SIGNED", signed.heads),  # 7
    ("privacy arithmetic", "SIGNED", signed.arithmetic),  # 8
    ("accepted limits", "SIGNED", signed.limits),  # 9
    ("signature", "SIGNED", signed.signature),  # 10
    ("leaf", "LOGGED", logged.leaf),  # 11
    ("inclusion", "LOGGED", logged.inclusion),  # 12
    ("log signature", "LOGGED", logged.log_signature),  # 13
    ("ledger reference", "LOGGED", logged.ledger_reference),  # 14
    ("time window", "LOGGED", logged.time_window),  # 15
    ("key at index", "LOGGED", logged.key_at_index),  # 16
    ("consistency", "CONSISTENT", consistency.consistency),  # 17
    ("witnesses", "WITNESSED", witnesses.witnesses),  # 18
    ("model files", "ARTIFACTS", artifacts.artifacts),  # 19
    ("receipt", "SUBJECT", extras.subject),  # 20
    ("reproduction", "REPRODUCED", extras.reproduction),  # 21
)


def verify_bundle(
    data: bytes,
    trust: TrustPolicy | None,
    *,
    model_dir: Path | None = None,
    receipt: bytes | None = None,
    reproducer: Callable[[Case], str] | None = None,
    growth: Sequence[bytes] = (),
    recalled: Recalled | None = None,
    require: Level | None = None,
    now: datetime | None = None,
) -> Report:
    """Judge a bundle. What is given beside it is required to hold.

    Args:
        data: The file as received.
        trust: Whom to believe; without it nothing is ever valid, at best undecided.
        model_dir: A folder that should hold exactly the files of the released model.
        receipt: The subject's receipt as received.
        reproducer: Rebuilds from retained data; raises `CheckFailed` or `Undecided`.
        growth: Proofs that the log only grew, as `mbd ledger consistency` prints them.
        recalled: What an earlier visit left; None if nothing is to be remembered.
        require: The level to reach; LOGGED if None.
        now: The verifier's clock, aware; the system's if None.

    Raises:
        UsageError: `require` names no level, or needs something that is not given.
    """
    given: dict[Level, object] = {
        "CONSISTENT": growth or None,
        "ARTIFACTS": model_dir,
        "SUBJECT": receipt,
        "REPRODUCED": reproducer,
    }
    required = _required(require, given)
    case = Case(
        data,
        trust,
        now or datetime.now(UTC),
        model_dir=model_dir,
        receipt=receipt,
        reproducer=reproducer,
        growth=tuple(growth),
        recalled=recalled,
    )
    numbered = enumerate(CHECKS, start=1)
    results = tuple([_run(number, *check, case) for number, check in numbered])
    statement, checkpoint = case.found_statement, case.found_checkpoint
    logged_ = {one.result for one in results if one.level == "LOGGED"} == {"pass"}
    if "ckpt.first" in [one.code for one in results]:
        given["CONSISTENT"] = None  # nobody can be asked for what there cannot be yet
    return Report(
        checks=results,
        required=required,
        current=case.current,
        ended=case.ended,
        certificate_id=statement.predicate.certificate_id if statement else None,
        checkpoint=f"{checkpoint.origin}@{checkpoint.size}" if checkpoint and logged_ else None,
        guarantee=statement.predicate.guarantee if statement else None,
        given=tuple([level for level, found in given.items() if found is not None]),
        remember=case.to_remember.note if case.to_remember else None,
        unseen_root=case.unseen_root,
        not_held_against=case.not_held_against,
        model_only=case.model_only,
    )


def _run(number: int, name: str, level: Level, check: Check, case: Case) -> CheckResult:
    """One check. What a parser or a rule refuses is a failure; any other error is our defect."""
    try:
        detail = check(case)
    except Undecided as error:
        return CheckResult(number, name, level, error.code, "skipped", printable(error.message))
    except (CheckFailed, DataError, IntegrityError, StorageError) as error:
        return CheckResult(number, name, level, error.code, "fail", printable(error.message))
    return CheckResult(number, name, level, "ok", "pass", printable(detail))


_NEEDS: dict[Level, str] = {
    "ARTIFACTS": "--model DIR",
    "SUBJECT": "--receipt FILE",
    "REPRODUCED": "--reproduce DIR",
}


def _required(require: Level | None, given: Mapping[Level, object]) -> Level:
    level = require or DEFAULT_LEVEL
    if level not in LEVELS:
        raise UsageError(f"level {level!r}: want one of {', '.join(LEVELS)}", field="--require")
    if level in _NEEDS and given[level] is None:
        option = _NEEDS[level]
        raise UsageError(f"--require {level} needs {option}", field=option.split()[0])
    return level

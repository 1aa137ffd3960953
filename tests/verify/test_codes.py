"""Every stable code is listed with its sentence, and something makes a check give it.

What a reproduction says takes a trained workspace: `tests/workflows/test_reproduce*.py`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mbd.canonical.digest import b64encode
from mbd.canonical.json import dumps
from mbd.certificate.envelope import Signature
from mbd.certificate.issue import LogHead
from mbd.certificate.statement import Statement, manifest_digest
from mbd.certificate.theorems import RETRAINING
from mbd.cli.main import invoke
from mbd.signing.keys import generate_key
from mbd.verify import Report, verify_bundle
from mbd.verify.codes import CODES
from mbd.verify.last_visit import Recalled
from mbd.verify.report import LEVELS, settle
from mbd.verify.run import CHECKS
from mbd.verify.words import LEVELS_IN_WORDS, PASSED
from tests.certificate.samples import NOW, altered, empirical_outcome, exact_outcome
from tests.verify import test_artifacts as model
from tests.verify import test_receipt_rows as receipt_rows
from tests.verify.histories import Witness, began, forked, grown, growth, recalled
from tests.verify.world import LATER, ORIGIN, SmallLog, World, make_world

ROOT = Path(__file__).resolve().parents[2]
WORLD = make_world()
LOG = WORLD.log
CONTENT = json.loads(WORLD.data)
PAYLOAD = json.loads(WORLD.envelope.payload)
RECEIPT = json.loads(WORLD.receipt.to_bytes())
WATCHER = Witness("witness.example/w")
WATCHED = dataclasses.replace(WORLD.trust, witnesses=(WATCHER.trusted,), quorum=1)

Producer = Callable[[Path], Report]


def judge(world: World = WORLD, data: bytes | None = None, **options: Any) -> Report:
    options.setdefault("now", LATER)
    trust = options.pop("trust", world.trust)
    return verify_bundle(data or world.data, trust, **options)


def raw(data: bytes) -> Producer:
    """A file of these bytes."""
    return lambda folder: judge(data=data)


def bundle(path: str, value: Any) -> Producer:
    """The good bundle with one member replaced, in canonical bytes."""
    return raw(dumps(altered(CONTENT, path, value)))


def payload(path: str, value: Any) -> Producer:
    """A statement that the models would not write."""
    envelope = dataclasses.replace(WORLD.envelope, payload=dumps(altered(PAYLOAD, path, value)))
    return raw(dataclasses.replace(WORLD.bundle, envelope=envelope).to_bytes())


def signed(change: Callable[[dict[str, Any]], dict[str, Any]], deletion: Any = None) -> Producer:
    """A statement that a dishonest issuer signs and logs."""

    def bend(statement: Statement) -> Statement:
        return Statement.model_validate(change(json.loads(statement.to_bytes())))

    return lambda folder: judge(make_world(deletion, before_signing=bend))


def stated(path: str, value: Any, deletion: Any = None) -> Producer:
    return signed(lambda content: altered(content, f"predicate.{path}", value), deletion)


def listing(*paths: str) -> Producer:
    """A model of other files, with the digests that belong to them."""

    def change(content: dict[str, Any]) -> dict[str, Any]:
        stated = content["predicate"]["deletion"]["modelAfter"]["files"]
        known = {one["path"]: one["sha256"] for one in stated}
        files = [{"path": one, "sha256": known.get(one, "0" * 64)} for one in sorted(paths)]
        changed = altered(content, "predicate.deletion.modelAfter.files", files)
        found = Statement.model_validate(changed).predicate.deletion.model_after.files
        digest = manifest_digest(found)
        changed = altered(changed, "predicate.deletion.modelAfter.digest", digest)
        return altered(changed, "subject.0.digest.sha256", digest)

    return signed(change)


def trusting(**changes: Any) -> Producer:
    trust = dataclasses.replace(WORLD.trust, **changes)
    return lambda folder: judge(trust=trust)


def bounded(**bounds: int) -> Producer:
    return trusting(issuers=(dataclasses.replace(WORLD.trust.issuers[0], **bounds),))


def proof(**changes: Any) -> Producer:
    bent = dataclasses.replace(LOG.proof(WORLD.index, WORLD.log_signer), **changes)
    return bundle("tlogProof", bent.text)


def made(**changes: Any) -> Producer:
    return lambda folder: judge(make_world(**changes))


def issued_at(size: int, root: str = "0" * 64, origin: str = ORIGIN) -> Producer:
    return made(ledger=LogHead(origin=origin, size=size, root=root))


def remembering(log: SmallLog, *proofs: bytes) -> Producer:
    return lambda folder: judge(recalled=recalled(WORLD, log), growth=proofs)


def model_of(content: dict[str, bytes], **changes: Any) -> Producer:
    return lambda folder: model.judge(model.issued(folder, content, **changes))


def policy(name: str, change: Callable[[Any], Any]) -> Producer:
    return model_of(model.files(**model.changed(name, change)))


def receipt(path: str, value: Any) -> Producer:
    changed = dumps(altered(RECEIPT, path, value))
    return lambda folder: judge(receipt=changed)


def signature_of(key: Any) -> Producer:
    forged = Signature(WORLD.issuer.key_id, key.sign(WORLD.envelope.signed_bytes()))
    envelope = dataclasses.replace(WORLD.envelope, signatures=(forged,))
    return raw(dataclasses.replace(WORLD.bundle, envelope=envelope).to_bytes())


def checkpoint_signed_by(key: Any) -> Producer:
    lines, _, _ = WORLD.bundle.tlog_proof.rpartition(" ")
    assert WORLD.trust.log is not None
    line = b64encode(WORLD.trust.log.key.key_id + key.sign(b"something else"))
    return bundle("tlogProof", f"{lines} {line}\n")


def growth_signed_by(key: Any) -> Producer:
    """A proof whose checkpoint carries the log's name and key id, but another's signature."""
    text, _, _ = growth(WORLD, 7, grown(LOG, 6)).rpartition(b" ")
    assert WORLD.trust.log is not None
    line = b64encode(WORLD.trust.log.key.key_id + key.sign(b"something else"))
    return remembering(LOG, text + f" {line}\n".encode())


def with_files_changed(change: Callable[[Path], object]) -> Producer:
    def produce(folder: Path) -> Report:
        world, place = model.issued(folder, model.files())
        change(place)
        return model.judge((world, place))

    return produce


def unreadable(folder: Path) -> Report:
    """Checked by somebody who may not read the files."""
    with tempfile.TemporaryDirectory() as open_to_all:
        place = Path(open_to_all)
        place.chmod(0o755)
        world, found = model.issued(place, model.files())
        (found / "policy.json").chmod(0)
        with unprivileged():
            return model.judge((world, found))


@contextmanager
def unprivileged() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def of_another_release(folder: Path) -> Report:
    """Two certificates and one model: the second is about an earlier release."""
    world, place = model.issued(folder, model.files())
    old, _ = model.issued(folder / "old", model.files(more=1))
    return settle([model.judge((one, place)) for one in (world, old)])[1]


PARAMETERS = "guarantee.parameters.0"
FILES = [f"heads/{name}.safetensors" for name in ("audio", "audio+text", "text")]
OTHER = generate_key()

PRODUCERS: dict[str, Producer] = {
    # Bytes.
    "json.size": raw(b"[" * 5_000_001),
    "json.utf8": raw(b"\xff"),
    "json.syntax": raw(b"x"),
    "json.depth": raw(b"[" * 9 + b"]" * 9),
    "json.duplicate_key": raw(b'{"a":1,"a":1}'),
    "json.number": raw(b'{"a":1.5}'),
    "json.string": raw(b'{"a":"\\ud800"}'),
    "base64": bundle("envelope.signatures.0.sig", "AAAB="),
    "bundle.schema": raw(dumps({**CONTENT, "more": 1})),
    "bundle.canonical": raw(WORLD.data + b"\n"),
    "envelope.schema": bundle("envelope.signatures", []),
    "envelope.type": bundle("envelope.payloadType", "text/plain"),
    # The statement.
    "statement.type": payload("predicateType", "urn:something:else"),
    "statement.version": payload("predicateType", "urn:mbd:modality-deletion-certificate:v2"),
    "statement.schema": payload("predicate.salt", "short"),
    "model.subject": signed(lambda c: altered(c, "subject.0.digest.sha256", "0" * 64)),
    "model.digest": stated("deletion.modelAfter.files.0.sha256", "0" * 64),
    "model.file": listing(*FILES, "policy.json", "notes.txt"),
    "model.policy": listing(*FILES),
    "policy.digest": stated("guarantee.policyEntry.digest", "0" * 64),
    "policy.index": stated("guarantee.policyEntry.index", 3),
    "class.certified": stated("guarantee.epsilon", None),
    "class.exact": stated("guarantee.epsilon", "1", exact_outcome()),
    "class.empirical": stated("guarantee.epsilon", "1", empirical_outcome()),
    "class.reproduce": stated("guarantee.reproduce", "make it so"),
    "class.private": stated("request.basis", "see /home/someone"),
    "class.supersedes": stated("supersedes", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"),
    "claims.set": stated("claims", []),
    "claims.wording": stated("claims.0.text", "All is forgotten."),
    "scope.store": stated("deletion.stores", []),
    "scope.topic": stated("deletion.outOfScope", []),
    "time.year": stated("request.dueBy", "2201-01-01"),
    "time.order": stated("request.receivedOn", "2026-05-18"),
    "time.id": stated("issuedAt", "2026-05-17T12:05:00Z"),
    "theorem.unknown": stated("guarantee.theorem", "urn:mbd:theorem:newer:v9"),
    "theorem.class": stated("guarantee.theorem", RETRAINING.id),
    "theorem.wording": stated("guarantee.comparator", "Nothing is left."),
    "heads.files": stated("guarantee.heads", ["audio", "audio+text", "audio+vision"]),
    "heads.unknown": stated("guarantee.selectedHeads", ["audio", "audio+text", "vision"]),
    "heads.modality": stated("deletion.modalities", ["vision"]),
    "heads.incomplete": stated("guarantee.selectedHeads", ["audio"]),
    # The arithmetic.
    "claim.rho": stated("guarantee.rho", "0"),
    "claim.epsilon": stated("guarantee.epsilon", "0.01"),
    "claim.delta": stated("guarantee.delta", "0.5"),
    "claim.sensitivity": stated(f"{PARAMETERS}.sensitivity", "1e-9"),
    "claim.sigma": stated(f"{PARAMETERS}.sigma", "0"),
    "claim.grid": stated(f"{PARAMETERS}.grid", "0.3"),
    "claim.strong_convexity": stated(f"{PARAMETERS}.strongConvexity", "0"),
    "claim.tolerance": stated(f"{PARAMETERS}.tolerance", "0"),
    "claim.heads": stated("guarantee.parameters", []),
    "claim.attempts": stated("guarantee.attempts", 0),
    "claim.arithmetic": stated(f"{PARAMETERS}.tolerance", "1e+308"),
    "limit.epsilon": trusting(max_epsilon=1e-9),
    "limit.delta": trusting(max_delta=1e-9),
    # Keys.
    "trust.missing": lambda folder: judge(trust=None),
    "key.unknown": lambda folder: judge(trust=make_world().trust),
    "sig.invalid": signature_of(OTHER),
    "issuer.mismatch": made(issuer="Another Clinic"),
    "key.distrusted": bounded(distrusted_from=WORLD.index),
    "key.retired": bounded(retired_from=WORLD.index),
    "key.not_yet": bounded(valid_from=WORLD.index + 1),
    # The log.
    "entry.invalid": bundle("entry.type", "x"),
    "time.invalid": bundle("entry.time", "2026-13-01T00:00:00Z"),
    "leaf.type": made(kind="supersede"),
    "leaf.mismatch": bundle("entry.digest", "0" * 64),
    "tlog_proof.malformed": bundle("tlogProof", "x"),
    "note.malformed": proof(checkpoint="x"),
    "incl.extra": proof(extra=b"x"),
    "incl.invalid": proof(index=2),
    "log.unknown": trusting(log=None),
    "log.sig": checkpoint_signed_by(OTHER),
    "ledger.origin": issued_at(3, origin="ledger.example/other"),
    "ledger.size": issued_at(5),
    "ledger.root": issued_at(3),
    "time.future": made(logged_after=timedelta(minutes=71)),
    "time.backdated": lambda folder: judge(
        make_world(logged_after=timedelta(days=31)), now=NOW + timedelta(days=40)
    ),
    "not_reached": raw(b"x"),
    # The log as it was seen before, and by others.
    "ckpt.first": lambda folder: judge(recalled=Recalled()),
    "ckpt.no_memory": lambda folder: judge(),
    "ckpt.no_proof": remembering(began(LOG, 5)),
    "ckpt.fork": remembering(forked(LOG, 7)),
    "ckpt.proof": remembering(
        began(LOG, 5), growth(WORLD, 6, LOG).replace(b"old 6\n", b"old 5\n")
    ),
    "ckpt.sig": growth_signed_by(OTHER),
    "consistency_proof.malformed": remembering(LOG, b"x"),
    "memory.damaged": lambda folder: judge(recalled=Recalled(b"x")),
    "witness.policy": lambda folder: judge(),
    "witness.quorum": lambda folder: judge(trust=WATCHED),
    "witness.sig": lambda folder: judge(
        data=dumps(
            altered(CONTENT, "tlogProof", CONTENT["tlogProof"] + WATCHER.line(grown(LOG, 1)))
        ),
        trust=WATCHED,
    ),
    # The model.
    "model.missing": lambda folder: judge(),
    "artifact.missing": with_files_changed(
        lambda place: (place / "heads/audio.safetensors").unlink()
    ),
    "artifact.not_a_model": with_files_changed(lambda place: (place / "policy.json").unlink()),
    "artifact.other_release": of_another_release,
    "artifact.extra": with_files_changed(lambda place: (place / "more").write_text("x")),
    "artifact.changed": with_files_changed(lambda place: (place / "policy.json").write_text("x")),
    "artifact.head": model_of({**model.files(), "heads/text.safetensors": b"x"}),
    "artifact.core": model_of(model.files(core="trained", coreDigest="0" * 64)),
    "artifact.noise": model_of(model.files({"audio": 0})),
    "storage": unreadable,
    "policy.heads": policy("heads", lambda heads: heads.pop("text")),
    "policy.parameters": model_of(
        model.files(), heads=(model.small("audio", sigma=2.0**-3), model.small("audio+text"))
    ),
    "policy.cascade": policy("dataset", lambda found: found["modalities"].pop(0)),
    "policy.labels": policy("dataset", lambda found: found.update(labelDerivedFrom=["audio"])),
    "policy.provenance": policy("provenance", lambda blocks: blocks.pop()),
    "policy.recipe": model_of(
        model.files(dict.fromkeys(model.HEADS, 0)), retrained=True
    ),
    "policy.invalid": model_of(model.files(heads=3)),
    "policy.version": model_of(model.files(schema="urn:mbd:policy:v2")),
    # The receipt and the retained data.
    "receipt.missing": lambda folder: judge(),
    "receipt.other": receipt("certificateId", "01KRTWXDG0DEFGHJKMNPQRSTVX"),
    "receipt.schema": receipt("subject", ""),
    "receipt.subject": receipt("subject", "43"),
    "receipt.modalities": receipt("modalities", ["text"]),
    "receipt.opening": receipt("openings.stateAfter.salt", "0" * 64),
    "receipt.items": receipt("items.0", RECEIPT["items"][1]),
    "receipt.item": receipt("items.0.salt", "0" * 64),
    "receipt.rows": lambda folder: receipt_rows.judge(receipt_rows.NOTHING, receipt_rows.ITEMS),
    "reproduce.missing": lambda folder: judge(),
}  # fmt: skip

LATER_TESTS = sorted((ROOT / "tests" / "workflows").glob("test_reproduce*.py"))
OF_REPRODUCTION = {
    code for code in CODES if code.startswith(("reproduce.", "escrow."))
} - PRODUCERS.keys()

ELSEWHERE = {
    "class.basis": "the schema says the same first",
    "cosignature.invalid": "becomes witness.sig",
    "json.value": "of writing",
    "key.invalid": "of a trust file",
    "key.low_order": "of a trust file",
    "memory.changed": "of writing a memory",
    "merkle.range": "of making a proof",
    "note.other_log": "becomes log.sig, log.unknown or memory.damaged",
    "note.signature": "becomes log.sig or ckpt.sig",
    "note.unknown_key": "becomes log.unknown",
    "number": "becomes statement.schema",
    "receipt.no_item": "of making an excerpt",
    "statement.time": "of issuing",
    "time.zone": "of writing",
    "trust.invalid": "of a trust file",
    "trust.log": "of a trust file",
    "trust.name": "of a trust file",
    "trust.witness": "of a trust file",
    "ok": "of a check that passed",
}
"""Literals in the same modules that no report shows, and why."""


@pytest.mark.parametrize("code", [code for code in CODES if code not in OF_REPRODUCTION])
def test_each_code_is_given_with_its_outcome_and_its_sentence(code, tmp_path):
    found = {check.code: check for check in PRODUCERS[code](tmp_path).checks}

    assert code in found, {name for name, one in found.items() if one.result == "fail"}
    assert found[code].result == CODES[code].outcome
    assert CODES[code].sentence in found[code].text


def test_nothing_is_produced_that_is_not_listed(tmp_path):
    for name, produce in PRODUCERS.items():
        (tmp_path / name).mkdir()
        for check in produce(tmp_path / name).checks:
            assert check.code in CODES or (check.code, check.result) == ("ok", "pass")
    assert PRODUCERS.keys() <= CODES.keys()


@pytest.mark.parametrize("code", sorted(OF_REPRODUCTION))
def test_what_a_reproduction_says_is_tested_with_a_workspace(code):
    assert any(f'"{code}"' in path.read_text("utf-8") for path in LATER_TESTS), code


def test_every_code_that_the_source_names_is_listed_or_never_shown():
    folders = ("verify", "canonical", "certificate", "privacy")
    modules = [path for name in folders for path in (ROOT / "mbd" / name).glob("*.py")]
    modules += [
        ROOT / "mbd" / name
        for name in (
            *(f"ledger/{one}.py" for one in (
                "note", "tlog_proof", "entry", "merkle", "consistency", "cosignature",
            )),
            "signing/public.py",
            *(f"workflows/reproduce/{path.name}" for path in
              (ROOT / "mbd/workflows/reproduce").glob("*.py")),
        )
    ]  # fmt: skip
    named = {
        code for path in modules for code in re.findall(r'code="([^"{]+)"', path.read_text("utf-8"))
    }
    named |= {"statement.type"}

    assert sorted(named - CODES.keys() - ELSEWHERE.keys()) == []


def test_every_sentence_is_one_line_that_ends_without_a_stop():
    for code, one in CODES.items():
        assert one.sentence.isprintable(), code
        assert one.sentence[0].islower() or one.sentence.startswith("JSON"), code
        assert not one.sentence.endswith("."), code
    assert list(PASSED) == list(range(1, len(CHECKS) + 1))
    assert set(LEVELS_IN_WORDS) == set(LEVELS)


def test_the_codes_are_listed_by_the_command(capsys):
    assert invoke(["verify", "--codes"]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == list(CODES)
    assert invoke(["verify", "--codes", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["codes"]
    assert {one["code"]: (one["outcome"], one["sentence"]) for one in found} == {
        code: (one.outcome, one.sentence) for code, one in CODES.items()
    }
    assert invoke(["verify"]) == 2

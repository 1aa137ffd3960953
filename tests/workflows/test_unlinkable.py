"""Two certificates of one person have in common what those of two people have, and no more.

Each case is told twice, in two copies of one workspace, by the same commands in the same order:
once the two requests are one person's, once they are two people's.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from mbd.canonical.digest import b64decode_strict
from tests.workflows.arrivals import archive
from tests.workflows.disk import copy_of
from tests.workflows.test_privacy import rows_of
from tests.workspaces import TrainedWorkspace, must_run

Leaves = dict[str, Any]
Story = Callable[[TrainedWorkspace, str, str], list[Path]]


def leaves_of(bundle: Path) -> Leaves:
    """Every value of a certificate by its path: envelope, statement and entry.

    Files and heads are named, other lists are numbered. The proof is left out: it follows from
    the place in the log and from leaves that everybody has.
    """
    found = json.loads(bundle.read_bytes())
    statement = json.loads(b64decode_strict(found["envelope"].pop("payload")))
    del found["tlogProof"]
    return dict(flat({**found, "statement": statement}))


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in nested JSON by its path."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from flat(one, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for number, one in enumerate(value):
            name = (one.get("path") or one.get("head")) if isinstance(one, dict) else None
            yield from flat(one, f"{path}[{name or number}]")
    else:
        yield path, value


_P, _G, _D = "statement.predicate", "statement.predicate.guarantee", "statement.predicate.deletion"
TIMES = (
    r"entry\.time", rf"{_P}\.issuedAt", rf"{_P}\.request\.(receivedOn|completedOn|dueBy)",
)  # fmt: skip
"""Equal or not by the clock alone."""
PUBLIC = (
    r"mediaType", r"envelope\.payloadType", r"statement\._type", r"statement\.predicateType",
    r"statement\.subject\[0\]\.name", r"entry\.(type|v)",
    # Whose workspace it is, its key, its log.
    r"envelope\.signatures\[0\]\.keyid", rf"{_P}\.issuer", rf"{_P}\.ledger\.origin",
    # Words from the registry, and the operator's own.
    rf"{_P}\.claims\[\d+\]\.(id|status|text)", rf"{_D}\.outOfScope\[\d+\]\.(what|reason)",
    rf"{_D}\.stores\[\d+\]\.(store|action|scan)", rf"{_P}\.request\.basis", rf"{_P}\.supersedes",
    rf"{_G}\.(arithmetic|comparator|neighbouring|theorem|reproduce|class)",
    rf"{_G}\.notCovered\[\d+\]",
    rf"{_D}\.modalities\[\d+\]",
    # The model: its heads, its settings, and files that no request in between changed.
    rf"{_G}\.(heads|selectedHeads)\[\d+\]", rf"{_G}\.parameters\[[a-z+]+\]\.\w+",
    rf"{_G}\.policyEntry\.\w+", rf"{_G}\.(rho|epsilon|delta|attempts)",
    rf"{_D}\.modelAfter\.files\[.*\]\.path",
    rf"{_D}\.modelAfter\.files\[(policy\.json|heads/vision\.safetensors)\]\.sha256",
)  # fmt: skip
"""Paths whose values two certificates may share, whoever they are about."""
TOGETHER = (
    *PUBLIC, rf"{_D}\.modelAfter\..*", r"statement\.subject\[0\]\.digest\.sha256",
    rf"{_P}\.ledger\.\w+",
)  # fmt: skip
"""The same for requests that were carried out together, in one batch."""


def equal_paths(one: Leaves, other: Leaves) -> set[str]:
    """Paths at which both have the same value, but for times."""
    same = {path for path in one.keys() & other.keys() if one[path] == other[path]}
    return {path for path in same if not _is(path, TIMES)}


def shared_pieces(one: Leaves, other: Leaves) -> set[tuple[str, str]]:
    """Where both have a piece of eight bytes or more in common: path here, path there."""
    found: dict[str, set[str]] = {}
    for path, piece in _pieces(one):
        found.setdefault(piece, set()).add(path)
    return {(here, path) for path, piece in _pieces(other) for here in found.get(piece, ())}


def _pieces(leaves: Leaves) -> Iterator[tuple[str, str]]:
    """Eight bytes are 11 letters of base64 and more digits; words and days are shorter."""
    for path, value in leaves.items():
        if not _is(path, TIMES):
            yield from ((path, piece) for piece in re.findall(r"[\w+/=]{11,}", str(value)))


def _is(path: str, patterns: tuple[str, ...]) -> bool:
    return any(re.fullmatch(pattern, path) for pattern in patterns)


def revoke(workspace: TrainedWorkspace, user: str, modality: str) -> Path:
    asked = ["revoke", "--user", user, "--modality", modality, "--json"]
    return Path(must_run(workspace.root, *asked).json["bundle"])


def one_after_the_other(workspace: TrainedWorkspace, first: str, last: str) -> list[Path]:
    """Two channels, with somebody else's request between."""
    one = revoke(workspace, first, "audio")
    revoke(workspace, workspace.revocable[2], "audio")
    return [one, revoke(workspace, last, "text")]


def one_channel_twice(workspace: TrainedWorkspace, first: str, last: str) -> list[Path]:
    """The first person allows the channel again, and new data of it arrives."""
    one = revoke(workspace, first, "audio")
    must_run(workspace.root, "consent", "grant", "--user", first, "--modality", "audio")
    must_run(workspace.root, "data", "add", *archive(workspace, ["again-1", "again-2"], first))
    return [one, revoke(workspace, last, "audio")]


def in_one_batch(workspace: TrainedWorkspace, first: str, last: str) -> list[Path]:
    """Two rows of one file, and somebody else's between."""
    rows = [(first, "audio"), (workspace.revocable[2], "audio"), (last, "text")]
    path = workspace.root.parent / "batch.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("user", "modality"), *rows])
    done = must_run(workspace.root, "revoke", "--batch", str(path), "--json").json["rows"]
    certs = workspace.root / "certs"
    return [certs / f"{done[number]['certificateId']}.json" for number in (0, 2)]


Told = tuple[TrainedWorkspace, list[Path]]


@pytest.fixture(params=[one_after_the_other, one_channel_twice, in_one_batch])
def told(
    request: pytest.FixtureRequest, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Story, Told, Told]:
    """A story, told of one person and of two."""
    story: Story = request.param
    made: list[Told] = []
    for name, who in (("one", (0, 0)), ("two", (1, 0))):
        workspace = copy_of(original, tmp_path / name, monkeypatch)
        first, last = (workspace.revocable[number] for number in who)
        made.append((workspace, story(workspace, first, last)))
    return story, made[0], made[1]


def test_certificates_of_one_person_share_what_those_of_two_share(
    told: tuple[Story, Told, Told],
) -> None:
    story, *worlds = told
    one, two = ([leaves_of(path) for path in paths] for _, paths in worlds)
    assert equal_paths(*one) == equal_paths(*two)
    assert shared_pieces(*one) == shared_pieces(*two)
    allowed = TOGETHER if story is in_one_batch else PUBLIC
    paths = equal_paths(*one) | {path for pair in shared_pieces(*one) for path in pair}
    assert not [path for path in sorted(paths) if not _is(path, allowed)]
    subject = f"{_P}.subjectCommitment"
    assert {subject} <= one[0].keys() - paths
    assert_rows_alike(worlds)


CLOCK = ("received_at", "due_by", "completed_at", "at", "lifted_at", "time")


def assert_rows_alike(worlds: Sequence[Told]) -> None:
    """What rows of the ledger and the journal have in common, they have for two people too."""
    shared = []
    for workspace, (first, last) in worlds:
        requests = rows_of(workspace.root, "request")
        of = {row["certificate_id"]: row["request_id"] for row in requests}
        entries = {row["certificate_id"]: row for row in rows_of(workspace.root, "entry")}
        journal = {row["certificate_id"]: row for row in requests}
        off = {row["request_id"]: row for row in rows_of(workspace.root, "suppression")}
        pair = []
        for bundle in (first, last):
            name = bundle.stem
            rows = {"entry": entries[name], "request": journal[name], "off": off[of[name]]}
            pair.append(
                dict(flat({k: {c: repr(v) for c, v in r.items()} for k, r in rows.items()}))
            )
        shared.append({p for p in equal_paths(*pair) if p.rpartition(".")[2] not in CLOCK})
    assert shared[0] == shared[1]
    unlike = {"request.fingerprint", "request.request_id", "off.key_hash", "off.request_id",
              "request.certificate_id", "entry.leaf", "entry.leaf_hash"}  # fmt: skip
    assert shared[0].isdisjoint(unlike)


RANDOM = (
    r"entry\..*", r"envelope\.signatures\[0\]\.sig", rf"{_P}\.certificateId",
    rf"{_P}\.salt", rf"{_P}\.issuedAt", rf"{_P}\.subjectCommitment", rf"{_D}\.commitments\.\w+",
    rf"{_D}\.modelAfter\.digest", rf"{_D}\.modelAfter\.files\[heads/.*\]\.sha256",
    r"statement\.subject\[0\]\.digest\.sha256",
)  # fmt: skip
"""Paths whose values are drawn, hashed or signed anew for each certificate: of one length each."""


def test_a_certificate_is_as_long_for_one_record_as_for_many(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in it counts: not what somebody gave, nor how much of it, nor in which splits."""
    seen = []
    for number, user in enumerate(("Rich", "Poor", "Silent")):
        workspace = copy_of(original, tmp_path / user, monkeypatch)
        rich, poor = _people(workspace)
        names = [f"rich-{i}" for i in range(40)]
        must_run(workspace.root, "data", "add", *archive(workspace, names, rich))
        must_run(workspace.root, "data", "add", *archive(workspace, ["p"], poor, ("audio",)))
        bundle = revoke(workspace, (rich, poor, workspace.revocable[0])[number], "audio")
        body = rows_of(workspace.root, "body")[-1]["content"]
        seen.append((leaves_of(bundle), bundle.stat().st_size, len(body)))
    (first, *sizes), *others = seen
    for leaves, *same in others:
        assert same == sizes
        assert leaves.keys() == first.keys()
        for path, value in leaves.items():
            assert len(str(value)) == len(str(first[path])), path
            assert value == first[path] or _is(path, (*RANDOM, *TIMES, rf"{_P}\.ledger\.root")), (
                path
            )


def _people(workspace: TrainedWorkspace) -> tuple[str, str]:
    """Two new revocable people, with names of different lengths."""
    cohort = workspace.session().store().schema.cohorts.cohort_of
    names = [f"{'long ' * (i % 2) * 20}name {i}" for i in range(100)]
    free = [name for name in names if cohort(name) == "revocable"]
    return (
        next(name for name in free if name.startswith("long")),
        next(name for name in free if not name.startswith("long")),
    )

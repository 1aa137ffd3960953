"""One certificate, step by step: what was done, the statement, the envelope, the log, the bundle.

Every step can be made to go wrong in one place and only there; the steps after it are then
done as an issuer who believes in the result would do them. That is what tells the refused
examples from files that are merely torn.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from making.keys import ISSUER, LOG, NAME, ORIGIN, ExampleKey, LogKey
from making.model import CERTIFIED, EXACT, HEADS, RETRAINED, SELECTED, digests, model_files
from making.model import parameters as head_parameters
from mbd.canonical.digest import b64encode, sha256_hex
from mbd.canonical.items import Item, prove_items, root_of_items
from mbd.canonical.json import dumps, loads_strict
from mbd.canonical.tree import leaf_hash, tree_proofs, tree_root
from mbd.certificate.bundle import MEDIA_TYPE
from mbd.certificate.issue import Issuance, LoggedPolicy, LogHead, Salts, build_statement, openings
from mbd.certificate.receipt import Receipt, make_receipt
from mbd.certificate.scope import ALWAYS, IF_REPLACED, STORES, out_of_scope, store_row
from mbd.certificate.scope import RETRAINED as IF_RETRAINED
from mbd.certificate.statement import PAYLOAD_TYPE, Statement
from mbd.ledger.entry import Entry, unsigned_entry
from mbd.ledger.note import Checkpoint, sign_checkpoint
from mbd.ledger.tlog_proof import TlogProof
from mbd.signing.commitment import subject_commitment, subject_key
from mbd.signing.dsse import pae
from mbd.values import DeletionOutcome

NOW = datetime(2026, 5, 17, 12, 0, 0, tzinfo=UTC)
BEFORE, AFTER = 3, 3
"""Entries of the log before and after the certificate's own."""
_POLICIES = [
    sha256_hex(model_files(CERTIFIED, recipe=recipe)["policy.json"]) for recipe in (False, True)
]
"""Of the model, and of the one that was trained again."""
_ULID = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

Json = dict[str, Any]
Edit = Callable[[Any], None]


def ulid(name: str, moment: datetime = NOW) -> str:
    """An id of this moment whose random part follows from the name."""
    random = int.from_bytes(_bytes("ulid", name)[:10], "big")
    number = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return "".join(_ULID[(number << 80 | random) >> shift & 31] for shift in range(125, -5, -5))


def _bytes(*purpose: str) -> bytes:
    """32 bytes that follow from the purpose."""
    return sha256("/".join(("mbd example", *purpose)).encode()).digest()


def _stores(actions: dict[str, str], *, replaced: bool) -> tuple[dict[str, str], ...]:
    listed = {*ALWAYS, *(IF_REPLACED if replaced else ())}
    return tuple(
        store_row(name, actions.get(name, next(iter(STORES[name]))))
        for name in STORES
        if name in listed
    )


def items(subject: str) -> tuple[Item, ...]:
    """What is erased: the audio of five records."""
    return tuple(
        Item(
            record=f"r{number}",
            subject=subject,
            cohort="revocable",
            split="train",
            label="-0.5",
            modality="audio",
            steps=number + 1,
            features=_bytes("features", subject, str(number)).hex(),
            salt=_bytes("item", subject, str(number)).hex(),
        )
        for number in range(5)
    )


def certified(subject: str = "42", noise: dict[str, int] = CERTIFIED) -> DeletionOutcome:
    """The audio of one subject is removed, two heads are released with noise."""
    return DeletionOutcome(
        guarantee_class="certified",
        modalities=("audio",),
        heads=tuple(head_parameters(name) for name in SELECTED),
        selected_heads=SELECTED,
        all_heads=HEADS,
        model_after=digests(model_files(noise)),
        dataset_before=_bytes("data set before", subject).hex(),
        dataset_after=_bytes("data set after", subject).hex(),
        state_after=_bytes("state after", subject).hex(),
        deleted_set=root_of_items(items(subject)).hex(),
        attempts=1,
        stores=_stores({}, replaced=True),
        out_of_scope=out_of_scope(),
    )


def exact(subject: str = "42") -> DeletionOutcome:
    """The same without noise."""
    plain = certified(subject, EXACT)
    return replace(plain, guarantee_class="exact", heads=(), attempts=0)


def nothing_to_subtract() -> DeletionOutcome:
    """No head had learned from the records: none is replaced."""
    stores = _stores({"prepared rows": "none"}, replaced=False)
    return replace(exact(), selected_heads=(), stores=stores)


def retrained() -> DeletionOutcome:
    """The whole model was trained again."""
    return replace(
        exact(),
        selected_heads=HEADS,
        model_after=digests(model_files(RETRAINED, recipe=True)),
        stores=_stores(IF_RETRAINED, replaced=True),
        retrained=True,
    )


def empirical() -> DeletionOutcome:
    """Measured, nothing promised."""
    return replace(exact(), guarantee_class="empirical")


@dataclass(frozen=True, kw_only=True)
class Story:
    """How one certificate came about; each field is one place where it can differ."""

    name: str
    outcome: DeletionOutcome = field(default_factory=certified)
    subject: str = "42"
    issued_at: datetime = NOW
    issuance: Json = field(default_factory=dict)
    """Changes to what the issuer adds, see `Issuance`."""
    edit: Edit | None = None
    """Changes the statement before it is signed."""
    spell: Callable[[bytes], bytes] = lambda payload: payload
    """Changes the bytes of the statement before they are signed."""
    payload_type: str = PAYLOAD_TYPE
    signers: Sequence[ExampleKey] = (ISSUER,)
    edit_envelope: Edit | None = None
    """Changes the envelope before it is logged."""
    entry_type: str = "certificate"
    logged_after: timedelta = timedelta(seconds=1)
    edit_entry: Edit | None = None
    """Changes the entry before it is appended."""
    log: LogKey = LOG

    @property
    def certificate_id(self) -> str:
        return ulid(self.name, self.issued_at)

    @property
    def key(self) -> bytes:
        """Opens the subject commitment of this certificate."""
        return subject_key(_bytes("secret of", self.subject), self.certificate_id)

    @property
    def salts(self) -> Salts:
        kinds = ("dataset_before", "dataset_after", "state_after", "deleted_set")
        return Salts(**{kind: _bytes("salt", self.name, kind) for kind in kinds})

    def statement(self) -> Statement:
        """As an honest issuer makes it."""
        return build_statement(self.outcome, self._issuance())

    def payload(self) -> bytes:
        """What is signed."""
        content = loads_strict(self.statement().to_bytes())
        if self.edit:
            self.edit(content)
        return self.spell(dumps(content))

    def envelope(self) -> Json:
        payload = self.payload()
        message = pae(self.payload_type, payload)
        made = {
            "payloadType": self.payload_type,
            "payload": b64encode(payload),
            "signatures": [
                {"keyid": one.public.key_id, "sig": b64encode(one.sign(message))}
                for one in self.signers
            ],
        }
        if self.edit_envelope:
            self.edit_envelope(made)
        return made

    def entry(self, envelope: Json) -> Json:
        """What the log says about an envelope."""
        payload, signatures = _decoded(envelope)
        made = {
            "digest": sha256_hex(pae(envelope["payloadType"], payload)),
            "signatures": [sha256_hex(one) for one in signatures],
            "time": (self.issued_at + self.logged_after).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "type": self.entry_type,
        }
        if self.edit_entry:
            self.edit_entry(made)
        return made

    def bundle(self) -> Json:
        """The certificate with its evidence."""
        envelope = self.envelope()
        return self._proved(envelope, [self.entry(envelope)], 0)

    def among(self, entries: Sequence[Json], place: int) -> Json:
        """The same, appended together with others."""
        return self._proved(self.envelope(), entries, place)

    def _proved(self, envelope: Json, entries: Sequence[Json], place: int) -> Json:
        leaves = [*before(), *(leaf_hash(dumps(entry)) for entry in entries)]
        leaves += [_filler("after", number) for number in range(AFTER)]
        return {
            "mediaType": MEDIA_TYPE,
            "envelope": envelope,
            "entry": entries[place],
            "tlogProof": prove(leaves, BEFORE + place, self.log).text,
        }

    def data(self) -> bytes:
        """The file."""
        return dumps(self.bundle())

    def receipt(self) -> Receipt:
        """What the subject gets."""
        traces = {"base": "1" * 16, "salt": _bytes("traces").hex(), "groups": []}
        return make_receipt(
            self.statement().predicate,
            subject=self.subject,
            subject_key=self.key,
            salts=self.salts.named(),
            digests=openings(self.outcome),
            items=prove_items(items(self.subject)),
            traces={**traces, "leftOut": 0, "vanished": ["r4"]},
        )

    def _policy(self) -> str:
        files = self.outcome.model_after
        return next(file.sha256 for file in files if file.path == "policy.json")

    def _issuance(self) -> Issuance:
        head, policy = before(), self._policy()
        index = _POLICIES.index(policy)
        values: Json = {
            "certificate_id": self.certificate_id,
            "salt": _bytes("statement", self.name),
            "issued_at": self.issued_at,
            "issuer": NAME,
            "received_on": self.issued_at.date() - timedelta(days=2),
            "completed_on": self.issued_at.date(),
            "due_by": self.issued_at.date() + timedelta(days=28),
            "basis": "request of the data subject",
            "subject_commitment": subject_commitment(self.key, self.certificate_id, self.subject),
            "policy_entry": LoggedPolicy(index=index, leaf_hash=head[index].hex(), digest=policy),
            "ledger": LogHead(origin=ORIGIN, size=len(head), root=tree_root(head).hex()),
            "salts": self.salts,
            "delta": 1e-6,
        }
        return Issuance(**{**values, **self.issuance})


def before() -> list[bytes]:
    """Leaf hashes of what was in the log already: the policies of the models, and something."""
    policies = [Entry("policy", "2026-05-01T00:00:00Z", digest) for digest in _POLICIES]
    others = [_filler("before", number) for number in range(len(policies), BEFORE)]
    return [*(policy.leaf_hash() for policy in policies), *others]


def prove(leaves: Sequence[bytes], index: int, log: LogKey) -> TlogProof:
    """The proof that a leaf is in the log, under a checkpoint that the log signs."""
    checkpoint = Checkpoint(log.name, len(leaves), tree_root(leaves))
    hashes = tuple(tree_proofs(leaves)[index])
    return TlogProof(index, hashes, sign_checkpoint(checkpoint, log))


def _filler(where: str, number: int) -> bytes:
    body = f"mbd example, {where} {number}".encode()
    return unsigned_entry("attempt", NOW - timedelta(days=1), body).leaf_hash()


def _decoded(envelope: Json) -> tuple[bytes, list[bytes]]:
    return b64decode(envelope["payload"]), [b64decode(s["sig"]) for s in envelope["signatures"]]

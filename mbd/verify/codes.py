"""Every stable code that a check can give, and what it means in one plain sentence.

A sentence is followed by the particulars of the case, if there are any. What is skipped says
what to give, so that it can be checked. Programs may depend on a code: none changes its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["fail", "skipped"]


@dataclass(frozen=True)
class Code:
    """What becomes of a check that gives this code, and why."""

    outcome: Outcome
    sentence: str


_FAIL = {
    # The bytes: strict JSON in one spelling.
    "json.size": "the file is larger than any honest one",
    "json.utf8": "the file is not text in UTF-8",
    "json.syntax": "the file is cut short, or something else than JSON",
    "json.depth": "the JSON is nested deeper than the format allows",
    "json.duplicate_key": "a field comes twice, so the file could be read in two ways",
    "json.number": "a number is written in a way that could be read in two ways",
    "json.string": "a text holds half of a character",
    "base64": "a field is not base64 in its one spelling",
    "bundle.schema": "the file does not have the fields of a certificate's bundle",
    "bundle.canonical": "the file says the same as a bundle, but in another spelling",
    "envelope.schema": "the envelope around the statement does not have its fields",
    "envelope.type": "the envelope holds something other than a statement",
    # The statement.
    "statement.type": "the statement is of another kind than a deletion certificate",
    "statement.schema": "the statement does not have the fields of a certificate",
    "model.subject": "the statement is about another model than the one it lists",
    "model.digest": "the digest of the model is not that of the files it lists",
    "model.file": "the model lists a file that is no part of a model",
    "model.policy": "the model lists no policy",
    "policy.digest": "the ledger's policy is another one than the model's",
    "policy.index": "the policy was logged only after the certificate's checkpoint",
    "class.certified": "it calls itself certified and does not state what that takes",
    "class.exact": "it calls itself exact and states what does not fit",
    "class.empirical": "it calls itself empirical and promises more than a measurement can",
    "class.reproduce": "it names a command to reproduce it that is not the known one",
    "class.private": "the basis holds a path or an address",
    "class.supersedes": "it supersedes a certificate that is not older",
    "claims.set": "its claims are not those that belong to its class",
    "claims.wording": "a claim is worded otherwise than the registry words it",
    "scope.store": "what was erased where is incomplete, or worded otherwise than the registry",
    "scope.topic": "what erasure cannot reach is incomplete, or worded otherwise",
    "time.year": "a date is outside the years that can be true",
    "time.order": "its days are out of order",
    "time.id": "the time inside its id is not the time when it was issued",
    "theorem.class": "the theorem it names belongs to another class",
    "theorem.wording": "the theorem is quoted in other words than its own",
    "heads.files": "the parts of the model that it names are not those in its files",
    "heads.unknown": "it says that it replaced a part that the model does not have",
    "heads.modality": "no part of the model reads the channel that was revoked",
    "heads.incomplete": "a part of the model that read a revoked channel was left out",
    # The privacy arithmetic.
    "claim.rho": "the stated rho is less than its constants give",
    "claim.epsilon": "the stated epsilon is less than its constants give",
    "claim.delta": "the stated delta cannot be used, or is so large that it promises nothing",
    "claim.sensitivity": "the stated sensitivity is less than the tolerance gives",
    "claim.sigma": "the stated noise is not one that the theorem covers",
    "claim.grid": "the stated grid is not a power of two",
    "claim.strong_convexity": "the stated convexity is not a number > 0",
    "claim.tolerance": "the stated tolerance is not a number > 0",
    "claim.heads": "there is nothing to account for, or one part is counted twice",
    "claim.attempts": "it counts no release at all",
    "claim.arithmetic": "its constants give no number that could be held against the claim",
    "limit.epsilon": "the privacy loss epsilon is more than your trust file accepts",
    "limit.delta": "the slack delta is more than your trust file accepts",
    # Signatures and keys.
    "sig.invalid": "a signature by a trusted key does not hold: the statement was altered",
    "issuer.mismatch": "the key that signed belongs to another name than the issuer's",
    "key.distrusted": "the key was no longer trusted when this was logged",
    "key.retired": "the key was no longer in use when this was logged",
    "key.not_yet": "the key was not announced yet when this was logged",
    # The entry in the log.
    "entry.invalid": "the log entry is not one",
    "time.invalid": "the log entry holds a time that is not one",
    "leaf.type": "the log entry is of another type than a certificate",
    "leaf.mismatch": "the log entry belongs to something else",
    "tlog_proof.malformed": "the proof that it was logged is not one",
    "note.malformed": "the log's checkpoint is not one",
    "incl.extra": "the proof carries extra data, which nobody signed",
    "incl.invalid": "the proof does not show that it was logged",
    "log.sig": "the signature under the checkpoint is not the trusted log's",
    "ledger.origin": "it was issued for another log",
    "ledger.size": "it was logged before the checkpoint it was issued at",
    "ledger.root": "the log had other content when the certificate was issued",
    "time.future": "a time in it is in the future",
    "time.backdated": "it was logged long after the day it claims",
    # The log as others saw it.
    "ckpt.fork": "the log shows two histories: keep both checkpoints, they are the evidence",
    "ckpt.proof": "a proof that the log only grew does not hold",
    "ckpt.sig": "a proof that the log only grew holds a checkpoint that the log did not sign",
    "witness.sig": "a signature of a trusted witness does not hold",
    # The model's files.
    "artifact.missing": "a file of the model is missing",
    "artifact.extra": "the folder holds a file that the certificate does not list",
    "artifact.changed": "a file of the model has other content than the certificate says",
    "artifact.head": "a file is not that part of the model which it should be",
    "artifact.core": "the model's core is not the one its policy fixed, or its files hold more",
    "artifact.noise": "a part of the model carries other noise than the certificate says",
    "policy.heads": "the model's policy names other parts than the certificate",
    "policy.parameters": "a constant in the certificate is not the one that the policy fixed",
    "policy.cascade": "a channel that was made from a revoked one was forgotten",
    "policy.labels": "the policy says otherwise whether labels came from a revoked channel",
    "policy.provenance": "the policy says otherwise what the model learned from whom",
    "policy.recipe": "the policy holds no recipe by which it could have been trained again",
    "policy.invalid": "the model's policy is not one",
    # The receipt.
    "receipt.subject": "the receipt is about another person than the certificate",
    "receipt.modalities": "the receipt is about other channels than the certificate",
    "receipt.opening": "the receipt does not open what the certificate commits to",
    "receipt.items": "the receipt's list of what was erased contradicts itself",
    "receipt.item": "something that the receipt lists was not among what was erased",
    # The retained data.
    "reproduce.forget_set": "what the receipt lists as erased is still there",
    "reproduce.rows": "the model learned from rows that are not those of stored records",
    "reproduce.head": "a part of the model is not what the retained data gives",
    "reproduce.noise": "the noise of the model was not drawn afresh: parts of it repeat each other",
    "reproduce.model": "the model in the workspace is another one, and nothing logged says why",
    "reproduce.state": "the retained data is not what the certificate commits to, and nothing "
    "logged says why",
    "reproduce.policy": "the log does not announce the model's policy where the certificate says",
    "reproduce.tolerance": "epsilon was computed from a tolerance that this model cannot have met",
    "reproduce.in_service": "another model than the certificate's is in service, and nothing "
    "logged says why",
    "reproduce.before": "with what the receipt lists, the retained records are not the data set of "
    "before",
    "reproduce.kept_state": "sums were kept that hold something else than the retained data",
}

_SKIPPED = {
    "not_reached": "it needs an earlier check that did not pass",
    "trust.missing": "nobody is trusted: give a trust file with --trust",
    "statement.version": "the certificate is of a version that this program does not know: update",
    "theorem.unknown": "the theorem is not known here: update the program",
    "key.unknown": "no key in the trust file signed this: get the key from its owner",
    "log.unknown": "the trust file does not name this log, or has another key of it",
    "ckpt.first": "no checkpoint of this log is remembered: there is nothing to compare with yet",
    "ckpt.no_memory": "nothing was remembered from an earlier visit",
    "ckpt.no_proof": "the log was seen at another size: give the output of `mbd ledger "
    "consistency` with --consistency",
    "consistency_proof.malformed": "what was given as a proof that the log only grew is not one",
    "memory.damaged": "what is remembered of this log cannot be read: restore it, or name another "
    "file with --memory",
    "witness.policy": "the trust file names no witnesses",
    "witness.quorum": "too few of the trusted witnesses signed a checkpoint that covers it",
    "model.missing": "no model was given: give its folder with --model",
    "artifact.not_a_model": "the folder given as a model is not one: name the one with policy.json",
    "artifact.other_release": "the model that was given belongs to another certificate of this run",
    "storage": "a file of the model cannot be read: ask for it again, or for the right to read it",
    "policy.version": "the model's policy is of a version that this program does not know: update",
    "receipt.missing": "no receipt was given: the person holds it; give it with --receipt",
    "receipt.schema": "the file given as a receipt is not one: ask the person for it again",
    "receipt.other": "the receipt that was given belongs to another certificate",
    "receipt.rows": "the receipt lists training records that no part of the model is said to have "
    "learned from: ask why they were stored and never used",
    "reproduce.missing": "no retained data was given: give a workspace with --reproduce",
    "reproduce.openings": "nothing opens what the certificate commits to: give --receipt or "
    "--escrow",
    "reproduce.other": "what was given to open it belongs to another certificate",
    "reproduce.excerpt": "the receipt is an excerpt, which opens too little: give the whole one",
    "reproduce.salts": "the escrow does not open what the certificate commits to: ask for it again",
    "escrow.schema": "the file given as an escrow is not one: ask for it again",
    "reproduce.incomplete": "the workspace lacks data that is needed: ask for a whole copy",
    "reproduce.unreadable": "a file of the workspace cannot be read: ask for another copy",
    "reproduce.no_ledger": "there is a difference, and no ledger that could explain it: ask for a "
    "copy with ledger.db",
    "reproduce.other_ledger": "the workspace is of another service, or from before the "
    "certificate: ask for a newer copy",
    "reproduce.unfinished": "the workspace was copied while something was going on in it: ask for "
    "another copy",
    "reproduce.changed_since": "data or model changed since, as the log says: ask for a copy from "
    "before that",
    "reproduce.consent": "the person's channel is there again, and consents were logged since",
    "reproduce.copies": "values that were erased are stored under another name too",
    "reproduce.batch": "a receipt of several that were carried out together does not show what "
    "there was before",
    "reproduce.chain": "what there was before is not what the certificate before left, or could "
    "not be held against it",
    "reproduce.unlisted": "the workspace holds a file or bytes that nothing names: ask what that "
    "is",
    "reproduce.other_model": "a model that is not the certificate's is kept beside it: have it "
    "removed, or explained",
    "reproduce.dataset": "records changed since that the model did not learn from",
    "reproduce.empirical": "the certificate states a measurement, which nothing can reproduce",
    "reproduce.remade": "the rows that the model learned from cannot be made again here: another "
    "version of the program may have made them",
    "reproduce.arithmetic": "a part of the model cannot be computed anew on this machine",
}

CODES: dict[str, Code] = {
    **{code: Code("fail", sentence) for code, sentence in _FAIL.items()},
    **{code: Code("skipped", sentence) for code, sentence in _SKIPPED.items()},
}
"""By code. `ok` is no member: it is the code of a check that passed."""

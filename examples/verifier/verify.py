"""A second verifier of deletion certificates, written from certs/FORMAT.md: SIGNED and LOGGED.

    python verify.py CERT.json [TRUST.toml]     exit 0 valid, 1 invalid, 3 undecided, 9 not current

It reads certs/ two folders up, or where MBD_CERTS says. A number in brackets is that of a check.
"""

# fmt: off
# ruff: noqa: E401, I001
import functools, json, math, os, re, sys, tomllib
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from library import (Undecided, as_read, canonical, checkpoint, epsilon_of, fits, match, moment,
                     need, read, root_above, sha256, tlog_proof, ulid_seconds, unbase64, up)

CERTS = Path(os.environ.get("MBD_CERTS") or Path(__file__).resolve().parents[2] / "certs")
REGISTRY, BUNDLE, STATEMENT = (json.loads((CERTS / name).read_text("utf-8")) for name in (
    "registry.json", "schema/bundle.schema.json", "schema/statement.schema.json"))
TYPES, LIMITS, RULES = REGISTRY["types"], REGISTRY["limits"], REGISTRY["rules"]

class Case:
    """One certificate on trial. A check that needs what none found out is undecided."""

    def __init__(self, data, trust, now):
        self.data, self.now = data, now
        self.__dict__ |= {} if trust is None else {"limits": {}, "issuer": [], **trust}

    def __getattr__(self, name):
        raise Undecided(f"no {name}")

    def bundle(self):  # [1, 2]
        found = read(self.data, LIMITS["bundleBytes"], LIMITS["bundleMarks"])
        need(fits(found, BUNDLE, BUNDLE) and canonical(found) == self.data, "not a bundle")
        envelope, self.entry, self.tlog = found["envelope"], found["entry"], found["tlogProof"]
        payload, kind = unbase64(envelope["payload"]), envelope["payloadType"].encode()
        signatures = {one["keyid"]: unbase64(one["sig"]) for one in envelope["signatures"]}
        need(len(signatures) == len(envelope["signatures"]), "a key signed twice")
        signed = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
        self.payload, self.signatures, self.signed = payload, signatures, signed
        need(envelope["payloadType"] == TYPES["payload"], "payloadType")

    def statement(self):  # [3]
        found = read(self.payload, LIMITS["statementBytes"], LIMITS["statementMarks"])
        kind = str(found.get("predicateType")) if isinstance(found, dict) else ""
        if kind.startswith(TYPES["predicateFamily"]) and kind != TYPES["predicate"]:
            raise Undecided(f"a statement of another version: {kind}")
        need(fits(found, STATEMENT, STATEMENT), "the statement does not fit its schema")
        self.subject, self.predicate = found["subject"][0], found["predicate"]
        self.guarantee = self.predicate["guarantee"]

    def model_and_heads(self):  # [4, 7]
        guarantee, model = self.guarantee, self.predicate["deletion"]["modelAfter"]
        heads, selected = guarantee["heads"], guarantee["selectedHeads"]
        files = {one["path"]: one["sha256"] for one in model["files"]}
        need(sorted(files) == [one["path"] for one in model["files"]], "files ascending, each once")
        need(model["digest"] == sha256(canonical(model["files"])).hex(), "digest of the files")
        need(model["digest"] == self.subject["digest"]["sha256"], "subject")
        need(files.get("policy.json") == guarantee["policyEntry"]["digest"], "policy of the model")
        others = files.keys() - set(RULES["modelFiles"])
        need({match(RULES["headFiles"], one)[1] for one in others} == set(heads), "files of heads")
        revoked = set(self.predicate["deletion"]["modalities"])
        need(revoked <= set("+".join(heads).split("+")), "a channel that no head reads")
        retrained = guarantee["theorem"] == REGISTRY["retraining"]
        touched = [one for one in heads if retrained or revoked & set(one.split("+"))]
        nothing_to_do = guarantee["class"] == "exact" and not selected and not retrained
        need(selected == touched or nothing_to_do, "a head was left out")
        stated = [one["head"] for one in guarantee["parameters"]]
        need(stated == selected or guarantee["class"] != "certified", "parameters of every head")

    def content(self):  # [5, 6]
        predicate, request = self.predicate, self.predicate["request"]
        kept = self.guarantee["selectedHeads"] != self.guarantee["heads"]
        cases = [one["predicate"] for one in REGISTRY["cases"] if one["kept"] == kept]
        need(any(fits(predicate, one) for one in cases), "not what the class may say")
        basis = as_read(request["basis"])
        promises = re.search(RULES["promises"], basis, re.IGNORECASE)
        need(not promises or self.guarantee["class"] != "empirical", "the basis promises")
        need(not re.search(RULES["places"], basis), "the basis names a place")
        received, completed, due = request["receivedOn"], request["completedOn"], request["dueBy"]
        (first, last), issued = RULES["years"], predicate["issuedAt"]
        need(all(first <= one[:4] <= last for one in (received, completed, due, issued)), "years")
        need(received <= completed <= issued[:10] and received <= due, "days in order")
        need(self.guarantee["policyEntry"]["index"] < predicate["ledger"]["size"], "policy index")
        need((predicate["supersedes"] or "") < predicate["certificateId"], "supersedes older ones")
        apart = abs(ulid_seconds(predicate["certificateId"]) - moment(issued).timestamp())
        need(apart <= RULES["idWithinSeconds"], "time of the id")
        if self.guarantee["theorem"] not in (None, *REGISTRY["theorems"]):
            raise Undecided(f"theorem {self.guarantee['theorem']} is not known")
        found = REGISTRY["theorems"].get(self.guarantee["theorem"], REGISTRY["withoutTheorem"])
        need(found["guarantee"].items() <= self.guarantee.items(), "not the theorem's own words")

    def arithmetic(self):  # [8]
        if self.guarantee["class"] != "certified":
            return
        losses = (self.guarantee[name] for name in ("rho", "epsilon", "delta"))
        rho, epsilon, delta = (float(text or 0) for text in losses)
        need(0 < delta <= float(RULES["maxDelta"]), "delta")
        names, total = ("tolerance", "strongConvexity", "sensitivity", "sigma", "grid"), Fraction(0)
        for head in self.guarantee["parameters"]:
            tau, convexity, sensitivity, sigma, grid = (Fraction(float(head[one])) for one in names)
            need(min(tau, convexity, sensitivity, sigma, grid) > 0, "parameters above 0")
            need(math.frexp(grid)[0] == 0.5 and (sigma / grid).denominator == 1, "grid and sigma")
            need(sensitivity >= 2 * tau / convexity, "sensitivity")
            total += Fraction(up((sensitivity / sigma) ** 2 / 2))
        least = up(Fraction(up(total)) * self.guarantee["attempts"])
        need(rho >= least and epsilon >= epsilon_of(least, delta), "rho and epsilon")

    def limit(self):  # [9]
        for name, most in self.limits.items():
            need(float(self.guarantee[name] or "inf") <= most, f"{name} is above your limit")

    def signature(self):  # [10]
        trusted = {one["keyId"]: one for one in self.issuer}
        signers = [trusted[one] for one in self.signatures if one in trusted]
        if not signers:
            raise Undecided("signed by keys that are not trusted")
        for issuer in signers:
            key = serialization.load_der_public_key(unbase64(issuer["publicKey"]))
            how = [ec.ECDSA(hashes.SHA256())] if isinstance(key, ec.EllipticCurvePublicKey) else []
            key.verify(self.signatures[issuer["keyId"]], self.signed, *how)
            need(issuer["name"] == self.predicate["issuer"], "the key is another issuer's")
        self.signers = signers

    def inclusion(self):  # [11, 12]
        entry, signatures = self.entry, [sha256(one).hex() for one in self.signatures.values()]
        stated = (entry["type"], entry["digest"], entry["signatures"])
        need(stated == ("certificate", sha256(self.signed).hex(), signatures), "leaf")
        index, siblings, note = tlog_proof(self.tlog)
        self.note, self.origin, size, root, self.lines = checkpoint(note, LIMITS)
        found, self.lefts = root_above(sha256(b"\0", canonical(entry)), index, size, siblings)
        need(found == root, "not in the log")
        self.index = index

    def log_signature(self):  # [13]
        name, key_id, key = self.log["vkey"].split("+", 2)
        known = [one[4:] for who, one in self.lines if (who, one[:4].hex()) == (name, key_id)]
        if self.origin != self.log["origin"] or not known:
            raise Undecided("this log is not trusted")
        for one in known:
            public = ed25519.Ed25519PublicKey.from_public_bytes(unbase64(key, 33)[1:])
            public.verify(one, self.note.encode())

    def ledger_and_time(self):  # [14, 15]
        stated, total, peaks = self.predicate["ledger"], 0, []
        need(stated["origin"] == self.origin and stated["size"] <= self.index, "ledger")
        sizes = (1 << bit for bit in reversed(range(63)) if self.index >> bit & 1)
        for size, peak in zip(sizes, self.lefts, strict=True):
            total, peaks = total + size, [peak, *peaks]
            root = functools.reduce(lambda right, left: sha256(b"\1", left, right), peaks)
            need(total != stated["size"] or root.hex() == stated["root"], "another history")
        issued, logged = moment(self.predicate["issuedAt"]), moment(self.entry["time"])
        completed = moment(self.predicate["request"]["completedOn"] + "T23:59:59Z")
        skew = timedelta(seconds=RULES["clockSkewSeconds"])
        longest = timedelta(seconds=RULES["longestDelaySeconds"])
        need(issued - logged <= skew and max(issued, logged) - self.now <= skew, "in the future")
        need(logged - min(issued, completed) <= longest, "dated back")

    def key_at_index(self):  # [16]
        def believed(one):
            ends = one.get("retiredFrom", math.inf), one.get("distrustedFrom", math.inf)
            return one.get("validFrom", 0) <= self.index < min(ends)
        good = need([one for one in self.signers if believed(one)], "no key was good here")
        self.current = any("distrustedFrom" not in one for one in good)

CHECKS = (Case.bundle, Case.statement, Case.model_and_heads, Case.content, Case.arithmetic,
          Case.limit, Case.signature, Case.inclusion, Case.log_signature, Case.ledger_and_time,
          Case.key_at_index)

def judge(data, trust, now):
    """The exit code, and why."""
    case, undecided = Case(data, trust, now), None
    for check in CHECKS:
        try:
            check(case)
        except Undecided as error:
            undecided = undecided or f"{check.__name__}: {error}"
        except (ValueError, ArithmeticError, RecursionError, InvalidSignature) as error:
            return 1, f"{check.__name__}: {type(error).__name__} {error}"
    return (3, undecided) if undecided else (0, "valid") if case.current else (9, "not current")

def main(certificate, trust=None):
    policy = tomllib.loads(Path(trust).read_text("utf-8")) if trust else None
    for one in (policy or {}).get("issuer", []):
        need(sha256(unbase64(one["publicKey"])).hex() == one["keyId"], "keyId of another key")
    code, reason = judge(Path(certificate).read_bytes(), policy, datetime.now(UTC))
    print(reason)
    return code

if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        print(f"{error}\nusage: verify.py CERT.json [TRUST.toml]", file=sys.stderr)
        sys.exit(2)

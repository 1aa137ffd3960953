"""A second verifier of deletion certificates, SIGNED and LOGGED: certs/FORMAT.md; [5] is check 5.

    python verify.py CERT.json [TRUST.toml]
    exit code: 0 valid, 1 invalid, 2 nothing to judge by, 3 undecided, 9 valid but not current
"""

import base64, decimal, functools, hashlib, json, math, os, re, sys, time, tomllib
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

CERTS = Path(os.environ.get("MBD_CERTS") or Path(__file__).resolve().parents[2] / "certs")
REGISTRY, BUNDLE, STATEMENT = (json.loads((CERTS / name).read_text("utf-8")) for name in (
    "registry.json", "schema/bundle.schema.json", "schema/statement.schema.json"))
TYPES, LIMITS, RULES = REGISTRY["types"], REGISTRY["limits"], REGISTRY["rules"]
DEFINITIONS = BUNDLE["$defs"] | STATEMENT["$defs"]
NEVER = {chr(one) for first, last in RULES["textRefuses"] for one in range(first, last + 1)}

def need(holds, words):
    if not holds:
        raise ValueError(words)

def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()

def canonical(value):  # RFC 8785, for values without fractions whose keys are ASCII
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()

def unbase64(text):
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text, "base64 in another spelling")
    return data

def read(data, size, marks):
    """The value of a JSON text; an object with a key twice, -0 and fractions will fit no schema."""
    need(len(data) <= size and sum(map(data.count, b'",:[{')) <= marks, "too large")
    return json.loads(data.decode("utf-8"), parse_int=lambda text: text != "-0" and int(text),
                      object_pairs_hook=lambda one: len(dict(one)) == len(one) and dict(one))

FORMATS = {"mbd-day": datetime.fromisoformat, "mbd-time": datetime.fromisoformat,
           "mbd-number": lambda text: Decimal(repr(float(text))) == Decimal(text),  # fewest digits
           "mbd-head": lambda name: sorted(set(name.split("+"))) == name.split("+"),
           "mbd-ascending": lambda names: sorted(set(names)) == names, "mbd-text": NEVER.isdisjoint}
KINDS = dict(object=dict, array=list, string=str, integer=int, number=float, null=type(None))
KEYWORDS = {  # what others depend on comes first; objects are closed, every field is required
    "$ref": lambda value, path: fits(value, DEFINITIONS[path.removeprefix("#/$defs/")]),
    "anyOf": lambda value, schemas: any(fits(value, one) for one in schemas),
    "type": lambda value, kind: type(value) is KINDS[kind],
    "const": lambda value, one: value == one, "enum": lambda value, values: value in values,
    "minimum": lambda value, least: value >= least, "maximum": lambda value, most: value <= most,
    "pattern": lambda text, pattern: re.fullmatch(pattern, text, re.ASCII),
    **dict.fromkeys(("minLength", "minItems"), lambda value, least: len(value) >= least),
    **dict.fromkeys(("maxLength", "maxItems"), lambda value, most: len(value) <= most),
    "required": lambda members, names: members.keys() == set(names),
    "properties": lambda members, of: all(fits(members[name], of[name]) for name in of),
    "items": lambda values, schema: all(fits(one, schema) for one in values),
    "format": lambda value, name: name not in FORMATS or FORMATS[name](value)}

def fits(value, schema):
    return all(rule(value, schema[word]) for word, rule in KEYWORDS.items() if word in schema)

def check_statement(subject, predicate):
    """Model and heads [4, 7]; what may be said, and about when [5]."""
    deletion, guarantee, request = (predicate[one] for one in ("deletion", "guarantee", "request"))
    model, heads, selected = deletion["modelAfter"], guarantee["heads"], guarantee["selectedHeads"]
    files = {one["path"]: one["sha256"] for one in model["files"]}
    need(sorted(files) == [one["path"] for one in model["files"]], "files ascending, each once")
    need({subject, model["digest"]} == {sha256(canonical(model["files"])).hex()}, "digests")
    need(files.get("policy.json") == guarantee["policyEntry"]["digest"], "policy of the model")
    of_heads = {f"heads/{one}.safetensors" for one in heads}
    need(files.keys() - set(RULES["modelFiles"]) == of_heads, "files of the heads")
    revoked, retrained = set(deletion["modalities"]), guarantee["theorem"] == REGISTRY["retraining"]
    need(revoked <= set("+".join(heads).split("+")), "a channel that no head reads")
    touched = [one for one in heads if retrained or revoked & set(one.split("+"))]
    need(selected in (touched, []), "a head was left out")  # [] if its case is in the registry
    cases = [one["predicate"] for one in REGISTRY["cases"] if one["kept"] == (selected != heads)]
    need(any(fits(predicate, one) for one in cases), "not what its case may say")
    basis = request["basis"].translate({ord(a): b for b, c in RULES["readAs"].items() for a in c})
    need(not re.search(RULES["basis"][guarantee["class"]], basis), "what a basis may not say")
    days = [request["receivedOn"], request["completedOn"], predicate["issuedAt"], request["dueBy"]]
    need(days[:3] == sorted(days[:3]) and days[0] <= days[3], "days in order")
    need(all(RULES["years"][0] <= one[:4] <= RULES["years"][1] for one in days), "years")
    need(guarantee["policyEntry"]["index"] < predicate["ledger"]["size"], "policy index")
    need((predicate["supersedes"] or "") < predicate["certificateId"], "supersedes older ones")

def up(value):  # the smallest float that is not below an exact value
    nearest = float(value)
    return nearest if nearest >= value else math.nextafter(nearest, math.inf)

def epsilon_of(rho, delta):
    """Canonne, Kamath, Steinke 2020, corollary 13, at its best order 1 + x; rounded up."""
    with decimal.localcontext(prec=80, Emin=-(10**17), Emax=10**17):
        rho, rest = Decimal(rho), -Decimal(delta).ln()
        x, most = Decimal(0), min(rest.exp() - 1, (rest / rho).sqrt())
        for step in (most / 2**k for k in range(1, 250)):  # to rho x^2 + ln(1 + x) = ln(1 / delta)
            x += step if rho * (x + step) ** 2 + (1 + x + step).ln() < rest else 0
        terms = [rho * (1 + x), rest / x, (x / (1 + x)).ln(), -(1 + x).ln() / x]
        return up(max(sum(terms) + sum(map(abs, terms)) * Decimal("1e-40"), 0))

def check_arithmetic(guarantee):
    """The stated loss is not below what the constants of every selected head give [8]."""
    rho, epsilon, delta = (float(guarantee[one]) for one in ("rho", "epsilon", "delta"))
    names, total = ("tolerance", "strongConvexity", "sensitivity", "sigma", "grid"), Fraction(0)
    for head in guarantee["parameters"]:
        tau, convexity, most, sigma, grid = (Fraction(float(head[one])) for one in names)
        need(min(tau, convexity, most, sigma, grid) > 0 and most >= 2 * tau / convexity, "constant")
        need(math.frexp(grid)[0] == 0.5 and (sigma / grid).denominator == 1, "grid and sigma")
        total += Fraction(up((most / sigma) ** 2 / 2))
    least = up(Fraction(up(total)) * guarantee["attempts"])
    need(0 < delta <= float(RULES["maxDelta"]), "delta")
    need(rho >= least and epsilon >= epsilon_of(least, delta), "rho and epsilon")
    need([one["head"] for one in guarantee["parameters"]] == guarantee["selectedHeads"], "heads")

def check_log(proof, entry, origin=None, vkey="++"):
    """The leaf is in a log [12]; if it is the trusted one, its signature holds [13]."""
    found = re.fullmatch(RULES["tlogProof"], proof)
    need(found and len(proof.partition("\n\n")[2].encode()) <= LIMITS["noteBytes"], "not a proof")
    index, total, root, earlier = int(found[1]), int(found[5]), sha256(b"\0", canonical(entry)), {}
    sizes = [1 << bit for bit in range(63) if index >> bit & 1 or (index >> bit) + 1 << bit < total]
    for size, sibling in zip(sizes, map(unbase64, found[2].split()), strict=True):
        root = sha256(b"\1", *((sibling, root) if index & size else (root, sibling)))
        if index & size:  # the sibling is a tree of its own, and one with each that came before
            joined = {size + other: sha256(b"\1", sibling, one) for other, one in earlier.items()}
            earlier = {size: sibling, **joined}
    need(index < total and root == unbase64(found[6]), "not in the log")
    name, hint, key = vkey.split("+", 2)
    lines = [(who, unbase64(one)) for who, one in re.findall("\u2014 (.+) (.+)\n", found[7])]
    ours = [one[4:] for who, one in lines if (found[4], who, one[:4].hex()) == (origin, name, hint)]
    for one in ours:
        ed25519.Ed25519PublicKey.from_public_bytes(unbase64(key)[1:]).verify(one, found[3].encode())
    return index, found[4], earlier, bool(ours)

def judge(data, trust, now):
    """Exit code 0, 3 or 9, and why; a check that fails raises an error."""
    bundle = read(data, LIMITS["bundleBytes"], LIMITS["bundleMarks"])  # [1, 2]
    need(fits(bundle, BUNDLE) and canonical(bundle) == data, "not a bundle")
    envelope, entry = bundle["envelope"], bundle["entry"]
    payload, kind = unbase64(envelope["payload"]), envelope["payloadType"]
    signatures = {one["keyid"]: unbase64(one["sig"]) for one in envelope["signatures"]}
    need((kind, len(signatures)) == (TYPES["payload"], len(envelope["signatures"])), "envelope")
    signed = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    signers = [one for one in trust.get("issuer", []) if one["keyId"] in signatures]  # [10]
    for one in signers:
        key = serialization.load_der_public_key(unbase64(one["publicKey"]))
        how = [ec.ECDSA(hashes.SHA256())] if isinstance(key, ec.EllipticCurvePublicKey) else []
        key.verify(signatures[one["keyId"]], signed, *how)
    bound = ["certificate", *(sha256(one).hex() for one in (signed, *signatures.values()))]  # [11]
    need([entry["type"], entry["digest"], *entry["signatures"]] == bound, "the leaf is another's")
    index, origin, earlier, known = check_log(bundle["tlogProof"], entry, **trust.get("log", {}))
    statement = read(payload, LIMITS["statementBytes"], LIMITS["statementMarks"])  # [3]
    if not fits(statement, STATEMENT):
        kind, ours = statement["predicateType"], TYPES["predicateFamily"]
        need(kind.startswith(ours) and kind != TYPES["predicate"], "not a statement of ours")
        return 3, f"a statement of another version: {kind!r}"
    predicate, guarantee = statement["predicate"], statement["predicate"]["guarantee"]
    check_statement(statement["subject"][0]["digest"]["sha256"], predicate)
    words = {None: REGISTRY["withoutTheorem"], **REGISTRY["theorems"]}.get(guarantee["theorem"])
    need(not words or words["guarantee"].items() <= guarantee.items(), "other words")  # [6]
    if guarantee["class"] == "certified":
        check_arithmetic(guarantee)
    for name, most in trust.get("limits", {}).items():  # [9]
        need(float(guarantee[name] or "inf") <= most, f"{name} is above your limit")
    need({one["name"] for one in signers} <= {predicate["issuer"]}, "the key of another issuer")
    ledger = predicate["ledger"]  # [14]
    need(ledger["origin"] == origin and ledger["size"] <= index, "ledger")
    need(earlier.get(ledger["size"], bytes.fromhex(ledger["root"])).hex() == ledger["root"], "root")
    issued, logged, completed = (datetime.fromisoformat(one).timestamp() for one in (  # [15]
        predicate["issuedAt"], entry["time"], predicate["request"]["completedOn"] + "T23:59:59Z"))
    need(max(issued - logged, issued - now, logged - now) <= RULES["clockSkewSeconds"], "future")
    need(logged - min(issued, completed) <= RULES["longestDelaySeconds"], "dated back")
    digits = map("0123456789ABCDEFGHJKMNPQRSTVWXYZ".index, predicate["certificateId"][:10])
    made = functools.reduce(lambda number, digit: number * 32 + digit, digits) / 1000
    need(abs(made - issued) <= RULES["idWithinSeconds"], "time of the id")
    good = [one for one in signers if one.get("validFrom", 0) <= index < min(
        one.get("retiredFrom", math.inf), one.get("distrustedFrom", math.inf))]  # [16]
    need(good or not signers, "no key was good here")
    if not (signers and known and words):
        return 3, "the issuer, the log or the theorem is not known"
    return (0, "valid") if any("distrustedFrom" not in one for one in good) else (9, "not current")

if __name__ == "__main__":
    code = 2  # there is nothing to judge by
    try:
        certificate, *given = (Path(one).read_bytes() for one in sys.argv[1:])
        policy = tomllib.loads(given[0].decode()) if given else {}
        need(all(fits(value, RULES["trust"][part][name]) for part, of in policy.items() for one in
                 (of if type(of) is list else [of]) for name, value in one.items()), "trust file")
        for one in policy.get("issuer", []):
            need(sha256(unbase64(one["publicKey"])).hex() == one["keyId"] and one["name"], "issuer")
        code = 1  # whatever goes wrong from here on, the certificate is not shown to be valid
        code, reason = judge(certificate, policy, time.time())
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    print(reason)
    sys.exit(code)

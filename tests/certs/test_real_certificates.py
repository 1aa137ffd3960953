"""What the program issues from real requests is read by the others too."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

from jsonschema import Draft202012Validator
from sigstore_models.bundle.v1 import Bundle

from tests.certs.places import CERTS, VERIFIER
from tests.workspaces import TrainedWorkspace, must_run


def exit_code(certificate: str, trust: Path) -> int:
    line = [sys.executable, VERIFIER / "verify.py", certificate, trust]
    return subprocess.run(line, capture_output=True, check=False).returncode


def fits(name: str, content: bytes) -> bool:
    schema = json.loads((CERTS / f"schema/{name}.schema.json").read_bytes())
    return Draft202012Validator(schema).is_valid(json.loads(content))


def test_certificates_of_real_requests_are_accepted_by_the_second_verifier(
    trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    root, (first, second, *_) = trained_workspace.root, trained_workspace.revocable
    revoke = ("revoke", "--modality", "audio", "--json", "--user")
    done = [
        must_run(root, *revoke, first).json,
        must_run(root, *revoke, second, "--method", "exact").json,
    ]
    trust, other = root / "trust.toml", tmp_path / "other.toml"
    name = 'name = "somebody else"'
    lines = trust.read_text("utf-8").splitlines()
    other.write_text("\n".join(name if one.startswith("name = ") else one for one in lines))

    for one in done:
        bundle = Path(one["bundle"]).read_bytes()
        assert exit_code(one["bundle"], trust) == 0
        assert exit_code(one["bundle"], other) == 1
        assert fits("bundle", bundle)
        assert fits("statement", b64decode(json.loads(bundle)["envelope"]["payload"]))
        assert fits("receipt", Path(one["receipt"]).read_bytes())
        exported = must_run(root, "export", one["bundle"], "--sigstore-bundle")
        assert Bundle.from_json(exported.out).dsse_envelope is not None

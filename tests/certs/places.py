"""Where the published things are, and the modules beside them that make or read them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CERTS, VERIFIER = ROOT / "certs", ROOT / "examples/verifier"
EXAMPLES = CERTS / "examples"
for folder in (CERTS, VERIFIER):
    sys.path.insert(0, str(folder))

EXPECTED: dict[str, dict[str, Any]] = json.loads((EXAMPLES / "expected.json").read_text("utf-8"))
BARE = {
    name: wanted
    for name, wanted in EXPECTED.items()
    if not wanted.keys() & {"receipt", "model", "require"}
}
"""Those that need nothing but certificate and trust file."""


def options(wanted: dict[str, Any]) -> list[str]:
    """What `mbd verify` is given beside the certificate."""
    named = {name: wanted.get(name) for name in ("trust", "receipt", "model")}
    given = [
        part for name, path in named.items() if path for part in (f"--{name}", EXAMPLES / path)
    ]
    return [*given, *(["--require", wanted["require"]] if "require" in wanted else [])]


def certificate(name: str) -> bytes:
    return (EXAMPLES / EXPECTED[name]["file"]).read_bytes()

"""Where the published things are, and the modules beside them that make or read them."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CERTS, VERIFIER = ROOT / "certs", ROOT / "examples/verifier"
EXAMPLES = CERTS / "examples"
for folder in (CERTS, VERIFIER):
    sys.path.insert(0, str(folder))

import verify as second  # noqa: E402

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


def second_exit_code(data: bytes, trust: dict[str, Any] | None, now: datetime) -> int:
    """What the second verifier's process would exit with; a check that fails raises there."""
    try:
        return int(second.judge(data, trust or {}, now.timestamp())[0])
    except Exception:  # noqa: BLE001  as the script itself does
        return 1


def certificate(name: str) -> bytes:
    return (EXAMPLES / EXPECTED[name]["file"]).read_bytes()

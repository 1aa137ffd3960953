"""Make everything under `certs/` that is generated, or check that it is what it should be.

    python certs/regenerate.py            write what differs: schemas, registry, examples, tables
    python certs/regenerate.py --check    exit 1 naming each file that differs

The same version of the program gives the same bytes on every machine: keys and clock are fixed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from making import refused, tables, trust, valid  # noqa: E402

from mbd.verify.published import published_schemas, registry  # noqa: E402

_GENERATED = ("schema", "examples")
"""Folders that hold nothing else."""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--check", action="store_true", help="Write nothing, compare.")
    wanted = everything()
    found = _present()
    if not arguments.parse_args().check:
        return _write(wanted, found)
    differing = [path for path, content in wanted.items() if found.get(path) != content]
    for path in sorted({*differing, *(found.keys() - wanted.keys())}):
        reason = (
            "is not generated"
            if path not in wanted
            else "differs"
            if path in found
            else "is missing"
        )
        print(f"certs/{path} {reason}: run python certs/regenerate.py", file=sys.stderr)
    return 1 if differing or found.keys() - wanted.keys() else 0


def everything() -> dict[str, bytes]:
    """Path below `certs/` -> content."""
    return {
        **{f"schema/{name}": _pretty(content) for name, content in published_schemas().items()},
        "registry.json": _pretty(registry()),
        "FORMAT.md": tables.fill((HERE / "FORMAT.md").read_text("utf-8"), registry()).encode(),
        **{f"examples/{path}": content for path, content in _examples().items()},
    }


def _examples() -> dict[str, bytes]:
    return {
        **trust.trust_files(),
        **{f"valid/{name}": data for name, data in valid.bundles().items()},
        **{f"refused/{one.name}.json": one.data for one in refused.defects()},
        **{f"refused/{name}.json": found[0] for name, found in refused.unwitnessed().items()},
        **{f"receipts/{name}": data for name, data in valid.receipts().items()},
        **{f"receipts/refused/{name}.json": data for name, (data, _) in refused.receipts().items()},
        **{f"models/{path}": data for path, data in valid.models().items()},
        "expected.json": _pretty(expected()),
    }


def expected() -> dict[str, Any]:
    """What a verifier must say: by name, the inputs, the exit code and the deciding code."""
    made: dict[str, Any] = {}

    def expect(name: str, file: str, exit_code: int = 0, code: str = "ok", **inputs: Any) -> None:
        chosen = {"file": file, "trust": "trust.toml", **inputs}
        made[name] = {**chosen, "exitCode": exit_code, "code": code}

    honest = "valid/certified.json"
    for name in valid.bundles():
        expect(f"valid/{name.removesuffix('.json')}", f"valid/{name}")
    for one in refused.defects():
        file = f"refused/{one.name}.json"
        expect(f"refused/{one.name}", file, one.exit_code, one.code, trust=one.trust)
    for name, (_, code) in refused.receipts().items():
        exit_code = 3 if code == "receipt.other" else 1
        receipt = f"receipts/refused/{name}.json"
        expect(f"refused/receipt-{name}", honest, exit_code, code, receipt=receipt)
    for name in valid.receipts():
        file = f"valid/{name.removesuffix('.json').removesuffix('-excerpt')}.json"
        expect(f"valid/receipt-{name.removesuffix('.json')}", file, receipt=f"receipts/{name}")
    witnesses = {"trust": "trust/two-of-three-witnesses.toml", "require": "WITNESSED"}
    expect("valid/with-two-witnesses", "valid/witnessed.json", **witnesses)
    for name, (_, code, exit_code) in refused.unwitnessed().items():
        expect(f"refused/{name}", f"refused/{name}.json", exit_code, code, **witnesses)
    expect("valid/key-retired-later", honest, trust="trust/retired-later.toml")
    expect("valid/with-its-model", honest, model="models/certified")
    expect("refused/nobody-is-trusted", honest, 3, "trust.missing", trust=None)
    other = "valid/exact.json"
    expect(
        "refused/model-of-another-certificate",
        other,
        1,
        "artifact.changed",
        model="models/certified",
    )
    return made


def _pretty(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, sort_keys=False) + "\n").encode()


def _present() -> dict[str, bytes]:
    """What is there now, of what could be generated."""
    folders = [path for folder in _GENERATED for path in (HERE / folder).rglob("*")]
    files = [
        path for path in [*folders, HERE / "registry.json", HERE / "FORMAT.md"] if path.is_file()
    ]
    return {path.relative_to(HERE).as_posix(): path.read_bytes() for path in files}


def _write(wanted: dict[str, bytes], found: dict[str, bytes]) -> int:
    for path in found.keys() - wanted.keys():
        (HERE / path).unlink()
    for path, content in wanted.items():
        if found.get(path) != content:
            (HERE / path).parent.mkdir(parents=True, exist_ok=True)
            (HERE / path).write_bytes(content)
            print(f"certs/{path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

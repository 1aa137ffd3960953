"""Small models as `mbd train` writes them: a policy, and three heads in safetensors."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

from mbd.canonical.digest import sha256_hex
from mbd.canonical.json import dumps
from mbd.privacy.accountant import sensitivity_of
from mbd.values import FileDigest, HeadParameters, parse_availability

HEADS = ("audio", "audio+text", "text")
SELECTED = ("audio", "audio+text")
"""The heads that read audio."""
DIMENSION, OUTPUTS = 4, 2
CONVEXITY, TOLERANCE, SIGMA, GRID = 0.25, 2.0**-20, 2.0**-13, 2.0**-30
STEPS = int(SIGMA / GRID)

CERTIFIED = dict.fromkeys(HEADS, STEPS)
"""Noise of each head in grid steps."""
EXACT = CERTIFIED | dict.fromkeys(SELECTED, 0)
RETRAINED = dict.fromkeys(HEADS, 0)


def parameters(head: str) -> HeadParameters:
    """The constants of a released head as its certificate states them."""
    return HeadParameters(
        head=head,
        dimension=DIMENSION,
        outputs=OUTPUTS,
        strong_convexity=CONVEXITY,
        tolerance=TOLERANCE,
        sensitivity=sensitivity_of(TOLERANCE, CONVEXITY),
        sigma=SIGMA,
        grid=GRID,
    )


def model_files(noise: Mapping[str, int], *, recipe: bool = False) -> dict[str, bytes]:
    """Path -> content."""
    heads = {f"heads/{name}.safetensors": _head(name, noise[name]) for name in HEADS}
    return {"policy.json": dumps(_policy(recipe)), **heads}


def digests(files: Mapping[str, bytes]) -> tuple[FileDigest, ...]:
    """As an outcome lists them."""
    return tuple(FileDigest(path=path, sha256=sha256_hex(files[path])) for path in sorted(files))


def _policy(recipe: bool) -> dict[str, Any]:
    """As far as a verifier reads it."""
    constants = {
        "dimension": DIMENSION,
        "outputs": OUTPUTS,
        "sigma": SIGMA,
        "grid": GRID,
        "scale": {"strong_convexity": CONVEXITY},
    }
    heads = {name: {"constants": {"head": name, **constants}} for name in HEADS}
    channels = [{"name": name, "width": 3, "derivedFrom": []} for name in ("audio", "text")]
    learned = {
        name: {"kind": "head", "cohorts": ["revocable"], "modalities": sorted(_inputs(name))}
        for name in HEADS
    }
    core = {"kind": "core", "cohorts": ["foundation"], "modalities": ["audio", "text"]}
    policy = {
        "schema": "urn:mbd:policy:v1",
        "dataset": {"name": "example", "modalities": channels, "labelDerivedFrom": []},
        "heads": heads,
        "provenance": [{"name": name, **one} for name, one in {"core": core, **learned}.items()],
    }
    return {**policy, "recipe": {"core": "auto", "seed": 0}} if recipe else policy


def _inputs(head: str) -> frozenset[str]:
    return parse_availability(head)


def _head(name: str, steps: int) -> bytes:
    """Eight bytes of length, the header, one number, then weights that say nothing."""
    size = 8 * DIMENSION * OUTPUTS
    header = {
        "noise_steps": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},
        "weights": {
            "dtype": "I64",
            "shape": [DIMENSION, OUTPUTS],
            "data_offsets": [8, 8 + size],
        },
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    weights = struct.pack(f"<{DIMENSION * OUTPUTS}q", *(len(name) + n for n in range(8)))
    return struct.pack("<Q", len(text)) + text + struct.pack("<q", steps) + weights

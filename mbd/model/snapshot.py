"""Snapshots of a core: safetensors and a config, bound by a digest of the tensors.

A safetensors file with several metadata keys is not stable byte for byte, so a core is named
by a digest of its content: sorted name, dtype, shape, little-endian bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mbd.canonical.digest import sha256_hex
from mbd.errors import IntegrityError, VersionError
from mbd.model.core import Core, CoreConfig
from mbd.workspace.files import storage_errors, write_atomically

ARCHITECTURE = 2
"""Of the equations that the weights stand for. 1 had no reliability, no centres, and an output
norm in the generator; its weights mean something else and are never read as these."""
WEIGHTS_FILE = "core.safetensors"
CONFIG_FILE = "core.json"


def tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) over sorted (name, dtype, shape) headers and little-endian content."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name].detach().cpu().contiguous().numpy()
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        header = json.dumps([name, array.dtype.name, list(array.shape)]).encode()
        digest.update(len(header).to_bytes(8, "little") + header)
        digest.update(np.ascontiguousarray(little).tobytes())
    return digest.hexdigest()


def core_digest(core: Core) -> str:
    """Names a core: its config and its weights."""
    config = json.dumps(core.config.to_json(), sort_keys=True).encode()
    return sha256_hex(config + tensor_digest(core.state_dict()).encode())


def save_core(core: Core, folder: Path) -> tuple[Path, Path]:
    """Write weights and config into `folder`; returns the two files.

    Raises:
        StorageError: The disk refused.
    """
    weights, config = folder / WEIGHTS_FILE, folder / CONFIG_FILE
    tensors = {name: value.detach().cpu() for name, value in core.state_dict().items()}
    write_atomically(weights, save(tensors))
    content = {
        "architecture": ARCHITECTURE,
        "core": core.config.to_json(),
        "digest": core_digest(core),
    }
    write_atomically(config, json.dumps(content, indent=1, sort_keys=True).encode() + b"\n")
    return weights, config


def load_core(folder: Path) -> Core:
    """Read a core back, frozen, in evaluation mode.

    Raises:
        IntegrityError: Torn, altered, or not a core.
        VersionError: A core of another architecture.
        StorageError: Unreadable.
    """
    with storage_errors(folder):
        weights, described = (
            (folder / WEIGHTS_FILE).read_bytes(),
            (folder / CONFIG_FILE).read_bytes(),
        )
    try:
        content = json.loads(described)
        _check_architecture(content.get("architecture", 1), folder)
        core = Core(CoreConfig.from_json(content["core"]))
        core.load_state_dict(load(weights))
        expected = content["digest"]
    except (
        SafetensorError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        raise IntegrityError(f"{folder}: not a core: {error}", field=WEIGHTS_FILE) from error
    if core_digest(core) != expected:
        raise IntegrityError(f"{folder}: the core is not what its digest says", field=WEIGHTS_FILE)
    return freeze(core)


def _check_architecture(found: object, folder: Path) -> None:
    if found != ARCHITECTURE:
        raise VersionError(
            f"{folder}: a core of architecture {found!r}; this program reads {ARCHITECTURE}",
            code="core.architecture",
            field=CONFIG_FILE,
            hint="use the version of mbd that trained it, or train again: mbd train",
        )


def freeze(core: Core) -> Core:
    """No gradients, no dropout: the same function for ever."""
    core.requires_grad_(False)
    core.eval()
    return core


def double(core: Core) -> Core:
    """A frozen float64 copy on the CPU, for `mbd.model.inference`."""
    copy = Core(core.config)
    copy.load_state_dict(core.state_dict())
    return freeze(copy.to(dtype=torch.float64))

"""A model's core, read without torch: nothing in its two files but the core that is named.

Its weights are in safetensors (github.com/huggingface/safetensors, README, "Format"); stricter
here: no metadata, no gaps, the header as the library writes it. The digest in the policy is that of
`mbd.model.snapshot`: the config, and name, dtype, shape and little-endian content of each tensor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from mbd.canonical.digest import sha256_hex
from mbd.canonical.json import loads_strict
from mbd.errors import DataError
from mbd.verify.case import Undecided
from mbd.verify.reading import read_regular

WEIGHTS_FILE = "core.safetensors"
CONFIG_FILE = "core.json"

CONFIG_MEMBERS: dict[str, tuple[type, ...]] = {
    "widths": (list,),
    "kind": (str,),
    "outputs": (int,),
    "label_centre": (int, float),
    "label_scale": (int, float),
    "hidden": (int,),
    "property_width": (int,),
    "activations": (int,),
    "dropout": (int, float),
}
"""Every member of a core's config, and what it may be."""

ARCHITECTURES = (2,)
"""What `mbd.model.snapshot.ARCHITECTURE` has been since cores say it; the first ones did not."""

_DTYPES = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}
"""Type in the file -> its name in the digest, and bytes."""
_MAX_CONFIG_BYTES = 1 << 16
_MAX_HEADER_BYTES = 1 << 20
_LENGTH_BYTES = 8
_PADDED_TO = 8
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class _Tensor:
    name: str
    dtype: str
    shape: list[int]
    start: int
    stop: int


def core_digest(folder: Path) -> str:
    """What a policy calls the core whose files lie in a folder.

    Raises:
        DataError: They are not those of a core, or hold something else beside it
            (`artifact.core`).
        Undecided: They are of a newer architecture (`policy.version`).
    """
    described = read_regular(folder / CONFIG_FILE, _MAX_CONFIG_BYTES)
    config = _config(described)
    text = json.dumps(config["core"], sort_keys=True)
    found = sha256_hex((text + _tensor_digest(folder / WEIGHTS_FILE)).encode())
    if found != config["digest"]:
        raise _refused(CONFIG_FILE, "its digest is not that of the core")
    return found


def _config(content: bytes) -> dict[str, Any]:
    """The description of a core, if it is exactly what is written beside one."""
    try:
        found = loads_strict(content, max_bytes=_MAX_CONFIG_BYTES, max_depth=5, allow_floats=True)
    except DataError as error:
        raise _refused(CONFIG_FILE, error.message) from error
    if not isinstance(found, dict) or found.keys() - {"architecture"} != {"core", "digest"}:
        raise _refused(CONFIG_FILE, "want architecture, core and digest")
    said = found.get("architecture", ARCHITECTURES[0])
    if type(said) is not int or said < ARCHITECTURES[0]:
        raise _refused(CONFIG_FILE, "its architecture cannot be that")
    if said not in ARCHITECTURES:
        raise Undecided(f"a core of architecture {said!r:.20}", code="policy.version")
    core = found["core"]
    if not isinstance(core, dict) or core.keys() != CONFIG_MEMBERS.keys():
        raise _refused(CONFIG_FILE, f"want the members {', '.join(CONFIG_MEMBERS)}")
    wrong = [name for name, kinds in CONFIG_MEMBERS.items() if type(core[name]) not in kinds]
    if wrong or not all(_is_width(one) for one in core["widths"]):
        raise _refused(CONFIG_FILE, f"{', '.join(wrong) or 'widths'} cannot be that")
    if json.dumps(found, indent=1, sort_keys=True).encode() + b"\n" != content:
        raise _refused(CONFIG_FILE, "it is written otherwise than a core's")
    return found


def _is_width(found: Any) -> bool:
    return isinstance(found, list) and [type(one) for one in found] == [str, int]


def _tensor_digest(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as stream:
        size = path.stat().st_size
        length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        if not 0 < length <= min(_MAX_HEADER_BYTES, size - _LENGTH_BYTES):
            raise _refused(WEIGHTS_FILE, f"a header of {length} bytes in a file of {size}")
        first = _LENGTH_BYTES + length
        for one in sorted(_tensors(stream.read(length), size - first), key=lambda t: t.name):
            header = json.dumps([one.name, _DTYPES[one.dtype][0], one.shape]).encode()
            digest.update(len(header).to_bytes(8, "little") + header)
            for chunk in _content(stream, first + one.start, one.stop - one.start):
                digest.update(chunk)
    return digest.hexdigest()


def _content(stream: BinaryIO, start: int, length: int) -> Iterator[bytes]:
    stream.seek(start)
    while length:
        chunk = stream.read(min(length, _CHUNK_BYTES))
        if not chunk:
            raise _refused(WEIGHTS_FILE, "it ends early")
        length -= len(chunk)
        yield chunk


def _tensors(header: bytes, data_bytes: int) -> list[_Tensor]:
    """Every tensor; together they fill the data exactly, and the header says nothing else."""
    try:
        found = loads_strict(header, max_bytes=_MAX_HEADER_BYTES, max_depth=4)
    except DataError as error:
        raise _refused(WEIGHTS_FILE, error.message) from error
    if not isinstance(found, dict):
        raise _refused(WEIGHTS_FILE, "want tensors")
    tensors, end = [_tensor(name, one) for name, one in found.items()], 0
    for one in sorted(tensors, key=lambda tensor: (tensor.start, tensor.stop)):
        if one.start != end or one.stop - one.start != _DTYPES[one.dtype][1] * prod(one.shape):
            raise _refused(WEIGHTS_FILE, f"{one.name[:60]} has other bytes than its shape")
        end = one.stop
    if end != data_bytes:
        raise _refused(WEIGHTS_FILE, f"{data_bytes} bytes of data, {end} of them in tensors")
    if header != _as_written(tensors):
        raise _refused(WEIGHTS_FILE, "its header is written otherwise than the library does")
    return tensors


def _tensor(name: str, found: Any) -> _Tensor:
    if not isinstance(found, dict) or found.keys() != {"dtype", "shape", "data_offsets"}:
        raise _refused(WEIGHTS_FILE, "want dtype, shape and data_offsets")
    shape, offsets = found["shape"], found["data_offsets"]
    if found["dtype"] not in _DTYPES or not _counts(shape) or not _counts(offsets):
        raise _refused(WEIGHTS_FILE, "want tensors of plain sizes and types")
    if len(offsets) != 2:
        raise _refused(WEIGHTS_FILE, "want a start and an end")
    return _Tensor(name, found["dtype"], shape, offsets[0], offsets[1])


def _as_written(tensors: list[_Tensor]) -> bytes:
    """The header of these tensors in the order of the data, padded with spaces."""
    ordered = sorted(tensors, key=lambda tensor: (tensor.start, tensor.stop))
    content = {
        one.name: {"dtype": one.dtype, "shape": one.shape, "data_offsets": [one.start, one.stop]}
        for one in ordered
    }
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
    return text + b" " * (-len(text) % _PADDED_TO)


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(one) is int and one >= 0 for one in values)


def _refused(file: str, why: str) -> DataError:
    return DataError(f"{file}: {why}", code="artifact.core")

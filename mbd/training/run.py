"""A training between two epochs, and how it is kept on disk.

A checkpoint holds everything that the next epoch depends on, so a training that was killed
goes on to the same weights, bit for bit. It is bound to whatever decides the result: one of
other rows, settings or versions is not used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from mbd import __version__
from mbd.canonical.digest import sha256_hex
from mbd.canonical.json import dumps, loads_strict
from mbd.errors import DataError
from mbd.model.core import Core
from mbd.model.snapshot import ARCHITECTURE, tensor_digest
from mbd.training.batches import Tensors
from mbd.training.settings import CoreSettings
from mbd.workspace.files import write_atomically

_METADATA = "checkpoint"
"""The one key of the file's metadata: with one, its bytes are stable."""


@dataclass(eq=False)
class Run:
    """Weights, optimiser, schedule and counters; the generators of torch belong to it too."""

    core: Core
    optimiser: torch.optim.AdamW
    schedule: torch.optim.lr_scheduler.CosineAnnealingLR
    epoch: int = 0
    """Epochs done."""
    best: float = math.inf
    """Loss of the best epoch so far."""
    best_epoch: int = 0
    """Its number, from 1; 0 before there is one."""
    kept: dict[str, Tensor] | None = None
    """Its weights."""

    @classmethod
    def start(cls, core: Core, settings: CoreSettings) -> Run:
        """Before the first epoch."""
        optimiser = torch.optim.AdamW(
            core.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs)
        return cls(core, optimiser, schedule)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return next(self.core.parameters()).device

    def keep(self, loss: float) -> None:
        """The weights as they are are the best so far."""
        self.best, self.best_epoch = loss, self.epoch
        self.kept = {name: value.clone() for name, value in self.core.state_dict().items()}

    def save(self, path: Path, binding: str) -> None:
        """Write a checkpoint, durably; the one before is replaced.

        Raises:
            StorageError: The disk refused.
        """
        tensors = {name: value.detach().cpu() for name, value in self._tensors().items()}
        about = {
            "binding": binding,
            "tensors": tensor_digest(tensors),
            "epoch": self.epoch,
            "best": self.best if math.isfinite(self.best) else None,
            "bestEpoch": self.best_epoch,
            "learningRate": self.optimiser.param_groups[0]["lr"],
            "schedule": self.schedule.state_dict(),
        }
        sealed = dumps({"about": about, "sha256": sha256_hex(dumps(about))})
        write_atomically(path, save(tensors, {_METADATA: sealed.decode()}), mode=0o600)

    def resume(self, path: Path, binding: str) -> bool:
        """Go on from a checkpoint; False, and nothing changed, if there is none of this run.

        A torn or altered file is none: a training from the start gives the same weights.
        """
        found = _read(path)
        if found is None or found[0]["binding"] != binding:
            return False
        about, tensors = found
        self.epoch, self.best_epoch = about["epoch"], about["bestEpoch"]
        self.best = math.inf if about["best"] is None else float(about["best"])
        self.core.load_state_dict(_under("core", tensors))
        kept = _under("kept", tensors)
        self.kept = {k: v.to(self.device) for k, v in kept.items()} if kept else None
        self._resume_optimiser(_under("optimiser", tensors), about["learningRate"])
        self.schedule.load_state_dict(about["schedule"])
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)
        return True

    def _tensors(self) -> dict[str, Tensor]:
        found = {f"core.{name}": value for name, value in self.core.state_dict().items()}
        found |= {f"kept.{name}": value for name, value in (self.kept or {}).items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            found |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
        found["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            found["random.cuda"] = torch.cuda.get_rng_state(self.device)
        return found

    def _resume_optimiser(self, tensors: Mapping[str, Tensor], learning_rate: float) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": state, "param_groups": groups})
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate


def binding_of(
    core: Core, rows: Tensors, held_out: Tensors | None, settings: CoreSettings, seed: int
) -> str:
    """Names everything that decides what comes of a training (hex)."""
    content = {
        "versions": [__version__, torch.__version__, ARCHITECTURE],
        "core": core.config.to_json(),
        "settings": asdict(settings),
        "seed": str(seed),
        "device": next(core.parameters()).device.type,
        "rows": _digest(rows),
        "heldOut": None if held_out is None else _digest(held_out),
    }
    return sha256_hex(dumps(content))


def _digest(rows: Tensors) -> str:
    return tensor_digest(
        {
            **{f"x.{name}": value for name, value in rows.x.items()},
            **{f"lengths.{name}": value for name, value in rows.lengths.items()},
            "available": rows.available,
            "labels": rows.labels,
        }
    )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Content of a checkpoint; None if there is none, or not all of it."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        sealed = loads_strict(metadata[_METADATA].encode(), allow_floats=True)
        about = sealed["about"]
        whole = sealed["sha256"] == sha256_hex(dumps(about))
        same = about["tensors"] == tensor_digest(tensors)
    except (OSError, safetensors.SafetensorError, DataError, KeyError, TypeError):
        return None
    return (about, tensors) if whole and same else None


def _under(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }

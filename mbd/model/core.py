"""The core: encoders, properties, a generator and fusion, for every availability.

Trained on the foundation cohort, then frozen. The equations are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mbd.errors import IntegrityError, UsageError
from mbd.model.encoders import Encoder
from mbd.model.fusion import Fusion
from mbd.model.generators import Generator
from mbd.model.properties import Prototypes
from mbd.values import ModalityInfo, Task


@dataclass(frozen=True, kw_only=True)
class CoreConfig:
    """The shape of a core: enough, with its weights, to run it."""

    widths: tuple[tuple[str, int], ...]
    """(modality, features per step), sorted by name."""
    kind: Literal["regression", "classification"]
    outputs: int
    """K."""
    label_centre: float = 0.0
    """Middle of the declared label range: scores are in units of half the range around it."""
    label_scale: float = 1.0
    """Half the width of the declared label range."""
    hidden: int = 32
    """h: width of a sample embedding."""
    property_width: int = 8
    """h_p: width of a property embedding."""
    activations: int = 64
    """A: width of the fusion layer."""
    dropout: float = 0.2
    """Share of hidden units dropped in training."""

    def __post_init__(self) -> None:
        names = [name for name, _ in self.widths]
        if not names or names != sorted(set(names)):
            raise IntegrityError("core: want distinct sorted modalities", field="widths")
        sizes = (self.outputs, self.hidden, self.property_width, self.activations)
        if min(*sizes, *(width for _, width in self.widths)) < 1:
            raise UsageError("core: want widths >= 1", field="core")
        if not 0 <= self.dropout < 1 or not self.label_scale > 0:
            raise UsageError("core: want 0 <= dropout < 1 and a label range", field="core")

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names in the order of every modality axis."""
        return tuple(name for name, _ in self.widths)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal config."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> CoreConfig:
        """Inverse of `to_json`.

        Raises:
            IntegrityError: Not what `to_json` writes.
        """
        try:
            widths = tuple((str(name), int(width)) for name, width in content["widths"])
            return cls(**{**content, "widths": widths})
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"core config: {error!r}", field="core") from error

    @classmethod
    def for_task(
        cls, infos: tuple[ModalityInfo, ...], task: Task, **shape: int | float
    ) -> CoreConfig:
        """The config of a data set: its channels and labels, and the given sizes."""
        low, high = task.label_range or (-1.0, 1.0)
        return cls(
            widths=tuple(sorted((info.name, info.width) for info in infos)),
            kind=task.kind,
            outputs=task.outputs,
            label_centre=(low + high) / 2 if task.kind == "regression" else 0.0,
            label_scale=(high - low) / 2 if task.kind == "regression" else 1.0,
            **shape,  # type: ignore[arg-type]
        )


class Encoded(NamedTuple):
    """A batch after the encoders, before anything mixes modalities."""

    samples: Float[Tensor, "batch modality hidden"]
    properties: Float[Tensor, "batch modality property"]


class CoreOutput(NamedTuple):
    """What the core makes of a batch under one availability."""

    scores: Float[Tensor, "batch outputs"]
    """Before the link: logits of classes, or units of half the label range."""
    prediction: Float[Tensor, "batch outputs"]
    """Probabilities of classes, or label units."""
    embeddings: Float[Tensor, "batch modality hidden"]
    """Observed where available, reconstructed elsewhere."""
    reconstructed: Float[Tensor, "batch modality hidden"]
    """The generator's version of every modality, from the other available ones."""
    guesses: Float[Tensor, "batch modality hidden"]
    """The same before it is drawn towards the mean: what the generator is taught by."""
    activations: Float[Tensor, "batch activations"]
    reliability: Float[Tensor, "batch modality"]
    """How much fusion counted each modality; mean one."""


class Core(nn.Module):
    """Serves every non-empty subset of the modalities with one set of weights."""

    def __init__(self, config: CoreConfig) -> None:
        super().__init__()
        self.config = config
        count, h, hp = len(config.widths), config.hidden, config.property_width
        # A list: in a dictionary of modules a modality could not be called "type" or "keys".
        self.encoders = nn.ModuleList(
            Encoder(width, h, hp, config.dropout) for _, width in config.widths
        )
        self.prototypes = Prototypes(count, hp)
        self.generator = Generator(count, h, hp, config.dropout)
        self.fusion = Fusion(count, h, config.activations, config.outputs, config.dropout)

    def encoder(self, modality: str) -> Encoder:
        """The encoder of a modality."""
        found = self.encoders[self.config.modalities.index(modality)]
        assert isinstance(found, Encoder)
        return found

    def encode(
        self,
        x: Mapping[str, Float[Tensor, "batch steps width"]],
        lengths: Mapping[str, Int[Tensor, " batch"]],
        available: Bool[Tensor, "batch modality"],
    ) -> Encoded:
        """Encode each modality by itself; what is not available is zeroed first.

        Args:
            x: Standardised steps per modality, padded to a common length.
            lengths: Real steps of each record; 0 where absent.
            available: (batch, modality), in the order of `config.modalities`.
        """
        encodings = []
        for index, name in enumerate(self.config.modalities):
            here = available[:, index, None]
            steps = torch.arange(x[name].shape[1], device=available.device)
            # An absent record keeps one step, of zeros, so that the softmax is defined.
            real = (steps < lengths[name][:, None]) & here | (steps == 0) & ~here
            seen = torch.where(here.unsqueeze(-1), x[name], 0.0)
            encodings.append(self.encoder(name)(seen, real))
        return Encoded(
            torch.stack([one.sample for one in encodings], dim=1),
            torch.stack([one.property for one in encodings], dim=1),
        )

    def fuse(
        self,
        samples: Float[Tensor, "batch modality hidden"],
        available: Bool[Tensor, "batch modality"],
    ) -> CoreOutput:
        """Reconstruct what is absent, fuse, predict."""
        guesses = self.guess(samples, available)
        reconstructed = self.shrink(guesses)
        # The generator learns to reconstruct, from its own term; it is no way around fusion.
        embeddings = torch.where(available.unsqueeze(-1), samples, reconstructed.detach())
        scores, activations, reliability = self.fusion(embeddings, available)
        return CoreOutput(
            scores,
            self.link(scores),
            embeddings,
            reconstructed,
            guesses,
            activations,
            reliability,
        )

    def guess(
        self,
        samples: Float[Tensor, "batch modality hidden"],
        available: Bool[Tensor, "batch modality"],
    ) -> Float[Tensor, "batch modality hidden"]:
        """What the generator makes of every modality."""
        made: Tensor = self.generator(samples, available, self.prototypes.vectors)
        return made

    def shrink(
        self, guesses: Float[Tensor, "batch modality hidden"]
    ) -> Float[Tensor, "batch modality hidden"]:
        """What fusion sees of it."""
        return self.generator.shrink(guesses)

    def link(self, scores: Float[Tensor, "batch outputs"]) -> Float[Tensor, "batch outputs"]:
        """From scores to predictions: probabilities, or label units."""
        if self.config.kind == "classification":
            return torch.softmax(scores, dim=1)
        return self.config.label_centre + self.config.label_scale * scores

    def forward(
        self,
        x: Mapping[str, Float[Tensor, "batch steps width"]],
        lengths: Mapping[str, Int[Tensor, " batch"]],
        available: Bool[Tensor, "batch modality"],
    ) -> CoreOutput:
        """Predict from the available modalities alone."""
        return self.fuse(self.encode(x, lengths, available).samples, available)

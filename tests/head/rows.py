"""Integer rows for the tests of heads, from a seed."""

from __future__ import annotations

import numpy as np

from mbd.head.feature_map import FeatureMap, design_feature_map, quantise, quantise_targets
from mbd.head.solve import HeadScale

CLIP = 2.0
TARGET_BITS = 12


def feature_map(inputs: int = 5, width: int = 24, seed: str = "test") -> tuple[FeatureMap, int]:
    return design_feature_map(
        inputs=inputs, width=width, frequency_std=0.5, clip=CLIP, seed=seed, ratio=100.0
    )


def rows(
    count: int, *, inputs: int = 5, width: int = 24, outputs: int = 1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Features (count, width) int16 and targets (count, outputs) int32."""
    rng = np.random.default_rng(seed)
    f = rng.normal(size=(count, inputs)) * 0.3
    t = np.tanh(f[:, :outputs] * 3) + rng.normal(size=(count, outputs)) * 0.2
    made, _ = feature_map(inputs, width)
    return made.expand(quantise(f, CLIP)), quantise_targets(t, TARGET_BITS)


def scale(strong_convexity: float = 0.5, *, inputs: int = 5, width: int = 24) -> HeadScale:
    _, bits = feature_map(inputs, width)
    return HeadScale(feature_bits=bits, target_bits=TARGET_BITS, strong_convexity=strong_convexity)

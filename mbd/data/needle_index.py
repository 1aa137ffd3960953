"""Finding many byte strings in one pass.

Every needle is known by one word of 8 bytes. Words of the content, at every offset, pass a
filter that grows with the number of needles, so that few of them are looked up; what is
looked up is compared as a whole. So a pass costs about the same for one needle or a million.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

_WORD = 8
_BLOCK = 1 << 15  # words looked at together: what stays in the processor's cache
_MIX = np.uint64(0x9E3779B97F4A7C15)

U64 = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]


class NeedleIndex:
    """Needles by kind; those shorter than 8 bytes are never found."""

    def __init__(self, by_kind: Mapping[str, Sequence[bytes]]) -> None:
        self._of_kind = {kind: frozenset(needles) for kind, needles in by_kind.items()}
        self._needles = frozenset().union(*self._of_kind.values())
        known = [needle for needle in self._needles if len(needle) >= _WORD]
        words, offsets, lengths = _telling_words(known)
        # Needles of one word that have it at one offset and are of one length: one look-up.
        order = np.lexsort((lengths, offsets, words))
        words, offsets, lengths = words[order], offsets[order], lengths[order]
        new = np.ones(len(order), dtype=bool)
        new[1:] = words[1:] != words[:-1]
        new[1:] |= (offsets[1:] != offsets[:-1]) | (lengths[1:] != lengths[:-1])
        self._words, first = np.unique(words[new], return_index=True)
        self._shapes = list(zip(offsets[new].tolist(), lengths[new].tolist(), strict=True))
        self._bounds = [*first.tolist(), len(self._shapes)]
        bits = max(16, len(self._words).bit_length() + 5)  # one word in 32 or more passes
        self._shift = np.uint64(64 - bits)
        self._filter = np.zeros(1 << bits, dtype=bool)
        self._filter[self._mixed(self._words)] = True

    def kinds_in(self, content: bytes) -> set[str]:
        """Kinds of the needles that `content` holds."""
        found = self.hits(content)
        return {kind for kind, needles in self._of_kind.items() if not found.isdisjoint(needles)}

    def hits(self, content: bytes) -> set[bytes]:
        """The needles that `content` holds."""
        found: set[bytes] = set()
        for place, number in self._places(content):
            for offset, length in self._shapes[self._bounds[number] : self._bounds[number + 1]]:
                if offset <= place:
                    piece = content[place - offset : place - offset + length]
                    if piece in self._needles:
                        found.add(piece)
        return found

    def _places(self, content: bytes) -> Iterator[tuple[int, int]]:
        """(offset, number of the word) wherever a word of a needle lies."""
        if not len(self._words):
            return
        for start in range(min(_WORD, max(0, len(content) - _WORD + 1))):
            count = (len(content) - start) // _WORD
            words = np.frombuffer(content, "<u8", count=count, offset=start)
            for first in range(0, count, _BLOCK):
                block = words[first : first + _BLOCK]
                likely = np.flatnonzero(self._filter.take(self._mixed(block)))
                wanted = block[likely]
                numbers = np.minimum(np.searchsorted(self._words, wanted), len(self._words) - 1)
                met = self._words[numbers] == wanted
                places = start + _WORD * (first + likely[met])
                yield from zip(places.tolist(), numbers[met].tolist(), strict=True)

    def _mixed(self, words: U64) -> Places:
        """Well-mixed bits of each word: its place in the filter."""
        return ((words * _MIX) >> self._shift).view(np.int64)


def _telling_words(needles: Sequence[bytes]) -> tuple[U64, Places, Places]:
    """Word, its offset and the length of each needle: the word with the most different bytes."""
    lengths = np.array([len(needle) for needle in needles], np.int64)
    words, offsets = np.zeros(len(needles), np.uint64), np.zeros(len(needles), np.int64)
    for length in np.unique(lengths).tolist():
        chosen = np.flatnonzero(lengths == length)
        joined = b"".join(needles[i] for i in chosen.tolist())
        content = np.frombuffer(joined, np.uint8).reshape(len(chosen), length)
        best = _telling_offsets(np.ascontiguousarray(content.T))
        taken = content[np.arange(len(chosen))[:, None], best[:, None] + np.arange(_WORD)]
        words[chosen], offsets[chosen] = taken.view("<u8").ravel(), best
    return words, offsets, lengths


def _telling_offsets(columns: npt.NDArray[np.uint8]) -> Places:
    """For needles as columns (length, n): where their word with the most different bytes is."""
    starts = range(0, len(columns) - _WORD + 1, 4)
    best = np.zeros(columns.shape[1], np.int64)
    most = np.zeros(columns.shape[1], np.uint8)
    for start in starts:
        word = columns[start : start + _WORD]
        different = np.ones(columns.shape[1], np.uint8)
        for i in range(1, _WORD):
            different += (word[:i] != word[i]).all(axis=0)
        better = different > most
        best[better], most[better] = start, different[better]
    return best

"""Who takes what of a bucket: its values and rows, dealt out to requests and to what stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mbd.canonical.items import Item
from mbd.data.columns import sequence_bytes
from mbd.data.items import items_of
from mbd.data.prepared import PreparedRows
from mbd.data.records import Records
from mbd.values import parse_availability


class Takers:
    """Which request takes a channel or a row: the first, in order, that asks for it."""

    def __init__(self, wanted: Iterable[tuple[str, Iterable[str]]]) -> None:
        """Subject and modalities of every request, in order."""
        self._channels: dict[tuple[str, str], int] = {}
        for number, (subject, modalities) in enumerate(wanted):
            for modality in modalities:
                self._channels.setdefault((subject, modality), number)

    def of_channel(self, subject: str, modality: str) -> int | None:
        return self._channels.get((subject, modality))

    def of_row(self, subject: str, head: str) -> int | None:
        asked = (self.of_channel(subject, name) for name in parse_availability(head))
        return min((number for number in asked if number is not None), default=None)

    def left(self, head: str, rows: PreparedRows) -> PreparedRows:
        """The rows of one head that nobody takes."""
        return rows.where(lambda subject: self.of_row(subject, head) is None)


@dataclass
class Share:
    """What one request takes, or what stays, as it is met."""

    touched: list[str] = field(default_factory=list)
    vanishing: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    features: list[bytes] = field(default_factory=list)
    """Stored bytes of sequences."""
    rows: dict[str, int] = field(default_factory=dict)
    inputs: list[bytes] = field(default_factory=list)
    """Stored bytes of the inputs of prepared rows."""


def share_records(held: Records, takers: Takers, taken: Sequence[Share], staying: Share) -> None:
    """Give every sequence to the request that takes it, or to what stays."""

    def owner(subject: str, modality: str) -> Share:
        number = takers.of_channel(subject, modality)
        return staying if number is None else taken[number]

    for item in items_of(held):
        owner(item.subject, item.modality).items.append(item)
    for name, column in held.x.items():
        for subject, value in zip(held.subjects, column, strict=True):
            if value is not None:
                owner(subject, name).features.append(sequence_bytes(value))
    for index, (record_id, subject) in enumerate(zip(held.record_ids, held.subjects, strict=True)):
        numbers = {takers.of_channel(subject, name) for name in held.availability(index)}
        steps = sorted(number for number in numbers if number is not None)
        last = None if None in numbers or not steps else steps[-1]
        for number in steps:
            ends = taken[number].vanishing if number == last else taken[number].touched
            ends.append(record_id)


def share_rows(
    held: Mapping[str, PreparedRows], takers: Takers, taken: Sequence[Share], staying: Share
) -> None:
    """Give every row to the request that takes it, or to what stays."""
    for head, rows in held.items():
        number_of = {subject: takers.of_row(subject, head) for subject in set(rows.subjects)}
        content = rows.v.astype("<i2", copy=False).tobytes()
        width = 2 * rows.v.shape[1]
        for index, subject in enumerate(rows.subjects):
            number = number_of[subject]
            owner = staying if number is None else taken[number]
            owner.inputs.append(content[index * width : (index + 1) * width])
            owner.rows[head] = owner.rows.get(head, 0) + 1

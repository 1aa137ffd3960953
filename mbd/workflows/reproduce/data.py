"""The retained data as plain files say it: records, prepared rows, the state that they sum to.

Neither the workspace's key nor a database is needed, and nothing is written. One bucket is in
memory at a time, beside the states of the heads and the ids of the training records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mbd.canonical.items import Item, root_of_items
from mbd.canonical.tree import leaf_hash, root_from_proof, tree_proofs, tree_root
from mbd.canonical.ulid import is_ulid
from mbd.data.buckets import MANIFEST
from mbd.data.items import items_of
from mbd.data.prepared import Bucket, PreparedStore
from mbd.data.records import Records
from mbd.data.store import Store
from mbd.errors import ArithmeticRefused
from mbd.head.state import HeadState
from mbd.model.inference import Extractor
from mbd.values import Availability
from mbd.verify.case import Undecided
from mbd.workflows.cross_check import row_problems, trained_on
from mbd.workflows.policy import Policy
from mbd.workflows.reproduce.buckets import PlainBuckets
from mbd.workflows.reproduce.files import reading, unreadable
from mbd.workflows.reproduce.forget_set import ForgetSet
from mbd.workflows.reproduce.remade import RemadeRows
from mbd.workflows.sums import sum_rows

Progress = Callable[[int, int], None]

_MAX_HEADER_BYTES = 4096  # of a file of tensors, with the number of rows
_NO_KEY = b""  # it only says where to look for a person, and everything is read here


@dataclass(frozen=True)
class RetainedRecords:
    """What the data store holds."""

    root: str
    """Digest of the data set (hex), from what the files hold."""
    training: Mapping[str, tuple[str, Availability]]
    """Subject and channels of each training record."""
    places: Mapping[str, int]
    """Bucket of each training record."""
    before: frozenset[str]
    """What the digest was with the receipt's items, one for each bucket that they may have been
    in: only the workspace's key tells which. Empty without a receipt."""


@dataclass(frozen=True)
class RetainedRows:
    """What the prepared rows of one training give."""

    states: Mapping[str, HeadState]
    problems: tuple[str, ...]
    """Rows that no record stands behind, or that count twice."""
    remade: RemadeRows
    """The same rows, made of their records again."""

    @property
    def largest_state(self) -> int:
        """Bytes that the file of a state has at most."""
        sizes = (one.gram.nbytes + one.cross.nbytes for one in self.states.values())
        return max(sizes, default=0) + _MAX_HEADER_BYTES


@dataclass(frozen=True)
class RetainedData:
    """Data store and prepared rows of a workspace, or of a copy of it."""

    root: Path
    """Folder `data` of the workspace."""
    progress: Progress

    def generations(self) -> tuple[int, ...]:
        """Numbers that grow when somebody changes the data.

        Raises:
            Undecided: There are no records here (`reproduce.incomplete`).
        """
        store = self.root / "store"
        if not (store / MANIFEST).is_file():
            raise Undecided("the workspace holds no records", code="reproduce.incomplete")
        with reading(self.root):
            folders = [store, *self._prepared()]
            return tuple(PlainBuckets.open(one).manifest.generation for one in folders)

    def listed(self, policy: Policy | None) -> tuple[str, ...]:
        """Paths in the workspace of all that the manifests in force name.

        Args:
            policy: Of the model whose rows are in force; None: those of any model.
        """
        of_model = self._prepared()
        if policy is not None:
            of_model = [one for one in of_model if one.name == policy.training_id]
        with reading(self.root):
            folders = [PlainBuckets.open(one) for one in (self.root / "store", *of_model)]
        paths = [path for one in folders for path in one.paths()]
        return tuple(path.relative_to(self.root.parent).as_posix() for path in paths)

    def records(self, forget: ForgetSet | None) -> RetainedRecords:
        """Read every record.

        Raises:
            Undecided: A file is missing or torn (`reproduce.unreadable`).
        """
        folder, roots, whole = self.root / "store", list[bytes](), list[bytes]()
        erased = () if forget is None else forget.items
        training: dict[str, tuple[str, Availability]] = {}
        places: dict[str, int] = {}
        with reading(folder):
            store = Store(PlainBuckets.open(folder), _NO_KEY)
            for bucket in store.buckets():
                self.progress(bucket, len(store.buckets()))
                records = store.read_bucket(bucket)
                items = items_of(records)
                if forget is not None:
                    _meet(forget, records, items)
                    whole.append(leaf_hash(root_of_items((*items, *erased))))
                roots.append(leaf_hash(root_of_items(items)))
                found = trained_on(records)
                training |= found
                places |= dict.fromkeys(found, bucket)
        before = _with_each(roots, whole)
        return RetainedRecords(tree_root(roots).hex(), training, places, before)

    def rows(
        self,
        policy: Policy,
        extractor: Extractor,
        records: RetainedRecords,
        forget: ForgetSet | None,
    ) -> RetainedRows:
        """Sum the prepared rows of a training; hold each against its record.

        Raises:
            Undecided: There are none here (`reproduce.incomplete`), or a file is missing or torn
                (`reproduce.unreadable`).
        """
        name = policy.training_id
        folder = self.root / "prepared" / str(name)
        if not is_ulid(str(name)) or not (folder / MANIFEST).is_file():
            raise Undecided(
                "the workspace holds no prepared rows of this model", code="reproduce.incomplete"
            )
        problems: set[str] = set()
        seen: dict[str, set[str]] = {}
        with reading(self.root):
            store = Store(PlainBuckets.open(self.root / "store"), _NO_KEY)
        remade = RemadeRows(policy, extractor, store, records.places)

        def held_against_records() -> Iterator[Bucket]:
            for bucket, count, rows in self._buckets(folder):
                _check_shapes(policy, rows, folder)
                with reading(self.root):
                    remade.compare(bucket, count, rows)
                for head, found in rows.items():
                    mine = seen.setdefault(head, set())
                    problems.update(row_problems(head, found, records.training, mine))
                if forget is not None:
                    forget.meet_rows(rows)
                yield rows

        try:
            states = sum_rows(policy, held_against_records())
        except ArithmeticRefused as error:
            raise unreadable(folder, error) from error
        return RetainedRows(states, tuple(sorted(problems)), remade)

    def meet_other_rows(self, forget: ForgetSet, policy: Policy | None) -> None:
        """Look for the forget set in the rows of other trainings, which nobody should keep."""
        for folder in self._prepared():
            if policy is None or folder.name != policy.training_id:
                for _, _, rows in self._buckets(folder):
                    forget.meet_rows(rows)

    def _buckets(self, folder: Path) -> Iterator[tuple[int, int, Bucket]]:
        """Number of each bucket, how many there are, and its rows."""
        with reading(folder):
            store = PreparedStore(PlainBuckets.open(folder), _NO_KEY)
        for bucket in store.buckets():
            self.progress(bucket, len(store.buckets()))
            with reading(folder):
                rows = store.read_bucket(bucket)
            yield bucket, len(store.buckets()), rows

    def _prepared(self) -> list[Path]:
        return sorted(path.parent for path in self.root.glob(f"prepared/*/{MANIFEST}"))


def _meet(forget: ForgetSet, records: Records, items: Iterable[Item]) -> None:
    places = {name: place for place, name in enumerate(records.record_ids)}
    for item in items:
        value = records.x[item.modality][places[item.record]]
        assert value is not None  # it has an item
        forget.meet(item, value)


def _with_each(roots: list[bytes], whole: list[bytes]) -> frozenset[str]:
    """Roots of the tree in which one leaf is that of `whole`: one for each."""
    proofs = tree_proofs(roots) if whole else []
    return frozenset(
        root_from_proof(leaf, place, len(roots), proof).hex()
        for place, (leaf, proof) in enumerate(zip(whole, proofs, strict=True))
    )


def _check_shapes(policy: Policy, rows: Bucket, folder: Path) -> None:
    """Rows must be of the policy's heads, and as wide as it says."""
    for head, found in rows.items():
        design = policy.heads.get(head)
        if design is None:
            raise unreadable(folder, f"rows of head {head}, which the model does not have")
        wanted = (design.feature_map.inputs, design.constants.outputs)
        if (found.v.shape[1], found.t.shape[1]) != wanted:
            raise unreadable(folder, f"rows of head {head} have another width than its policy's")

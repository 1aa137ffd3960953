"""The data store: Parquet files by keyed hash of the subject.

A revocation rewrites one file, whatever the data set weighs: the number of files follows the
number of subjects. Not safe for two writers at once: the workspace lock sees to that.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mbd.canonical.tree import empty_root, leaf_hash, root_from_proof, tree_proofs, tree_root
from mbd.data.buckets import MANIFEST, BucketFolder, NewBucket, keyed_bucket
from mbd.data.checks import check_records, check_unique, subject_cohorts
from mbd.data.columns import (
    Outline,
    outline_from_parquet,
    records_from_parquet,
    records_to_parquet,
)
from mbd.data.items import items_root, with_salts
from mbd.data.records import Records, Suppressions
from mbd.data.schema import DatasetSchema
from mbd.data.summary import Description, SubjectSummary, describe, summarise
from mbd.errors import ConflictError, DataError, IntegrityError, NotFoundError
from mbd.values import Cohort, Split

SUBJECTS_PER_BUCKET = 24
RECORDS_PER_BUCKET = 512


class Store:
    """Records by bucket, with a digest for every file and a root for the whole."""

    def __init__(self, folder: BucketFolder, key: bytes) -> None:
        self._folder = folder
        self._key = key
        self.schema = DatasetSchema.from_json(folder.manifest.header["schema"])

    @classmethod
    def create(
        cls,
        folder: Path,
        schema: DatasetSchema,
        records: Records,
        key: bytes,
        *,
        buckets: int | None = None,
    ) -> Store:
        """A new store at `folder`.

        Args:
            folder: Where; made if absent.
            schema: What the records are.
            records: What to hold; see `check_records`.
            key: The workspace key: which subject is in which file depends on it.
            buckets: Number of files; default from the number of subjects and records.

        Raises:
            DataError: The records contradict themselves or the schema.
            ConflictError: There is a store already.
            StorageError: The disk refused; nothing is left behind.
        """
        check_records(records, schema)
        count = buckets or bucket_count(len(set(records.subjects)), len(records))
        header = {"schema": schema.to_json(), "keyCheck": _key_check(key)}
        new = _new_buckets(records, schema, key, count)
        return cls(BucketFolder.create(folder, count, new, header), key)

    @classmethod
    def open(cls, folder: Path, key: bytes) -> Store:
        """The store at `folder`.

        Raises:
            NotFoundError: There is none.
            IntegrityError: It is damaged, or `key` is not the one it was made with.
            VersionError: A newer version wrote it.
        """
        if not (folder / MANIFEST).exists():
            raise NotFoundError(
                "this workspace holds no data",
                code="data.not_found",
                hint="`mbd data import SRC --spec SPEC.toml`, or `mbd data synth`",
            )
        found = BucketFolder.open(folder)
        if not hmac.compare_digest(str(found.manifest.header.get("keyCheck")), _key_check(key)):
            raise IntegrityError(f"{folder} was made with another workspace key")
        return cls(found, key)

    @property
    def generation(self) -> int:
        """Grows with every change."""
        return self._folder.manifest.generation

    @property
    def folder(self) -> Path:
        return self._folder.folder

    def buckets(self) -> range:
        """The numbers of all buckets."""
        return range(self._folder.count)

    def bucket_of(self, subject: str) -> int:
        """Where the records of `subject` are, or would be."""
        return keyed_bucket(self._key, subject, self._folder.count)

    def bucket_files(self, bucket: int) -> list[Path]:
        """The file in force for a bucket (none if it is empty), and the manifest."""
        path = self._folder.path(bucket)
        return [*([] if path is None else [path]), self._folder.manifest_path]

    def files(self) -> list[Path]:
        """Every file in force."""
        return self._folder.paths()

    def root(self, replacing: Mapping[int, str] | None = None) -> str:
        """Digest of everything held (hex): RFC 6962 root over the roots of the buckets.

        Args:
            replacing: Roots (hex) that some buckets are about to have: the root afterwards.
        """
        return tree_root(self._leaves(replacing)).hex()

    def roots_with_one_more(
        self, replacing: Mapping[int, str], more: Iterable[tuple[int, str]]
    ) -> list[str]:
        """The same with one bucket beside these replaced by another root, for each of `more`."""
        leaves = self._leaves(replacing)
        proofs = tree_proofs(leaves)
        return [
            root_from_proof(
                leaf_hash(bytes.fromhex(root)), bucket, len(leaves), proofs[bucket]
            ).hex()
            for bucket, root in more
        ]

    def _leaves(self, replacing: Mapping[int, str] | None) -> list[bytes]:
        roots = [self.bucket_root(bucket) for bucket in self.buckets()]
        for bucket, root in (replacing or {}).items():
            roots[bucket] = root
        return [leaf_hash(bytes.fromhex(root)) for root in roots]

    def bucket_root(self, bucket: int) -> str:
        """Root (hex) of the tree over the items of one bucket, as `items_root` gives it."""
        entry = self._folder.manifest.files[bucket]
        return empty_root().hex() if entry is None else str(entry.facts["root"])

    def read_bucket(self, bucket: int) -> Records:
        """All records of one bucket.

        Raises:
            IntegrityError: The file is missing, truncated or altered; names it.
        """
        content = self._folder.read(bucket)
        if content is None:
            return Records.concat([], self.schema.names)
        return records_from_parquet(content, self.schema.names)

    def read(
        self,
        *,
        cohort: Cohort | None = None,
        split: Split | None = None,
        subjects: Collection[str] | None = None,
        suppressions: Suppressions | None = None,
    ) -> Records:
        """Records that meet every condition, without what is suppressed.

        With `subjects` only the files that hold them are read.
        """
        chosen: Iterable[int] = self.buckets()
        if subjects is not None:
            chosen = sorted({self.bucket_of(subject) for subject in subjects})
        parts = [
            self.read_bucket(bucket)
            .where(cohort=cohort, split=split, subjects=subjects)
            .unsuppressed(suppressions)
            for bucket in chosen
        ]
        return Records.concat(parts, self.schema.names)

    def record(self, record_id: str) -> Records:
        """One record, as records of length one.

        Raises:
            NotFoundError: No such record.
        """
        for bucket, outline in self.outlines():
            if record_id in outline.record_ids:
                records = self.read_bucket(bucket)
                return records.select([records.index_of(record_id)])
        raise NotFoundError(
            f"no record {record_id!r}", field="record", hint="`mbd data show --user U` lists them"
        )

    def outlines(self) -> Iterator[tuple[int, Outline]]:
        """Who and what is in each bucket, without the features."""
        for bucket in self.buckets():
            content = self._folder.read(bucket)
            if content is not None:
                yield bucket, outline_from_parquet(content, self.schema.names)

    def subjects(self, suppressions: Suppressions | None = None) -> list[SubjectSummary]:
        """Everybody held, in natural order ("2" before "10"), after suppression."""
        return summarise((outline for _, outline in self.outlines()), suppressions)

    def describe(self, suppressions: Suppressions | None = None) -> Description:
        """What is held, in numbers, after suppression."""
        return describe(self.schema, (outline for _, outline in self.outlines()), suppressions)

    def add(
        self, records: Records, before: Callable[[Sequence[Outline]], None] = lambda held: None
    ) -> None:
        """Hold more records of the same schema.

        Args:
            records: What to hold; see `check_records`.
            before: Called with what is held when they are found good and nothing has changed.

        Raises:
            DataError: They contradict themselves, the schema, or a subject's cohort.
            ConflictError: A record id is held already.
            StorageError: The disk refused; the store is as it was.
        """
        check_records(records, self.schema)
        outlines = [outline for _, outline in self.outlines()]
        held = {name for outline in outlines for name in outline.record_ids}
        for record_id in records.record_ids:
            if record_id in held:
                raise ConflictError(
                    f"record {record_id!r} is held already", field="record_id",
                    hint="record ids must be new; nothing was imported",
                )  # fmt: skip
        cohorts = {s: c for o in outlines for s, c in zip(o.subjects, o.cohorts, strict=True)}
        for subject, cohort in subject_cohorts(records).items():
            if cohorts.get(subject, cohort) != cohort:
                raise DataError(
                    f"subject {subject!r} is in two cohorts: {cohorts[subject]} and {cohort}",
                    field="cohort",
                )
        before(outlines)
        if len(records):
            self._add(records, len(held), len(cohorts.keys() | set(records.subjects)))

    def _add(self, records: Records, held: int, subjects: int) -> None:
        count = bucket_count(subjects, held + len(records))
        arriving = _by_bucket(records, self._key, self._folder.count)
        if count > 2 * self._folder.count:  # grown: spread again, so that files stay small
            self._split(math.ceil(count / self._folder.count), dict(arriving))
            return
        self._folder.commit(
            (bucket, self._encode(Records.concat([self.read_bucket(bucket), more])))
            for bucket, more in arriving
        )

    def _split(self, parts: int, arriving: Mapping[int, Records]) -> None:
        """So many files in place of each: a multiple, so that one at a time is in memory.

        Hashed modulo a multiple of their number, nobody moves to a part of another one.
        """
        count, none = parts * self._folder.count, Records.concat([], self.schema.names)
        everything = (
            Records.concat([self.read_bucket(bucket), arriving.get(bucket, none)])
            for bucket in self.buckets()
        )
        self._folder.commit(
            (
                new
                for part in everything
                for new in _new_buckets(part, self.schema, self._key, count)
            ),
            count=count,
        )

    def replace_bucket(self, bucket: int, records: Records) -> None:
        """Make `records` all that a bucket holds; the old file is unlinked."""
        check_unique(records.record_ids)
        if any(self.bucket_of(subject) != bucket for subject in set(records.subjects)):
            raise DataError(f"a subject does not belong to bucket {bucket}", field="subject")
        self._folder.commit([(bucket, self._encode(records) if len(records) else None)])

    def sweep(self) -> list[Path]:
        """Remove what a killed writer left; returns the files removed."""
        return self._folder.sweep()

    def _encode(self, records: Records) -> NewBucket:
        return _encode(records, self.schema)


def bucket_count(subjects: int, records: int) -> int:
    """Files for so many: about 24 subjects or 512 records in each, never more than subjects."""
    by_records = min(subjects, math.ceil(records / RECORDS_PER_BUCKET))
    return max(1, math.ceil(subjects / SUBJECTS_PER_BUCKET), by_records)


def _key_check(key: bytes) -> str:
    return hmac.new(key, b"mbd store", "sha256").hexdigest()[:16]


def _encode(records: Records, schema: DatasetSchema) -> NewBucket:
    salted = with_salts(records)
    facts = {"records": len(salted), "root": items_root(salted)}
    return NewBucket(content=records_to_parquet(salted, schema.names), facts=facts)


def _by_bucket(records: Records, key: bytes, count: int) -> Iterator[tuple[int, Records]]:
    bucket_of = {s: keyed_bucket(key, s, count) for s in set(records.subjects)}
    indices: dict[int, list[int]] = {}
    for index, subject in enumerate(records.subjects):
        indices.setdefault(bucket_of[subject], []).append(index)
    return ((bucket, records.select(indices[bucket])) for bucket in sorted(indices))


def _new_buckets(
    records: Records, schema: DatasetSchema, key: bytes, count: int
) -> Iterator[tuple[int, NewBucket]]:
    return ((b, _encode(part, schema)) for b, part in _by_bucket(records, key, count))

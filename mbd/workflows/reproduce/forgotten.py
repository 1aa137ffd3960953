"""With the receipt: nothing that it lists is kept, and it lists what the data set lacks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mbd.certificate.escrow import Escrow
from mbd.certificate.statement import Predicate
from mbd.data.buckets import MANIFEST
from mbd.signing.commitment import commit
from mbd.verify.case import Undecided
from mbd.workflows.reproduce.data import RetainedData, RetainedRecords
from mbd.workflows.reproduce.doubts import Doubts, consents, more
from mbd.workflows.reproduce.files import Files, Searched, kept_beside, reading
from mbd.workflows.reproduce.forget_set import ForgetSet

_AFTER = "datasetAfter"


@dataclass(frozen=True)
class Forgotten:
    """What a receipt says is gone, held against a workspace that was read."""

    forget: ForgetSet
    doubts: Doubts
    beside: Escrow | None
    """Of another certificate than this one, see `Openings`."""

    def check_gone(self, *, same: bool) -> None:
        """Nothing that the receipt lists is there, unless the person allowed it again.

        Args:
            same: The state that the certificate commits to is that of the retained rows.
        """
        if self.forget.kept:
            found = sorted(self.forget.kept)
            why = f"{found[0]} is still stored" + more(found)
            self.doubts.refute("reproduce.forget_set", why, certain=same)
        if self.forget.there:
            found = sorted(self.forget.there)
            self._refute_unless_allowed(f"the person's {found[0]}" + more(found))

    def check_beside(
        self, files: Files, data: RetainedData, other_models: Iterable[str], heads: Iterable[str]
    ) -> Searched:
        """No value that the receipt lists lies in a file that is no data in force.

        Args:
            files: All there are.
            data: What is in force.
            other_models: Models that are not the certificate's.
            heads: Whose states are looked at otherwise, see `check_kept_states`.
        """
        named = data.listed(None)
        manifests = (path for path in named if path.endswith(MANIFEST))
        states = files.of_states(heads)
        beside = files.unlisted((*named, *states))
        with reading(files.root):
            found = files.search(
                self.forget.receipt, (*manifests, *beside, *files.of_models(other_models))
            )
        if found.holding:
            why = f"{found.holding[0]} holds what the receipt lists" + more(found.holding)
            self._refute_unless_allowed(why)
        return found

    def check_before(self, records: RetainedRecords) -> str:
        """What the receipt lists is what the data set of before had more; in words.

        So the receipt is about this data at all. Of a batch, each has the data set in which
        the others' items are gone already; an earlier version had that of all of them together.
        """
        opening = self.forget.receipt.openings.dataset_before
        if opening is None or opening.digest not in records.before:
            why = "with what the receipt lists the records are not the data set of before"
            if self.doubts.history.in_batch:
                raise Undecided(
                    f"{why}: the certificates beside this one in the log may be of the same "
                    "batch, and have taken something too",
                    code="reproduce.batch",
                )
            self.doubts.refute("reproduce.before", why)
        same = "with what the receipt lists the records are the data set of before"
        return f"{same}, {self._check_chain(opening.digest)}"

    def _check_chain(self, digest: str) -> str:
        """The data set of before is what the certificate before this one left; in words.

        Raises:
            Undecided: It is another one, or cannot be held against the escrow that was given
                (`reproduce.chain`). Records that nothing learns from may have been added in
                between: nobody logs those.
        """
        before = self._before()
        if self.beside is None:
            unknown, name = "which is the issuer's word", before and before.certificate_id
            tests = f": the escrow of certificate {name} beside the receipt tests it"
            return unknown + tests if name else unknown
        if before is None:
            raise Undecided(
                f"the escrow of certificate {self.beside.certificate_id} could not be used: this "
                "certificate is one of a batch, data changed in between by something else, or the "
                "bundle of the one before is not in certs/",
                code="reproduce.chain",
            )
        name = before.certificate_id
        if self.beside.certificate_id != name:
            raise Undecided(
                f"the escrow given is of certificate {self.beside.certificate_id}, the one before "
                f"is {name}",
                code="reproduce.chain",
            )
        salt = self.beside.named()[_AFTER]
        if commit(salt, _AFTER, digest) != before.deletion.commitments.dataset_after:
            raise Undecided(
                f"the data set of before is not the one that certificate {name} left, which was "
                "the last to change it: or the escrow holds other salts, or records that nothing "
                "learns from were added in between",
                code="reproduce.chain",
            )
        return f"and that is what certificate {name}, the one before, had left"

    def _before(self) -> Predicate | None:
        """The certificate before, if it is here and says what this one began with."""
        try:
            history = self.doubts.history
        except Undecided:
            return None
        return None if history.in_batch else history.before

    def check_copies(self) -> None:
        """No erased value is stored under another name, where nobody can tell whose it is.

        Raises:
            Undecided: With code `reproduce.copies`.
        """
        if self.forget.equal:
            raise Undecided(
                f"{len(self.forget.equal)} of the erased values are stored under other names too: "
                "somebody else's own, copies that were there before, which no certificate covers, "
                "or the data itself, renamed",
                code="reproduce.copies",
            )

    def check_log(self, files: Files) -> tuple[str, ...]:
        """No erased value lies in the ledger's database, where nothing of it belongs.

        Returns:
            What is too large to be searched.

        Raises:
            Undecided: With code `reproduce.unlisted`: a request that was not finished when the
                copy was made has its list of what to erase there.
        """
        with reading(files.root):
            found = files.search(self.forget.receipt, files.of_log())
        if found.holding:
            raise kept_beside(f"{found.holding[0]} holds what the receipt lists")
        return found.too_large

    def _refute_unless_allowed(self, why: str) -> None:
        self.doubts.refute("reproduce.forget_set", why, consents, code="reproduce.consent")

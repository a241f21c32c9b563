"""Mutants that get records wrong."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from hive_state_conformance.mutants.base import Mutant, mutant
from hive_state_core.model import ReadRef, RecordImage, RecordRef
from hive_state_core.spi import (
    KEEP_TTL,
    Batch,
    Check,
    Committed,
    Delete,
    Op,
    Outcome,
    Put,
    Reply,
    ScanImage,
    Touch,
    VersionIs,
)


class PutMutant(Mutant):
    """Changes every Put."""

    async def op(self, op: Op) -> Op:
        return self.put(op) if isinstance(op, Put) else op

    def put(self, put: Put) -> Put:
        raise NotImplementedError


@mutant("cas.stale_refused", "locks.one_holder", "locks.mutual_exclusion", "sessions.set_is_checked")
class IgnoresVersionChecks(Mutant):
    def checks(self, checks: tuple[Check, ...]) -> tuple[Check, ...]:
        return tuple(check for check in checks if not isinstance(check, VersionIs))


@mutant("expiry.boundary")
class ExpiresOneMillisecondLate(Mutant):
    async def op(self, op: Op) -> Op:
        if isinstance(op, Put | Touch) and op.ttl not in (None, KEEP_TTL):
            return replace(op, ttl=op.ttl + 1)
        return op

    def image(self, image: ScanImage) -> ScanImage:
        if isinstance(image, RecordImage) and image.expires_at is not None:
            return replace(image, expires_at=image.expires_at - 1)
        return image


@mutant("expiry.absent_everywhere")
class ExpiresAtSweepOnly(PutMutant):
    def put(self, put: Put) -> Put:
        return replace(put, ttl=None)


@mutant("expiry.milliseconds_kept")
class CutsTtlToSeconds(PutMutant):
    def put(self, put: Put) -> Put:
        return replace(put, ttl=max(put.ttl // 1000 * 1000, 1000)) if put.ttl and put.ttl > 0 else put


@mutant("expiry.put_replaces_ttl")
class PutKeepsTtl(PutMutant):
    def put(self, put: Put) -> Put:
        return replace(put, ttl=KEEP_TTL) if put.ttl is None else put


@mutant("expiry.put_replaces_ttl")
class KeepTtlEndsIt(PutMutant):
    def put(self, put: Put) -> Put:
        return replace(put, ttl=None) if put.ttl == KEEP_TTL else put


@mutant("values.bytes_exact")
class TakesBytesForText(PutMutant):
    def put(self, put: Put) -> Put:
        return replace(put, raw=False)


@mutant("values.largest")
class CutsLargeValues(PutMutant):
    def put(self, put: Put) -> Put:
        return replace(put, value=put.value[: 1 << 20])


@mutant("values.any_text")
class CutsTextAtNul(PutMutant):
    def put(self, put: Put) -> Put:
        return replace(put, value=put.value.replace(b"\\u0000", b""))


@mutant("scan.index_follows_value")
class ForgetsToClearTheIndex(Mutant):
    async def op(self, op: Op) -> Op:
        if isinstance(op, Put) and not op.index:
            (old,) = (await self.right.read([op.ref])).results
            return replace(op, index=cast(RecordImage, old).index) if old else op
        return op


class KeyMutant(Mutant):
    """Changes every key on its way in."""

    def key(self, key: str) -> str:
        raise NotImplementedError

    def _ref(self, ref: ReadRef) -> ReadRef:
        return RecordRef(ref.collection, self.key(ref.key)) if isinstance(ref, RecordRef) else ref

    async def op(self, op: Op) -> Op:
        return replace(op, ref=self._ref(op.ref)) if isinstance(op, Put | Delete | Touch) else op

    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        return await super().read([self._ref(ref) for ref in refs], fresh)


@mutant("keys.not_normalised")
class NormalisesKeys(KeyMutant):
    def key(self, key: str) -> str:
        return unicodedata.normalize("NFC", key)


@mutant("keys.case_sensitive")
class FoldsCase(KeyMutant):
    def key(self, key: str) -> str:
        return key.lower()


@mutant("keys.special_characters_literal")
class StripsKeys(KeyMutant):
    def key(self, key: str) -> str:
        return key.strip() or key


@mutant("keys.longest")
class CutsLongKeys(KeyMutant):
    def key(self, key: str) -> str:
        return key[:255]


@mutant("keys.numbers_are_text")
class TakesKeysForNumbers(KeyMutant):
    def key(self, key: str) -> str:
        return str(int(key)) if key.lstrip("+-").isdecimal() else key


@mutant("records.get_many.order_doubles_holes")
class DropsDoubles(Mutant):
    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        reply = await super().read(refs, fresh)
        answers = list(reply.results)
        for place, ref in enumerate(refs):
            if refs.index(ref) < place:
                answers[place] = None
        return replace(reply, results=answers)


@mutant("records.get_many.one_snapshot")
class ReadsOneByOne(Mutant):
    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        replies = []
        for ref in refs:
            replies.append(await self.right.read([ref], fresh))
            await asyncio.sleep(0.0001)
        return replace(replies[-1], results=[reply.results[0] for reply in replies])


@mutant("cas.versions_never_repeat")
class VersionsStartAnew(Mutant):
    """Each record counts its own versions, from 1 at every creation."""

    async def _own(self, ref: RecordRef) -> tuple[int, int]:
        (image,) = (await self.right.read([ref])).results
        if image is None:
            return 0, 0
        found = cast(RecordImage, image)
        count, _ = self.memory.get((self.namespace, ref, found.created_version), (0, 0))
        return count, found.version

    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        right = []
        for batch in batches:
            checks: list[Check] = []
            for check in batch.checks:
                if isinstance(check, VersionIs) and check.version:
                    own, version = await self._own(check.ref)
                    check = VersionIs(check.ref, version if check.version == own else check.version + 2**50)
                checks.append(check)
            right.append(replace(batch, checks=tuple(checks)))
        reply = await self.right.commit(right, trip_id)
        outcomes: list[Outcome] = []
        for batch, outcome in zip(batches, reply.results, strict=True):
            for op in batch.ops:
                if isinstance(op, Put) and isinstance(outcome, Committed):
                    (image,) = (await self.right.read([op.ref])).results
                    if isinstance(image, RecordImage):
                        place = (self.namespace, op.ref, image.created_version)
                        count, last = self.memory.get(place, (0, 0))
                        self.memory[place] = (count + (last != image.version), image.version)
                        outcome = replace(outcome, version=self.memory[place][0])
            outcomes.append(outcome)
        return replace(reply, results=outcomes)

    def image(self, image: ScanImage) -> ScanImage:
        if not isinstance(image, RecordImage):
            return image
        count, _ = self.memory.get((self.namespace, image.ref, image.created_version), (image.version, 0))
        return replace(image, version=count)


@mutant("records.missing_is_no_error")
class DeleteAlwaysSaysYes(Mutant):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        reply = await super().commit(batches, trip_id)
        outcomes: list[Outcome] = []
        for batch, outcome in zip(batches, reply.results, strict=True):
            if isinstance(outcome, Committed):
                answers = zip(batch.ops, outcome.results, strict=True)
                outcome = replace(
                    outcome, results=tuple([isinstance(op, Delete) or was for op, was in answers])
                )
            outcomes.append(outcome)
        return replace(reply, results=outcomes)


@mutant("records.delete.then_absent")
class TombstonesAreVisible(Mutant):
    async def op(self, op: Op) -> Op:
        if isinstance(op, Delete):
            (image,) = (await self.right.read([op.ref])).results
            self.memory[self.namespace, op.ref] = image
        return op

    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        reply = await super().read(refs, fresh)
        found = zip(refs, reply.results, strict=True)
        return replace(
            reply, results=[image or self.memory.get((self.namespace, ref)) for ref, image in found]
        )


@mutant("cas.touch_is_a_write")
class TouchKeepsTheVersion(Mutant):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        for batch in batches:
            for op in batch.ops:
                if isinstance(op, Touch) and (image := (await self.right.read([op.ref])).results[0]):
                    self.memory.setdefault((self.namespace, op.ref), cast(RecordImage, image).version)
                else:
                    self.memory.pop((self.namespace, op.ref), None)
        return await super().commit(batches, trip_id)

    def image(self, image: ScanImage) -> ScanImage:
        if not isinstance(image, RecordImage):
            return image
        return replace(image, version=self.memory.get((self.namespace, image.ref), image.version))

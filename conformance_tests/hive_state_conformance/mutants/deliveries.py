"""Mutants that get deliveries wrong: acks, nacks, extensions, and their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from msgspec.structs import replace

from hive_state_conformance.mutants.base import Mutant, mutant
from hive_state_conformance.mutants.streams import ApartMutant
from hive_state_core.model import GroupRef, PendingImage
from hive_state_core.spi import (
    Ack,
    Batch,
    ExtendDeliveries,
    Nack,
    Op,
    Outcome,
    Refused,
    Reply,
    Scan,
    ScanImage,
)

Named = tuple[tuple[int, int], ...]


class DeliveryMutant(Mutant):
    """Changes the deliveries that some operations name."""

    kinds: tuple[type[Ack] | type[Nack] | type[ExtendDeliveries], ...] = (Ack, Nack, ExtendDeliveries)

    async def op(self, op: Op) -> Op:
        if not isinstance(op, self.kinds):
            return op
        return replace(op, deliveries=await self.named(op.ref, op.deliveries))

    async def named(self, ref: GroupRef, named: Named) -> Named:
        current = await self.current(ref)
        return tuple((seq, current.get(seq, token)) for seq, token in named)

    async def current(self, ref: GroupRef) -> dict[int, int]:
        """The current tokens."""
        page = await self.right.scan(Scan(kind="pending", within=ref.stream, group=ref.group))
        return {image.ref.seq: image.token for image in page.items if isinstance(image, PendingImage)}


@mutant("delivery.late_ack_fenced", "events.unit.publishes_and_acks")
class AckIgnoresTheTokenOfEvents(DeliveryMutant):
    kinds = (Ack,)


@mutant("delivery.late_ack_fenced")
class NackIgnoresTheToken(DeliveryMutant):
    kinds = (Nack,)


@mutant("delivery.late_ack_fenced")
class ExtendIgnoresTheTokenOfEvents(DeliveryMutant):
    kinds = (ExtendDeliveries,)


@mutant("delivery.dead.token_0_is_no_other")
class TokenZeroNamesAny(DeliveryMutant):
    async def named(self, ref: GroupRef, named: Named) -> Named:
        current = await self.current(ref)
        return tuple((seq, token or current.get(seq, 0)) for seq, token in named)


@mutant("delivery.ack.all_or_nothing")
class AcksWhatIsCurrent(DeliveryMutant):
    async def named(self, ref: GroupRef, named: Named) -> Named:
        current = (await self.current(ref)).items()
        return tuple(each for each in named if each in current) or named


@mutant("delivery.late_but_not_taken")
class RefusesWhatIsOver(DeliveryMutant):
    async def named(self, ref: GroupRef, named: Named) -> Named:
        page = await self.right.scan(Scan(kind="pending", within=ref.stream, group=ref.group))
        over = {
            image.ref.seq
            for image in page.items
            if isinstance(image, PendingImage) and not image.dead and image.until <= page.at
        }
        return tuple((seq, token + 1 if seq in over else token) for seq, token in named)


@mutant("delivery.ack.with_all_kinds")
class AcksApart(ApartMutant):
    apart = Ack


@mutant("delivery.named_twice")
class TakesDoublesOneByOne(Mutant):
    async def commit(self, batches: Sequence[Batch], trip_id: str) -> Reply[Outcome]:
        for batch in batches:
            for op in batch.ops:
                if isinstance(op, Ack | Nack) and len(set(op.deliveries)) < len(op.deliveries):
                    single = Batch((replace(op, deliveries=op.deliveries[:1]),))
                    reply = await self.right.commit([single], uuid4().hex)
                    if isinstance(reply.results[0], Refused):
                        return reply
        return await super().commit(batches, trip_id)


@mutant("delivery.named_under_two_tokens")
class TakesTheFirstToken(DeliveryMutant):
    async def named(self, ref: GroupRef, named: Named) -> Named:
        return tuple(dict(reversed(named)).items())


@mutant("delivery.dead.keeps_its_instant")
class ShowsNoInstantOfTheDead(Mutant):
    def image(self, image: ScanImage) -> ScanImage:
        return replace(image, until=0) if isinstance(image, PendingImage) and image.dead else image


class NackMutant(Mutant):
    """Changes every Nack."""

    async def op(self, op: Op) -> Op:
        return self.nack(op) if isinstance(op, Nack) else op

    def nack(self, nack: Nack) -> Op:
        raise NotImplementedError


@mutant("delivery.nack.obeys_the_delay")
class NacksAtOnce(NackMutant):
    def nack(self, nack: Nack) -> Op:
        return replace(nack, retry_in=nack.retry_in and 0)


@mutant("delivery.nack.obeys_the_delay")
class ForgetsTheError(NackMutant):
    def nack(self, nack: Nack) -> Op:
        return replace(nack, error=None)


@mutant("delivery.dead.by_nack")
class NackNeverKills(NackMutant):
    def nack(self, nack: Nack) -> Op:
        return replace(nack, retry_in=nack.retry_in or 0)


@mutant("delivery.unspent", "events.subscribe.acks")
class CountsTheUnspent(NackMutant):
    def nack(self, nack: Nack) -> Op:
        return replace(nack, spent=True)


@mutant("delivery.dead.redriven")
class RedriveDiscards(NackMutant):
    def nack(self, nack: Nack) -> Op:
        return Ack(nack.ref, nack.deliveries) if nack.deliveries[0][1] == 0 else nack


@mutant("events.dead.redriven_and_discarded")
class DiscardRedrives(Mutant):
    async def op(self, op: Op) -> Op:
        if isinstance(op, Ack) and op.deliveries[0][1] == 0:
            return Nack(op.ref, op.deliveries, 0)
        return op


@mutant("delivery.extend")
class ExtendsNoEvents(Mutant):
    async def op(self, op: Op) -> Op:
        return replace(op, lease=1) if isinstance(op, ExtendDeliveries) else op

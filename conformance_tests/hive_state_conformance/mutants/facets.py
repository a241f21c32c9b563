"""Mutants that mislead what core builds of reads and the store's clock."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from hive_state_conformance.mutants.base import Mutant, mutant
from hive_state_core.agent_model import HEARTBEATS
from hive_state_core.model import ReadRef, RecordImage, RecordRef
from hive_state_core.spi import Op, Put, Reply, ScanImage


@mutant("agents.silent_is_offline")
class ReadsAreOfNoTime(Mutant):
    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        return replace(await super().read(refs, fresh), at=0)


@mutant("agents.heartbeat_is_no_change")
class LosesHeartbeats(Mutant):
    async def op(self, op: Op) -> Op:
        if isinstance(op, Put) and op.ref.collection == HEARTBEATS:
            return replace(op, ref=RecordRef(HEARTBEATS, "nobody"))
        return op


@mutant("watch.record_ends_at_the_latest")
class RecordsNeverGo(Mutant):
    """Answers for a deleted record with what it was."""

    async def read(self, refs: Sequence[ReadRef], fresh: bool = False) -> Reply[ScanImage | None]:
        reply = await super().read(refs, fresh)
        results = [self._remembered(ref, image) for ref, image in zip(refs, reply.results, strict=True)]
        return replace(reply, results=results)

    def _remembered(self, ref: ReadRef, image: ScanImage | None) -> ScanImage | None:
        if isinstance(image, RecordImage):
            self.memory[ref] = image
        return image or self.memory.get(ref)

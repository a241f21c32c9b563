"""Area J, continued: deliveries in cases that a driver decides in passing."""

from __future__ import annotations

from hive_state_conformance.checking import check
from hive_state_conformance.env import Env
from hive_state_conformance.stream_tools import (
    LEASE,
    G,
    counts,
    do,
    fill,
    named,
    pending,
    run_out,
    seqs,
    take,
)
from hive_state_core.features import Facility
from hive_state_core.spi import Ack, Batch, ExtendDeliveries, Nack, Reason, Refused

STREAMS = {Facility.STREAMS}


@check("delivery.named_under_two_tokens", area="J", number=119, needs=STREAMS)
async def named_under_two_tokens(env: Env) -> None:
    """Contract: a delivery that an operation names under two tokens is refused for the wrong one, which is
    told what the right one is; it is not looked for among what the operation itself has done.
    """
    await fill(env, 1, G)
    (given,) = await take(env)
    before = await pending(env)
    (right,) = named([given])
    for wrong in (0, given.token + 1):
        for pair in ((right, (1, wrong)), ((1, wrong), right)):
            for op in (Ack(G, pair), Nack(G, pair, None), Nack(G, pair, 0), ExtendDeliveries(G, pair, LEASE)):
                refused = await env.refused(Batch((op,)))
                assert refused == Refused(Reason.LEASE, G, 0, False, wrong, given.token, 1), op
    assert await pending(env) == before


@check("delivery.dead.keeps_its_instant", area="J", number=123, needs=STREAMS)
async def dead_keeps_its_instant(env: Env) -> None:
    """Contract: what is dead keeps the end of its last lease, whether it was nacked for good, was nacked too
    often, or ran out.
    """
    await fill(env, 4, G, most=1)
    given = await take(env, lease=20)
    await do(env, Nack(G, named(given[:1]), None))
    await do(env, Nack(G, named(given[1:2]), 5000))
    await do(env, Nack(G, named(given[2:3]), None, spent=False))
    await run_out(env, given)
    assert await take(env) == ()
    dead = await pending(env, dead=True)
    assert [image.until for image in dead] == [each.until for each in given]


@check("delivery.used_up_behind", area="J", number=123, needs=STREAMS)
async def used_up_behind(env: Env) -> None:
    """Contract: a claim that has got all it asked for leaves what lies behind as it is: an event whose last
    lease is over is not dead yet, and may be acked.
    """
    await fill(env, 2, G, most=2)
    first = await take(env)
    await do(env, Nack(G, named(first[:1]), 0, spent=False))
    await do(env, Nack(G, named(first[1:]), 0))
    second = await take(env, lease=20)
    assert [each.delivery for each in second] == [1, 2]
    await run_out(env, second)
    assert seqs(await take(env, 1)) == [1]
    assert await counts(env) == (2, 2, 0)
    await do(env, Ack(G, named(second[1:])))
    assert await counts(env) == (2, 1, 0)

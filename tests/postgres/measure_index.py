"""How index fields are best kept: a table of entries, or a GIN index on a column. See docs/adr.

python tests/postgres/measure_index.py            (starts a server of its own)
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from hive_state_core.embedded import postgres_server
from hive_state_postgres.dialing import PLANNING

MANY, TRIPS, TRIP, PAGE = 100_000, 50, 100, 101
SETUP = f"""
CREATE TABLE entries (collection text COLLATE "C", field text COLLATE "C", value text COLLATE "C",
                      key text COLLATE "C", PRIMARY KEY (collection, field, value, key));
CREATE TABLE a (collection text COLLATE "C", key text COLLATE "C", value bytea, fields text,
                PRIMARY KEY (collection, key)) WITH (fillfactor = 80);
CREATE TABLE b (collection text COLLATE "C", key text COLLATE "C", value bytea, fields jsonb,
                PRIMARY KEY (collection, key)) WITH (fillfactor = 80);
INSERT INTO b SELECT 'c', 'k' || lpad(n::text, 6, '0'), '1',
    jsonb_build_array(jsonb_build_array('common', 's' || n % 10), jsonb_build_array('rare', 's' || n % 10000))
FROM generate_series(1, {MANY}) n;
INSERT INTO a SELECT collection, key, value, fields::text FROM b;
INSERT INTO entries SELECT collection, e->>0, e->>1, key FROM b, jsonb_array_elements(fields) e;
CREATE INDEX b_fields ON b USING gin (fields jsonb_path_ops);
VACUUM ANALYZE"""
PUTS = {
    "table of entries": """
        WITH old AS (
            DELETE FROM entries i USING a, jsonb_array_elements(a.fields::jsonb) e
            WHERE a.collection = 'c' AND a.key = ANY ($1)
              AND i.collection = 'c' AND i.field = e->>0 AND i.value = e->>1 AND i.key = a.key
        ), put AS (UPDATE a SET value = '2', fields = $2 WHERE collection = 'c' AND key = ANY ($1))
        INSERT INTO entries
        SELECT 'c', e->>0, e->>1, k FROM unnest($1::text[]) k, jsonb_array_elements($2::jsonb) e
        ON CONFLICT DO NOTHING""",
    "GIN": "UPDATE b SET value = '2', fields = $2::jsonb WHERE collection = 'c' AND key = ANY ($1)",
}
PAGES = {
    "table of entries": f"""
        SELECT a.* FROM entries i, LATERAL (SELECT * FROM a WHERE collection = 'c' AND key = i.key OFFSET 0) a
        WHERE i.collection = 'c' AND i.field = $1 AND i.value = $2 ORDER BY i.key LIMIT {PAGE}""",
    "GIN": f"""
        SELECT * FROM b
        WHERE collection = 'c' AND fields @> jsonb_build_array(jsonb_build_array($1::text, $2::text))
        ORDER BY key LIMIT {PAGE}""",
}
SIZES = {"table of entries": "pg_total_relation_size('entries')", "GIN": "pg_relation_size('b_fields')"}


async def milliseconds(calls: Any) -> float:
    """The median."""
    took = []
    for call in calls:
        begin = time.perf_counter()
        await call
        took.append(1000 * (time.perf_counter() - begin))
    return sorted(took)[len(took) // 2]


async def measure(url: str) -> None:
    db = await asyncpg.connect(url)
    for statement in SETUP.split(";"):
        await db.execute(statement)
    await db.close()
    print(f"{MANY} records with 2 entries each; medians in ms")
    for planner, settings in (("the driver's", PLANNING), ("the server's", {})):
        db = await asyncpg.connect(url, server_settings=settings)
        for way in PUTS:
            print(f"{planner} planner settings, {way:17}", await row(db, way))
        await db.close()


async def row(db: Any, way: str) -> str:
    page = PAGES[way]
    rare = await milliseconds(db.fetch(page, "rare", f"s{n}") for n in range(30))
    common = await milliseconds(db.fetch(page, "common", f"s{n % 10}") for n in range(30))
    keys = [[f"k{(n * TRIP + m) % MANY:06}" for m in range(TRIP)] for n in range(TRIPS)]
    fields = [f'[["common", "s{n % 7}"], ["rare", "s{n}"]]' for n in range(TRIPS)]
    puts = await milliseconds(db.execute(PUTS[way], *each) for each in zip(keys, fields, strict=True))
    size = await db.fetchval(f"SELECT {SIZES[way]}") / 2**20
    found = f"page of 10 found {rare:.1f}  page of 10,000 found {common:.1f}"
    return f"{found}  {TRIP} puts {puts:.1f}  size {size:.1f} MiB"


if __name__ == "__main__":
    with postgres_server() as server:
        asyncio.run(measure(server.url))

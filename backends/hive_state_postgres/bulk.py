"""What `migrate run --raw` compares a copy with: asyncpg's COPY of the same rows, into tables of the same
columns and indexes, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from uuid import uuid4

from hive_state_core.errors import Closed
from hive_state_core.images import kind_of
from hive_state_core.model import Image
from hive_state_postgres.dialing import Connection, Dialer
from hive_state_postgres.exporting import TABLES
from hive_state_postgres.loadrows import COLUMNS, load_row
from hive_state_postgres.options import Options


class PostgresBulk:
    """See `hive_state_core.baselines.Bulk`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._schema = f"hs_raw_{uuid4().hex[:12]}"
        self._db: Connection | None = None

    async def open(self) -> None:
        """Needs the right to create a schema."""
        self._db = await Dialer(self._options).connect()
        await self._db.execute(f"CREATE SCHEMA {self._schema}")
        for table in TABLES.values():
            like = f'LIKE "{self._options.schema}".{table.name} INCLUDING ALL'
            await self._db.execute(f"CREATE TABLE {self._schema}.{table.name} ({like})")

    async def close(self) -> None:
        if self._db is not None:
            db, self._db = self._db, None
            await db.execute("SET client_min_messages = warning")
            await db.execute(f"DROP SCHEMA IF EXISTS {self._schema} CASCADE")
            await db.close()

    async def copy(self, images: Sequence[Image]) -> float:
        if self._db is None:
            raise Closed("the bare copy is not open")
        kind = kind_of(images[0])
        rows = [load_row(1, image) for image in images]
        started = perf_counter()
        await self._db.copy_records_to_table(
            TABLES[kind].name, schema_name=self._schema, columns=COLUMNS[kind], records=rows
        )
        return perf_counter() - started

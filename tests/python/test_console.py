"""The console with psycopg 3 and asyncpg, unmodified and with their default settings.

Its address, for a client with `admin = true`, comes from tests/behaviour/console.
"""

import asyncio
import os

import asyncpg
import psycopg
import pytest

DSN = os.environ["PGVALET_TEST_DSN_CONSOLE"]


def test_psycopg():
    with psycopg.connect(DSN) as connection:
        assert connection.info.server_version == 140000
        # In a transaction, as psycopg begins one for everything, and prepared from the sixth on.
        for _ in range(8):
            rows = connection.execute("SHOW DATABASES").fetchall()
            assert [row[0] for row in rows] == ["app", "other"]
        cursor = connection.cursor(binary=True)
        row = cursor.execute("SHOW POOLS").fetchone()
        assert row[0] == "app" and row[3] == 0
        totals = connection.execute("SHOW STATS_TOTALS").fetchall()
        assert len(totals[0]) == 12
        with pytest.raises(psycopg.errors.SyntaxError):
            connection.execute("SHOW NOTHING")
        connection.rollback()
        with pytest.raises(psycopg.errors.InvalidCatalogName):
            connection.execute("PAUSE nothing")
        connection.rollback()


def test_psycopg_steers():
    with psycopg.connect(DSN, autocommit=True) as connection:
        assert connection.execute("PAUSE other").statusmessage == "PAUSE"
        paused = {row[0]: row[15] for row in connection.execute("SHOW DATABASES")}
        assert paused == {"app": 0, "other": 1}
        connection.execute("RESUME other")


def test_asyncpg():
    async def run():
        connection = await asyncpg.connect(DSN)
        for _ in range(3):
            rows = await connection.fetch("SHOW POOLS")
            assert [row["database"] for row in rows] == ["app", "other"]
            assert rows[0]["cl_waiting"] == 0
        stats = await connection.fetch("SHOW STATS")
        assert stats[0]["total_xact_count"] >= 0
        assert await connection.fetchval("SELECT 1") == 1
        assert await connection.execute("RECONNECT") == "RECONNECT"
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await connection.fetch("SHOW NOTHING")
        await connection.close()
        # A pool cleans what comes back.
        async with asyncpg.create_pool(DSN, min_size=1, max_size=2) as pool:
            async with pool.acquire() as one:
                assert (await one.fetchrow("SHOW VERSION"))["version"].startswith("PgBouncer")
            async with pool.acquire() as one:
                assert await one.fetchval("SELECT version()")

    asyncio.run(run())

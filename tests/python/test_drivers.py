"""psycopg 3 and asyncpg, unmodified and with their default settings.

The proxy's addresses, without a password, come from tests/behaviour/drivers:
one database in session mode, one in transaction mode.
"""

import asyncio
import os

import asyncpg
import psycopg
import pytest
from psycopg import sql

DSNS = {mode: os.environ[f"PGVALET_TEST_DSN_{mode.upper()}"] for mode in ("session", "transaction")}
USER = os.environ["PGVALET_TEST_USER"]


@pytest.fixture(params=DSNS)
def dsn(request) -> str:
    return DSNS[request.param]


@pytest.fixture
def connection(dsn):
    with psycopg.connect(dsn) as connection:
        yield connection


@pytest.fixture
def table(dsn, request):
    """A table that is there for every connection, and gone afterwards.

    To be asked for before `connection`: what comes last goes first, and an open
    transaction would keep the table.
    """
    name = "t_" + request.node.name.split("[")[0]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE TABLE {} (n int, t text)").format(sql.Identifier(name)))
        yield name
        with connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '5s'")
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))


def test_psycopg_is_the_secrets_user(connection):
    assert connection.execute("SELECT current_user").fetchone() == (USER,)
    assert connection.info.encoding == "utf-8"
    assert connection.info.server_version >= 150000


def test_psycopg_parameters(connection):
    row = connection.execute("SELECT %s::int + 1, %s::text, %b::bytea", (41, "ä€", b"\0\xff"))
    assert row.fetchone() == (42, "ä€", b"\0\xff")


def test_psycopg_transaction_and_error(table, connection):
    insert = sql.SQL("INSERT INTO {} VALUES (%s, 'x')").format(sql.Identifier(table))
    count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
    with connection.transaction():
        connection.execute(insert, (1,))
        with pytest.raises(psycopg.errors.DivisionByZero), connection.transaction():
            connection.execute(insert, (2,))
            connection.execute("SELECT 1/0")
    assert connection.execute(count).fetchone() == (1,)


def test_psycopg_prepared(dsn):
    """After five times psycopg prepares by itself, by names all connections share."""
    connections = [psycopg.connect(dsn, autocommit=True) for _ in range(3)]
    for i in range(12):
        for n, connection in enumerate(connections):
            query = f"SELECT {n} * 1000 + %s::int"
            assert connection.execute(query, (i,)).fetchone() == (n * 1000 + i,)
            assert connection.execute("SELECT %s::text", (str(i),), prepare=True).fetchone() == (str(i),)
    for connection in connections:
        connection.close()


def test_psycopg_pipeline(table, connection):
    insert = sql.SQL("INSERT INTO {} VALUES (%s, %s)").format(sql.Identifier(table))
    with connection.pipeline(), connection.transaction():
        cursor = connection.cursor()
        cursor.executemany(insert, [(n, str(n)) for n in range(500)])
        total = connection.execute(sql.SQL("SELECT sum(n) FROM {}").format(sql.Identifier(table)))
        assert total.fetchone() == (sum(range(500)),)


def test_psycopg_pipeline_error_aborts_up_to_the_sync(connection):
    with pytest.raises(psycopg.errors.DivisionByZero), connection.pipeline() as pipeline:
        connection.execute("SELECT 1")
        connection.execute("SELECT 1/0")
        connection.execute("SELECT 2")
        pipeline.sync()
    connection.rollback()
    assert connection.execute("SELECT 3").fetchone() == (3,)


def test_psycopg_copy(table, connection):
    name = sql.Identifier(table)
    rows = [(n, f"row\t{n}\n") for n in range(3000)]
    with connection.cursor() as cursor:
        with cursor.copy(sql.SQL("COPY {} FROM STDIN").format(name)) as copy:
            for row in rows:
                copy.write_row(row)
        with cursor.copy(sql.SQL("COPY (SELECT * FROM {} ORDER BY n) TO STDOUT").format(name)) as copy:
            copy.set_types(["int4", "text"])
            assert list(copy.rows()) == rows


def test_psycopg_copy_that_fails(table, connection):
    name = sql.Identifier(table)
    with pytest.raises(RuntimeError), connection.cursor() as cursor:
        with cursor.copy(sql.SQL("COPY {} FROM STDIN").format(name)) as copy:
            copy.write_row((1, "x"))
            raise RuntimeError("the client changes its mind")
    connection.rollback()
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_psycopg_server_side_cursor(connection):
    with connection.transaction(), connection.cursor(name="walk") as cursor:
        cursor.itersize = 100
        cursor.execute("SELECT generate_series(1, 1000)")
        assert [n for (n,) in cursor] == list(range(1, 1001))


def test_psycopg_notifies(dsn):
    with (
        psycopg.connect(dsn, autocommit=True) as listener,
        psycopg.connect(dsn, autocommit=True) as notifier,
    ):
        listener.execute("LISTEN psycopg_channel")
        for n in range(3):
            notifier.execute("SELECT pg_notify('psycopg_channel', %s)", (str(n),))
        heard = [n.payload for n in listener.notifies(timeout=10, stop_after=3)]
        assert heard == ["0", "1", "2"]
        listener.execute("UNLISTEN *")
        assert listener.execute("SELECT 1").fetchone() == (1,)


def test_psycopg_pool_of_pipelines(dsn):
    """Prepared statements inside pipelines, on more clients than servers."""
    connections = [psycopg.connect(dsn, autocommit=True) for _ in range(4)]
    for _ in range(3):
        for n, connection in enumerate(connections):
            with connection.pipeline():
                cursors = [
                    connection.execute(f"SELECT %s::int + {n}", (i,), prepare=True)
                    for i in range(20)
                ]
            assert [c.fetchone()[0] for c in cursors] == [i + n for i in range(20)]
    for connection in connections:
        connection.close()


def test_psycopg_large_value(connection):
    value = "ü" * 3_000_000
    assert connection.execute("SELECT %s::text", (value,)).fetchone() == (value,)


async def test_psycopg_async_cancel(dsn):
    connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
    async with connection:
        with pytest.raises(asyncio.TimeoutError):
            # psycopg sends a cancel request and waits for its effect.
            await asyncio.wait_for(connection.execute("SELECT pg_sleep(60)"), timeout=1)
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


async def test_asyncpg_is_the_secrets_user(dsn):
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT current_user") == USER
    assert connection.get_server_version().major >= 15
    await connection.close()


async def test_asyncpg_prepared_statements_and_types(dsn):
    connection = await asyncpg.connect(dsn)
    # An array makes asyncpg ask the catalogue for types on its own.
    for n in range(20):
        assert await connection.fetchval("SELECT $1::int[] || $2::int", [1, 2], n) == [1, 2, n]
    statement = await connection.prepare("SELECT $1::timestamptz - interval '1 day' AS t, $2::jsonb AS j")
    assert [a.name for a in statement.get_attributes()] == ["t", "j"]
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await connection.fetch("SELEKT 1")
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


async def test_asyncpg_pool(dsn):
    """Its pool sends several statements at each release, to reset the session."""
    async with asyncpg.create_pool(dsn, min_size=2, max_size=3) as pool:
        answers = await asyncio.gather(*(pool.fetchval("SELECT $1::int * 2", n) for n in range(100)))
        assert answers == [n * 2 for n in range(100)]


async def test_asyncpg_transaction_cursor_and_copy(dsn, table):
    connection = await asyncpg.connect(dsn)
    rows = [(n, f"row {n}") for n in range(2000)]
    async with connection.transaction():
        assert await connection.copy_records_to_table(table, records=rows) == "COPY 2000"
        read = [tuple(r) async for r in connection.cursor(f"SELECT * FROM {table} ORDER BY n", prefetch=50)]
        assert read == rows
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with connection.transaction():
            await connection.execute(f"DELETE FROM {table}")
            await connection.execute("SELECT 1/0")
    assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 2000
    await connection.close()


async def test_asyncpg_timeout_cancels(dsn):
    connection = await asyncpg.connect(dsn)
    with pytest.raises(asyncio.TimeoutError):
        await connection.execute("SELECT pg_sleep(60)", timeout=1)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


def test_psycopg_notifies(dsn):
    with psycopg.connect(dsn, autocommit=True) as listener, psycopg.connect(dsn, autocommit=True) as other:
        listener.execute("LISTEN here")
        for n in range(3):
            other.execute("SELECT pg_notify('here', %s)", (f"{n}",))
        heard = [n.payload for n in listener.notifies(timeout=20, stop_after=3)]
        assert heard == ["0", "1", "2"]
        # It is a client like all others, and stops when it says so.
        assert listener.execute("SELECT 1").fetchone() == (1,)
        listener.execute("UNLISTEN here")
        other.execute("NOTIFY here, 'no'")
        assert list(listener.notifies(timeout=0.2)) == []


def test_psycopg_listens_when_its_transaction_commits(dsn):
    with psycopg.connect(dsn) as listener, psycopg.connect(dsn, autocommit=True) as other:
        listener.execute("LISTEN later")
        other.execute("NOTIFY later, 'too early'")
        listener.commit()
        other.execute("NOTIFY later, 'in time'")
        heard = next(listener.notifies(timeout=20, stop_after=1))
        assert heard.payload == "in time"


async def test_asyncpg_listens(dsn):
    listener, other = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    heard = asyncio.Queue()
    await listener.add_listener("async", lambda _, pid, channel, payload: heard.put_nowait(payload))
    for n in range(3):
        await other.execute(f"NOTIFY async, '{n}'")
    assert [await asyncio.wait_for(heard.get(), 20) for _ in range(3)] == ["0", "1", "2"]
    await listener.close()
    await other.close()

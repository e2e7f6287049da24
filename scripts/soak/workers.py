"""Clients of one driver, until they are told to stop.

    python3 scripts/soak/workers.py DRIVER NUMBER DSN

Each transaction writes a row of its own. A line on standard output tells of each error, with its time and its
SQLSTATE; the last one, after the end of standard input, what was written: the numbers of rows that are there, and of
those for which nobody knows.
"""

import asyncio
import json
import sys
import threading
import time

over = threading.Event()


def tell(**what) -> None:
    print(json.dumps(what), flush=True)


def failed(error: Exception, code: str | None) -> None:
    tell(at=time.time(), code=code or "", error=f"{type(error).__name__}: {error}".strip().splitlines()[0])


class Rows:
    """The rows of one client, numbered from 0."""

    def __init__(self, client: int) -> None:
        self.client, self.next, self.there, self.doubt = client, 0, [], []

    def begin(self) -> int:
        self.next += 1
        return self.next - 1

    def told(self) -> dict:
        return {"client": self.client, "written": len(self.there), "there": ranges(self.there), "doubt": self.doubt}


def ranges(numbers: list[int]) -> list[list[int]]:
    """Ascending numbers as [first, last]."""
    found: list[list[int]] = []
    for n in numbers:
        if found and found[-1][1] == n - 1:
            found[-1][1] = n
        else:
            found.append([n, n])
    return found


def by_psycopg(rows: Rows, dsn: str) -> None:
    import psycopg

    while not over.is_set():
        try:
            with psycopg.connect(dsn, autocommit=True) as connection:
                for turn in range(200):  # Then another connection.
                    if over.is_set():
                        return
                    row = rows.begin()
                    commits = False
                    try:
                        connection.execute("begin")
                        connection.execute("select count(*) from generate_series(1, %s)", (turn + 1,)).fetchall()
                        connection.execute("insert into soak values (%s, %s)", (rows.client, row))
                        commits = True
                        connection.execute("commit")
                    except psycopg.Error:
                        if commits:
                            rows.doubt.append(row)
                        raise
                    rows.there.append(row)
        except psycopg.Error as error:
            failed(error, error.sqlstate)
            time.sleep(0.05)


async def by_asyncpg(rows: Rows, dsn: str) -> None:
    import asyncpg

    while not over.is_set():
        connection = None
        try:
            connection = await asyncpg.connect(dsn)
            for turn in range(200):
                if over.is_set():
                    break
                row = rows.begin()
                try:
                    # One statement is one transaction.
                    await connection.execute("insert into soak values ($1, $2)", rows.client, row)
                except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                    rows.doubt.append(row)
                    raise
                rows.there.append(row)
                assert await connection.fetchval("select $1::int + 1", turn) == turn + 1
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            failed(error, getattr(error, "sqlstate", None))
            await asyncio.sleep(0.05)
        finally:
            if connection:
                connection.terminate()


def main() -> None:
    driver, number, dsn = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    rows = Rows(number)
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    match driver:
        case "psycopg":
            by_psycopg(rows, dsn)
        case "asyncpg":
            asyncio.run(by_asyncpg(rows, dsn))
    tell(**rows.told())


if __name__ == "__main__":
    main()

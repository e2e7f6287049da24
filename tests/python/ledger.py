"""Transactions by psycopg for so many seconds, each of which leaves one line.

    ledger.py DSN SECONDS RUN

Prints how many it was told are done. An error ends it.
"""

import sys
import time

import psycopg


def main() -> None:
    dsn, seconds, run = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    until = time.monotonic() + seconds
    done = 0
    while time.monotonic() < until:
        with psycopg.connect(dsn) as connection:
            for _ in range(50):
                with connection.transaction():
                    connection.execute("SELECT 1")
                    connection.execute("INSERT INTO runs VALUES (%s)", (run,))
                done += 1
                if time.monotonic() >= until:
                    break
                time.sleep(0.01)
    print(done)


main()

"""Connects with psycopg once for each connection string that it is given, and
says in a line whose connection it is, or why there is none."""

import sys

import psycopg

for dsn in sys.argv[1:]:
    try:
        with psycopg.connect(dsn) as connection:
            (user,) = connection.execute("SELECT current_user").fetchone()
        print(user)
    except psycopg.OperationalError as error:
        print("refused:", " ".join(str(error).split()))

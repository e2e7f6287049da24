"""A Postgres for one suite, and pgvalet in front of it."""

import json
import socket
import subprocess
import time
from pathlib import Path

from world import World, die, free_port

USER, PASSWORD = "postgres", "suite-password"  # of a throwaway server on loopback
MODES = ("direct", "transaction", "session", "store")
ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


class Servers(World):
    """What `scripts/bench` measures with, for a suite: a superuser, since suites
    make what they need, and whatever settings they ask for."""

    def client_environment(self, port: int, user: str = USER, sslmode: str = "disable") -> dict[str, str]:
        return self.environment | {
            "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": user, "PGPASSWORD": PASSWORD,
            "PGDATABASE": "postgres", "PGSSLMODE": sslmode, "PGGSSENCMODE": "disable",
        }

    def cluster(self) -> None:
        (self.directory / "password").write_text(PASSWORD)
        self.give_to_postgres("password")
        data = self.initdb("-U", USER, "--auth=scram-sha-256", f"--pwfile={self.directory}/password",
                           "--locale=C.UTF-8")
        process = self.start_postgres(data, {
            "max_prepared_transactions": 20, "wal_level": "logical", "max_locks_per_transaction": 200,
            "jit": "off",
        })
        self.wait("postgres", self.upstream, process, USER)

    def fresh_database(self, name: str, prepare: list[str]) -> None:
        """As nobody has used it: also without roles and databases that a suite
        has left behind."""
        def sql(text: str, database: str = "postgres") -> str:
            return self.psql(self.upstream, text, USER, PGDATABASE=database)

        for database in sql("select datname from pg_database where not datistemplate").split():
            if database not in ("postgres", "template1"):
                for gid in sql("select gid from pg_prepared_xacts where database = current_database()",
                               database).split():
                    sql(f"rollback prepared '{gid}'", database)
                sql(f'drop database "{database}" with (force)')
        sql("drop database if exists postgres_spare")
        sql("create database postgres_spare template template0")
        sql("drop database postgres with (force)", "postgres_spare")
        sql("create database postgres template template0", "postgres_spare")
        sql("drop database postgres_spare with (force)")
        for role in sql("select rolname from pg_roles where rolname !~ '^pg_'").split():
            if role != USER:
                sql(f'drop role "{role}"')
        if name != "postgres":
            sql(f'create database "{name}" template template0')
        for text in prepare:
            sql(text, name)

    def pgvalet(self, binary: Path, mode: str, databases: list[str]) -> tuple[int, object]:
        """Everything at its default, but the mode."""
        text = '[[client]]\nname = "suite"\nnetwork = ["127.0.0.1"]\ndatabases = ["*"]\n'
        for database in databases:
            text += f'[database.{database}]\nsecret = "suite"\ndbname = "{database}"\npool_mode = "{mode}"\n'
        value = {"host": "127.0.0.1", "port": self.upstream, "dbname": "postgres",
                 "username": USER, "password": PASSWORD}
        port, process, _ = self.start_pgvalet(binary, f"pgvalet-{mode}", "suite", value, text, user=USER)
        return port, process

    def store(self, binary: Path) -> tuple[dict[str, str], object]:
        """The embedded store alone, and how the plugin `store` reaches it."""
        base, port = self.directory / "store", free_port()
        base.mkdir()
        config, policy = base / "pgvalet.toml", base / "policy.json"
        config.write_text(f'''
[store]
path = "{base}/store.db"
key_file = "{base}/store.key"
address = "127.0.0.1:{port}"
[audit]
path = "{base}/audit.jsonl"
''')
        policy.write_text(json.dumps(ALL))
        added = subprocess.run(
            [binary, "--config", config, "store", "principal", "add", "suite", "--policy", policy, "--json"],
            capture_output=True, text=True, cwd=base)
        if added.returncode:
            die(f"pgvalet store principal add: {added.stderr}")
        keys = json.loads(added.stdout)
        process = self.start("pgvalet-store", [binary, "--config", config, "store", "serve"])
        self.wait_for_port(port, process)
        return {"STORE_URL": f"http://127.0.0.1:{port}", "STORE_KEY_ID": keys["access_key_id"],
                "STORE_KEY": keys["secret_access_key"]}, process

    def wait_for_port(self, port: int, process: subprocess.Popen) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            try:
                return socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.05)
        die(f"the store does not serve: {(self.directory / 'pgvalet-store.log').read_text(errors='replace')}")


def elapsed(since: float) -> str:
    seconds = round(time.monotonic() - since)
    return f"{seconds // 60}:{seconds % 60:02}"

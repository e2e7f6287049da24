"""A Postgres for one suite, and pgvalet in front of it."""

import shutil
import subprocess
import time
from pathlib import Path

from world import World, die, free_port

USER, PASSWORD = "postgres", "suite-password"  # of a throwaway server on loopback
MODES = ("direct", "transaction", "session")


class Servers(World):
    """What `scripts/bench` measures with, for a suite: a superuser, since suites
    make what they need, and whatever settings they ask for."""

    def client_environment(self, port: int, user: str = USER, sslmode: str = "disable") -> dict[str, str]:
        return self.environment | {
            "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": user, "PGPASSWORD": PASSWORD,
            "PGDATABASE": "postgres", "PGSSLMODE": sslmode, "PGGSSENCMODE": "disable",
        }

    def cluster(self) -> None:
        data = self.directory / "data"
        data.mkdir(mode=0o700)
        self.socket_directory.mkdir()
        (self.directory / "password").write_text(PASSWORD)
        self.give_to_postgres("data", "socket", "password")
        self.run_as_postgres("initdb", "-D", data, "-U", USER, "--auth=scram-sha-256",
                             f"--pwfile={self.directory}/password", "--encoding=UTF8", "--locale=C.UTF-8",
                             "--no-sync")
        self.upstream = free_port()
        settings = {
            "port": self.upstream, "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.socket_directory, "fsync": "off", "full_page_writes": "off",
            "max_connections": 200, "max_prepared_transactions": 20, "wal_level": "logical",
            "max_locks_per_transaction": 200, "jit": "off",
        }
        command = [self.bin / "postgres", "-D", data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        process = self.start("postgres", command, "postgres")
        self.wait("postgres", self.upstream, process, USER)

    def run_as_postgres(self, program: str, *arguments) -> None:
        done = subprocess.run(self.tethered([self.bin / program, *arguments], "postgres"),
                              cwd=self.directory, capture_output=True, text=True)
        if done.returncode:
            die(f"{program}: {done.stderr}")

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
        base = self.directory / f"pgvalet-{mode}"
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir()
        port, admin = free_port(), free_port()
        config = base / "pgvalet.toml"
        text = f"""
[listen]
address = ["127.0.0.1:{port}"]
[admin]
address = "127.0.0.1:{admin}"
[store]
path = "{base}/store.db"
key_file = "{base}/store.key"
[audit]
path = "{base}/audit.jsonl"
[[client]]
name = "suite"
network = ["127.0.0.1"]
databases = ["*"]
"""
        for database in databases:
            text += f'[database.{database}]\nsecret = "suite"\ndbname = "{database}"\npool_mode = "{mode}"\n'
        config.write_text(text)
        secret = (f'{{"host":"127.0.0.1","port":{self.upstream},"dbname":"postgres",'
                  f'"username":"{USER}","password":"{PASSWORD}"}}')
        done = subprocess.run([binary, "--config", config, "secret", "create", "suite"],
                              input=secret, capture_output=True, text=True, cwd=base)
        if done.returncode:
            die(f"pgvalet secret create: {done.stderr}")
        process = self.start(f"pgvalet-{mode}", [binary, "--config", config, "run"])
        self.wait(f"pgvalet-{mode}", port, process, USER)
        return port, process


def elapsed(since: float) -> str:
    seconds = round(time.monotonic() - since)
    return f"{seconds // 60}:{seconds % 60:02}"

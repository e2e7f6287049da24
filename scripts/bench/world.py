"""What a benchmark stands on: a throwaway Postgres and poolers in front of it.

Everything lives in one temporary directory and ends with the benchmark; the
kernel ends the processes even when the benchmark itself is killed.
"""

import glob
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SID = ROOT / ".cache/sid"
POOL_SIZE = 20
PASSWORD = "bench-password"  # of a role that lives for ten minutes on loopback


def die(message: str) -> None:
    sys.exit(f"bench: {message}")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads, those that ended
    too: its CPU-time clock (clock_getcpuclockid), which counts nanoseconds."""
    return time.clock_gettime((~pid << 3) | 2)


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


class Target:
    """Something that speaks the protocol of Postgres on a port."""

    def __init__(self, name: str, port: int, process: subprocess.Popen | None, version: str):
        self.name = name
        self.port = port
        # Straight to Postgres goes a role that needs no password: what a login
        # costs there would otherwise be SCRAM.
        self.user = "direct" if process is None else "bench"
        self.process = process
        self.version = version

    def cpu(self) -> float:
        return cpu_seconds(self.process.pid) if self.process else 0.0


class World:
    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pgvalet-bench-"))
        self.directory.chmod(0o755)
        self.processes: list[subprocess.Popen] = []
        # The command of the PgBouncer that turned out to be the fastest one here.
        self.strongest: list[str] | None = None
        self.socket_directory = self.directory / "socket"
        self.bin = postgres_directory()
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_) -> None:
        for process in reversed(self.processes):
            self.stop(process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self, process: subprocess.Popen) -> None:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def tethered(self, command: list, user: str | None = None) -> list[str]:
        """A command that ends with this process, as another user where we are
        root: `initdb` and PgBouncer refuse to run as root."""
        tether = ["setpriv", "--pdeathsig", "KILL"]
        if user and os.geteuid() == 0:
            tether += [f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return tether + ["--"] + [str(word) for word in command]

    def start(self, name: str, command: list, user: str | None = None, **more) -> subprocess.Popen:
        log = open(self.directory / f"{name}.log", "ab")
        process = subprocess.Popen(
            self.tethered(command, user), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            cwd=self.directory, env=self.environment, **more,
        )
        self.processes.append(process)
        return process

    def wait(self, name: str, port: int, process: subprocess.Popen, user: str = "bench",
             **more) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            if self.psql(port, "select 1", user, check=False, **more) == "1":
                return
            time.sleep(0.05)
        log = (self.directory / f"{name}.log").read_text(errors="replace")[-2000:]
        die(f"{name} does not serve; its log ends:\n{log}")

    def client_environment(self, port: int, user: str, sslmode: str = "disable") -> dict[str, str]:
        return self.environment | {
            "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": user, "PGDATABASE": "bench",
            "PGPASSWORD": PASSWORD, "PGSSLMODE": sslmode, "PGGSSENCMODE": "disable",
        }

    def psql(self, port: int, sql: str, user: str = "bench", check: bool = True, **more) -> str:
        done = subprocess.run(
            ["psql", "-XAtqc", sql], env=self.client_environment(port, user) | more,
            capture_output=True, text=True, cwd=self.directory,
        )
        if check and done.returncode:
            die(f"psql: {done.stderr}")
        return done.stdout.strip()

    def certificate(self) -> None:
        done = subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", "tls.key", "-out", "tls.crt"],
            cwd=self.directory, capture_output=True, text=True,
        )
        if done.returncode:
            die(f"openssl: {done.stderr}")
        self.give_to_postgres("tls.key", "tls.crt")

    def give_to_postgres(self, *names: str) -> None:
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            for name in names:
                os.chown(self.directory / name, user.pw_uid, user.pw_gid)

    def run_as_postgres(self, program: str, *arguments) -> None:
        done = subprocess.run(self.tethered([self.bin / program, *arguments], "postgres"),
                              cwd=self.directory, capture_output=True, text=True)
        if done.returncode:
            die(f"{program}: {done.stderr}")

    def initdb(self, *arguments) -> Path:
        """The new data directory."""
        data = self.directory / "data"
        data.mkdir(mode=0o700)
        self.socket_directory.mkdir()
        self.give_to_postgres("data", "socket")
        self.run_as_postgres("initdb", "-D", data, "--encoding=UTF8", "--no-sync", *arguments)
        return data

    def start_postgres(self, data: Path, more: dict) -> subprocess.Popen:
        """At `self.upstream`; it need not accept connections yet."""
        self.upstream = free_port()
        settings = {
            "port": self.upstream, "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.socket_directory, "fsync": "off", "full_page_writes": "off",
            "max_connections": 200,
        }
        command = [self.bin / "postgres", "-D", data]
        for name, value in (settings | more).items():
            command += ["-c", f"{name}={value}"]
        return self.start("postgres", command, "postgres")

    def start_pgvalet(self, binary: Path, name: str, secret: str, value: dict, configuration: str, *,
                      listen: str = "", store: str = "", prefix: list = (), user: str = "bench",
                      ) -> tuple[int, subprocess.Popen, Path]:
        """pgvalet with one secret, `configuration` for what leads to it, and everything else
        at its default: its port, its process and the file."""
        base = self.directory / name
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir()
        port, admin = free_port(), free_port()
        config = base / "pgvalet.toml"
        config.write_text(f"""
[listen]
address = ["127.0.0.1:{port}"]
{listen}
[admin]
address = "127.0.0.1:{admin}"
[store]
path = "{base}/store.db"
key_file = "{base}/store.key"
{store}
[audit]
path = "{base}/audit.jsonl"
{configuration}""")
        done = subprocess.run([binary, "--config", config, "secret", "create", secret],
                              input=json.dumps(value), capture_output=True, text=True, cwd=base)
        if done.returncode:
            die(f"pgvalet secret create: {done.stderr}")
        process = self.start(name, [*prefix, binary, "--config", config, "run"])
        self.wait(name, port, process, user)
        return port, process, config

    # ---- what is compared -------------------------------------------------

    def postgres(self) -> Target:
        data = self.initdb("-U", "direct", "--auth=trust", "--no-locale")
        self.certificate()
        (data / "pg_hba.conf").write_text(
            "host all direct 127.0.0.1/32 trust\n"
            "host all all 127.0.0.1/32 scram-sha-256\n"
            "local all all scram-sha-256\n"
        )
        process = self.start_postgres(data, {
            "shared_buffers": "256MB", "max_wal_size": "4GB", "autovacuum": "off",
            "password_encryption": "scram-sha-256", "ssl": "on",
            "ssl_cert_file": self.directory / "tls.crt", "ssl_key_file": self.directory / "tls.key",
        })
        port, postgres = self.upstream, {"PGDATABASE": "postgres"}
        self.wait("postgres", port, process, "direct", **postgres)
        self.psql(port, f"create role bench login password '{PASSWORD}'", "direct", **postgres)
        self.psql(port, "create database bench owner bench", "direct", **postgres)
        version = self.psql(port, "show server_version").split(" ")[0]
        # A table that fits into memory: the database is not what is measured.
        subprocess.run(
            ["pgbench", "-i", "-q", "-s", "10"], env=self.client_environment(port, "bench"),
            check=True, capture_output=True, cwd=self.directory,
        )
        self.psql(port, "create unlogged table copied (a text)")
        return Target("direct", port, None, version)

    def pgvalet(self, binary: Path, name: str = "pgvalet", prefix: list | None = None,
                upstream: int | None = None, host: Path | str = "127.0.0.1",
                identities: int = 1, store: bool = False, keys: str = "", tables: str = "") -> Target:
        api = free_port()
        crt, key = self.directory / "tls.crt", self.directory / "tls.key"
        port, process, config = self.start_pgvalet(
            binary, name, "bench",
            {"host": str(host), "port": upstream or self.upstream, "dbname": "bench",
             "username": "bench", "password": PASSWORD},
            f'[database.bench]\nsecret = "bench"\n{keys}\n' + "".join(rule(n, identities) for n in range(identities)) + tables,
            listen=f'certificate = "{crt}"\nkey = "{key}"', prefix=prefix or [],
            store=f'address = "127.0.0.1:{api}"' if store else "",
        )
        target = Target(name, port, process, "")
        target.config = config
        admin = re.search(r'\[admin\]\naddress = "127.0.0.1:(\d+)"', config.read_text())
        target.ports = {"listen": port, "admin": int(admin[1]), "store": api}
        return target

    def pgbouncer(self, command: list[str] | None = None) -> Target:
        """One that logs no connections, as pgvalet's log does not; its audit log is on."""
        command = command or self.strongest or program("pgbouncer")
        version = subprocess.run(command + ["--version"], capture_output=True, text=True).stdout
        version = version.split("\n")[0].removeprefix("PgBouncer ")
        if tuple(int(n) for n in re.findall(r"\d+", version)[:2]) < (1, 24):
            die(f"PgBouncer {version} has no prepared statements to compare with; 1.24 or newer is needed")
        port = free_port()
        config = self.directory / "pgbouncer.ini"
        config.write_text(f"""
[databases]
bench = host=127.0.0.1 port={self.upstream} dbname=bench user=bench password={PASSWORD}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {POOL_SIZE}
max_client_conn = 10000
log_connections = 0
log_disconnections = 0
client_tls_sslmode = allow
client_tls_cert_file = {self.directory}/tls.crt
client_tls_key_file = {self.directory}/tls.key
""")
        as_user = ["-u", "postgres"] if os.geteuid() == 0 else []
        process = self.start("pgbouncer", command + as_user + [config])
        self.wait("pgbouncer", port, process)
        return Target("pgbouncer", port, process, version)

    def haproxy(self) -> Target:
        """A relay that does nothing but move bytes: no pool, one server
        connection a client."""
        command = program("haproxy")
        port = free_port()
        config = self.directory / "haproxy.cfg"
        config.write_text(f"""
global
    maxconn 1000
defaults
    mode tcp
    timeout connect 5s
    timeout client 10m
    timeout server 10m
listen postgres
    bind 127.0.0.1:{port}
    server one 127.0.0.1:{self.upstream}
""")
        process = self.start("haproxy", command + ["-db", "-f", config])
        self.wait("haproxy", port, process, "direct")
        version = subprocess.run(command + ["-v"], capture_output=True, text=True).stdout
        target = Target("haproxy", port, process, re.search(r"version (\d[\d.]*)", version)[1])
        target.user = "direct"
        return target


def rule(number: int, of: int) -> str:
    """One [[client]]; where there are several, the user name tells them apart."""
    users = [f"bench-{number}"] + (["bench"] if number == 0 else [])
    named = f"users = {users!r}" if of > 1 else ""
    return f"""
[[client]]
name = "bench-{number}"
network = ["127.0.0.0/8"]
databases = ["bench"]
{named}
"""


def postgres_directory() -> Path:
    """The newest server there is, `PGVALET_PG_BIN` first."""
    if path := os.environ.get("PGVALET_PG_BIN"):
        return Path(path.split(":")[0])
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: int(p.split("/")[4]))
    if found:
        return Path(found[-1]).parent
    if (bundled := ROOT / ".cache/postgres18/bin").exists():
        return bundled.resolve()
    die("no Postgres server; run scripts/setup.sh bench")


def pgbouncers() -> dict[str, list[str]]:
    """Every PgBouncer to compare with: how it was built → its command."""
    found = {}
    if not os.environ.get("PGBOUNCER") and (own := ROOT / ".cache/pgbouncer/pgbouncer").exists():
        found["compiled here, -O3 -march=native"] = [str(own)]
    found["Debian's package" if not os.environ.get("PGBOUNCER") else "the one given"] = program("pgbouncer")
    return found


def program(name: str) -> list[str]:
    """The one that an environment variable names, or that of scripts/setup.sh:
    a program of a newer Debian, which is run with that one's libraries."""
    if own := os.environ.get(name.upper()):
        return [own]
    path = SID / "usr/sbin" / name
    if not path.exists():
        die(f"no {name}; run scripts/setup.sh bench, or set {name.upper()} to a program")
    library = next(SID.glob("usr/lib/*-linux-gnu*"))
    (interpreter,) = library.glob("ld-linux-*.so.*")
    return [str(interpreter), "--library-path", str(library), str(path)]

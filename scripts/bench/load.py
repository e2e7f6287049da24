"""Load, and what it shows: pgbench for transactions, plain sockets for the rest."""

import glob
import os
import re
import socket
import ssl
import struct
import subprocess
import time
from dataclasses import dataclass

from world import Target, World, die


@dataclass
class Sample:
    """One run of one case against one target."""

    tps: float
    cpu: float  # µs of the target per transaction
    p50: float  # ms
    p99: float
    latencies: list[int]  # µs, sorted


def pgbench(world: World, target: Target, clients: int, options: list[str], seconds: int,
            sslmode: str = "disable") -> Sample:
    # Every fifth transaction: the log must not become the load.
    prefix = world.directory / "transactions"
    command = ["pgbench", "-n", "-S", "-c", str(clients), "-j", str(min(clients, 2)), *options,
               "--log", f"--log-prefix={prefix}", "--sampling-rate=0.2"]
    command += ["-T", str(seconds)]
    before = target.cpu()
    done = subprocess.run(command, env=world.client_environment(target.port, target.user, sslmode),
                          capture_output=True, text=True, cwd=world.directory)
    cpu = target.cpu() - before
    logs = glob.glob(f"{prefix}.*")
    latencies = []
    for log in logs:
        with open(log) as file:
            latencies += [int(line.split(" ", 3)[2]) for line in file]
        os.unlink(log)
    if done.returncode or "aborted" in done.stderr:
        die(f"pgbench on {target.name}: {done.stderr}")
    transactions = int(re.search(r"actually processed: (\d+)", done.stdout)[1])
    latencies.sort()
    at = lambda q: latencies[int(q * (len(latencies) - 1))] / 1000 if latencies else float("nan")
    return Sample(
        tps=float(re.search(r"^tps = ([\d.]+)", done.stdout, re.M)[1]),
        cpu=cpu * 1e6 / transactions,
        p50=at(0.5),
        p99=at(0.99),
        latencies=latencies,
    )


BUFFER = bytearray(1 << 18)  # of all clients: there is one thread


class Client:
    """A client made of one socket: cheap enough to have 8,000 of."""

    def __init__(self, target: Target, tls: ssl.SSLContext | None = None):
        self.socket = socket.create_connection(("127.0.0.1", target.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket.sendall(struct.pack("!ii", 8, 80877103))
            if self.socket.recv(1) != b"S":
                die(f"{target.name} offers no TLS")
            self.socket = tls.wrap_socket(self.socket)
        body = struct.pack("!i", 196608) + f"user\0{target.user}\0database\0bench\0\0".encode()
        self.socket.sendall(struct.pack("!i", len(body) + 4) + body)
        self.until_ready()

    def until_ready(self) -> int:
        """Reads up to ReadyForQuery; how many bytes came."""
        total, tail = 0, b""
        view = memoryview(BUFFER)
        while not tail.endswith((b"Z\0\0\0\x05I", b"Z\0\0\0\x05T")):
            n = self.socket.recv_into(view)
            if n == 0:
                die(f"a connection was closed: {tail!r}")
            total += n
            tail = (tail + bytes(view[max(0, n - 6):n]))[-6:]
            if total == n and view[0] == ord("E"):
                die(f"refused: {bytes(view[:n])!r}")
        return total

    def query(self, sql: str) -> int:
        self.socket.sendall(b"Q" + struct.pack("!i", len(sql) + 5) + sql.encode() + b"\0")
        return self.until_ready()

    def copy_in(self, sql: str, chunks: int, chunk: bytes) -> None:
        self.socket.sendall(b"Q" + struct.pack("!i", len(sql) + 5) + sql.encode() + b"\0")
        answer = self.socket.recv(64)
        if answer[:1] != b"G":
            die(f"no COPY: {answer!r}")
        for _ in range(chunks):
            self.socket.sendall(chunk)
        self.socket.sendall(b"c\0\0\0\4")
        self.until_ready()

    def close(self) -> None:
        self.socket.close()

    def goodbye(self) -> None:
        """Says that it leaves, and waits until the connection is closed."""
        self.socket.sendall(b"X\0\0\0\4")
        while self.socket.recv(64):
            pass
        self.socket.close()


def tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # a certificate of our own, made a minute ago
    return context


MEGABYTES = 100


def bulk_result(client: Client) -> float:
    """MB/s of a result of 100 MB: 100,000 rows of 1 kB."""
    began = time.perf_counter()
    received = client.query(f"select repeat('x', 1000) from generate_series(1, {MEGABYTES * 1000})")
    return received / 1e6 / (time.perf_counter() - began)


def bulk_copy_out(client: Client) -> float:
    began = time.perf_counter()
    received = client.query(
        f"copy (select repeat('x', 1000) from generate_series(1, {MEGABYTES * 1000})) to stdout"
    )
    return received / 1e6 / (time.perf_counter() - began)


def bulk_copy_in(client: Client) -> float:
    client.query("truncate copied")
    line = b"x" * 999 + b"\n"
    row = b"d" + struct.pack("!i", len(line) + 4) + line
    chunk = row * 64
    chunks = MEGABYTES * 1000 // 64
    began = time.perf_counter()
    client.copy_in("copy copied from stdin", chunks, chunk)
    return len(chunk) * chunks / 1e6 / (time.perf_counter() - began)

"""Attackers: each sends as fast as one process can, until it is ended.

    python3 scripts/attacks/attackers.py NAME PORT

What is sent is made beforehand, so that an attacker costs little CPU itself.
"""

import itertools
import selectors
import socket
import ssl
import struct
import sys
import threading

ADDRESSES = [f"127.0.0.{n}" for n in range(1, 6)]


def frame(tag: bytes, body: bytes) -> bytes:
    return tag + struct.pack("!i", len(body) + 4) + body


def query(sql: str) -> bytes:
    return frame(b"Q", sql.encode() + b"\0")


def parse(name: str, sql: str) -> bytes:
    return frame(b"P", f"{name}\0{sql}\0".encode() + b"\0\0")


SYNC = frame(b"S", b"")
TERMINATE = frame(b"X", b"")
COPY_DONE = frame(b"c", b"")


def start_up(**parameters: str) -> bytes:
    words = {"user": "bench-1", "database": "bench"} | parameters
    body = struct.pack("!i", 196608) + "".join(f"{k}\0{v}\0" for k, v in words.items()).encode() + b"\0"
    return struct.pack("!i", len(body) + 4) + body


def connect(port: int, address: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), source_address=(address, 0))


def storm(port: int, first: bytes | list[bytes], at_once: int = 100, addresses: list[str] = ADDRESSES[:1]) -> None:
    """Keeps `at_once` connections: each says `first`, reads until it is closed, and is opened again."""
    selector = selectors.DefaultSelector()
    source = itertools.cycle(addresses)
    firsts = itertools.cycle(first if isinstance(first, list) else [first])

    def open_one() -> None:
        one = socket.socket()
        one.setblocking(False)
        one.bind((next(source), 0))
        one.connect_ex(("127.0.0.1", port))
        selector.register(one, selectors.EVENT_WRITE)

    for _ in range(at_once):
        open_one()
    while True:
        for key, events in selector.select():
            try:
                if events & selectors.EVENT_WRITE:
                    key.fileobj.send(next(firsts))
                    selector.modify(key.fileobj, selectors.EVENT_READ)
                    continue
                over = not key.fileobj.recv(1 << 16)
            except BlockingIOError:
                continue
            except OSError:
                over = True
            if over:
                selector.unregister(key.fileobj)
                key.fileobj.close()
                open_one()


def flood(port: int, burst: bytes, first: bytes = b"") -> None:
    """Sends `burst` again and again in one session, and reads what comes back."""
    def drain(session: socket.socket) -> None:
        while session.recv(1 << 18):
            pass

    while True:
        try:
            with connect(port) as session:
                session.sendall(start_up() + first)
                threading.Thread(target=drain, args=[session], daemon=True).start()
                while True:
                    session.sendall(burst)
        except OSError:
            pass  # Ended for what it did: it comes again.


def statements(port: int) -> None:
    """Named statements without end, each with a text of its own, from six sessions at once."""
    def one(number: int) -> None:
        burst = b"".join(parse(f"s{number}_{n}", f"select {n}, '{'x' * 200}'") + (SYNC if n % 100 == 0 else b"")
                         for n in range(70_000))
        flood(port, burst)

    sessions = [threading.Thread(target=one, args=[n]) for n in range(6)]
    for session in sessions:
        session.start()


def stalled_readers(port: int) -> None:
    """Sixteen sessions ask for more than they ever read."""
    sessions = []
    for _ in range(16):
        session = connect(port)
        session.sendall(start_up() + query("select repeat('x', 1000) from generate_series(1, 1000000)"))
        sessions.append(session)
    threading.Event().wait()


def tls(port: int) -> None:
    """TLS handshakes, each followed by a hang-up."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    request = struct.pack("!ii", 8, 80877103)
    while True:
        try:
            with connect(port) as one:
                one.sendall(request)
                if one.recv(1) == b"S":
                    context.wrap_socket(one).close()
        except OSError:
            pass


def half_a_body(port: int) -> None:
    """A megabyte of each request is announced, and its last byte never sent."""
    head = (f"POST / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Amz-Target: secretsmanager.GetSecretValue\r\n"
            f"Content-Type: application/x-amz-json-1.1\r\nContent-Length: {1 << 20}\r\n\r\n")
    storm(port, head.encode() + b"x" * ((1 << 20) - 1), 200, ADDRESSES)


HELD = "begin; create temporary table t_held (a int) on commit drop; rollback"

# Name → what it does to a port: "listen", "store" or "admin".
ATTACKS = {
    "denials": ("listen", lambda port: storm(port, start_up(database="nobody"))),
    "no protocol": ("listen", lambda port: storm(port, b"GET / HTTP/1.1\r\n\r\n")),
    "silence": ("listen", lambda port: storm(port, b"\0", 3000)),
    "half a packet": ("listen", lambda port: storm(port, start_up()[:20], 3000, ADDRESSES)),
    "cancels": ("listen", lambda port: storm(port, struct.pack("!iiii", 16, 80877102, 4711, 4711))),
    "TLS handshakes": ("listen", tls),
    "logins": ("listen", lambda port: storm(port, start_up() + TERMINATE)),
    "logins with new settings": ("listen", lambda port: storm(
        port, [start_up(application_name=f"x{n}") + query("select 1") + TERMINATE for n in range(10_000)])),
    "replication": ("listen", lambda port: storm(port, start_up(replication="true"), 20)),
    "deallocate all": ("listen", lambda port: flood(
        port, query("deallocate all") * 60_000,
        b"".join(parse(f"s{n}", "select 1") for n in range(60_000)) + SYNC)),
    "statements": ("listen", statements),
    "COPY": ("listen", lambda port: flood(port, (query("copy copied from stdin") + COPY_DONE) * 20_000)),
    "SET": ("listen", lambda port: flood(
        port, b"".join(query(f"set application_name = 'x{n}'") for n in range(20_000)))),
    "errors": ("listen", lambda port: flood(port, query("selec") * 60_000)),
    "temporary tables": ("listen", lambda port: flood(port, query(HELD) * 20_000)),
    "Flush and Sync": ("listen", lambda port: flood(port, (frame(b"H", b"") + SYNC) * 100_000)),
    "empty queries": ("listen", lambda port: flood(port, query("") * 100_000)),
    "readers who stall": ("listen", stalled_readers),
    "store: silence": ("store", lambda port: storm(port, b"P", 1500, ADDRESSES)),
    "store: half a body": ("store", half_a_body),
    "store: no signature": ("store", lambda port: storm(
        port, b"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: secretsmanager.ListSecrets\r\n"
        b"Content-Length: 2\r\nConnection: close\r\n\r\n{}")),
    "admin: status": ("admin", lambda port: storm(
        port, f"GET /status HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode(), 32)),
    "admin: silence": ("admin", lambda port: storm(port, b"G", 500)),
}

if __name__ == "__main__":
    _, attack = ATTACKS[sys.argv[1]]
    attack(int(sys.argv[2]))

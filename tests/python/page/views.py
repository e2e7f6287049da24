"""What the views are given that are asked for one by one."""

from states import HOSTILE, NEW, OLD, WRONG, ago


def client(number, name, state, **more):
    return {
        "id": number,
        "client": name,
        "database": "orders",
        "source": "10.0.4.9:51844",
        "user": "anyone",
        "application_name": "orders 4.2",
        "state": state,
        "state_ms": 3000 * number,
        "since": ago(7000),
        "old": False,
        **more,
    }


def holds(version, server_pid, old=False):
    return {"version": version, "server_pid": server_pid, "old": old}


CLIENTS = [
    client(4, "billing", "idle"),
    client(9, HOSTILE, "idle", application_name=HOSTILE),
    client(17, "orders-api", "active", **holds(OLD, 4000, True)),
    client(23, "settlement", "active", pinned="advisory lock", **holds(OLD, 4001, True)),
    client(31, "orders-api", "active", **holds(NEW, 4002)),
    client(32, "orders-api", "waiting"),
]

SERVERS = [
    {
        "database": "orders",
        "server": "db1.internal:5432/orders",
        "pid": 4000 + number,
        "user": "orders_app",
        "version": OLD if number < 2 else NEW,
        "closing": number < 2,
        "state": "active" if number < 3 else "idle",
        "since": ago(100 * number + 5),
        **({"client_id": [17, 23, 31][number]} if number < 3 else {}),
    }
    for number in range(8)
]

RULES = [
    {
        "rule": number,
        "client": name,
        "conditions": "network 10.0.0.0/8",
        "databases": "orders, billing",
        "users": None,
        "secret": None,
        "clients": 12,
    }
    for number, name in enumerate(["orders-api", "settlement", HOSTILE], 1)
]

DENIED = {
    "decision": "denied",
    "reason": "no_rule",
    "words": "no rule lets this client use this database",
    "meant": 'database "orders"',
    "note": None,
    "rules": [
        {
            "rule": 1,
            "client": "orders-api",
            "verdict": "no match",
            "mismatches": [{"condition": "network", "because": "192.0.2.1 is not in 10.0.0.0/8"}],
        }
    ],
}

STEPS = [
    {
        "secret": "prod/orders",
        "version": WRONG,
        "user": "orders_app",
        "step": step,
        "outcome": "failed" if step == "testSecret" else "done",
        "detail": detail,
        "at": ago(100 - number),
    }
    for number, (step, detail) in enumerate(
        [
            ("begin", "the lock is held"),
            ("createSecret", "a new password is in AWSPENDING"),
            ("setSecret", "the password of orders_app is changed"),
            ("testSecret", "the new password does not log in: 28P01"),
        ]
    )
]

RECORDS = [
    {
        "v": 1,
        "seq": 100 + number,
        "time": ago(50 - number),
        "event": event,
        "client": HOSTILE if number == 0 else "orders-api",
        "database": "orders",
        "source": "10.0.4.9:51844",
        **more,
    }
    for number, (event, more) in enumerate(
        [
            ("session.start", {}),
            ("session.deny", {"outcome": "failure", "reason": "no_rule"}),
            ("secret.adopt", {"credential": {"secret": "prod/orders", "version": NEW}, "outcome": "success"}),
            ("session.end", {"duration_ms": 81776}),
        ]
    )
]

PRIVATE = ["/rules", "/explain", "/audit"]
ALL = {
    "/clients": CLIENTS,
    "/servers": SERVERS,
    "/rules": RULES,
    "/explain": DENIED,
    "/rotations": STEPS,
    "/audit": RECORDS,
}

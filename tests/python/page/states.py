"""States of a proxy, made up: at rest, in the middle of a rotation, in trouble."""

from datetime import datetime, timedelta, timezone

OLD = "1a4f9c02-77aa-4bb1-9f00-aaaaaaaaaaaa"
NEW = "9be2d7f1-1111-4222-8333-bbbbbbbbbbbb"
OLDER = "41d80c7e-3333-4444-8555-dddddddddddd"
WRONG = "c05e6613-5555-4666-8777-cccccccccccc"

# Anybody may call a database or a client this.
HOSTILE = '<img src=x onerror="window.hacked = true">&amp;'


def ago(seconds):
    moment = datetime.now(timezone.utc) - timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def generation(number, version, active, idle, drains=None, holders=()):
    made = {
        "number": number,
        "version": version,
        "stages": ["AWSPREVIOUS" if drains else "AWSCURRENT"],
        "user": "orders_app",
        "adopted_at": ago(300_000 if number == 1 else 40),
        "active": active,
        "idle": idle,
        "holders": list(holders),
    }
    return {**made, "draining_since": ago(drains)} if drains else made


def database(name, *generations, **more):
    return {
        "name": name,
        "secret": f"prod/{name}",
        "pool_mode": "transaction",
        "pool_size": 20,
        "clients": 41,
        "waiting": 0,
        "servers": {
            "active": sum(g["active"] for g in generations),
            "idle": sum(g["idle"] for g in generations),
            "opening": 0,
        },
        "generations": list(generations),
        **more,
    }


def secret(name, version=OLD, **more):
    return {
        "secret": f"prod/{name}",
        "version": version,
        "stages": ["AWSCURRENT"],
        "user": "orders_app",
        "adopted_at": ago(300_000 if version == OLD else 40),
        "adopted_as": "AWSCURRENT",
        "confirmed_at": ago(12),
        "candidates_tried": [],
        "next_rotation": ago(-200_000),
        **more,
    }


def holder(session, client, reason):
    return {
        "session": session,
        "client": client,
        "source": "10.0.4.9:51844",
        "since": ago(7000),
        "reason": reason,
    }


def status(databases, secrets, troubles=(), ready=True):
    return {
        "version": "0.1.0",
        "pid": 42,
        "started_at": ago(400_000),
        "ready": ready,
        "troubles": list(troubles),
        "databases": databases,
        "secrets": secrets,
    }


def rest():
    databases = [
        database("billing", generation(1, OLD, 2, 4), clients=12),
        database("orders", generation(1, OLD, 5, 5)),
        database("reports", generation(1, OLD, 1, 1), pool_mode="session", clients=3),
    ]
    return status(databases, [secret("billing"), secret("orders"), secret("reports", next_rotation=None)])


def rotation():
    made = rest()
    holders = [
        holder("17", "orders-api", "in a transaction"),
        holder("23", "settlement", "keeps state on the server: holds advisory locks"),
    ]
    old = generation(1, OLD, 4, 1, 38, holders)
    made["databases"][1] = database(
        "orders",
        generation(2, NEW, 6, 2),
        old,
        waiting=2,
        longest_wait_ms=340,
        pinned={"advisory lock": 1},
        listener={"channels": 2, "clients": 3, "generation": 2},
        servers={"active": 10, "idle": 3, "opening": 2},
    )
    made["secrets"][1] = secret("orders", NEW)
    return made


def trouble():
    made = rest()
    made["troubles"] = [
        {
            "kind": "database_down",
            "database": "billing",
            "since": ago(4000),
            "sentence": "Postgres at 10.0.3.7:5432 cannot be reached: connection refused",
            "remedy": "start Postgres there, or mend the network between",
        },
        {
            "kind": "version_refused",
            "secret": "prod/orders",
            "since": ago(900),
            "sentence": f"AWSCURRENT of prod/orders does not log in: 28P01; version {OLD[:8]} stays in force",
            "remedy": "pgvalet secret put prod/orders, with the password that Postgres has",
        },
    ]
    made["databases"][0].update(
        generations=[generation(1, OLD, 0, 0)],
        servers={"active": 0, "idle": 0, "opening": 1},
        last_error="it cannot be reached",
        waiting=7,
        longest_wait_ms=15_300,
    )
    why = "the server refused the login: password authentication failed"
    tried = {"version": WRONG, "as": "AWSCURRENT", "why": why, "at": ago(60)}
    made["secrets"][1]["candidates_tried"] = [tried]
    return made


def hostile():
    """Names of other people, as bad as they may be."""
    old = generation(1, OLD, 1, 0, 5, [holder("1", HOSTILE, HOSTILE)])
    databases = [
        database(HOSTILE, generation(2, NEW, 1, 1), old, secret=HOSTILE, last_error=HOSTILE),
        database("x" * 63, generation(1, OLD, 1, 0), secret="prod/" + "y" * 200),
    ]
    secrets = [
        {**secret("", NEW, last_error=HOSTILE, user=HOSTILE), "secret": HOSTILE},
        {**secret(""), "secret": "prod/" + "y" * 200},
    ]
    wrong = {
        "kind": "secret_unread",
        "secret": HOSTILE,
        "since": ago(5),
        "sentence": HOSTILE,
        "remedy": HOSTILE,
    }
    return status(databases, secrets, [wrong])


def many():
    """Two hundred databases, five of them in the middle of a rotation."""
    databases, secrets = [], []
    for number in range(200):
        name = f"tenant_{number:03}"
        generations = [generation(1, OLD, number % 7, number % 5)]
        if number % 40 == 3:
            generations = [generation(2, NEW, 3, 3), generation(1, OLD, 2, 1, 20)]
        databases.append(database(name, *generations, clients=number % 90))
        secrets.append(secret(name))
    return status(databases, secrets)


def nothing():
    return status([], [], ready=False)


def history(made):
    """Fifteen minutes in which something went slower for a while."""
    pools = []
    for number, pool in enumerate(made["databases"]):
        buckets = []
        for step in range(180):
            slow = 100 < step < 112
            ended = (60 + 35 * number % 900) * (2 if slow else 5) + step * 7 % 40
            buckets.append([ended, ended // 250 + (9 if slow else 1), 0])
        pools.append({"database": pool["name"], "secret": pool["secret"], "buckets": buckets})
    versions = {
        made_secret["secret"]: [
            {"version": OLDER, "user": "orders_app", "adopted_at": ago(390_000)},
            {"version": OLD, "user": "orders_app", "adopted_at": ago(300_000)},
        ]
        for made_secret in made["secrets"]
    }
    return {"step_seconds": 5, "most": 180, "number": 1000, "pools": pools, "versions": versions}


ALL = {
    made.__name__: made for made in [rest, rotation, trouble, hostile, many, nothing]
}

"""What the views are given that are asked for one by one."""

from states import WRONG, ago

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

ALL = {"/rotations": STEPS}

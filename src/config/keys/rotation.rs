//! The keys of `rotation = { … }` in a `[database.NAME]`.

use super::Default::{Absent, Value};
use super::Effect::AtOnce;
use super::Kind::{Boolean, List, Number, Text, Words};
use super::{Key, Table};

pub(super) static ROTATION: Table = Table {
    title: "rotation = { … }",
    about: "\
In `[database.NAME]`; [ROTATING.md](ROTATING.md) has the rest. A secret is rotated by one schedule: of several databases \
with the same secret, one says how. Without `every` and `schedule`, `pgvalet rotate` does what the other keys say.",
    keys: &[
        Key::new(
            "every",
            Text("duration of up to 1000 days"),
            Absent("no schedule"), AtOnce,
            "The time from the last change of the secret to the next rotation.",
        )
        .like(r#""30 days""#),
        Key::new(
            "schedule",
            Text("`rate(…)` or `cron(…)`"),
            Absent("no schedule"), AtOnce,
            "Instead of `every`: `rate(4 hours)` to `rate(999 days)`, or `cron(0 HOURS DAY-OF-MONTH MONTH DAY-OF-WEEK *)` as in Secrets Manager, in UTC.",
        )
        .like(r#""cron(0 3 ? * SUN *)""#),
        Key::new(
            "window",
            Text("full hours, `1h` to `24h`"),
            Absent("an hour where there are several windows a day, else to the end of the UTC day; with `every`, a tenth of it and at most an hour"), AtOnce,
            "How long after its opening a rotation may start. A window may go past midnight, and may not reach the next one.",
        )
        .like(r#""3h""#),
        Key::new(
            "freeze",
            List("periods in UTC"),
            Absent("none"), AtOnce,
            "Periods in which the schedule starts nothing: `\"2026-12-20/2027-01-03\"`, `\"12-20/01-03\"` (every year), `\"2026-12-20T18:00/2026-12-21T06:00\"`, `\"Fri 16:00/Mon 06:00\"` (every week). Days are included; what was held up starts within half an hour afterwards. `pgvalet rotate` and RotateSecret are not held up.",
        )
        .like(r#"["12-20/01-03", "Fri 16:00/Mon 06:00"]"#),
        Key::new(
            "approve",
            Boolean,
            Value("false"), AtOnce,
            "What the schedule starts waits for `pgvalet rotation approve SECRET`. An approval is for one rotation of one proxy, and is forgotten when that restarts.",
        ),
        Key::new(
            "canary",
            Number(1, 10),
            Absent("all replicas follow at once"), AtOnce,
            "So many replicas, the one that rotates among them, log in with the new version and serve their clients with it for five seconds before AWSCURRENT moves and the others follow ([ROTATING.md](ROTATING.md)). If that fails, the rotation takes it back.",
        )
        .like("1"),
        Key::new(
            "strategy",
            Words(&["single", "alternating"]),
            Absent("`alternating` where the secret has `masterarn`, else `single`"), AtOnce,
            "One role whose password changes, or two roles that alternate, which needs an administrator.",
        )
        .like(r#""single""#),
        Key::new(
            "admin_secret",
            Text("secret name or ARN"),
            Absent("that of `[secret.NAME]`, else the role itself (`single`)"), AtOnce,
            "The secret of the role that changes the others.",
        )
        .like(r#""prod/admin""#),
        Key::new(
            "plaintext",
            Boolean,
            Value("false"), AtOnce,
            "Send the new password in clear, for a server whose hook refuses a verifier ([ROTATING.md](ROTATING.md)).",
        ),
    ],
    elsewhere: &[],
};

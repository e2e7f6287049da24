//! docs/FROM-PGBOUNCER.md.

use std::fmt::Write as _;

use super::keys::Becomes::{Nothing, Ours};
use super::keys::{D, G, KEYS, P, U};

const HEAD: &str = "\
# From PgBouncer

```sh
pgvalet init --from /etc/pgbouncer/pgbouncer.ini
```

reads the file, what it includes, and `auth_file`; writes `config/pgvalet.toml` (or what `--config` names); puts the
passwords into the store; logs in with each of them; and prints what to do next. It changes nothing of PgBouncer's, and no
file that is there without `--force`. Each key that it leaves out is named with the reason.

Clients go on as they are: same port, same database names, same users. They may go on to send their password; nobody
asks for it. What is new to them:

* **Who a client is** is no longer said by a password but by a `[[client]]` rule. Each user of `auth_file` becomes a rule
  that lets in this user name from this machine. Write the networks of your applications there, or recognise them by
  `unix_user`, `certificate` or `token`. `pgvalet explain --database orders --from 10.0.0.7 --user api` says which rule
  decides.
* **Which password logs in** is the matter of the secret. Where a connection string has `user`, that user's secret belongs
  to the database; else each rule names the secret of its user. A verifier (md5, SCRAM) in `auth_file` is no password:
  put the password into the store with `pgvalet secret create`.
* **There is no database `*`**: each one that clients may ask for is written.
* **The console** is there under the name `pgbouncer`, with the same SHOW commands and columns ([CONSOLE.md](CONSOLE.md)).

Stop PgBouncer, start pgvalet: both want port 6432. To try it beside, change `[listen] address`.

## Key by key

These are all keys of PgBouncer 1.25. The third column shows an example, or says why there is nothing to set.
";

/// The whole document.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for section in [G, D, U, P] {
        // Writing into a String cannot fail.
        let _ = writeln!(
            page,
            "\n### `[{section}]`\n\n| PgBouncer | pgvalet | |\n|---|---|---|"
        );
        for key in KEYS.iter().filter(|k| k.section == section) {
            let name = key.name;
            let _ = match &key.becomes {
                Ours { key, example, note } => {
                    let (from, to) = example;
                    let joint = if note.is_empty() { "" } else { "; " };
                    writeln!(
                        page,
                        "| `{name}` | {key} | `{name} = {from}`: `{to}`{joint}{note} |"
                    )
                }
                Nothing(why) => writeln!(page, "| `{name}` | – | {why} |"),
            };
        }
    }
    page
}

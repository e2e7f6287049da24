//! docs/CONFIGURATION.md, printed from the definitions of the keys.

use std::fmt::Write;

use super::keys::{DOCUMENT, Default, Key, Kind, Table};
use crate::base::duration;

const HEAD: &str = "\
# Configuration

This page is printed from the definitions that pgvalet reads its file with (`src/config/keys`), so that it has every
key, and its defaults are those in force. After a change there: `UPDATE_DOCS=1 cargo nextest run --test documents`.

pgvalet reads one TOML file: the one that `--config` names, or else `config/pgvalet.toml`. A file without any key but
these is complete:

```toml
[database.orders]
secret = \"prod/orders\"

[[client]]
name = \"orders-api\"
network = [\"10.0.0.0/8\"]
databases = [\"orders\"]
```

* `pgvalet check --offline` names every mistake in a file at once, with line, column and the nearest known key.
* `kill -HUP` reloads the file. A file that is wrong changes nothing. `POST /reload` of the admin
  listener does the same, and answers which keys have changed. The column *change* says when each takes effect:
  * *at once*: from the next use of the value on, for sessions and server connections that there are as well;
  * *new sessions*: for sessions that begin after the reload;
  * *drain*: for server connections that log in after the reload. One login proves the change first; until then the
    others stay in use, and then they drain as those of an old version do;
  * *restart*: when pgvalet is started again. The log and the answer name such keys.
* [config/full.toml](../config/full.toml) is a file with every key, to start from; [EXAMPLES.md](EXAMPLES.md) has
  shorter ones for common cases.
* A duration is written `\"100ms\"`, `\"30s\"`, `\"5m\"`, `\"1h\"`, `\"7 days\"` or `\"1h30m\"`; the longest is a year.
* Editors that know JSON Schema complete and check the file: begin it with `#:schema ` and the path of what
  `pgvalet config schema` prints ([config/schema.json](../config/schema.json)).
* A list with one element may be written without its brackets.
* A user is a name in quotes or a number without: `\"pgvalet\"` or `1000`.
* A relative path begins in the directory of the file that it stands in. The defaults stand in no file: they begin in
  the directory that pgvalet is started in.
* No secret stands in the file.
";

/// The text of docs/CONFIGURATION.md.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    for table in DOCUMENT.below() {
        section(&mut page, "##", table);
    }
    page
}

fn section(page: &mut String, level: &str, table: &Table) {
    // Writing into a String cannot fail.
    let _ = write!(
        page,
        "\n{level} `{}`\n\n{}\n\n| key | value | default | change | meaning |\n|---|---|---|---|---|\n",
        table.title, table.about
    );
    for key in table.keys {
        let (name, value, default) = (key.name, value(key), without(key));
        let (change, meaning) = (key.effect.words(), key.meaning);
        let _ = writeln!(
            page,
            "| `{name}` | {value} | {default} | {change} | {meaning} |"
        );
    }
    for inner in table.below() {
        section(page, &format!("{level}#"), inner);
    }
}

/// What may be written, and an example where the default is none.
fn value(key: &Key) -> String {
    let form = match key.kind {
        Kind::Text(what) => what.to_owned(),
        Kind::List(what) => format!("list of {what}"),
        Kind::Texts(what) => format!("table of texts; {what}"),
        Kind::Boolean => "`true` or `false`".to_owned(),
        Kind::BooleanOr(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            format!("`true`, `false`, {}", words.join(", "))
        }
        Kind::Number(least, most) => format!("{least} to {most}"),
        Kind::Duration(least) if least.as_secs() > 0 => {
            format!("duration, at least `\"{}\"`", duration::format(least))
        }
        Kind::Duration(_) => "duration".to_owned(),
        Kind::Words(words) => {
            let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
            words.join(", ")
        }
        Kind::User => "user".to_owned(),
        Kind::NumberOr(words) => format!("number, {words}"),
        Kind::Table(_) | Kind::Named(_) | Kind::TableAndNamed(_) | Kind::Array(_) => {
            "table, see below".to_owned()
        }
    };
    match key.example {
        Some(example) => format!("{form}; like `{example}`"),
        None => form,
    }
}

fn without(key: &Key) -> String {
    match key.default {
        Default::Required => "required".to_owned(),
        Default::Value(text) => format!("`{text}`"),
        Default::Absent(what) => what.to_owned(),
    }
}

//! Session settings that a client brought at start-up or set later.
//!
//! In transaction mode a client meets another server connection at every
//! lease. A profile is what it expects to be set there; equal profiles are one
//! object, so that in the usual case the comparison on a lease is that of two
//! pointers, and nothing is sent.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;

use crate::wire::sql::{LIMITS, Resets, push_literal, push_text};

/// Names in lower case, as Postgres compares them.
pub type Settings = BTreeMap<Box<str>, Box<str>>;

pub struct Profile {
    settings: Settings,
    /// What is made under it may be temporary, and no word of a text says so.
    pub temporary: bool,
    /// Under its time limits pgvalet's own work, or an idle connection, may be
    /// ended: they must not outlive a lease.
    pub short_limits: bool,
    /// Those of the settings that say what a text means.
    parse: Arc<Settings>,
}

/// The settings on which depends what Parse makes of a text: those of the
/// session, beside the defaults of its login.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ParseSettings {
    /// See [`Connection`](super::Connection).
    defaults: u64,
    own: Arc<Settings>,
}

impl ParseSettings {
    /// The statements that put these settings in force where `now` is in force,
    /// and those that lead back.
    pub fn in_place_of(&self, now: &Self) -> Option<[Vec<String>; 2]> {
        if Arc::ptr_eq(&self.own, &now.own) || self.own == now.own {
            return None;
        }
        Some([changes(&now.own, &self.own), changes(&self.own, &now.own)])
    }
}

/// On these depends what Parse makes of a text, or the plan that is kept with it:
/// whatever the lexer, the parser, the rewriter and the input function of a type
/// read, and the output functions that the planner folds (PostgreSQL 15 to 18).
const PARSE: [&str; 22] = [
    "array_nulls",                      // arrayfuncs.c: NULL in an array literal
    "backslash_quote",                  // scan.l
    "bytea_output",                     // varlena.c: byteaout is immutable
    "client_encoding",                  // the bytes of the text themselves
    "datestyle",                        // datetime.c: literals of dates
    "default_text_search_config",       // to_tsany.c
    "extra_float_digits",               // float.c: float8out is immutable
    "intervalstyle",                    // datetime.c: signs in interval literals
    "lc_monetary",                      // cash.c: money literals
    "lc_numeric",                       // formatting.c
    "lc_time",                          // formatting.c
    "quote_all_identifiers",            // ruleutils.c: quote_ident is immutable
    "restrict_nonsystem_relation_kind", // rewriteHandler.c: views
    "row_security",                     // rls.c, asked by the rewriter
    "search_path",                      // namespace.c: every unqualified name
    "session_replication_role",         // rewriteHandler.c: which rules fire
    "standard_conforming_strings",      // scan.l
    "timezone",                         // timestamp.c: timestamptz literals
    "timezone_abbreviations",           // datetime.c
    "transform_null_equals",            // parse_expr.c
    "xmlbinary",                        // xml.c
    "xmloption",                        // xml.c: xml literals
];

fn parse_settings(settings: &Settings) -> Settings {
    let own = settings
        .iter()
        .filter(|(name, _)| PARSE.contains(&&***name));
    own.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Each limit of less is lifted at the end of a lease: what pgvalet itself asks
/// takes no time to speak of, but the machine may be busy.
const SHORT_MS: f64 = 5000.0;

/// Whether a limit may end what pgvalet asks, or a connection that lies idle.
fn is_short(name: &str, value: &str) -> bool {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = value.split_at(digits.unwrap_or(value.len()));
    let factor = match unit.trim() {
        "us" => 0.001,
        "" | "ms" => 1.0,
        "s" => 1000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return true, // whatever it means
    };
    match number.parse::<f64>() {
        Ok(0.0) => false,
        Ok(_) if name == "idle_session_timeout" => true,
        Ok(number) => number * factor < SHORT_MS,
        Err(_) => true,
    }
}

static INITIAL: LazyLock<Arc<Profile>> = LazyLock::new(|| Arc::new(Profile::new(Settings::new())));

/// Whether what is made under this setting may become temporary: schemas in front
/// of `pg_temp` that are not there are passed over.
pub fn makes_temporary(name: &str, value: &str) -> bool {
    name == "search_path" && value.to_ascii_lowercase().contains("pg_temp")
}

impl Profile {
    fn new(settings: Settings) -> Self {
        let temporary = settings.iter().any(|(n, v)| makes_temporary(n, v));
        let limit = |name: &str| LIMITS.contains(&name);
        let short_limits = settings.iter().any(|(n, v)| limit(n) && is_short(n, v));
        let parse = Arc::new(parse_settings(&settings));
        Self {
            settings,
            temporary,
            short_limits,
            parse,
        }
    }

    /// The settings on which Parse depends; `defaults`: those of the login.
    pub fn parse_settings(&self, defaults: u64) -> ParseSettings {
        ParseSettings {
            defaults,
            own: self.parse.clone(),
        }
    }

    /// What is left when the time limits are reset.
    pub fn without_limits(&self) -> Settings {
        let mut settings = self.settings.clone();
        settings.retain(|name, _| !LIMITS.contains(&&**name));
        settings
    }

    /// Nothing set: what a server connection has after its login. One object
    /// for all, because it is compared by address.
    pub fn initial() -> Arc<Self> {
        INITIAL.clone()
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The statements that turn `from` into `self`; `None` when there is no
    /// difference.
    pub fn change_from(&self, from: &Self) -> Option<String> {
        let mut sql = String::new();
        for change in changes(&from.settings, &self.settings) {
            sql.push_str(&change);
            sql.push(';');
        }
        (!sql.is_empty()).then_some(sql)
    }

    /// Whether any of it is among what is reset.
    pub fn is_touched_by(&self, resets: &Resets) -> bool {
        match resets {
            Resets::One { name, .. } => self.settings.contains_key(name),
            Resets::All | Resets::Some => !self.settings.is_empty(),
        }
    }

    /// The statements that set anew what was reset.
    pub fn restore(&self, resets: &Resets) -> Vec<String> {
        let set = |name: &str, value: &str, local| {
            let mut sql = String::new();
            push_set(&mut sql, name, value, local);
            sql
        };
        match resets {
            Resets::One { name, local } => {
                let value = self.settings.get(name);
                value.iter().map(|v| set(name, v, *local)).collect()
            }
            Resets::All => {
                let all = self.settings.iter();
                all.map(|(name, value)| set(name, value, false)).collect()
            }
            Resets::Some => Vec::from_iter(self.restore_missing()),
        }
    }

    /// Sets what nobody has set otherwise in this session.
    fn restore_missing(&self) -> Option<String> {
        let mut rows = String::new();
        for (name, value) in &self.settings {
            rows.push_str(if rows.is_empty() { "(" } else { ", (" });
            push_text(&mut rows, name);
            rows.push_str(", ");
            push_text(&mut rows, value);
            rows.push(')');
        }
        // Those of custom classes are not in pg_settings.
        (!rows.is_empty()).then(|| {
            format!(
                "SELECT pg_catalog.set_config(s.name, s.value, false) \
                 FROM (VALUES {rows}) AS s (name, value) \
                 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_settings AS p \
                 WHERE pg_catalog.lower(p.name) OPERATOR(pg_catalog.=) s.name \
                 AND p.source OPERATOR(pg_catalog.=) 'session') \
                 AND (pg_catalog.strpos(s.name, '.') OPERATOR(pg_catalog.=) 0 \
                 OR COALESCE(pg_catalog.current_setting(s.name, true), '') \
                 OPERATOR(pg_catalog.=) '')"
            )
        })
    }
}

/// The statements that lead from some settings to others. Time limits come last:
/// they hold for what is set behind them.
fn changes(from: &Settings, to: &Settings) -> Vec<String> {
    let mut all = Vec::new();
    for name in from.keys().filter(|n| !to.contains_key(*n)) {
        let mut sql = String::new();
        if name.is_ascii() {
            sql.push_str("RESET ");
            push_name(&mut sql, name);
        } else {
            push_call(&mut sql, name, None, false);
        }
        all.push(sql);
    }
    let limit = |name: &str| LIMITS.contains(&name);
    for limits in [false, true] {
        for (name, value) in to {
            if from.get(name) != Some(value) && limit(name) == limits {
                let mut sql = String::new();
                push_set(&mut sql, name, value, false);
                all.push(sql);
            }
        }
    }
    all
}

fn push_set(sql: &mut String, name: &str, value: &str, local: bool) {
    if !name.is_ascii() || !value.is_ascii() {
        push_call(sql, name, Some(value), local);
    } else if LISTS.contains(&name) {
        // A query would fix the snapshot of a transaction; SET does not.
        let Some(items) = items(value) else {
            return push_call(sql, name, Some(value), local);
        };
        sql.push_str(if local { "SET LOCAL " } else { "SET " });
        push_name(sql, name);
        for (n, item) in items.iter().enumerate() {
            sql.push_str(if n == 0 { " = " } else { ", " });
            push_literal(sql, item);
        }
    } else {
        sql.push_str(if local { "SET LOCAL " } else { "SET " });
        push_name(sql, name);
        sql.push_str(" = ");
        push_literal(sql, value);
    }
}

fn push_call(sql: &mut String, name: &str, value: Option<&str>, local: bool) {
    sql.push_str("SELECT pg_catalog.set_config(");
    push_text(sql, name);
    sql.push_str(", ");
    match value {
        Some(value) => push_text(sql, value),
        None => sql.push_str("NULL"),
    }
    sql.push_str(if local { ", true)" } else { ", false)" });
}

/// Settings whose value is a list of names (GUC_LIST_QUOTE in guc_tables.c):
/// SET takes a literal for one name and would quote the commas in it.
const LISTS: [&str; 4] = [
    "search_path",
    "temp_tablespaces",
    "local_preload_libraries",
    "session_preload_libraries",
];

/// The names in a list, as SplitIdentifierString (varlena.c) reads them. `None`
/// where it would find fault, or there are none.
fn items(value: &str) -> Option<Vec<String>> {
    let mut items = Vec::new();
    let mut rest = value.trim();
    loop {
        let (item, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let (mut item, mut chars) = (String::new(), quoted.char_indices().peekable());
            let end = loop {
                match chars.next()? {
                    (_, '"') if chars.next_if(|(_, c)| *c == '"').is_some() => item.push('"'),
                    (at, '"') => break at + 1,
                    (_, c) => item.push(c),
                }
            };
            (item, &quoted[end..])
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let item = rest[..end].trim_end();
            if item.contains(|c: char| c == '"' || c.is_ascii_whitespace()) {
                return None;
            }
            (item.to_ascii_lowercase(), &rest[end..])
        };
        // NAMEDATALEN: it would be cut.
        if item.is_empty() || item.len() > 63 {
            return None;
        }
        items.push(item);
        match after.trim_start().strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None if after.trim_start().is_empty() => return Some(items),
            None => return None,
        }
    }
}

/// A setting's name, quoted; the dot of a custom one stands outside the quotes.
fn push_name(sql: &mut String, name: &str) {
    for (i, part) in name.split('.').enumerate() {
        if i > 0 {
            sql.push('.');
        }
        sql.push('"');
        sql.push_str(&part.replace('"', "\"\""));
        sql.push('"');
    }
}

/// The profiles of a pool's clients.
#[derive(Default)]
pub struct Profiles {
    known: Mutex<HashMap<Settings, Weak<Profile>>>,
}

impl Profiles {
    /// The one object that stands for these settings.
    pub fn intern(&self, settings: Settings) -> Arc<Profile> {
        if settings.is_empty() {
            return Profile::initial();
        }
        let mut known = self.known.lock();
        if let Some(profile) = known.get(&settings).and_then(Weak::upgrade) {
            return profile;
        }
        known.retain(|_, p| p.strong_count() > 0);
        let profile = Arc::new(Profile::new(settings.clone()));
        known.insert(settings, Arc::downgrade(&profile));
        profile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(settings: &[(&str, &str)]) -> Profile {
        Profile::new(
            settings
                .iter()
                .map(|(n, v)| ((*n).into(), (*v).into()))
                .collect(),
        )
    }

    #[test]
    fn equal_settings_are_one_object() {
        let profiles = Profiles::default();
        let settings = profile(&[("timezone", "UTC")]).settings;
        let one = profiles.intern(settings.clone());
        assert!(Arc::ptr_eq(&one, &profiles.intern(settings)));
        assert!(Arc::ptr_eq(
            &profiles.intern(Settings::new()),
            &Profile::initial()
        ));
    }

    #[test]
    fn what_a_search_path_makes_temporary() {
        for path in [
            "pg_temp",
            " \"pg_temp\", public",
            "PG_TEMP,a",
            "pg_temp_3",
            "\"$user\", pg_temp",
        ] {
            assert!(profile(&[("search_path", path)]).temporary, "{path}");
        }
        for path in ["", "a", "\"\""] {
            assert!(!profile(&[("search_path", path)]).temporary, "{path}");
        }
        assert!(!profile(&[("application_name", "pg_temp")]).temporary);
    }

    #[test]
    fn only_the_difference_is_sent() {
        let a = profile(&[("timezone", "UTC"), ("work_mem", "4MB")]);
        let b = profile(&[("timezone", "UTC"), ("my.tenant", "it's")]);
        assert_eq!(a.change_from(&a), None);
        assert_eq!(
            b.change_from(&a).as_deref(),
            Some(r#"RESET "work_mem";SET "my"."tenant" = 'it''s';"#)
        );
    }

    #[test]
    fn what_was_reset_is_set_anew() {
        let own = profile(&[("search_path", "a, b"), ("timezone", "Europe/Rome")]);
        let one = |name: &str, local| Resets::One {
            name: name.into(),
            local,
        };
        assert_eq!(
            own.restore(&one("timezone", true)),
            [r#"SET LOCAL "timezone" = 'Europe/Rome'"#]
        );
        assert_eq!(own.restore(&one("work_mem", false)), [""; 0]);
        assert!(!own.is_touched_by(&one("work_mem", false)));
        assert_eq!(
            own.restore(&Resets::All),
            [
                r#"SET "search_path" = 'a', 'b'"#,
                r#"SET "timezone" = 'Europe/Rome'"#
            ]
        );
        let [missing] = &own.restore(&Resets::Some)[..] else {
            panic!("one statement, for all of them")
        };
        assert!(missing.contains("('search_path', 'a, b'), ('timezone', 'Europe/Rome')"));
        let none = Profile::initial();
        assert!(!none.is_touched_by(&Resets::All) && none.restore(&Resets::Some).is_empty());
    }

    #[test]
    fn limits_are_set_last_and_short_ones_noticed() {
        let b = profile(&[("lock_timeout", "10s"), ("timezone", "UTC")]);
        assert_eq!(
            b.change_from(&profile(&[])).as_deref(),
            Some(r#"SET "timezone" = 'UTC';SET "lock_timeout" = '10s';"#)
        );
        assert!(!b.short_limits);
        for (name, value, short) in [
            ("statement_timeout", "1", true),
            ("statement_timeout", "4999ms", true),
            ("statement_timeout", "0", false),
            ("statement_timeout", "0.1 min", false),
            ("statement_timeout", "1.5s", true),
            ("statement_timeout", "5000000us", false),
            ("statement_timeout", "1 h", false),
            ("statement_timeout", "0x10", true),
            ("idle_session_timeout", "1h", true),
            ("idle_session_timeout", "0", false),
            ("work_mem", "1", false),
        ] {
            assert_eq!(
                profile(&[(name, value)]).short_limits,
                short,
                "{name} {value}"
            );
        }
    }

    #[test]
    fn settings_of_parse_are_changed_there_and_back() {
        let a = profile(&[("timezone", "UTC"), ("work_mem", "1MB")]).parse_settings(0);
        let b = profile(&[("timezone", "Asia/Tokyo"), ("search_path", "a")]).parse_settings(0);
        let same = profile(&[("timezone", "UTC")]).parse_settings(0);
        assert_eq!(a.in_place_of(&same), None);
        let [there, back] = b.in_place_of(&a).unwrap();
        assert_eq!(there.len(), 2);
        assert_eq!(
            back,
            [r#"RESET "search_path""#, r#"SET "timezone" = 'UTC'"#]
        );
    }

    #[test]
    fn a_list_of_names_stays_one() {
        let b = profile(&[("search_path", "a, \"B\"")]);
        assert_eq!(
            b.change_from(&profile(&[])).as_deref(),
            Some(r#"SET "search_path" = 'a', 'B';"#)
        );
        for (value, wanted) in [
            (r#""$user", public"#, &["$user", "public"][..]),
            (r#"A , "b""c,d""#, &["a", "b\"c,d"]),
            ("", &[]),
            ("a,", &[]),
            ("a b", &[]),
            (r#""a"#, &[]),
            (r#"a"b"#, &[]),
        ] {
            assert_eq!(items(value).unwrap_or_default(), wanted, "{value}");
        }
    }

    #[test]
    fn what_is_sent_means_the_same_in_every_encoding() {
        let a = profile(&[("my.größe", "ä"), ("application_name", "é")]);
        let none = profile(&[]);
        for sql in [
            a.change_from(&none),
            none.change_from(&a),
            Some(a.restore(&Resets::All).concat()),
            Some(a.restore(&Resets::Some).concat()),
        ] {
            assert!(sql.as_ref().is_some_and(|sql| sql.is_ascii()), "{sql:?}");
        }
        assert_eq!(
            profile(&[("a", "é")]).change_from(&none).as_deref(),
            Some(
                "SELECT pg_catalog.set_config('a', \
                 pg_catalog.convert_from(pg_catalog.decode('c3a9', 'hex'), 'UTF8'), false);"
            )
        );
    }

    #[test]
    fn nothing_escapes_from_a_value_or_a_name() {
        let b = profile(&[("a\"b", "\\'; DROP TABLE x --")]);
        assert_eq!(
            b.change_from(&profile(&[])).as_deref(),
            Some(r#"SET "a""b" = E'\\''; DROP TABLE x --';"#)
        );
    }
}

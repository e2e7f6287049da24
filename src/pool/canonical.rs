//! How Postgres shows a setting that a client has written in another way. Only settings are here
//! that Postgres reports, and whose form is known without asking it.

/// How the server shows `value`; `None` where only the server knows. `now`: what it
/// reports of this setting where nobody has set it; `server_version` as reported.
pub(super) fn shown(name: &str, value: &str, now: &str, server_version: &str) -> Option<String> {
    match name {
        "application_name" => Some(application_name(value, server_version)),
        "IntervalStyle" => {
            let value = value.to_ascii_lowercase();
            let known = ["postgres", "postgres_verbose", "sql_standard", "iso_8601"];
            known.contains(&value.as_str()).then_some(value)
        }
        "DateStyle" => date_style(value, now),
        "client_encoding" => encoding(value),
        "standard_conforming_strings" | "default_transaction_read_only" => boolean(value),
        _ => None,
    }
}

/// Cleans a name as `pg_clean_ascii` does: bytes that are no printable ASCII are escaped, and
/// became question marks before version 16.
fn application_name(value: &str, server_version: &str) -> String {
    let digits = server_version.find(|c: char| !c.is_ascii_digit());
    let major = &server_version[..digits.unwrap_or(server_version.len())];
    let escapes = major.parse::<u32>().is_ok_and(|major| major >= 16);
    let mut shown = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b' '..=b'~' => shown.push(char::from(byte)),
            _ if escapes => shown.push_str(&format!("\\x{byte:02x}")),
            _ => shown.push('?'),
        }
    }
    shown
}

/// Reads a truth value as `parse_bool` does: any beginning that only one of the words has.
fn boolean(value: &str) -> Option<String> {
    let value = value.to_ascii_lowercase();
    let begins = |word: &str, least: usize| value.len() >= least && word.starts_with(&*value);
    let on = begins("true", 1) || begins("yes", 1) || value == "on" || value == "1";
    let off = begins("false", 1) || begins("no", 1) || begins("off", 2) || value == "0";
    match (on, off) {
        (true, false) => Some("on".into()),
        (false, true) => Some("off".into()),
        _ => None,
    }
}

/// Completes a date style as `check_datestyle` does.
fn date_style(value: &str, now: &str) -> Option<String> {
    let (mut style, mut order) = now.split_once(", ")?;
    let mut ordered = false;
    for word in value.split(',') {
        let word = word.trim().trim_matches('"').to_ascii_lowercase();
        match word.as_str() {
            "iso" => style = "ISO",
            "sql" => style = "SQL",
            "german" => {
                style = "German";
                if !ordered {
                    order = "DMY";
                }
            }
            word if word.starts_with("postgres") => style = "Postgres",
            "ymd" => (order, ordered) = ("YMD", true),
            "dmy" => (order, ordered) = ("DMY", true),
            word if word.starts_with("euro") => (order, ordered) = ("DMY", true),
            "mdy" | "us" => (order, ordered) = ("MDY", true),
            word if word.starts_with("noneuro") => (order, ordered) = ("MDY", true),
            _ => return None,
        }
    }
    Some(format!("{style}, {order}"))
}

/// Finds an encoding as `pg_char_to_encoding` does, among those that clients use: only letters and
/// digits of a name count.
fn encoding(value: &str) -> Option<String> {
    let clean: String = value
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let name = match clean.as_str() {
        "utf8" | "unicode" => "UTF8",
        "sqlascii" => "SQL_ASCII",
        "latin1" | "iso88591" => "LATIN1",
        "latin2" | "iso88592" => "LATIN2",
        "latin9" | "iso885915" => "LATIN9",
        "win1250" | "windows1250" => "WIN1250",
        "win1251" | "windows1251" | "win" => "WIN1251",
        "win1252" | "windows1252" => "WIN1252",
        "eucjp" => "EUC_JP",
        "sjis" | "shiftjis" | "mskanji" | "win932" | "windows932" => "SJIS",
        _ => return None,
    };
    Some(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_shows() {
        for (name, value, wanted) in [
            ("application_name", "psql", Some("psql")),
            ("application_name", "né\t", Some("n\\xc3\\xa9\\x09")),
            ("IntervalStyle", "ISO_8601", Some("iso_8601")),
            ("IntervalStyle", "none", None),
            ("DateStyle", "german", Some("German, DMY")),
            ("DateStyle", "SQL", Some("SQL, MDY")),
            ("DateStyle", "dmy, iso", Some("ISO, DMY")),
            ("DateStyle", "mdy, german", Some("German, MDY")),
            ("DateStyle", "default", None),
            ("client_encoding", "latin1", Some("LATIN1")),
            ("client_encoding", "Utf-8", Some("UTF8")),
            ("client_encoding", "koi8", None),
            ("standard_conforming_strings", "0", Some("off")),
            ("standard_conforming_strings", "of", Some("off")),
            ("standard_conforming_strings", "o", None),
            ("default_transaction_read_only", "true", Some("on")),
            ("TimeZone", "utc", None),
        ] {
            let shown = shown(name, value, "ISO, MDY", "18.1");
            assert_eq!(shown.as_deref(), wanted, "{name} {value}");
        }
        let old = shown("application_name", "né", "", "15.4 (Debian)");
        assert_eq!(old.as_deref(), Some("n??"));
    }
}

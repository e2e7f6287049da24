//! The settings that a client makes at start-up: the parameters of its packet, and the
//! switches inside `options`, read as Postgres reads them.

use crate::pool::Settings;
use crate::wire::startup::Startup;
use crate::wire::{ClientError, NotASetting, SettingName};

impl From<NotASetting> for ClientError {
    fn from(error: NotASetting) -> Self {
        Self::BadParameter(error.to_string())
    }
}

/// Reads the settings of a start-up packet. The later of two values counts, and a parameter
/// of its own counts more than a switch (process_startup_options).
///
/// # Errors
/// Something is not a setting: above all what would change who the client is, or where it is
/// connected to.
pub fn settings(startup: &Startup) -> Result<Settings, ClientError> {
    let switches = match &startup.options {
        Some(options) => switches(&split(options))?,
        None => Vec::new(),
    };
    let parameters = startup.parameters.iter();
    let parameters = parameters.map(|(n, v)| (n.clone(), v.clone()));
    let mut settings = Settings::new();
    for (name, value) in switches.into_iter().chain(parameters) {
        settings.insert(SettingName::new(&name)?.into(), value.into());
    }
    Ok(settings)
}

/// Splits `options` into words as pg_split_opts does: white space ends a word, a backslash
/// takes the next character as it is, and a backslash at the end means nothing.
fn split(text: &str) -> Vec<String> {
    // isspace, which unlike `is_ascii_whitespace` knows the vertical tab.
    let space = |c: char| c.is_ascii_whitespace() || c == '\x0b';
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|&c| space(c)).is_some() {}
        if chars.peek().is_none() {
            return words;
        }
        let mut word = String::new();
        while let Some(c) = chars.next_if(|&c| !space(c)) {
            match c {
                '\\' => word.extend(chars.next()),
                c => word.push(c),
            }
        }
        words.push(word);
    }
}

/// Reads the switches that make settings: `-c name=value` and `--name=value`
/// (process_postgres_switches). The other switches of a server are not for clients.
fn switches(words: &[String]) -> Result<Vec<(String, String)>, ClientError> {
    let bad =
        || ClientError::BadParameter("options may hold only -c name=value and --name=value".into());
    let mut settings = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            words.next().ok_or_else(bad)?
        } else {
            let rest = word.strip_prefix("--").or_else(|| word.strip_prefix("-c"));
            rest.ok_or_else(bad)?
        };
        let (name, value) = setting.split_once('=').ok_or_else(bad)?;
        // ParseLongOption: dashes stand for underscores.
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(options: Option<&str>, parameters: &[(&str, &str)]) -> Startup {
        Startup {
            options: options.map(Into::into),
            parameters: parameters
                .iter()
                .map(|(n, v)| ((*n).into(), (*v).into()))
                .collect(),
            ..Startup::default()
        }
    }

    #[test]
    fn options_are_settings() {
        let options = r"-c search_path=a,\ b --statement-timeout=5s  -cwork_mem=4MB";
        let startup = with(Some(options), &[("DateStyle", "ISO")]);
        let expected = [
            ("datestyle", "ISO"),
            ("search_path", "a, b"),
            ("statement_timeout", "5s"),
            ("work_mem", "4MB"),
        ];
        let settings = settings(&startup).expect("settings");
        let settings: Vec<_> = settings.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(settings, expected);
    }

    #[test]
    fn a_parameter_of_its_own_wins_over_a_switch() {
        let startup = with(Some("-c work_mem=1MB"), &[("Work_Mem", "2MB")]);
        let settings = settings(&startup).expect("settings");
        assert_eq!(settings.get("work_mem").map(|v| &**v), Some("2MB"));
    }

    #[test]
    fn words_end_where_they_end_in_postgres() {
        for (text, expected) in [
            ("", &[][..]),
            (" \t\n\x0b\x0c\r", &[]),
            ("-c a=b\x0b-c c=d", &["-c", "a=b", "-c", "c=d"]),
            (r"a\ b\\ c\d", &[r"a b\", "cd"]),
            (r"a\", &["a"]),
            (r"\", &[""]),
        ] {
            assert_eq!(split(text), expected, "{text:?}");
        }
    }

    /// Every way to write a word of the protocol where a setting stands.
    #[test]
    fn nobody_becomes_somebody_else_at_start_up() {
        let words = [
            "user",
            "database",
            "options",
            "replication",
            "_pq_.x",
            "role",
            "session_authorization",
        ];
        for word in words {
            let capital = format!("{}{}", word[..1].to_uppercase(), &word[1..]);
            let dashed = word.replace('_', "-");
            let escaped: String = word.chars().flat_map(|c| ['\\', c]).collect();
            for name in [word, &capital, &word.to_uppercase()] {
                let startup = with(None, &[(name, "x")]);
                assert!(settings(&startup).is_err(), "{name}");
            }
            for name in [word, &capital, &word.to_uppercase(), &dashed, &escaped] {
                for options in [
                    format!("-c {name}=x"),
                    format!("-c{name}=x"),
                    format!("--{name}=x"),
                    format!(r"\-\c {name}=x"),
                    format!("-c\\\n{name}=x"),
                    format!("-c search_path=a -c {name}=x"),
                    format!("-c search_path=a\x0b-c\x0b{name}=x"),
                    format!("-c {name}"),
                    format!("-c {name}= "),
                ] {
                    let startup = with(Some(&options), &[]);
                    assert!(settings(&startup).is_err(), "{options:?}");
                }
            }
        }
        for options in ["-d 5", "-c", "--", "-ec role=x", "x", "-c a", "-c =b"] {
            let startup = with(Some(options), &[]);
            assert!(settings(&startup).is_err(), "{options:?}");
        }
        for name in ["a b", "", "a=b", "a-b", "ro\u{17f}le"] {
            let startup = with(None, &[(name, "c")]);
            assert!(settings(&startup).is_err(), "{name:?}");
        }
    }
}

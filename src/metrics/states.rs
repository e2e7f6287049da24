//! Gauges that are replaced as a whole before they are read, so that what is gone leaves no
//! series behind.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Family, Gauge};

/// All series of such gauges, by family.
#[derive(Default)]
pub(super) struct States(BTreeMap<&'static str, Shown>);

struct Shown {
    help: &'static str,
    /// Labels and value, as they are rendered.
    series: Vec<String>,
}

impl States {
    pub fn replace<'a, const N: usize>(
        &mut self,
        family: &Family<Gauge, N>,
        rows: impl IntoIterator<Item = ([&'a str; N], f64)>,
    ) {
        let mut series: Vec<String> = rows
            .into_iter()
            .map(|(values, value)| format!("{}{} {value}", family.name, labels(family, values)))
            .collect();
        series.sort_unstable();
        let help = family.help;
        self.0.insert(family.name, Shown { help, series });
    }

    pub fn render(&self, text: &mut String) {
        for (name, Shown { help, series }) in &self.0 {
            // Writing to a String does not fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for line in series {
                let _ = writeln!(text, "{line}");
            }
        }
    }
}

fn labels<const N: usize>(family: &Family<Gauge, N>, values: [&str; N]) -> String {
    if N == 0 {
        return String::new();
    }
    let one = |(name, value): (&&str, &str)| {
        let value = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    };
    let all: Vec<String> = family.labels.iter().zip(values).map(one).collect();
    format!("{{{}}}", all.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: Family<Gauge, 2> =
        Family::new("pgvalet_test_state", "A state.", ["kind", "place"]);
    const ONE: Family<Gauge, 0> = Family::new("pgvalet_test_one", "One.", []);

    #[test]
    fn what_is_gone_leaves_no_series_behind() {
        let mut states = States::default();
        let mut text = String::new();
        states.replace(&STATE, [(["a", "x"], 1.0), (["b", "q\"\\\n"], 1.5)]);
        states.replace(&ONE, [([], 3.0)]);
        states.render(&mut text);
        assert_eq!(
            text,
            "# HELP pgvalet_test_one One.\n# TYPE pgvalet_test_one gauge\npgvalet_test_one 3\n\
             # HELP pgvalet_test_state A state.\n# TYPE pgvalet_test_state gauge\n\
             pgvalet_test_state{kind=\"a\",place=\"x\"} 1\n\
             pgvalet_test_state{kind=\"b\",place=\"q\\\"\\\\\\n\"} 1.5\n"
        );
        states.replace(&STATE, []);
        text.clear();
        states.render(&mut text);
        assert!(!text.contains("pgvalet_test_state{"), "{text}");
    }
}

//! A model of one setting of a backend, as `guc.c` has it.

pub struct Zone {
    pub value: String,
    /// By SET, within the session.
    set: bool,
    /// Where RESET leads.
    reset: String,
    /// As it was before the transaction.
    before: Option<(String, bool)>,
    reported: String,
    /// A RESET was run since the last ReadyForQuery.
    pub was_reset: bool,
}

/// What a statement answers beside its tag.
pub struct Done {
    pub tag: &'static str,
    pub row: Option<String>,
}

pub fn resets(sql: &str) -> bool {
    matches!(sql, "RESET zone" | "RESET ALL" | "SET zone TO DEFAULT")
}

impl Zone {
    pub fn new(reset: &str) -> Self {
        Self {
            value: reset.into(),
            set: false,
            reset: reset.into(),
            before: None,
            reported: reset.into(),
            was_reset: false,
        }
    }

    /// `None`: the statement is about something else.
    pub fn run(&mut self, sql: &str) -> Option<Done> {
        let before = (self.value.clone(), self.set);
        self.before.get_or_insert(before);
        let done = |tag| Some(Done { tag, row: None });
        if resets(sql) {
            (self.value, self.set) = (self.reset.clone(), false);
            self.was_reset = true;
            return done(if sql.starts_with("SET") {
                "SET"
            } else {
                "RESET"
            });
        }
        if sql == "SHOW zone" {
            let row = Some(self.value.clone());
            return Some(Done { tag: "SHOW", row });
        }
        // What pgvalet asks when it does not know what has been set.
        let missing = sql.starts_with("SELECT pg_catalog.set_config(s.name, s.value, false)");
        let value = if missing {
            sql.split_once("('zone', '")?.1.split_once('\'')?.0
        } else {
            sql.strip_prefix("SET zone ")
                .or_else(|| sql.strip_prefix("SET \"zone\" = '")?.strip_suffix('\''))?
        };
        if !missing || !self.set {
            (self.value, self.set) = (value.into(), true);
        }
        done(if missing { "SELECT 1" } else { "SET" })
    }

    pub fn roll_back(&mut self) {
        if let Some(before) = self.before.take() {
            (self.value, self.set) = before;
        }
    }

    pub fn commit(&mut self) {
        self.before = None;
    }

    /// What is reported in front of ReadyForQuery.
    pub fn report(&mut self) -> Option<&str> {
        self.was_reset = false;
        if self.reported == self.value {
            return None;
        }
        self.reported.clone_from(&self.value);
        Some(&self.reported)
    }
}

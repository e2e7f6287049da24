//! The settings on which depends what Parse makes of a text.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Settings, changes};

/// The settings under which a statement was parsed: those of the session, beside
/// the defaults of its login.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ParseSettings {
    /// The defaults of the login, as a digest; see [`Connection`](crate::pool::Connection).
    defaults: u64,
    own: Arc<Settings>,
}

impl ParseSettings {
    pub(super) fn new(defaults: u64, own: Arc<Settings>) -> Self {
        Self { defaults, own }
    }

    /// The statements that put these settings in force where `now` is in force,
    /// and those that lead back. `None` where there is no difference.
    pub fn in_place_of(&self, now: &Self) -> Option<[Vec<String>; 2]> {
        if Arc::ptr_eq(&self.own, &now.own) || self.own == now.own {
            return None;
        }
        Some([changes(&now.own, &self.own), changes(&self.own, &now.own)])
    }
}

/// Settings on which depends what Parse makes of a text, or the plan that is kept
/// with it: those that the lexer, the parser, the rewriter and the input functions
/// of types read, and the output functions that the planner folds (PostgreSQL 15
/// to 18).
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

/// The settings among these that say what a text means.
pub(super) fn of_parse(settings: &Settings) -> Settings {
    let own = settings
        .iter()
        .filter(|(name, _)| PARSE.contains(&&***name));
    own.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

//! The keys of `[store]` that are for AWS.

use std::path::PathBuf;

use crate::base::nonempty;
use crate::config::section::Section;
use crate::config::vault::private_url;

/// The address of a store.
pub(in crate::config) fn url(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() => nonempty(text),
        _ => Err(format!(
            "{text:?} is no URL; write it like \"https://secretsmanager.eu-west-1.amazonaws.com\""
        )),
    }
}

/// The agent of AWS, if that is asked, and the file of its token.
pub(super) fn agent(s: &mut Section<'_, '_>) -> Option<(String, PathBuf)> {
    if s.has("agent_token_file") && !s.has("agent") {
        s.wrong(
            "agent_token_file is for an agent; add agent = \"http://localhost:2773\" or remove it",
        );
    }
    let url = s.text("agent", private_url);
    let token_file = s.path("agent_token_file").unwrap_or_default();
    Some((url?, token_file))
}

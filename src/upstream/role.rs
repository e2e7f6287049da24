//! Primary or standby: at which of several servers a login ends.

use super::Server;
use crate::upstream::SessionAttrs;

/// What a server has to be in each pass over the places.
pub(super) fn passes(attrs: SessionAttrs) -> &'static [SessionAttrs] {
    match attrs {
        SessionAttrs::Any => &[SessionAttrs::Any],
        SessionAttrs::ReadWrite => &[SessionAttrs::ReadWrite],
        SessionAttrs::ReadOnly => &[SessionAttrs::ReadOnly],
        SessionAttrs::PreferStandby => &[SessionAttrs::PreferStandby, SessionAttrs::Any],
    }
}

/// Asks a server what it is; before 14 it does not say so by itself.
const QUESTION: &str = "SELECT pg_catalog.pg_is_in_recovery(), \
     pg_catalog.current_setting('default_transaction_read_only')";

/// Whether a server that has just let us in is of the wanted kind.
pub(super) async fn suits(server: &mut Server, wanted: SessionAttrs) -> bool {
    if wanted == SessionAttrs::Any {
        return true;
    }
    let on = |name: &str| server.reported.get(name).map(|v| v == "on");
    let (standby, read_only) = match (on("in_hot_standby"), on("default_transaction_read_only")) {
        (Some(standby), Some(read_only)) => (standby, read_only),
        _ => match server.exchange(&[QUESTION]).await {
            Ok(answers) => match &answers.rows[..] {
                [rows] if rows.len() == 1 && rows[0].len() == 2 => {
                    (rows[0][0] == "t", rows[0][1] == "on")
                }
                _ => return false,
            },
            Err(_) => return false,
        },
    };
    match wanted {
        SessionAttrs::Any => true,
        SessionAttrs::ReadWrite => !standby && !read_only,
        SessionAttrs::ReadOnly => standby || read_only,
        SessionAttrs::PreferStandby => standby,
    }
}

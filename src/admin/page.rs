//! The status page: files that are part of the program, the same for everybody. What they
//! show, the page asks of `/events`, with the reader's token where one is needed.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Nothing but files of this listener is loaded, no text ever becomes markup, and no other
/// page may hold this one in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// A file: its path, what it is, and its text.
type File = (&'static str, &'static str, &'static str);

macro_rules! files {
    ($($path:literal, $kind:ident, $name:literal;)*) => {
        [$(($path, $kind, include_str!(concat!("page/", $name)))),*]
    };
}

const FILES: &[File] = &files! {
    "/", HTML, "index.html";
    "/page/page.css", CSS, "page.css";
    "/page/icon.svg", PICTURE, "icon.svg";
    "/page/main.js", SCRIPT, "main.js";
    "/page/actions.js", SCRIPT, "actions.js";
    "/page/databases.js", SCRIPT, "databases.js";
    "/page/dom.js", SCRIPT, "dom.js";
    "/page/feed.js", SCRIPT, "feed.js";
    "/page/figures.js", SCRIPT, "figures.js";
    "/page/model.js", SCRIPT, "model.js";
    "/page/records.js", SCRIPT, "records.js";
    "/page/rotations.js", SCRIPT, "rotations.js";
    "/page/rules.js", SCRIPT, "rules.js";
    "/page/secrets.js", SCRIPT, "secrets.js";
    "/page/sessions.js", SCRIPT, "sessions.js";
    "/page/signin.js", SCRIPT, "signin.js";
    "/page/table.js", SCRIPT, "table.js";
    "/page/token.js", SCRIPT, "token.js";
    "/page/words.js", SCRIPT, "words.js";
};

/// The paths of the page. Anybody may have it: it says nothing about this proxy.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().fold(Router::new(), |router, file| {
        router.route(file.0, get(async || serve(file)))
    })
}

fn serve((_, kind, text): &'static File) -> Response {
    let headers = [
        (header::CONTENT_TYPE, *kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, *text).into_response()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/page");
        let there = fs::read_dir(folder).expect("a folder").count();
        assert_eq!(FILES.len(), there);
    }
}

//! The page of `audit compliance` for a browser: one file that loads nothing.

use std::io::{self, Write};

use super::page::Page;

const STYLE: &str = "body{font:14px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}\
    h2{font-size:1.1em;margin:1.6em 0 .2em}p.a{color:#666;margin:0 0 .4em}li{margin:.2em 0}";

pub(super) fn write(page: &Page, out: &mut dyn Write) -> io::Result<()> {
    let title = escape(&page.title());
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
        <style>{STYLE}</style></head><body>\n<h1>{title}</h1>"
    )?;
    for part in page.parts() {
        let (head, answers) = (escape(part.title), escape(part.answers));
        writeln!(out, "<h2>{head}</h2><p class=\"a\">{answers}</p>")?;
        if part.lines.is_empty() {
            writeln!(out, "<p>{}</p>", escape(part.none))?;
            continue;
        }
        writeln!(out, "<ul>")?;
        for line in part.lines {
            writeln!(out, "<li>{}</li>", escape(&line))?;
        }
        writeln!(out, "</ul>")?;
    }
    writeln!(out, "</body></html>")
}

/// Text for HTML. Clients chose some of it.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_chose_is_text() {
        assert_eq!(escape("<b a=\"&\">"), "&lt;b a=&quot;&amp;&quot;&gt;");
    }
}

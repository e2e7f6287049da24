//! The password file of libpq: lines of `host:port:database:user:password`, where `*`
//! fits everything and `\` takes the meaning of the character behind it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::url::ServerUrl;

/// The password for the first host of the URL that a line fits.
///
/// # Errors
/// In words: the file cannot be read, can be read by others, or has no such line.
pub fn read(file: &Path, url: &ServerUrl) -> Result<Zeroizing<String>, String> {
    let shown = file.display();
    let unreadable = |e| format!("cannot read the password file {shown}: {e}");
    let mode = fs::metadata(file).map_err(unreadable)?.mode();
    if mode & 0o077 != 0 {
        return Err(format!(
            "the password file {shown} can be read by others than its owner; run: chmod 600 {shown}"
        ));
    }
    let text = Zeroizing::new(fs::read_to_string(file).map_err(unreadable)?);
    url.hosts
        .iter()
        .find_map(|(host, port)| find(&text, host, *port, url))
        .ok_or_else(|| {
            format!(
                "the password file {shown} has no line for {} at {url}",
                url.user
            )
        })
}

fn find(text: &str, host: &str, port: u16, url: &ServerUrl) -> Option<Zeroizing<String>> {
    // libpq calls every socket localhost.
    let host = if host.starts_with('/') {
        "localhost"
    } else {
        host
    };
    let port = port.to_string();
    let wanted = [host, port.as_str(), &url.dbname, &url.user];
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut fields = Fields(line);
            let fits = wanted.iter().all(|wanted| {
                fields
                    .next()
                    .is_some_and(|field| *field == "*" || *field == **wanted)
            });
            // Colons in the password need no backslash, so that it is the whole rest.
            fits.then(|| unescaped(fields.0))
        })
}

/// The fields of a line that end with a colon.
struct Fields<'a>(&'a str);

impl Iterator for Fields<'_> {
    type Item = Zeroizing<String>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut escaped = false;
        let end = self.0.find(|c| {
            let ends = c == ':' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        })?;
        let field = unescaped(&self.0[..end]);
        self.0 = &self.0[end + 1..];
        Some(field)
    }
}

fn unescaped(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let url = |text: &str| ServerUrl::parse(text, |path| path.into()).unwrap();
        let text = "# a comment\nother:*:*:*:no\nh:5432:d:u:pass:with\\\\colon\n*:*:d\\:x:*:last\n\
                    localhost:5433:*:u:socket";
        let of = |at: &str| {
            let url = url(at);
            let (host, port) = url.hosts[0].clone();
            find(text, &host, port, &url).map(|found| found.to_string())
        };
        assert_eq!(of("postgres://u@h/d").as_deref(), Some("pass:with\\colon"));
        assert_eq!(of("postgres://v@k/d:x").as_deref(), Some("last"));
        let socket = "postgres://u@/d?host=/run&port=5433";
        assert_eq!(of(socket).as_deref(), Some("socket"));
        assert_eq!(of("postgres://v@h/d"), None);
    }
}

//! Reading the value of a secret.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use super::{Io, SecretCommandError};

/// What Secrets Manager accepts, in bytes.
const LIMIT: usize = 65_536;

/// The value in the file, or on standard input. One newline at its end is not
/// part of it: editors and `echo` put it there.
pub fn read(file: Option<&Path>, io: &mut Io<'_>) -> Result<Zeroizing<String>, SecretCommandError> {
    let Some(path) = file else {
        if io.input_is_terminal {
            // Without a prompt the command would seem to hang.
            let prompt = "Value (visible as you type; end with Enter and Ctrl-D):\n";
            io.err
                .write_all(prompt.as_bytes())
                .map_err(SecretCommandError::Write)?;
        }
        return collect(io.input, "standard input");
    };
    let place = path.display().to_string();
    let mut file = File::open(path).map_err(|source| SecretCommandError::Read {
        place: place.clone(),
        source,
    })?;
    collect(&mut file, &place)
}

fn collect(from: &mut dyn Read, place: &str) -> Result<Zeroizing<String>, SecretCommandError> {
    // The buffer has its full size at once, because one that grows leaves copies
    // behind: two bytes more than allowed for "\r\n", and one more to see that there
    // is too much.
    let mut buffer = Zeroizing::new(vec![0u8; LIMIT + 3]);
    let mut length = 0;
    while length < buffer.len() {
        match from.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => {
                return Err(SecretCommandError::Read {
                    place: place.to_owned(),
                    source,
                });
            }
        }
    }
    let bytes = &buffer[..length];
    let bytes = bytes
        .strip_suffix(b"\r\n")
        .or_else(|| bytes.strip_suffix(b"\n"))
        .unwrap_or(bytes);
    if bytes.len() > LIMIT {
        return Err(SecretCommandError::TooLong(place.to_owned()));
    }
    if bytes.is_empty() {
        return Err(SecretCommandError::Empty(place.to_owned()));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(SecretCommandError::NotText(place.to_owned())),
    }
}

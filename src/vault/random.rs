//! GetRandomPassword.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize, Zeroizing};

use super::VaultError;
use crate::secret::RandomPassword;

const LENGTH_LIMIT: u32 = 4096;
const LOWERCASE: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPERCASE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const NUMBERS: &str = "0123456789";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// A random password. All passwords that satisfy the options are equally likely.
///
/// # Errors
/// [`VaultError::InvalidParameter`]: no password can satisfy the options.
pub fn password(options: &RandomPassword) -> Result<Zeroizing<String>, VaultError> {
    if !(1..=LENGTH_LIMIT).contains(&options.length) {
        return Err(VaultError::InvalidParameter(format!(
            "Invalid PasswordLength {}. It must be between 1 and {LENGTH_LIMIT}.",
            options.length
        )));
    }
    if options.exclude_characters.chars().count() > 4096 {
        return Err(VaultError::InvalidParameter(
            "Invalid ExcludeCharacters. It must have at most 4096 characters.".into(),
        ));
    }
    let (required, alphabet) = alphabets(options)?;
    let length = options.length as usize;
    if options.require_each_included_type && length < required.len() {
        return Err(VaultError::InvalidParameter(format!(
            "A password of {length} characters can't include each of the {} character types \
             that RequireEachIncludedType demands.",
            required.len()
        )));
    }
    // Drawing again until every class occurs keeps the distribution uniform; placing
    // one character of each class first would not. It takes a few thousand draws at
    // the very worst.
    loop {
        let password = draw(&alphabet, length)?;
        let complete = required
            .iter()
            .all(|class| password.bytes().any(|b| class.contains(&b)));
        if complete || !options.require_each_included_type {
            return Ok(password);
        }
    }
}

/// The classes of which each must occur, and all characters that may.
fn alphabets(options: &RandomPassword) -> Result<(Vec<Vec<u8>>, Vec<u8>), VaultError> {
    let classes = [
        ("lowercase letter", LOWERCASE, options.exclude_lowercase),
        ("uppercase letter", UPPERCASE, options.exclude_uppercase),
        ("number", NUMBERS, options.exclude_numbers),
        ("punctuation mark", PUNCTUATION, options.exclude_punctuation),
    ];
    let excluded = |b: u8| options.exclude_characters.contains(char::from(b));
    let mut required = Vec::new();
    for (name, class, _) in classes.iter().filter(|(_, _, off)| !off) {
        let left: Vec<u8> = class.bytes().filter(|&b| !excluded(b)).collect();
        if left.is_empty() && options.require_each_included_type {
            return Err(VaultError::InvalidParameter(format!(
                "ExcludeCharacters leaves no {name}, but RequireEachIncludedType demands one; \
                 exclude the whole type instead."
            )));
        }
        required.push(left);
    }
    let mut alphabet = required.concat();
    if options.include_space && !excluded(b' ') {
        alphabet.push(b' ');
    }
    if alphabet.is_empty() {
        return Err(VaultError::InvalidParameter(
            "The options exclude every character; include at least one.".into(),
        ));
    }
    Ok((required, alphabet))
}

/// Random characters of an alphabet of at most 256, each equally likely.
fn draw(alphabet: &[u8], length: usize) -> Result<Zeroizing<String>, VaultError> {
    // Larger bytes are dropped, because they would favour the first characters.
    let fair = 256 - 256 % alphabet.len();
    // Allocated in full size, because growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(length));
    let mut bytes = [0u8; 128];
    while text.len() < length {
        SystemRandom::new().fill(&mut bytes).map_err(|_| {
            VaultError::Internal("the system gave no random bytes; try again".into())
        })?;
        let missing = length - text.len();
        for &byte in bytes
            .iter()
            .filter(|&&b| usize::from(b) < fair)
            .take(missing)
        {
            text.push(char::from(alphabet[usize::from(byte) % alphabet.len()]));
        }
    }
    bytes.zeroize();
    Ok(text)
}

/// Random letters and digits, for ARNs and keys.
pub fn alphanumeric(length: usize) -> Result<String, VaultError> {
    let alphabet = [UPPERCASE, LOWERCASE, NUMBERS].concat();
    Ok(draw(alphabet.as_bytes(), length)?.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(options: RandomPassword) -> String {
        match password(&options) {
            Err(VaultError::InvalidParameter(text)) => text,
            _ => panic!("not refused"),
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for length in [0, 4097] {
            let default = RandomPassword::default();
            assert!(refused(RandomPassword { length, ..default }).contains("4096"));
        }
        let short = RandomPassword {
            length: 3,
            ..Default::default()
        };
        assert!(refused(short).contains("4 character types"));
        let none_left = RandomPassword {
            exclude_characters: NUMBERS.into(),
            ..Default::default()
        };
        assert!(refused(none_left).contains("number"));
        let nothing = RandomPassword {
            exclude_lowercase: true,
            exclude_uppercase: true,
            exclude_numbers: true,
            exclude_punctuation: true,
            ..Default::default()
        };
        assert!(refused(nothing).contains("every character"));
    }

    #[test]
    fn one_character_of_each_class_is_enough() {
        let keep = |class: &str| class[1..].to_owned();
        let options = RandomPassword {
            length: 4,
            exclude_characters: keep(LOWERCASE) + &keep(NUMBERS) + &keep(PUNCTUATION),
            ..Default::default()
        };
        let text = password(&options).ok().unwrap();
        assert!(text.contains('a') && text.contains('0') && text.contains('!'));
    }

    #[test]
    fn characters_are_equally_likely() {
        // 95 does not divide 256: taking the remainder alone would make the
        // first 66 characters half again as likely as the others.
        let alphabet: Vec<u8> = (b' '..=b'~').collect();
        let mut counts = [0f64; 95];
        let draws = 95 * 2000;
        for byte in draw(&alphabet, draws).ok().unwrap().bytes() {
            counts[usize::from(byte - b' ')] += 1.0;
        }
        let chi_square: f64 = counts.iter().map(|c| (c - 2000.0).powi(2) / 2000.0).sum();
        // 94 degrees of freedom: beyond 200 once in 10^9 runs; the biased
        // draw would be in the thousands.
        assert!(chi_square < 200.0, "{chi_square}");
    }

    proptest! {
        #[test]
        fn options_are_obeyed(
            length in 4u32..80,
            exclude_lowercase: bool,
            exclude_uppercase: bool,
            exclude_numbers: bool,
            include_space: bool,
            exclude_characters in "[ -~]{0,12}",
        ) {
            let options = RandomPassword {
                length, exclude_characters, exclude_lowercase, exclude_uppercase, exclude_numbers,
                include_space, ..Default::default()
            };
            // Twelve characters cannot exhaust a class but that of numbers.
            let Ok(text) = password(&options) else {
                prop_assert!(NUMBERS.chars().all(|c| options.exclude_characters.contains(c)));
                return Ok(());
            };
            prop_assert_eq!(text.len(), length as usize);
            for (class, off) in [
                (LOWERCASE, exclude_lowercase), (UPPERCASE, exclude_uppercase),
                (NUMBERS, exclude_numbers), (PUNCTUATION, false),
            ] {
                prop_assert_eq!(text.chars().any(|c| class.contains(c)), !off);
            }
            prop_assert!(include_space || !text.contains(' '));
            prop_assert!(!text.chars().any(|c| options.exclude_characters.contains(c)));
        }
    }
}

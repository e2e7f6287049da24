//! Sizes as people write them: `"256MiB"`, `"1GiB"`, `"500 MB"`.

/// The units, with how many bytes each has.
const UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads a size in bytes.
///
/// # Errors
/// What to write instead.
pub fn parse(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let known = UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit));
    number
        .parse::<u64>()
        .ok()
        .zip(known)
        .and_then(|(number, (_, bytes))| number.checked_mul(*bytes))
        .ok_or_else(|| format!("{text:?} is no size; write it like \"256MiB\" or \"1GiB\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_what_people_write() {
        for (text, bytes) in [
            ("256MiB", 256 << 20),
            ("1 GiB", 1 << 30),
            ("500mb", 500_000_000),
            ("0B", 0),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "1", "1.5GiB", "-1B", "99999999999GiB"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

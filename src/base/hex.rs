//! Bytes as hexadecimal digits.
//!
//! It is written here because it is shorter than the declaration of a crate, and secrets
//! pass through it.

/// Encodes in lower case. The text is allocated once, so that a secret leaves no copies behind.
pub fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// `None` if the text is not two digits, of either case, for every byte.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_lead_back_to_the_bytes() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(encode(&[0, 0x0f, 0xa0]), "000fa0");
        assert_eq!(decode(&encode(&all)), Some(all));
        assert_eq!(decode("fF"), Some(vec![255]));
        for wrong in ["f", "fg", "+f", "é", "0x"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}

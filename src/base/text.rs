//! Checks of texts.

/// Checks a text that goes into paths, names and protocol messages, where a NUL would end
/// it early.
///
/// # Errors
/// A sentence that says what is wrong and what to write.
pub fn nonempty(text: &str) -> Result<String, String> {
    if text.is_empty() {
        Err("this is empty; leave the key out, or write a value".to_owned())
    } else if text.chars().any(char::is_control) {
        Err(format!("{text:?} has a control character in it"))
    } else {
        Ok(text.to_owned())
    }
}

//! The messages of a result that pgvalet makes itself: columns, rows, and what stands around
//! them.
//!
//! Source: protocol chapter, "Message Formats".

use super::message::{message, text};
use super::tag::{backend, field};

/// A column of a result.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    pub name: &'a str,
    pub type_oid: u32,
    /// The size of the column's type in bytes; -1 if values differ in length.
    pub size: i16,
    pub binary: bool,
}

/// Appends RowDescription.
pub fn row_description<'a>(out: &mut Vec<u8>, fields: impl ExactSizeIterator<Item = Field<'a>>) {
    message(out, backend::ROW_DESCRIPTION, |out| {
        count(out, fields.len());
        for f in fields {
            text(out, f.name);
            out.extend([0; 6]); // of no table
            out.extend(f.type_oid.to_be_bytes());
            out.extend(f.size.to_be_bytes());
            out.extend((-1_i32).to_be_bytes());
            out.extend(u16::from(f.binary).to_be_bytes());
        }
    });
}

/// Appends DataRow. `None` is NULL.
pub fn data_row(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = Option<Vec<u8>>>) {
    message(out, backend::DATA_ROW, |out| {
        count(out, values.len());
        for value in values {
            match value {
                Some(bytes) => {
                    let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
                    out.extend(length.to_be_bytes());
                    out.extend(bytes);
                }
                None => out.extend((-1_i32).to_be_bytes()),
            }
        }
    });
}

/// Appends a number of columns. They are few: no result of pgvalet has more than a hundred.
fn count(out: &mut Vec<u8>, n: usize) {
    out.extend(u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes());
}

/// Appends CommandComplete.
pub fn command_complete(out: &mut Vec<u8>, tag: &str) {
    message(out, backend::COMMAND_COMPLETE, |out| text(out, tag));
}

/// Appends ParameterDescription of a statement without parameters.
pub fn no_parameters(out: &mut Vec<u8>) {
    message(out, backend::PARAMETER_DESCRIPTION, |out| {
        out.extend([0; 2])
    });
}

/// Appends a message without a body: ParseComplete, NoData, …
pub fn bare(out: &mut Vec<u8>, tag: u8) {
    message(out, tag, |_| {});
}

/// Appends NoticeResponse.
pub fn notice(out: &mut Vec<u8>, said: &str, detail: Option<&str>) {
    message(out, backend::NOTICE_RESPONSE, |out| {
        for (name, value) in [
            (field::SEVERITY, "NOTICE"),
            (field::SEVERITY_NONLOCALIZED, "NOTICE"),
            (field::CODE, "00000"),
            (field::MESSAGE, said),
        ] {
            out.push(name);
            text(out, value);
        }
        if let Some(detail) = detail {
            out.push(field::DETAIL);
            text(out, detail);
        }
        out.push(0);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Frame;
    use crate::wire::message::{ErrorFields, read_row};

    #[test]
    fn each_message_is_as_long_as_it_says() {
        let mut out = Vec::new();
        let field = Field {
            name: "a",
            type_oid: 25,
            size: -1,
            binary: false,
        };
        row_description(&mut out, [field].into_iter());
        assert_eq!(Frame::read(&out).unwrap().unwrap().len, out.len());
        out.clear();
        data_row(&mut out, [Some(b"x".to_vec()), None].into_iter());
        assert_eq!(read_row(&out), ["x", ""]);
        out.clear();
        notice(&mut out, "said\0so", Some("more"));
        assert_eq!(Frame::read(&out).unwrap().unwrap().len, out.len());
        assert_eq!(ErrorFields::read(&out).message, "saidso");
    }
}

//! Tables as the console answers with them: columns, cells, and how they are written.

use std::borrow::Cow;
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use crate::wire::answer::{self, Field};

/// The type of a column, as PgBouncer declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Int4,
    Int8,
    Numeric,
    Bytes,
}

impl Kind {
    fn oid(self) -> u32 {
        match self {
            Self::Bytes => 17,
            Self::Int8 => 20,
            Self::Int4 => 23,
            Self::Text => 25,
            Self::Numeric => 1700,
        }
    }

    fn size(self) -> i16 {
        match self {
            Self::Int8 => 8,
            Self::Int4 => 4,
            Self::Text | Self::Bytes | Self::Numeric => -1,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Column {
    pub name: Cow<'static, str>,
    pub kind: Kind,
}

impl Column {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name: Cow::Borrowed(name),
            kind,
        }
    }
}

pub const fn text(name: &'static str) -> Column {
    Column::new(name, Kind::Text)
}

pub const fn int4(name: &'static str) -> Column {
    Column::new(name, Kind::Int4)
}

pub const fn int8(name: &'static str) -> Column {
    Column::new(name, Kind::Int8)
}

pub const fn numeric(name: &'static str) -> Column {
    Column::new(name, Kind::Numeric)
}

pub const fn bytes(name: &'static str) -> Column {
    Column::new(name, Kind::Bytes)
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    Null,
    Text(Box<str>),
    Number(i64),
}

pub type Row = Vec<Cell>;

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<usize> for Cell {
    fn from(n: usize) -> Self {
        Self::Number(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

impl From<u64> for Cell {
    fn from(n: u64) -> Self {
        Self::Number(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

impl From<u16> for Cell {
    fn from(n: u16) -> Self {
        Self::Number(n.into())
    }
}

impl From<i32> for Cell {
    fn from(n: i32) -> Self {
        Self::Number(n.into())
    }
}

impl From<bool> for Cell {
    fn from(yes: bool) -> Self {
        Self::Number(yes.into())
    }
}

impl From<SystemTime> for Cell {
    /// As PgBouncer writes times, in UTC.
    fn from(time: SystemTime) -> Self {
        let time = DateTime::<Utc>::from(time);
        time.format("%Y-%m-%d %H:%M:%S UTC").to_string().into()
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row of values of any type that a cell can have.
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$($crate::admin::console::table::Cell::from($value)),*] };
}
pub(super) use row;

impl Cell {
    /// As the text format has it; `None` is NULL.
    fn as_text(&self) -> Option<Vec<u8>> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text.as_bytes().to_vec()),
            Self::Number(n) => Some(n.to_string().into_bytes()),
        }
    }

    /// As the binary format of a type has it; `None` is NULL.
    fn as_binary(&self, kind: Kind) -> Option<Vec<u8>> {
        Some(match (self, kind) {
            (Self::Null, _) => return None,
            (Self::Text(text), _) => text.as_bytes().to_vec(),
            (Self::Number(n), Kind::Int4) => {
                let n = i32::try_from(*n).unwrap_or(if *n < 0 { i32::MIN } else { i32::MAX });
                n.to_be_bytes().to_vec()
            }
            (Self::Number(n), Kind::Int8) => n.to_be_bytes().to_vec(),
            (Self::Number(n), Kind::Numeric) => binary_numeric(*n),
            (Self::Number(n), Kind::Text | Kind::Bytes) => n.to_string().into_bytes(),
        })
    }
}

/// A whole number in the binary format of numeric (numeric_send): digits to the base of 10000.
fn binary_numeric(n: i64) -> Vec<u8> {
    const BASE: u64 = 10_000;
    let mut rest = n.unsigned_abs();
    let mut digits = Vec::new();
    while rest > 0 {
        digits.push((rest % BASE) as u16);
        rest /= BASE;
    }
    digits.reverse();
    let count = digits.len() as u16;
    let sign: u16 = if n < 0 { 0x4000 } else { 0 };
    let head = [count, count.saturating_sub(1), sign, 0];
    let words = head.into_iter().chain(digits);
    words.flat_map(u16::to_be_bytes).collect()
}

/// Which columns a client wants in the binary format.
#[derive(Debug, Clone, Default)]
pub struct Formats(pub Vec<bool>);

impl Formats {
    /// One format may stand for all columns.
    fn is_binary(&self, column: usize) -> bool {
        match &self.0[..] {
            [] => false,
            [all] => *all,
            each => each.get(column).copied().unwrap_or(false),
        }
    }
}

pub fn write_columns(out: &mut Vec<u8>, columns: &[Column], formats: &Formats) {
    let fields = columns.iter().enumerate().map(|(at, column)| Field {
        name: &column.name,
        type_oid: column.kind.oid(),
        size: column.kind.size(),
        binary: formats.is_binary(at),
    });
    answer::row_description(out, fields);
}

pub fn write_row(out: &mut Vec<u8>, columns: &[Column], row: &[Cell], formats: &Formats) {
    let cells = row.iter().zip(columns).enumerate();
    let values: Vec<_> = cells
        .map(|(at, (cell, column))| match formats.is_binary(at) {
            true => cell.as_binary(column.kind),
            false => cell.as_text(),
        })
        .collect();
    answer::data_row(out, values.into_iter());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Postgres 18 sends for these.
    #[test]
    fn whole_numbers_as_binary_numeric() {
        for (n, expected) in [
            (0, &[0u16, 0, 0, 0][..]),
            (7, &[1, 0, 0, 0, 7]),
            (10_000, &[2, 1, 0, 0, 1, 0]),
            (123_456_789, &[3, 2, 0, 0, 1, 2345, 6789]),
            (-5, &[1, 0, 0x4000, 0, 5]),
        ] {
            let expected: Vec<u8> = expected.iter().flat_map(|w| w.to_be_bytes()).collect();
            assert_eq!(binary_numeric(n), expected, "{n}");
        }
    }

    #[test]
    fn one_format_stands_for_all_columns() {
        let is = |formats: &[bool]| {
            let formats = Formats(formats.to_vec());
            [0, 1].map(|column| formats.is_binary(column))
        };
        assert_eq!(is(&[]), [false, false]);
        assert_eq!(is(&[true]), [true, true]);
        assert_eq!(is(&[false, true]), [false, true]);
    }

    #[test]
    fn times_are_written_as_in_pgbouncer() {
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        assert_eq!(Cell::from(time), Cell::from("2001-09-09 01:46:40 UTC"));
    }
}

//! Throughput over the whole time, in the colours of the versions in force.

use std::time::Duration;

use super::Picture;
use super::paint::{Ink, Line};

const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// `rows` lines of `columns`, from the start on the left to the end on the
/// right; what is yet to come is dotted.
pub fn chart(picture: &Picture, columns: usize, rows: usize) -> Vec<Line> {
    let bars = bars(picture, columns);
    let highest = bars
        .iter()
        .flatten()
        .map(|bar| bar.rate)
        .fold(1.0, f64::max);
    (0..rows)
        .rev()
        .map(|row| {
            bars.iter().fold(Line::new(), |line, bar| match bar {
                Some(bar) => {
                    let eighths = (bar.rate / highest * (rows * 8) as f64).round() as usize;
                    // A bar that is there is seen.
                    let eighths = eighths.max(1).saturating_sub(row * 8).min(8);
                    line.add(Ink::Version(bar.version), EIGHTHS[eighths])
                }
                None if row == 0 => line.add(Ink::Faint, "·"),
                None => line.add(Ink::Plain, " "),
            })
        })
        .collect()
}

/// Where versions changed, for eyes and terminals without colours: the number
/// of each below the column it begins in.
pub fn versions(picture: &Picture, columns: usize) -> Line {
    let mut line = Line::new();
    let mut before = 0;
    for (column, bar) in bars(picture, columns).iter().enumerate() {
        let Some(bar) = bar else { break };
        if bar.version != before && line.width() <= column {
            let spaces = " ".repeat(column - line.width());
            line = line
                .add(Ink::Plain, spaces)
                .add(Ink::Version(bar.version), format!("v{} ", bar.version));
        }
        before = bar.version;
    }
    line
}

struct Bar {
    rate: f64,
    version: usize,
}

fn bars(picture: &Picture, columns: usize) -> Vec<Option<Bar>> {
    let width = picture.length.max(picture.elapsed) / u32::try_from(columns.max(1)).unwrap_or(1);
    (0..u32::try_from(columns).unwrap_or(0))
        .map(|column| {
            let (from, to) = (width * column, width * (column + 1));
            if to > picture.elapsed {
                return None;
            }
            Some(Bar {
                rate: picture.rate(from, to),
                version: version_at(picture, to),
            })
        })
        .collect()
}

fn version_at(picture: &Picture, at: Duration) -> usize {
    1 + picture.entries.adoptions().filter(|a| *a <= at).count()
}

mod oracle;
mod schedule;

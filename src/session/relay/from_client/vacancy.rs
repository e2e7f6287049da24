//! Statements for which nobody else may be connected to a database.

use super::FromClient;
use crate::wire::frame::{Frame, HEADER, cstr};
use crate::wire::sql::{MAX_VACANCY, Vacancy, vacancy};
use crate::wire::tag::frontend as tag;

impl FromClient {
    /// What a message needs before it is sent. Once the database is vacant, the message needs
    /// nothing.
    #[inline]
    pub(super) fn vacancy(&self, frame: &Frame, bytes: &[u8]) -> Vacancy {
        let statement = matches!(frame.tag, tag::QUERY | tag::PARSE);
        if !statement || frame.len > MAX_VACANCY || self.vacated {
            return Vacancy::Nothing;
        }
        let body = &bytes[HEADER..bytes.len().min(frame.len)];
        let whole = bytes.len() >= frame.len;
        if frame.tag == tag::QUERY {
            return vacancy(body, whole);
        }
        // A Parse begins with the statement's name.
        match cstr(body) {
            Some(name) => vacancy(&body[name.len() + 1..], whole),
            None if whole => Vacancy::Nothing,
            None => Vacancy::Unknown,
        }
    }
}

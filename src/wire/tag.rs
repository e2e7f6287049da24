//! The bytes that say what a message is, by the names they have in the protocol's
//! documentation.
//!
//! They are constants and not an enum because a peer may send any byte, and what nobody
//! here inspects passes as it is. The two directions use the same letters for different
//! messages, so each has a module of its own.
//!
//! Source: protocol chapter, "Message Formats".

/// Messages that a client sends.
pub mod frontend {
    pub const BIND: u8 = b'B';
    pub const CLOSE: u8 = b'C';
    pub const COPY_DATA: u8 = b'd';
    pub const COPY_DONE: u8 = b'c';
    pub const COPY_FAIL: u8 = b'f';
    pub const DESCRIBE: u8 = b'D';
    pub const EXECUTE: u8 = b'E';
    pub const FLUSH: u8 = b'H';
    pub const FUNCTION_CALL: u8 = b'F';
    pub const PARSE: u8 = b'P';
    /// PasswordMessage and the answers to SASL and GSSAPI.
    pub const PASSWORD: u8 = b'p';
    pub const QUERY: u8 = b'Q';
    pub const SYNC: u8 = b'S';
    pub const TERMINATE: u8 = b'X';
}

/// Messages that a server sends.
pub mod backend {
    /// All AuthenticationXXX messages; the next four bytes say which.
    pub const AUTHENTICATION: u8 = b'R';
    pub const BACKEND_KEY_DATA: u8 = b'K';
    pub const BIND_COMPLETE: u8 = b'2';
    pub const CLOSE_COMPLETE: u8 = b'3';
    pub const COMMAND_COMPLETE: u8 = b'C';
    pub const COPY_BOTH_RESPONSE: u8 = b'W';
    pub const COPY_IN_RESPONSE: u8 = b'G';
    pub const DATA_ROW: u8 = b'D';
    pub const EMPTY_QUERY_RESPONSE: u8 = b'I';
    pub const ERROR_RESPONSE: u8 = b'E';
    pub const NEGOTIATE_PROTOCOL_VERSION: u8 = b'v';
    pub const NO_DATA: u8 = b'n';
    pub const NOTICE_RESPONSE: u8 = b'N';
    pub const NOTIFICATION_RESPONSE: u8 = b'A';
    pub const PARAMETER_DESCRIPTION: u8 = b't';
    pub const PARAMETER_STATUS: u8 = b'S';
    pub const PARSE_COMPLETE: u8 = b'1';
    pub const PORTAL_SUSPENDED: u8 = b's';
    pub const READY_FOR_QUERY: u8 = b'Z';
    pub const ROW_DESCRIPTION: u8 = b'T';
}

/// What Describe and Close name.
pub mod object {
    pub const PORTAL: u8 = b'P';
    pub const STATEMENT: u8 = b'S';
}

/// The transaction status in ReadyForQuery.
pub mod status {
    pub const FAILED: u8 = b'E';
    pub const IDLE: u8 = b'I';
    pub const IN_TRANSACTION: u8 = b'T';
}

/// The fields of ErrorResponse and NoticeResponse that pgvalet reads or writes.
///
/// Source: protocol chapter, "Error and Notice Message Fields".
pub mod field {
    pub const CODE: u8 = b'C';
    pub const DETAIL: u8 = b'D';
    pub const HINT: u8 = b'H';
    pub const MESSAGE: u8 = b'M';
    /// The severity, which may be translated.
    pub const SEVERITY: u8 = b'S';
    /// The severity, which is never translated.
    pub const SEVERITY_NONLOCALIZED: u8 = b'V';
}

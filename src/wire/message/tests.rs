use super::*;
use crate::wire::{ClientError, Frame, LoginFailure};
use proptest::prelude::*;

#[test]
fn an_error_can_be_read_back() {
    let mut out = Vec::new();
    let error = ClientError::NoWorkingVersion {
        secret: "prod/orders".into(),
        failure: Some(LoginFailure::Password),
    };
    error.fatal(&mut out);
    assert_eq!(Frame::read(&out).unwrap().unwrap().len, out.len());
    let fields = ErrorFields::read(&out);
    assert!(fields.is_fatal());
    assert_eq!(fields.sqlstate, "57P03");
    assert!(fields.message.contains("prod/orders"));
    assert!(fields.message.contains("the server refuses the password"));
}

#[test]
fn a_name_in_an_error_is_replaced() {
    let mut out = Vec::new();
    let text = "prepared statement \"pgvalet_7\" already exists";
    error_response(&mut out, "ERROR", "42P05", text, None);
    let renamed = rename(&out, b"pgvalet_7", b"a");
    assert_eq!(Frame::read(&renamed).unwrap().unwrap().len, renamed.len());
    assert_eq!(
        ErrorFields::read(&renamed).message,
        "prepared statement \"a\" already exists"
    );
}

#[test]
fn a_nul_in_a_text_does_not_end_the_field() {
    let mut out = Vec::new();
    parameter_status(&mut out, "a\0b", "c");
    assert_eq!(read_parameter_status(&out), Some(("ab", "c")));
}

proptest! {
    #[test]
    fn any_error_body_is_read(body in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut out = Vec::new();
        message(&mut out, b'E', |out| out.extend(&body));
        ErrorFields::read(&out);
        read_parameter_status(&out);
        read_command_tag(&out);
        read_row(&out);
    }
}

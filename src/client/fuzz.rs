//! What must hold of any status that a server answers with, who may mean harm.

use bytes::Bytes;
use tonic::{Code, Status};

use super::error::{ClientError, describe, is_worth_repeating};
use crate::escape::acts;

/// Takes the first byte of `data` for the code of a status, a line for its message and the rest for its details: none
/// of it drives a terminal.
pub(crate) fn status(data: &[u8]) {
    let Some((code, rest)) = data.split_first() else {
        return;
    };
    let end = rest
        .iter()
        .position(|&byte| byte == b'\n')
        .unwrap_or(rest.len());
    let (message, details) = rest.split_at(end);
    let status = Status::with_details(
        Code::from_i32(i32::from(*code)),
        String::from_utf8_lossy(message),
        Bytes::copy_from_slice(details),
    );
    is_worth_repeating(&status);
    let shown = describe(&status);
    assert!(!shown.contains(acts), "{shown:?}");
    let shown = ClientError::from_status(status).to_string();
    assert!(!shown.contains(acts), "{shown:?}");
}

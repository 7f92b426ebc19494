//! What announcements have in common, whatever registry keeps them: what a text may be, and the words for facts.

/// Whether it is printable ASCII without spaces, at least one character and at most `longest`.
pub(super) fn is_token(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether it may be a register's id. People are shown this one to paste it into a command line.
pub(super) fn is_register(text: &str, longest: usize) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    is_token(text, longest) && text.bytes().all(is_plain)
}

/// The word for whether a server expects TLS.
pub(super) const fn tls_word(tls: bool) -> &'static str {
    if tls { "1" } else { "0" }
}

/// Reads what [`tls_word`] gives; `None` when it is another word.
pub(super) fn parse_tls(word: &str) -> Option<bool> {
    match word {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

//! What announcements have in common, whatever registry keeps them: what a text may be, and the words for facts.

/// Whether it is printable ASCII without spaces, at least one character and at most `longest`.
pub(super) fn is_token(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether it may be a register's id. People are shown this one to paste it into a command line, and one register is
/// written in one way: without capitals.
pub(super) fn is_register(text: &str, longest: usize) -> bool {
    let is_plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-');
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

//! What is told of what stands where a record should.

use crate::escape::escape_control;

/// How much of an unexpected word is quoted, in bytes.
pub(super) const MAX_WORD_BYTES: usize = 32;

/// Whether a word ends before `byte`.
pub(super) fn ends_word(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\t' | b'\n' | b'\r' | b',' | b'{' | b'}' | b'[' | b']'
    )
}

/// The word that `text` begins with, or what is there instead.
pub(super) fn word(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| ends_word(*byte));
    let end = end.unwrap_or(text.len()).clamp(1, MAX_WORD_BYTES);
    &text[..end.min(text.len())]
}

/// What is told of an input that is not UTF-8 but UTF-16.
pub(super) const UTF16: &str =
    "is UTF-16, not UTF-8; save the file as UTF-8 (PowerShell: Out-File -Encoding utf8)";

/// What is told of a byte that UTF-8 does not have there.
pub(super) fn not_utf8(byte: u8) -> String {
    format!("is not UTF-8: the byte 0x{byte:02x} cannot stand here; save the file as UTF-8")
}

/// What is told of `word`, which stands where `expected` should; empty at the end of the input.
pub(super) fn found(word: &[u8], expected: &str) -> String {
    if word.is_empty() {
        return format!("the input ends here; expected {expected}; is it complete?");
    }
    let text = match std::str::from_utf8(word) {
        Ok(text) => text,
        // A character that the limit cut in two says nothing about the input.
        Err(error) if error.valid_up_to() > 0 => {
            std::str::from_utf8(&word[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return not_utf8(word[0]),
    };
    if text.starts_with('\0') {
        return UTF16.into();
    }
    if text.starts_with('\u{feff}') {
        // It cannot be seen, so it is named. Joined files have one in the middle.
        return format!("expected {expected}; found a byte order mark (U+FEFF); remove it");
    }
    format!("expected {expected}; found {}", escape_control(text))
}

//! Makes text from outside safe to show: it may carry what drives a terminal instead of what a person reads.

use std::borrow::Cow;

/// `text` with each character that would act on a terminal, or reorder what stands around it, in a visible form:
/// `\n`, `\u{1b}`. Borrowed when there is none, as nearly always.
#[must_use]
pub fn escape_control(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        if acts(char) {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    Cow::Owned(shown)
}

/// Whether `char` does something where it is shown: C0, DEL and C1 controls (U+009B alone begins a terminal command,
/// ECMA-48 §5.4), line and paragraph separators, and the bidirectional overrides and isolates, which make a line read
/// as something else than it is (Unicode TR36 §2.10).
#[must_use]
pub fn acts(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{2028}'..='\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_made_visible_and_the_rest_is_kept() {
        for (text, shown) in [
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
            ("\0\u{7f}\u{9b}", "\\u{0}\\u{7f}\\u{9b}"),
            (
                "\u{202e}\u{202a}\u{2066}\u{2069}\u{2028}",
                "\\u{202e}\\u{202a}\\u{2066}\\u{2069}\\u{2028}",
            ),
        ] {
            assert_eq!(escape_control(text), shown);
        }
        for kept in ["", "Zürich \\n", "東京 👩‍🚀", "e\u{301}", "\u{200f}שלום"] {
            assert!(matches!(escape_control(kept), Cow::Borrowed(text) if text == kept));
        }
    }
}

//! Says an error with its causes, of which many an error's own text says nothing ("transport error").

use std::error::Error;

/// `error` and all that caused it, in one text: "could not connect: tcp connect error: connection refused". A cause
/// that the text ends with already is not said twice.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_said_once() {
        let inner = std::io::Error::other("disk full");
        let outer = anyhow::Error::new(inner)
            .context("could not write: disk full")
            .context("no");
        assert_eq!(chain(outer.as_ref()), "no: could not write: disk full");
    }
}

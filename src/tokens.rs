//! Who may do what: names with a scope each, proven by a token, of which only a hash is kept, or by a certificate.
//!
//! A file of them has a line for each, `NAME SCOPE SHA256`, where `SHA256` is the hash of the token in hexadecimal; a
//! line without it is for a name that only a certificate proves. A name may have several tokens, as while one is
//! replaced. What follows a `#` at the beginning of a line is a comment.

use std::{collections::HashMap, fmt, str::FromStr, sync::Arc};

use ring::{
    digest,
    rand::{SecureRandom as _, SystemRandom},
};

/// Longest name, in bytes: a certificate's URI fits, and so does a line in a log.
const MAX_NAME_BYTES: usize = 255;
/// What each token begins with, so that tools which look for secrets in the wrong places recognise it.
const PREFIX: &str = "shippy_";
/// The random bytes of a token: more than anybody guesses.
const TOKEN_BYTES: usize = 32;

/// The SHA-256 of a token.
type Digest = [u8; digest::SHA256_OUTPUT_LEN];

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Scope {
    /// List
    Read,
    /// Create and list
    Write,
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// Somebody and what they may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder<'t> {
    /// Who it is.
    pub name: &'t Arc<str>,
    /// What they may do.
    pub scope: Scope,
}

/// All who may do something.
#[derive(Debug, Default)]
pub struct Tokens {
    scopes: HashMap<Arc<str>, Scope>,
    /// The name that each token proves.
    names: HashMap<Digest, Arc<str>>,
}

/// A line that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct TokensError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it. It does not repeat the line, in which somebody may have put the token itself.
    pub reason: String,
}

impl FromStr for Tokens {
    type Err = TokensError;

    fn from_str(text: &str) -> Result<Self, TokensError> {
        let mut tokens = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            tokens.add(line).map_err(|reason| TokensError {
                line: index + 1,
                reason,
            })?;
        }
        Ok(tokens)
    }
}

impl Tokens {
    fn add(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<_> = line.split_whitespace().collect();
        let (name, scope, hash) = match words[..] {
            [name, scope] => (name, scope, None),
            [name, scope, hash] => (name, scope, Some(hash)),
            _ => return Err("write NAME SCOPE SHA256, as `shippy token` prints it".into()),
        };
        let name: Arc<str> = parse_name(name)?.into();
        let scope = match scope {
            "read" => Scope::Read,
            "write" => Scope::Write,
            _ => return Err("the second word is the scope: write read or write".into()),
        };
        let known = *self.scopes.entry(Arc::clone(&name)).or_insert(scope);
        if known != scope {
            return Err(format!(
                "{name} has the scope {known} further up: give it one and the same"
            ));
        }
        if let Some(hash) = hash {
            let hash = parse_digest(hash).ok_or(
                "the third word is the SHA-256 of the token, 64 hexadecimal digits, as `shippy token` prints it",
            )?;
            if let Some(other) = self.names.insert(hash, name) {
                return Err(format!("{other} has the same token further up"));
            }
        }
        Ok(())
    }

    /// Whose `token` is.
    ///
    /// What is compared are hashes: how long that takes says nothing about a token that is known, as nobody can choose
    /// what another one hashes to.
    #[must_use]
    pub fn holder(&self, token: &[u8]) -> Option<Holder<'_>> {
        self.named(self.names.get(&hashed(token))?)
    }

    /// Who is called `name`.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Holder<'_>> {
        let (name, &scope) = self.scopes.get_key_value(name)?;
        Some(Holder { name, scope })
    }
}

/// A name as a line can hold it.
///
/// # Errors
///
/// What a name is, where `text` is none.
pub fn parse_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_graphic();
    let fits = (1..=MAX_NAME_BYTES).contains(&text.len());
    if !fits || text.starts_with('#') || !text.bytes().all(is_plain) {
        return Err(format!(
            "a name is 1 to {MAX_NAME_BYTES} printable ASCII characters without spaces, and does not begin with #"
        ));
    }
    Ok(text.to_owned())
}

/// A new token.
///
/// # Errors
///
/// When the system gives no random bytes.
pub fn generate() -> Result<String, ring::error::Unspecified> {
    let mut bytes = [0; TOKEN_BYTES];
    SystemRandom::new().fill(&mut bytes)?;
    Ok(format!("{PREFIX}{}", hexadecimal(&bytes)))
}

/// The token in a header (RFC 6750 §2.1); how the scheme is spelled does not matter (RFC 9110 §11.1).
#[must_use]
pub fn bearer(header: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = header.split_at_checked(SCHEME.len())?;
    (scheme.eq_ignore_ascii_case(SCHEME)).then(|| token.trim_ascii())
}

/// The line for `name` and its `token`, without its end.
#[must_use]
pub fn line(name: &str, scope: Scope, token: &str) -> String {
    format!("{name} {scope} {}", hexadecimal(&hashed(token.as_bytes())))
}

fn hashed(token: &[u8]) -> Digest {
    let mut hash = Digest::default();
    hash.copy_from_slice(digest::digest(&digest::SHA256, token).as_ref());
    hash
}

/// `bytes` in hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value| char::from_digit(u32::from(value), 16);
    let digits = bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.flatten().collect()
}

/// The 32 bytes that `text` has the hexadecimal digits of.
pub(crate) fn parse_digest(text: &str) -> Option<Digest> {
    let mut hash = Digest::default();
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != hash.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(pairs) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_line_and_no_other_is() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert!(one != two && one.starts_with(PREFIX));
        let file = format!(
            "# depots\n\n{}\r\n  {}\nspiffe://depot/crane read\n",
            line("crane", Scope::Write, &one),
            line("harbour", Scope::Read, &two)
        );
        assert!(!file.contains(&one));
        let tokens: Tokens = file.parse().unwrap();
        let is = |found: Option<Holder<'_>>, name, scope| {
            found.is_some_and(|found| &**found.name == name && found.scope == scope)
        };
        assert!(is(tokens.holder(one.as_bytes()), "crane", Scope::Write));
        assert!(is(tokens.holder(two.as_bytes()), "harbour", Scope::Read));
        let mut near = one.clone().into_bytes();
        near[10] ^= 1;
        for wrong in [&b""[..], b"crane", &near, &one.as_bytes()[1..]] {
            assert_eq!(tokens.holder(wrong), None);
        }
        let crane = "spiffe://depot/crane";
        assert!(is(tokens.named(crane), crane, Scope::Read));
        assert_eq!(tokens.named("spiffe://depot"), None);
    }

    #[test]
    fn the_hash_is_what_other_tools_make() {
        // printf abc | sha256sum
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(line("a", Scope::Read, "abc"), format!("a read {hash}"));
        let tokens: Tokens = format!("a read {}", hash.to_uppercase()).parse().unwrap();
        assert!(tokens.holder(b"abc").is_some());
    }

    #[test]
    fn a_name_may_have_two_tokens_while_one_is_replaced() {
        let file = [
            line("crane", Scope::Read, "1"),
            line("crane", Scope::Read, "2"),
        ];
        let tokens: Tokens = file.join("\n").parse().unwrap();
        for token in [b"1", b"2"] {
            assert_eq!(&**tokens.holder(token).unwrap().name, "crane");
        }
    }

    #[test]
    fn a_line_that_says_something_else_is_named_and_not_repeated() {
        let hash = "0".repeat(64);
        let two = format!("a read {hash}\nb read {hash}");
        for (file, number, said) in [
            ("secret", 1, "NAME SCOPE SHA256"),
            ("\na b c d", 2, "NAME SCOPE SHA256"),
            ("a admin", 1, "read or write"),
            ("a read secret", 1, "64 hexadecimal digits"),
            ("a read\na write", 2, "one and the same"),
            (&two, 2, "a has the same token"),
            ("\u{e4} read", 1, "printable ASCII"),
        ] {
            let error = file.parse::<Tokens>().unwrap_err();
            assert_eq!(error.line, number, "{file}");
            assert!(error.reason.contains(said), "{error}");
            assert!(!error.reason.contains("secret"), "{error}");
        }
        for digits in ["", "0", &"g".repeat(64), &"0".repeat(65), &"0".repeat(63)] {
            assert_eq!(parse_digest(digits), None);
        }
    }
}

//! docs/troubleshooting.md: it has each message that the sources have, and no other.
//!
//! A message is a text in the sources with at least three words in a row. Of each the page has to have the longest part
//! that nothing is put into, or its beginning, where that is long; on the page, `…` is where something is put in.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

const PAGE: &str = "docs/troubleshooting.md";

/// How much of a message's part the page has to have, in characters; to the end of a word.
const LENGTH: usize = 40;
/// What is shorter is no message.
const WORDS: usize = 3;

/// What is called with texts that nobody is told of who does not ask for them, or only by a bug.
const UNTOLD: [&str; 9] = [
    "assert",
    "assert_eq",
    "debug",
    "debug_assert",
    "expect",
    "info",
    "panic",
    "trace",
    "unreachable",
];

/// Files without messages: what their texts are instead.
const NO_MESSAGES: [(&str, &str); 11] = [
    (
        "src/cli/discover/report.rs",
        "what was found out, before it is concluded",
    ),
    ("src/cli/progress.rs", "how far it is"),
    ("src/cli/figures.rs", "how long something takes"),
    (
        "src/store/sqlite/index/check.rs",
        "where the index is wrong, which one row tells of all",
    ),
    ("src/server/counts.rs", "what is counted"),
    ("src/metrics.rs", "what is measured"),
    ("src/server/calls.rs", "what is measured"),
    ("src/server/measured.rs", "what is measured"),
    ("src/store/meters.rs", "what is measured"),
    ("src/fuzz.rs", "what holds of everything"),
    (
        "src/store/sqlite/index/file.rs",
        "why the index is made anew, which one row tells of all",
    ),
];

/// Texts that are no message: how they begin, and what they are.
const NOT_MESSAGES: [(&str, &[&str]); 9] = [
    (
        "what serde_json says, which is told in other words",
        &[
            "EOF while parsing",
            "`, expected one of",
            "control character (",
            "key must be a string",
            "lone leading surrogate",
            "number out of range",
            "recursion limit exceeded",
            "unexpected end of hex",
        ],
    ),
    (
        "what etcd, Consul, tonic and an exporter of traces say, which is told with advice",
        &[
            "does not have associated TTL",
            "invalid peer certificate",
            "TonicTracesClient export failed",
            "revision of auth store",
            "tcp connect error",
            "user name is empty",
        ],
    ),
    ("the help's", &["Exit codes:", "Where to keep the register"]),
    (
        "a part of the ready line",
        &["; this machine only", "{protected}, health"],
    ),
    (
        "what `certs` prints",
        &["shippy development CA", "shippy serve --lan --tls-cert"],
    ),
    (
        "where was asked",
        &["SRV {SERVICE}", "A, AAAA", "an object or an array"],
    ),
    (
        "what is measured",
        &[
            "What waits for the store's",
            "Consignments that the filter index",
        ],
    ),
    (
        "values of HTTP's headers",
        &["text/csv; charset", "default-src 'none'"],
    ),
    (
        "told in Consul, or to who debugs",
        &[
            "shippy renews its",
            "the member ended it",
            "it was told to stop",
        ],
    ),
];

/// What SQL begins with.
const SQL: [&str; 11] = [
    "ALTER", "AND", "BEGIN", "CREATE", "INSERT", "PRAGMA", "SELECT", "SET", "UPDATE", "WITH",
    "register",
];

/// The texts in the sources that are not for tests, with their files.
fn texts() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for path in sources(Path::new("src")) {
        let file = path.display().to_string();
        if NO_MESSAGES.iter().any(|(name, _)| *name == file) {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let mut texts = Vec::new();
        collect(source.parse().unwrap(), &mut texts);
        all.extend(texts.into_iter().map(|text| (file.clone(), text)));
    }
    all
}

/// The Rust files below `folder` that are no tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name == "tests" || name == "fuzz" {
            continue;
        }
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    files
}

/// The string literals of `tokens` into `texts`, without those of tests, of attributes other than `error`, and of calls
/// that are `UNTOLD`.
fn collect(tokens: TokenStream, texts: &mut Vec<String>) {
    let mut tokens = tokens.into_iter().peekable();
    let mut name = String::new();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(mark) if mark.as_char() == '#' => {
                // Of the file or module that it stands in.
                tokens.next_if(|token| token.to_string() == "!");
                let Some(TokenTree::Group(attribute)) = tokens.next_if(is_group) else {
                    continue;
                };
                let attribute_text = attribute.stream().to_string();
                if attribute_text.starts_with("error") {
                    collect(attribute.stream(), texts);
                } else if attribute_text.replace(' ', "").starts_with("cfg(test)") {
                    // The item that it stands before.
                    let is_end = |token: &TokenTree| match token {
                        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                        TokenTree::Punct(mark) => mark.as_char() == ';',
                        _ => false,
                    };
                    tokens.by_ref().find(is_end);
                }
            }
            TokenTree::Punct(mark) if mark.as_char() == '!' => {}
            TokenTree::Ident(ident) => name = ident.to_string(),
            TokenTree::Group(group) => {
                if !UNTOLD.contains(&&*name) {
                    collect(group.stream(), texts);
                }
                name.clear();
            }
            TokenTree::Literal(literal) => {
                texts.extend(
                    syn::parse_str::<syn::LitStr>(&literal.to_string()).map(|text| text.value()),
                );
                name.clear();
            }
            TokenTree::Punct(_) => name.clear(),
        }
    }
}

fn is_group(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(_))
}

/// What of a message the page has to have, if the text of that file is one.
fn longest_part((file, text): (String, String)) -> Option<(String, String)> {
    let first = text.split_whitespace().next()?.trim_end_matches(';');
    let mut others = NOT_MESSAGES.iter().flat_map(|(_, begins)| *begins);
    if SQL.contains(&first) || others.any(|begin| text.starts_with(begin)) {
        return None;
    }
    let part = fixed_parts(&text).into_iter().max_by_key(String::len)?;
    let words = part
        .split(' ')
        .filter(|word| word.contains(char::is_alphabetic));
    if words.count() < WORDS {
        return None;
    }
    let end = part
        .char_indices()
        .nth(LENGTH)
        .map_or(part.len(), |(at, _)| part[..at].rfind(' ').unwrap_or(at));
    Some((file, part[..end].to_owned()))
}

/// The parts of a format string between what is put in, or between the lines.
fn fixed_parts(text: &str) -> Vec<String> {
    let text = text.strip_prefix("shippy: ").unwrap_or(text);
    let text = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let mut parts = Vec::new();
    for line in text.lines() {
        let mut rest = line;
        while let Some((part, after)) = rest.split_once('{') {
            parts.push(part.to_owned());
            rest = after.split_once('}').map_or("", |(_, rest)| rest);
        }
        parts.push(rest.to_owned());
    }
    let is_trimmed = |char: char| char.is_whitespace() || ",;:(){}[]".contains(char);
    (parts.iter().flat_map(|part| part.split('…')))
        .map(|part| part.replace('\u{1}', "{").replace('\u{2}', "}"))
        .map(|part| part.trim_matches(is_trimmed).to_owned())
        .collect()
}

/// `text` with single spaces, and without the marks of code.
fn plain(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").replace('`', "")
}

#[test]
fn docs_troubleshooting_has_each_message() {
    let page = plain(&fs::read_to_string(PAGE).unwrap());
    let parts: BTreeSet<_> = texts().into_iter().filter_map(longest_part).collect();
    assert!(
        parts.len() > 300,
        "only {} messages were found",
        parts.len()
    );
    let missing: Vec<_> = (parts.iter())
        .filter(|(_, part)| !page.contains(&plain(part)))
        .map(|(file, part)| format!("  {file}: {part}\n"))
        .collect();
    assert!(
        missing.is_empty(),
        "{PAGE} lacks {} messages; add a row for each, or say in NOT_MESSAGES what it is instead:\n{}",
        missing.len(),
        missing.concat()
    );
}

#[test]
fn docs_troubleshooting_has_no_message_that_there_is_not() {
    let said: Vec<_> = (texts().iter())
        .flat_map(|(_, text)| fixed_parts(text))
        .map(|part| plain(&part))
        .collect();
    let page = fs::read_to_string(PAGE).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut count = 0;
    let mut unsaid = Vec::new();
    for row in rows {
        let (message, _) = row.split_once("` |").expect("a cell of one message");
        let parts = fixed_parts(message);
        // A message and its cause are two texts.
        let parts = parts.iter().flat_map(|part| part.split(": ")).map(plain);
        for part in parts.filter(|part| part.split(' ').count() >= WORDS) {
            count += 1;
            if !said.iter().any(|text| text.contains(&part)) {
                unsaid.push(format!("  {part}\n"));
            }
        }
    }
    assert!(
        unsaid.is_empty(),
        "{PAGE} has what shippy does not say:\n{}",
        unsaid.concat()
    );
    assert!(count > 300, "only {count} were looked at");
}

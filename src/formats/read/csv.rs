//! Knows CSV, which is not taken, by its first line, so that whoever gives it is told what is.

use memchr::memchr;

/// What is told of CSV.
pub(super) const CSV: &str = "this looks like CSV, which is not read here: give a JSON object {…}, an array of them, or \
                              one a line (NDJSON), as shippy list -o ndjson prints them";

/// What stands between cells: spreadsheets take the semicolon where the comma is for decimals.
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

/// Whether `text` begins as CSV does: with a line of at least two names or numbers.
pub(super) fn begins(text: &[u8]) -> bool {
    let line = &text[..memchr(b'\n', text).unwrap_or(text.len())];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    SEPARATORS.iter().any(|separator| {
        let mut cells = line.split(|byte| byte == separator);
        line.contains(separator) && cells.all(is_plain)
    })
}

/// Whether it is a cell such as a header has. White space around it says that it is no cell but prose, or broken JSON.
fn is_plain(cell: &[u8]) -> bool {
    let inner = cell
        .strip_prefix(b"\"")
        .and_then(|cell| cell.strip_suffix(b"\""));
    let cell = inner.unwrap_or(cell);
    // Letters that are not ASCII, in whatever encoding.
    let is_of_name =
        |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"_-. ".contains(byte);
    !cell.is_empty() && cell.trim_ascii().len() == cell.len() && cell.iter().all(is_of_name)
}

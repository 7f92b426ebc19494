//! Reads what `strace -f -yy` wrote and finds creates that were answered before they were on disk.
//!
//! strace writes a line when a call begins and another when it has returned, or one for both where nothing came in
//! between. A thread goes on only after its line is written, so what happened because of a call that returned stands
//! below it.

use std::collections::HashMap;

/// A system call, by the lines at which it began and returned.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    /// Its arguments, as far as they were known when it began.
    pub(super) text: &'a str,
    began: usize,
    /// The line of its return, if it succeeded.
    succeeded: Option<usize>,
}

impl Call<'_> {
    pub(super) fn is_sync(&self) -> bool {
        matches!(self.name, "fsync" | "fdatasync")
    }

    /// The file that its descriptor stands for: `fsync(13</data/register.db>)`.
    pub(super) fn path(&self) -> &str {
        let (_, path) = self.text.split_once('<').unwrap_or_default();
        path.split_once('>').unwrap_or_default().0
    }

    fn is_log_write(&self) -> bool {
        matches!(self.name, "pwrite64" | "pwritev" | "write" | "writev")
            && self.path().ends_with("-wal")
    }

    fn is_reply(&self) -> bool {
        matches!(self.name, "write" | "writev" | "sendto" | "sendmsg")
            && self.path().starts_with("TCP")
    }
}

/// The calls of a trace, in the order in which they began.
pub(super) fn calls(trace: &str) -> Vec<Call<'_>> {
    let mut calls: Vec<Call<'_>> = Vec::new();
    let mut unfinished = HashMap::new();
    for (line, text) in trace.lines().enumerate() {
        let Some((thread, text)) = text.split_once(' ') else {
            continue;
        };
        let text = text.trim_start();
        if text.starts_with("<... ") {
            if let Some(index) = unfinished.remove(thread) {
                let call: &mut Call<'_> = &mut calls[index];
                call.succeeded = succeeds(text).then_some(line);
            }
        } else if let Some((name, rest)) = text.split_once('(') {
            let begins_only = rest.ends_with("<unfinished ...>");
            if begins_only {
                unfinished.insert(thread, calls.len());
            }
            calls.push(Call {
                name,
                text: rest,
                began: line,
                succeeded: (!begins_only && succeeds(rest)).then_some(line),
            });
        }
    }
    calls
}

/// Whether a line ends with a result that is no error: `) = 24`, with more spaces after a short call.
fn succeeds(line: &str) -> bool {
    let (call, result) = line.rsplit_once(" = ").unwrap_or_default();
    call.trim_end().ends_with(')') && result.starts_with(|first: char| first.is_ascii_digit())
}

/// Whether a reply that holds `id` was written.
pub(super) fn has_reply(trace: &str, id: &str) -> bool {
    (calls(trace).iter()).any(|call| call.is_reply() && call.text.contains(id))
}

/// Whether a sync of a file of which `is_meant` is true had returned before a reply that holds `id` began.
pub(super) fn is_synced_before_reply(
    trace: &str,
    id: &str,
    is_meant: impl Fn(&str) -> bool,
) -> bool {
    let calls = calls(trace);
    let is_reply = |call: &&Call<'_>| call.is_reply() && call.text.contains(id);
    let Some(reply) = calls.iter().find(is_reply) else {
        return false;
    };
    (calls.iter())
        .filter(|call| call.is_sync() && is_meant(call.path()))
        .filter_map(|call| call.succeeded)
        .any(|returned| returned < reply.began)
}

/// Those of `ids` whose create was answered too early or not at all, and how. In time is a reply that holds the id and
/// begins after a sync of the log has returned which began after a write to the log that holds the id had returned.
pub(super) fn too_early(trace: &str, ids: &[String]) -> Vec<String> {
    let calls = calls(trace);
    let problem = |id: &String| {
        let holding = || calls.iter().filter(|call| call.text.contains(id.as_str()));
        let Some(reply) = holding().find(|call| call.is_reply()) else {
            return Some(format!("{id}: never answered"));
        };
        let logged = holding()
            .filter(|call| call.is_log_write())
            .filter_map(|call| Some((call.succeeded?, call.path())))
            .filter(|(returned, _)| *returned < reply.began)
            .min();
        let Some((logged, log)) = logged else {
            return Some(format!("{id}: answered before it was written"));
        };
        let synced = (calls.iter())
            .filter(|call| call.is_sync() && call.path() == log && call.began > logged)
            .any(|call| call.succeeded.is_some_and(|line| line < reply.began));
        (!synced).then(|| format!("{id}: answered before the log was synced"))
    };
    ids.iter().filter_map(problem).collect()
}

/// The trace that the same server would leave if it never synced.
pub(super) fn without_syncs(trace: &str) -> String {
    let is_sync = |line: &&str| {
        let call = line.split_once(' ').unwrap_or_default().1.trim_start();
        let call = call.strip_prefix("<... ").unwrap_or(call);
        call.starts_with("fsync") || call.starts_with("fdatasync")
    };
    let kept: Vec<_> = trace.lines().filter(|line| !is_sync(line)).collect();
    kept.join("\n")
}

/// Whether `trace` has the create of "abc" answered too early, and how.
fn verdict(trace: &str) -> String {
    too_early(trace, &["abc".to_owned()]).join("; ")
}

const WRITE: &str = r#"7 pwrite64(13</x/r.db-wal>, "\r\0abc\0", 6, 56) = 6"#;
const SYNC: &str = "7 fsync(13</x/r.db-wal>) = 0";
const REPLY: &str =
    r#"5 writev(19<TCP:[127.0.0.1:1->127.0.0.1:2]>, [{iov_base="$abc", iov_len=4}], 1) = 4"#;

#[test]
fn a_reply_after_write_and_sync_is_in_time() {
    let other = r#"6 pwrite64(13</x/r.db-wal>, "\r\0xyz\0", 6, 99) = 6"#;
    assert_eq!(verdict(&[WRITE, SYNC, REPLY].join("\n")), "");
    assert_eq!(verdict(&[WRITE, SYNC, other, REPLY].join("\n")), "");
}

#[test]
fn a_reply_without_a_sync_before_it_is_too_early() {
    let early = "abc: answered before the log was synced";
    assert_eq!(verdict(&[WRITE, REPLY, SYNC].join("\n")), early);
    assert_eq!(verdict(&[SYNC, WRITE, REPLY].join("\n")), early);
    let whole = [WRITE, SYNC, REPLY].join("\n");
    assert_eq!(verdict(&without_syncs(&whole)), early);
}

#[test]
fn a_sync_counts_once_it_has_returned() {
    let begins = "7 fdatasync(13</x/r.db-wal> <unfinished ...>";
    let returns = "7 <... fdatasync resumed>)           = 0";
    let early = "abc: answered before the log was synced";
    assert_eq!(verdict(&[WRITE, begins, returns, REPLY].join("\n")), "");
    assert_eq!(verdict(&[WRITE, begins, REPLY, returns].join("\n")), early);
    let whole = [WRITE, begins, returns, REPLY].join("\n");
    assert_eq!(verdict(&without_syncs(&whole)), early);
}

#[test]
fn a_sync_counts_only_if_it_began_after_the_write_had_returned() {
    let begins = r#"7 pwrite64(13</x/r.db-wal>, "\r\0abc\0", 6, 56 <unfinished ...>"#;
    let returns = "7 <... pwrite64 resumed>) = 6";
    let sync = "8 fsync(13</x/r.db-wal>) = 0";
    let early = "abc: answered before the log was synced";
    assert_eq!(verdict(&[begins, returns, sync, REPLY].join("\n")), "");
    assert_eq!(verdict(&[begins, sync, returns, REPLY].join("\n")), early);
}

#[test]
fn a_sync_that_failed_or_of_another_file_does_not_count() {
    let early = "abc: answered before the log was synced";
    let failed = "7 fsync(13</x/r.db-wal>) = -1 EIO (Input/output error)";
    assert_eq!(verdict(&[WRITE, failed, REPLY].join("\n")), early);
    let other = "7 fsync(11</x/r.db>) = 0";
    assert_eq!(verdict(&[WRITE, other, REPLY].join("\n")), early);
}

#[test]
fn a_create_that_was_never_written_or_never_answered_is_found() {
    let unwritten = "abc: answered before it was written";
    assert_eq!(verdict(&[SYNC, REPLY, WRITE].join("\n")), unwritten);
    assert_eq!(verdict(&[WRITE, SYNC].join("\n")), "abc: never answered");
}

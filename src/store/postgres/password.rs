//! Where a password comes from when the URL holds none: `PGPASSWORD`, then the password file, as libpq has it
//! (<https://www.postgresql.org/docs/current/libpq-pgpass.html>).

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Whom a password is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct For<'f> {
    /// A name, an address, or the folder of a socket.
    pub(super) host: &'f str,
    pub(super) port: u16,
    pub(super) database: &'f str,
    pub(super) user: &'f str,
}

/// The password for `wanted`, if there is one.
pub(super) fn find(wanted: For<'_>) -> Option<String> {
    if let Ok(password) = env::var("PGPASSWORD")
        && !password.is_empty()
    {
        return Some(password);
    }
    let path = file()?;
    in_text(&read(&path)?, wanted)
}

fn file() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let home = || Some(PathBuf::from(set("HOME")?).join(".pgpass"));
    set("PGPASSFILE").map(PathBuf::from).or_else(home)
}

/// The file's text, unless it is not there or others than its owner can read it.
fn read(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(
            "the password file {} is not used, as others can read it: chmod 0600 it",
            path.display()
        );
        return None;
    }
    fs::read_to_string(path)
        .inspect_err(|error| {
            tracing::warn!(
                "could not read the password file {}: {error}",
                path.display()
            );
        })
        .ok()
}

/// The first line of `text` that fits, `host:port:database:user:password`, counts.
pub(super) fn in_text(text: &str, wanted: For<'_>) -> Option<String> {
    let port = wanted.port.to_string();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut fields = Fields(line);
            let host = fields.next()?;
            // A server on this machine that is reached by a socket has this name, too.
            let is_local = wanted.host.starts_with('/') && host == "localhost";
            let fits = [
                is_local || fits(&host, wanted.host),
                fits(&fields.next()?, &port),
                fits(&fields.next()?, wanted.database),
                fits(&fields.next()?, wanted.user),
            ];
            let password = fields.next()?;
            (fits == [true; 4]).then_some(password)
        })
}

fn fits(field: &str, value: &str) -> bool {
    field == "*" || field == value
}

/// What is left of a line: fields between colons, in which `\` takes the next character for itself.
struct Fields<'l>(&'l str);

impl Fields<'_> {
    fn next(&mut self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut field = String::new();
        let mut characters = self.0.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                ':' => {
                    self.0 = &self.0[at + 1..];
                    return Some(field);
                }
                '\\' => field.extend(characters.next().map(|(_, taken)| taken)),
                other => field.push(other),
            }
        }
        self.0 = "";
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: For<'_> = For {
        host: "db",
        port: 5432,
        database: "depot",
        user: "ann",
    };

    #[test]
    fn the_first_line_that_fits_counts() {
        let text = "# db:5432:depot:ann:comment\n\
                    other:5432:depot:ann:wrong\n\
                    db:5433:depot:ann:wrong\n\
                    db:*:*:ann:right\n\
                    *:*:*:*:later";
        assert_eq!(in_text(text, ANN).as_deref(), Some("right"));
        let bob = For { user: "bob", ..ANN };
        assert_eq!(in_text(text, bob).as_deref(), Some("later"));
        assert_eq!(in_text("db:5432:depot:bob:no\nshort:line\n\n", ANN), None);
    }

    #[test]
    fn colons_and_backslashes_are_escaped() {
        let text = r"fe80\:\:1:5432:depot:ann:a\:b\\c";
        let wanted = For {
            host: "fe80::1",
            ..ANN
        };
        assert_eq!(in_text(text, wanted).as_deref(), Some(r"a:b\c"));
    }

    #[test]
    fn a_socket_is_on_localhost() {
        let wanted = For {
            host: "/run/postgresql",
            ..ANN
        };
        assert_eq!(
            in_text("localhost:*:*:*:right", wanted).as_deref(),
            Some("right")
        );
    }

    #[test]
    fn a_file_that_others_can_read_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgpass");
        fs::write(&path, "*:*:*:*:right").unwrap();
        for (mode, is_used) in [(0o644, false), (0o600, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path).is_some(), is_used, "{mode:o}");
        }
    }
}

//! A database without room.

use super::serve;
use crate::{
    cli::{file, stored},
    support::{
        folder, own_name,
        postgres::{Cluster, make_own},
        run,
    },
};

/// A file system in memory, taken away with this.
struct Small(std::path::PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: the database may still have files open in it.
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
    }
}

#[test]
#[ignore = "needs PostgreSQL, and root to mount a small file system"]
fn a_database_that_is_full_refuses_creates_answers_lists_and_goes_on_once_there_is_room() {
    let (cluster, home) = (Cluster::start(), folder());
    let space = cluster.sockets().join("small");
    make_own(&space);
    let owner = std::os::unix::fs::MetadataExt::uid(&space.metadata().unwrap());
    let mount = |options: &str| {
        let mut mount = std::process::Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&space);
        run(&mut mount).exits(0);
    };
    mount(&format!("size=24m,uid={owner},mode=700"));
    let _small = Small(space.clone());
    let place = format!("CREATE TABLESPACE small LOCATION '{}'", space.display());
    cluster.sql("postgres", &place);
    cluster.sql("postgres", "CREATE DATABASE depot TABLESPACE small");

    let server = serve(home.path(), &cluster.url("depot"), &own_name());
    let heavy = "y".repeat(3_000);
    let record = |number| format!("{{\"id\":\"{number}\",\"description\":\"{heavy}{number}\"}}\n");
    let records: String = (0..20_000).map(record).collect();
    // Compressed it would fit.
    cluster.sql(
        "depot",
        "ALTER TABLE shippy_consignment ALTER body SET STORAGE EXTERNAL",
    );
    let path = file(home.path(), "many.ndjson", records);
    run(&mut server.ask(home.path(), &["create", &path]))
        .exits(4)
        .says(&["disk is full"]);
    let before = stored(&server, home.path()).len();
    assert!(before > 0 && before < 20_000, "{before}");
    mount("remount,size=256m");
    run(&mut server.ask(home.path(), &["create", "--quiet", &path])).exits(0);
    let after = stored(&server, home.path());
    assert_eq!(after.len(), 20_000);
}

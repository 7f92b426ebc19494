//! Disks that are full and disks that cannot be written: file systems of our own, in a mount namespace of the server's.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use shippy::{
    consignment::new_id,
    proto::{Consignment, shipping_service_client::ShippingServiceClient},
};
use tonic::{Code, Status, transport::Channel};

use crate::{
    running::run_to_end,
    support::{Server, folder, own_name, run, shippy},
    wrapped::wrapped,
};

/// `shippy serve` of the register at `path`, after `mount` (for sh) in a mount namespace that ends with it.
fn serve_after(mount: &str, home: &Path, path: &Path) -> Command {
    let mut serve = shippy(home);
    serve.args(["serve", "--name", &own_name(), "--store"]);
    serve.arg(format!("sqlite:{}", path.display()));
    let script = format!("{mount} && exec \"$@\"");
    wrapped(&["unshare", "-m", "sh", "-c", &script, "sh"], &serve)
}

/// A server whose register is on a disk of its own of 4 MiB.
struct OnSmallDisk {
    server: Server,
    client: ShippingServiceClient<Channel>,
    /// The disk, as it is seen from outside the server's namespace.
    disk: PathBuf,
}

impl OnSmallDisk {
    async fn start(home: &Path) -> Self {
        let disk = home.join("disk");
        fs::create_dir(&disk).unwrap();
        let mount = format!("mount -t tmpfs -o size=4m tmpfs {}", disk.display());
        let command = serve_after(&mount, home, &disk.join("register.db"));
        let server = Server::spawn(command, home);
        let root = format!("/proc/{}/root", server.pid().as_raw_nonzero());
        let inside = disk.strip_prefix("/").unwrap();
        Self {
            client: server.connect().await,
            disk: Path::new(&root).join(inside),
            server,
        }
    }

    fn filler(&self) -> PathBuf {
        self.disk.join("filler")
    }

    /// Takes whatever room there is.
    fn fill(&self) {
        let zeros = fs::File::open("/dev/zero").unwrap();
        let mut filler = fs::File::create(self.filler()).unwrap();
        let full = std::io::copy(&mut &zeros, &mut filler).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    async fn create(&mut self) -> Result<String, Status> {
        let consignment = Consignment {
            id: new_id(),
            description: "x".repeat(4_000),
            ..Consignment::default()
        };
        let created = self.client.create_consignment(consignment).await?;
        Ok(created.into_inner().consignment.unwrap().id)
    }

    /// Creates until it is refused; the ids of what was created. The log may have room left within itself.
    async fn create_until_refused(&mut self) -> (Vec<String>, Status) {
        let mut created = Vec::new();
        loop {
            match self.create().await {
                Ok(id) => created.push(id),
                Err(refused) => return (created, refused),
            }
            assert!(created.len() < 2_000, "a disk of 4 MiB takes 8 MB");
        }
    }

    fn listed(&self, home: &Path) -> Vec<String> {
        let ran = run(&mut self.server.ask(home, &["list", "-o", "ndjson"])).exits(0);
        let lines = ran.stdout.lines();
        let all = lines.map(|line| serde_json::from_str::<Consignment>(line).unwrap());
        let numbered = all.enumerate().map(|(index, consignment)| {
            assert_eq!(consignment.sequence, index as u64 + 1, "gapless");
            consignment.id
        });
        numbered.collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and mount namespaces"]
async fn a_full_disk_refuses_creates_and_nothing_else_until_there_is_room() {
    let home = folder();
    let mut on_disk = OnSmallDisk::start(home.path()).await;
    let mut created = vec![on_disk.create().await.unwrap()];
    for _ in 0..3 {
        on_disk.fill();
        let (before, refused) = on_disk.create_until_refused().await;
        created.extend(before);
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        assert!(refused.message().contains("disk is full"), "{refused}");
        let create = &mut on_disk
            .server
            .ask(home.path(), &["create", "consignment.json"]);
        run(create).exits(4).says(&["disk is full", "free space"]);
        assert_eq!(on_disk.listed(home.path()), created, "reads go on");
        run(&mut on_disk.server.ask(home.path(), &["health"])).exits(0);

        fs::remove_file(on_disk.filler()).unwrap();
        created.push(on_disk.create().await.unwrap());
        assert_eq!(on_disk.listed(home.path()), created);
    }
    assert!(on_disk.server.logged().contains("no space left"));
    assert!(on_disk.server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and mount namespaces"]
async fn a_register_outgrows_its_disk_without_losing_anything() {
    let home = folder();
    let mut on_disk = OnSmallDisk::start(home.path()).await;
    let (created, refused) = on_disk.create_until_refused().await;
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(created.len() > 50, "{} fit", created.len());
    assert_eq!(on_disk.listed(home.path()), created);
    assert!(on_disk.server.stop().success());
}

#[test]
#[ignore = "needs root, mount namespaces and fuse-overlayfs"]
fn a_register_on_what_may_be_a_network_is_served_with_a_warning() {
    let home = folder();
    let [lower, upper, work, disk] = ["lower", "upper", "work", "disk"].map(|name| {
        let folder = home.path().join(name);
        fs::create_dir(&folder).unwrap();
        folder
    });
    let (lower, upper, work) = (lower.display(), upper.display(), work.display());
    let at = disk.display();
    // What carries the file system ends with the shell, which the server takes the place of.
    let mount = format!(
        "setpriv --pdeathsig KILL fuse-overlayfs -f -o lowerdir={lower},upperdir={upper},workdir={work} {at} \
         </dev/null >/dev/null 2>&1 & \
         until mountpoint -q {at}; do kill -0 $! || exit 99; sleep 0.05; done"
    );
    let serve = || serve_after(&mount, home.path(), &disk.join("register.db"));
    let warning = [
        &format!("the register {at}/register.db is on FUSE, which may lead to another machine"),
        "--store sqlite:PATH",
    ];
    for made in ["a new register would be made", "register "] {
        let ran = run_to_end(serve().arg("--check")).exits(0);
        let lines = ran.stdout.lines();
        let of_store: Vec<_> = lines.filter(|line| line.contains("  store  ")).collect();
        assert_eq!(of_store.len(), 2, "{ran:#?}");
        assert!(
            of_store[0].starts_with("ok") && of_store[0].contains(made),
            "{ran:#?}"
        );
        assert!(
            of_store[1].starts_with("warning") && of_store[1].contains(warning[0]),
            "{ran:#?}"
        );
        let server = Server::spawn(serve(), home.path());
        run(&mut server.ask(home.path(), &["create", "consignment.json"])).exits(0);
        let logged = server.logged();
        assert!(warning.iter().all(|text| logged.contains(text)), "{logged}");
        assert!(server.stop().success());
    }
}

/// Fails the test unless serving `kept`/register.db after `mount` is refused for `reason`, with nothing changed.
fn refused_after(mount: &str, home: &Path, kept: &Path, reason: &str) {
    let names = || {
        let entries = fs::read_dir(kept).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let (before, contents) = (names(), fs::read(kept.join("register.db")).unwrap());
    let mut command = serve_after(mount, home, &kept.join("register.db"));
    let ran = run_to_end(&mut command).exits(1);
    let ran = ran.says(&["could not", reason, "--store sqlite:PATH"]);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert_eq!(names(), before);
    assert!(fs::read(kept.join("register.db")).unwrap() == contents);
}

/// A folder with a register in it, as a server leaves it.
fn kept(home: &Path) -> PathBuf {
    let kept = home.join("kept");
    fs::create_dir(&kept).unwrap();
    let server = Server::start(&kept);
    run(&mut server.ask(&kept, &["create", "consignment.json"])).exits(0);
    assert!(server.stop().success());
    kept
}

#[test]
#[ignore = "needs root and mount namespaces"]
fn a_register_in_a_read_only_folder_is_refused() {
    let home = folder();
    let kept = kept(home.path());
    let mount = format!("mount --bind -o ro {0} {0}", kept.display());
    refused_after(&mount, home.path(), &kept, "Read-only file system");
    fs::remove_file(kept.join("register.db.lock")).unwrap();
    refused_after(&mount, home.path(), &kept, "it is read-only");
}

#[test]
#[ignore = "needs root and mount namespaces"]
fn a_register_that_is_read_only_itself_is_refused() {
    let home = folder();
    let kept = kept(home.path());
    let file = kept.join("register.db");
    let mount = format!("mount --bind -o ro {0} {0}", file.display());
    let mut command = serve_after(&mount, home.path(), &file);
    run_to_end(&mut command)
        .exits(1)
        .says(&["could not write", "read-only", "make it writable"]);
}

#[test]
#[ignore = "needs root and mount namespaces"]
fn a_new_register_on_a_full_disk_is_refused_with_the_reason() {
    let home = folder();
    let disk = home.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = format!(
        "mount -t tmpfs -o size=64k tmpfs {0} && ! cat /dev/zero > {0}/filler 2>/dev/null",
        disk.display()
    );
    let mut command = serve_after(&mount, home.path(), &disk.join("register.db"));
    run_to_end(&mut command)
        .exits(1)
        .says(&["could not open the register", "full"]);
}

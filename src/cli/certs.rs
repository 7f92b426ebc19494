//! `shippy certs`

use std::{
    fs::{self, File},
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use clap::Args;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use super::{Exit, exit::UsageError, shell::quoted};
use crate::{consignment::new_id, tls::SERVER_NAME};

/// How long they are good, from an hour ago on, as clocks differ.
const VALID: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const LEEWAY: Duration = Duration::from_secs(60 * 60);

const AUTHORITY: &str = "ca";
const SERVER: &str = "server";
const CLIENT: &str = "client";

/// Make certificates to try TLS with
///
/// Makes an authority, a certificate for servers and one for clients from it, and a private key for each, in six files,
/// and prints the two commands that use them. Never overwrites anything. They are good for a year. For more than a trial
/// take an authority that somebody looks after.
#[derive(Debug, Args)]
pub(super) struct CertsArgs {
    /// The folder to put them in
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Who the client is, as a file of --tokens names it
    #[arg(long, value_name = "NAME", default_value = CLIENT)]
    client_name: String,
}

/// A certificate and its key, in PEM.
struct Pair {
    name: &'static str,
    certificate: String,
    key: String,
}

impl CertsArgs {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let pairs = pairs(&self.client_name)?;
        let folder = self.folder;
        fs::create_dir_all(&folder)
            .with_context(|| format!("could not make the folder {}", folder.display()))?;
        // All are looked at before one is made.
        for Pair { name, .. } in &pairs {
            for extension in ["pem", "key"] {
                let path = folder.join(name).with_extension(extension);
                if path.symlink_metadata().is_ok() {
                    return Err(exists(&path).into());
                }
            }
        }
        for pair in &pairs {
            let path = folder.join(pair.name);
            write(&path.with_extension("key"), &pair.key, 0o600)?;
            write(&path.with_extension("pem"), &pair.certificate, 0o644)?;
        }
        writeln!(io::stdout(), "{}", commands(&folder)).context("could not print")?;
        Ok(Exit::Done)
    }
}

/// The two commands that use what is in `folder`.
fn commands(folder: &Path) -> String {
    let at = |file: &str| quoted(folder.join(file).as_os_str().as_bytes());
    let [authority, server, server_key] = ["ca.pem", "server.pem", "server.key"].map(at);
    let [client, client_key] = ["client.pem", "client.key"].map(at);
    format!(
        "shippy serve --lan --tls-cert {server} --tls-key {server_key} --tls-client-ca {authority}\n\
         shippy list --tls-ca {authority} --tls-cert {client} --tls-key {client_key}"
    )
}

/// The authority, the server and the client.
fn pairs(client: &str) -> anyhow::Result<[Pair; 3]> {
    let key = KeyPair::generate()?;
    // With a name of its own, so that nobody takes one authority's certificates for badly made ones of another's.
    let mut authority = params(&format!("shippy development CA {}", new_id()))?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = authority.self_signed(&key)?.pem();
    let first = Pair {
        name: AUTHORITY,
        certificate,
        key: key.serialize_pem(),
    };
    let issuer = Issuer::new(authority, key);
    // The first is what shippy's clients look for; others look for the address that they were given.
    let server_names = vec![
        SanType::DnsName(SERVER_NAME.try_into()?),
        SanType::DnsName("localhost".try_into()?),
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    let name = client.try_into().map_err(|_| {
        UsageError(format!(
            "{client:?} is no name for a certificate: write it in ASCII"
        ))
    })?;
    let client_name = if client.contains("://") {
        SanType::URI(name)
    } else {
        SanType::DnsName(name)
    };
    let server_auth = ExtendedKeyUsagePurpose::ServerAuth;
    let client_auth = ExtendedKeyUsagePurpose::ClientAuth;
    Ok([
        first,
        leaf(SERVER, server_names, server_auth, &issuer)?,
        leaf(CLIENT, vec![client_name], client_auth, &issuer)?,
    ])
}

fn leaf(
    name: &'static str,
    names: Vec<SanType>,
    purpose: ExtendedKeyUsagePurpose,
    issuer: &Issuer<'_, KeyPair>,
) -> anyhow::Result<Pair> {
    let key = KeyPair::generate()?;
    let mut params = params(&format!("shippy {name}"))?;
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    Ok(Pair {
        name,
        certificate: params.signed_by(&key, issuer)?.pem(),
        key: key.serialize_pem(),
    })
}

fn params(common_name: &str) -> anyhow::Result<CertificateParams> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = date_time_ymd(1970, 1, 1) + now.context("this machine's clock stands before 1970")?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = now - LEEWAY;
    params.not_after = now + VALID;
    Ok(params)
}

/// Makes the file at `path`, which nobody else gets to read meanwhile where `mode` says so.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    let mut file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path).into(),
        _ => anyhow::Error::new(error).context(format!("could not make {}", path.display())),
    })?;
    (file.write_all(text.as_bytes())).with_context(|| format!("could not write {}", path.display()))
}

fn exists(path: &Path) -> UsageError {
    UsageError(format!(
        "{} is there already, and nothing is overwritten: name another folder",
        path.display()
    ))
}

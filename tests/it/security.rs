//! Who is let in, and whom a client trusts.

use std::{path::Path, process::Command};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};

use crate::{
    cli::file,
    support::{Ran, Server, own_name, run, shippy},
};

mod announced;
mod certs;
mod creator;
mod handshakes;
mod mismatch;
mod places;
mod probe;
mod reload;
mod table;
mod tokens;

/// Who vouches for the certificates that a test makes.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The file with its certificate.
    pub(crate) file: String,
}

/// The files of a certificate and its key.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            file: file(folder, &format!("{name}.pem"), certificate),
        }
    }

    /// A certificate for a server called `name`, in `folder`.
    pub(crate) fn server(&self, folder: &Path, name: &str) -> Pair {
        self.certify(folder, name, |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })
    }

    /// A certificate for a client called `name`.
    fn client(&self, folder: &Path, name: &str) -> Pair {
        self.certify(folder, name, |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    pub(crate) fn certify(
        &self,
        folder: &Path,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            certificate: file(folder, &format!("{name}.pem"), certificate.pem()),
            key: file(folder, &format!("{name}.key"), key.serialize_pem()),
        }
    }
}

impl Pair {
    pub(crate) fn args(&self) -> [&str; 4] {
        ["--tls-cert", &self.certificate, "--tls-key", &self.key]
    }
}

/// A server with nothing in its register that is announced nowhere.
pub(crate) fn serve(home: &Path, args: &[&str]) -> Server {
    let mut command = shippy(home);
    command.args(["serve", "--store", "memory:", "--registry", "static"]);
    command.args(["--name", &own_name()]).args(args);
    Server::spawn(command, home)
}

/// `shippy list` of `server`. It is given more time than a test has, so that what is tried again until then fails it.
fn list(server: &Server, home: &Path, args: &[&str]) -> Command {
    let mut command = server.ask(home, &["list", "--timeout", "10m"]);
    command.args(args);
    command
}

/// Makes a token for `name` as the command does; the token, and its line for the server.
pub(crate) fn token(home: &Path, name: &str, scope: &str) -> (String, String) {
    let ran = token_ran(home, &[name, "--scope", scope]);
    let mut lines = ran.stdout.lines().map(str::to_owned);
    (lines.next().unwrap(), lines.next().unwrap())
}

fn token_ran(home: &Path, args: &[&str]) -> Ran {
    run(shippy(home).arg("token").args(args)).exits(0)
}

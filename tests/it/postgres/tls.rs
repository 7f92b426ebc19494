//! TLS to the database.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::{command, serve};
use crate::{
    cli::file,
    running::run_to_end,
    support::{folder, own_name, postgres::Cluster},
};

/// A database with a certificate for `localhost`, which TLS is asked of, and the file of who vouches for it.
fn certified(home: &Path) -> (Cluster, String) {
    let root_key = KeyPair::generate().unwrap();
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_certificate = root.self_signed(&root_key).unwrap();
    let issuer = Issuer::new(root, root_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".into()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();

    let mut cluster = Cluster::prepare(&[]);
    cluster.certify(&leaf.pem(), &key.serialize_pem());
    cluster.admit("hostssl all all 127.0.0.1/32 trust\nlocal all all trust\n");
    cluster.run();
    let roots = file(home, "roots.pem", root_certificate.pem());
    (cluster, roots)
}

#[test]
#[ignore = "needs PostgreSQL"]
fn the_certificate_is_checked_as_far_as_the_url_asks() {
    let (home, elsewhere) = (folder(), folder());
    let (cluster, roots) = certified(home.path());
    let others = rcgen::generate_simple_self_signed(vec!["other".into()]).unwrap();
    let others = file(elsewhere.path(), "roots.pem", others.cert.pem());
    let url = |host: &str, parameters: &str| {
        let port = cluster.port;
        format!("postgres://postgres@{host}:{port}/postgres?{parameters}")
    };
    for (host, parameters) in [
        ("127.0.0.1", "sslmode=prefer".to_owned()),
        ("127.0.0.1", "sslmode=require".to_owned()),
        (
            "127.0.0.1",
            format!("sslmode=verify-ca&sslrootcert={roots}"),
        ),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={roots}"),
        ),
    ] {
        let server = serve(home.path(), &url(host, &parameters), &own_name());
        let encrypted = "SELECT count(*) > 0 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
             WHERE ssl AND application_name = 'shippy'";
        assert_eq!(cluster.sql("postgres", encrypted), "t", "{parameters}");
        drop(server);
    }
    for (host, parameters, reason) in [
        (
            "127.0.0.1",
            format!("sslmode=verify-full&sslrootcert={roots}"),
            "not valid for name",
        ),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={others}"),
            "invalid peer certificate",
        ),
        (
            "127.0.0.1",
            format!("sslmode=verify-ca&sslrootcert={others}"),
            "invalid peer certificate",
        ),
        ("127.0.0.1", "sslmode=disable".to_owned(), "pg_hba.conf"),
        (
            "127.0.0.1",
            "sslmode=verify-full&sslrootcert=/nowhere.pem".to_owned(),
            "/nowhere.pem",
        ),
    ] {
        let url = url(host, &parameters);
        run_to_end(&mut command(home.path(), &url, &own_name()))
            .exits(1)
            .says(&[reason, "check"]);
    }
}

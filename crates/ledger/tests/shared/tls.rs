//! Encryption of the connection, as the URL asks for it.

use std::fs;

use foreshadow_ledger::{Ledger, LedgerError};
use rcgen::{CertificateParams, KeyPair};

use crate::{Postgres, events, open, prepared, shard};

const ENCRYPTED: &str = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
    WHERE application_name = 'foreshadow'";

/// A certificate for this name, which is its own root, and its key.
fn certificate(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn the_connection_is_encrypted_as_the_url_asks() {
    let Some(server) = Postgres::start() else {
        return;
    };
    let url = prepared(&server);
    let plain = Ledger::open_shared(shard(&format!("{url}?sslmode=require"), 1)).unwrap_err();
    assert!(plain.to_string().contains("TLS"), "{plain}");

    let (own, key) = certificate("127.0.0.1");
    server.encrypt(&own, &key);
    let folder = tempfile::tempdir().unwrap();
    let roots = |name: &str, certificate: &str| {
        let path = folder.path().join(name);
        fs::write(&path, certificate).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let right = roots("right", &own);
    let wrong = roots("wrong", &certificate("127.0.0.1").0);
    for (settings, encrypted) in [
        ("sslmode=disable".to_owned(), "f"),
        ("sslmode=prefer".to_owned(), "t"),
        ("application_name=foreshadow".to_owned(), "t"),
        (format!("sslmode=require&sslrootcert={right}"), "t"),
        (format!("sslrootcert={right}&sslmode=verify-full"), "t"),
        (format!("sslrootcert={right}"), "t"),
        (format!("sslrootcert={wrong}&sslmode=disable"), "f"),
    ] {
        let mut ledger = open(&format!("{url}?{settings}"), 1);
        ledger.append(&events(1..=1)).unwrap();
        assert_eq!(server.psql(&url, ENCRYPTED), encrypted, "{settings}");
    }
    for settings in [
        format!("sslmode=require&sslrootcert={wrong}"),
        format!("sslrootcert={wrong}"),
        "sslmode=require&sslrootcert=/nowhere".to_owned(),
        "sslmode=require".to_owned(),
    ] {
        // At once: what a server shows does not change.
        let refused = Ledger::open_shared(shard(&format!("{url}?{settings}"), 1)).unwrap_err();
        assert!(matches!(refused, LedgerError::Refused { .. }), "{refused}");
        let refused = refused.to_string();
        let told = ["certificate", "/nowhere"]
            .iter()
            .any(|what| refused.contains(what));
        assert!(told, "{settings}: {refused}");
    }
}

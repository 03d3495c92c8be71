//! Callers that servers know: tokens and certificates.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::foreshadow;

/// A new token of a role, and the table that lets its holder in.
///
/// # Panics
/// If the binary cannot be started.
pub fn token(name: &str, role: &str) -> (String, String) {
    let made = foreshadow(&["token", "--name", name, "--role", role]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let said = text(&made.stderr);
    let table = said.lines().skip_while(|line| *line != "[[token]]");
    let table: Vec<_> = table.take_while(|line| !line.is_empty()).collect();
    (text(&made.stdout), format!("\n{}\n", table.join("\n")))
}

/// Who signs certificates, and the folder with the files that servers read.
#[derive(Debug)]
pub struct Authority {
    own: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// If there is no randomness to make its key with.
    pub fn new(folder: &Path) -> Self {
        let mut own = CertificateParams::new(Vec::new()).expect("no names are fine");
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        Self {
            own: CertifiedIssuer::self_signed(own, key).expect("it signs itself"),
            folder: folder.to_owned(),
        }
    }

    /// Its own certificate, in PEM.
    pub fn pem(&self) -> String {
        self.own.pem()
    }

    /// The file with its own certificate.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn file(&self) -> String {
        self.written("ca.pem", &self.pem())
    }

    /// A certificate for this name, and its key, in PEM.
    ///
    /// # Panics
    /// If it is no name.
    pub fn signs(&self, name: &str) -> (String, String) {
        let own = CertificateParams::new(vec![name.to_owned()]).expect("it is a name");
        let key = KeyPair::generate().expect("a key can be made");
        let own = own.signed_by(&key, &self.own).expect("the authority signs");
        (own.pem(), key.serialize_pem())
    }

    /// The lines of a configuration that name the files with a new certificate for this name.
    ///
    /// # Panics
    /// If it is no name, or the files cannot be written.
    pub fn certificate(&self, name: &str) -> String {
        let (own, key) = self.signs(name);
        format!(
            "certificate = \"{}\"\nkey = \"{}\"\n",
            self.written("own.pem", &own),
            self.written("own.key", &key)
        )
    }

    fn written(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        fs::write(&path, text).expect("the file can be written");
        path.display().to_string()
    }
}

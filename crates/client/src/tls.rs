//! Whom an encrypted connection trusts, and as whom it comes.

use std::fmt;

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::Error;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// Settings for TLS, each in PEM.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    /// Who signs servers' certificates, in the place of those that this machine trusts.
    pub(crate) authorities: Option<Vec<u8>>,
    pub(crate) identity: Option<Identity>,
    /// The name in the server's certificate, where it is not the address's host.
    pub(crate) name: Option<String>,
}

/// Without the key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        f.debug_struct("Tls")
            .field("name", name)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Whether anything is set.
    pub(crate) fn is_set(&self) -> bool {
        self.authorities.is_some() || self.identity.is_some() || self.name.is_some()
    }

    /// # Errors
    /// [`Error::Setup`] if the authorities that are given are none.
    pub(crate) fn config(self) -> Result<ClientTlsConfig, Error> {
        let mut config = match self.authorities {
            Some(pem) => ClientTlsConfig::new().ca_certificate(authorities(pem)?),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let Some(identity) = self.identity {
            config = config.identity(identity);
        }
        if let Some(name) = self.name {
            config = config.domain_name(name);
        }
        Ok(config)
    }
}

/// Tonic takes what has no certificate in it for nobody to trust, and says so at the first call only.
fn authorities(pem: Vec<u8>) -> Result<Certificate, Error> {
    if String::from_utf8_lossy(&pem).contains(BEGIN) {
        return Ok(Certificate::from_pem(pem));
    }
    let problem = format!("there is no {BEGIN} in it; give certificates in PEM");
    Err(Error::setup("ca_certificate", problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_printed() {
        let tls = Tls {
            identity: Some(Identity::from_pem("certificate", "key")),
            ..Tls::default()
        };
        assert_eq!(format!("{tls:?}"), "Tls { name: None, .. }");
    }
}

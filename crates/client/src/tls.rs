//! Whom an encrypted connection trusts, and as whom it comes.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::Error;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

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
    /// [`Error::Setup`] if the authorities that are given are none, or none is given and this machine
    /// trusts nobody.
    pub(crate) fn config(self) -> Result<ClientTlsConfig, Error> {
        let authorities = match self.authorities {
            Some(pem) if String::from_utf8_lossy(&pem).contains(BEGIN) => pem,
            Some(_) => {
                let problem = format!("there is no {BEGIN} in it; give certificates in PEM");
                return Err(Error::setup("ca_certificate", problem));
            }
            None => trusted_here()?,
        };
        let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authorities));
        if let Some(identity) = self.identity {
            config = config.identity(identity);
        }
        if let Some(name) = self.name {
            config = config.domain_name(name);
        }
        Ok(config)
    }
}

/// The authorities that this machine trusts.
fn trusted_here() -> Result<Vec<u8>, Error> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let problem =
            "this machine has no certificates to trust; give the server's authority in PEM";
        return Err(Error::setup("ca_certificate", problem));
    }
    let pem = found.certs.iter().map(|der| pem(der)).collect::<String>();
    Ok(pem.into_bytes())
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("{BEGIN}\n{text}\n{END}\n")
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

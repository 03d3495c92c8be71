//! Encryption of the connection, as the URL asks for it.

use std::{path::Path, sync::Arc};

use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WantsClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};

/// Encrypts, and takes whoever answers: what `prefer` means, which falls back on no encryption at all.
pub(super) fn opportunistic() -> Result<MakeRustlsConnect, String> {
    let provider = Arc::new(ring::default_provider());
    let anyone = Arc::new(Anyone(Arc::clone(&provider)));
    let config = builder(provider)?.dangerous();
    Ok(made(config.with_custom_certificate_verifier(anyone)))
}

/// Takes a server only with a certificate for its name, of a root of this file or of the system's.
pub(super) fn verified(roots: Option<&Path>) -> Result<MakeRustlsConnect, String> {
    let roots = match roots {
        Some(path) => roots_of(path)?,
        None => roots_of_the_system(),
    };
    if roots.is_empty() {
        return Err("no root certificate was found to know the server by; \
                    name one with sslrootcert=FILE in the URL"
            .to_owned());
    }
    let config = builder(Arc::new(ring::default_provider()))?;
    Ok(made(config.with_root_certificates(roots)))
}

type Builder = ConfigBuilder<ClientConfig, tokio_rustls::rustls::WantsVerifier>;

fn builder(provider: Arc<CryptoProvider>) -> Result<Builder, String> {
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions();
    builder.map_err(|error| error.to_string())
}

fn made(config: ConfigBuilder<ClientConfig, WantsClientCert>) -> MakeRustlsConnect {
    MakeRustlsConnect::new(config.with_no_client_auth())
}

fn roots_of(path: &Path) -> Result<RootCertStore, String> {
    let failed = |error: &dyn std::error::Error| format!("{}: {error}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))? {
        let certificate = certificate.map_err(|error| failed(&error))?;
        roots.add(certificate).map_err(|error| failed(&error))?;
    }
    Ok(roots)
}

fn roots_of_the_system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Asks for no name.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

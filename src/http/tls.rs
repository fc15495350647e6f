//! The caller's thread, once: the certificates of TLS connections.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier};

use super::error::HttpOptionError;

/// Whose certificates are trusted, and what this side shows.
#[derive(Clone, Default)]
pub(super) struct TlsOptions {
    /// Instead of the system's.
    pub(super) ca: Option<PathBuf>,
    /// The certificate and its key.
    pub(super) client: Option<(PathBuf, PathBuf)>,
    pub(super) accepts_invalid: bool,
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions").field("ca", &self.ca).finish_non_exhaustive()
    }
}

impl TlsOptions {
    /// Reads the files.
    pub(super) fn config(&self) -> Result<ClientConfig, HttpOptionError> {
        let provider = Arc::new(ring::default_provider());
        let versions = versions(provider.clone())?;
        let trusting = if self.accepts_invalid {
            versions.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        } else if let Some(path) = &self.ca {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("ca_file", path)? {
                let added = roots.add(certificate);
                added.map_err(|error| wrong("ca_file", path, &format!("a certificate in it is none: {error}")))?;
            }
            versions.with_root_certificates(roots)
        } else {
            versions.with_native_roots().map_err(|error| {
                HttpOptionError::new("url", "https".into(), &format!("the system has no certificates: {error}"))
            })?
        };
        let Some((certificate, key)) = &self.client else { return Ok(trusting.with_no_client_auth()) };
        let chain = certificates("client_certificate", certificate)?;
        let private = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| wrong("client_certificate", key, &format!("it has no private key in PEM: {error}")))?;
        trusting
            .with_client_auth_cert(chain, private)
            .map_err(|error| wrong("client_certificate", certificate, &error.to_string()))
    }
}

fn versions(provider: Arc<CryptoProvider>) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, HttpOptionError> {
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    versions.map_err(|error| HttpOptionError::new("url", "https".into(), &error.to_string()))
}

/// What a client of `http` alone has: it trusts no certificate.
pub(super) fn unused() -> Result<ClientConfig, HttpOptionError> {
    let versions = versions(Arc::new(ring::default_provider()))?;
    Ok(versions.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn wrong(option: &str, path: &std::path::Path, why: &str) -> HttpOptionError {
    HttpOptionError::new(option, path.display().to_string(), why)
}

fn certificates(option: &str, path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, HttpOptionError> {
    let not_pem = |error| wrong(option, path, &format!("it has no certificates in PEM: {error}"));
    let all = CertificateDer::pem_file_iter(path).map_err(not_pem)?.collect::<Result<Vec<_>, _>>().map_err(not_pem)?;
    if all.is_empty() { Err(wrong(option, path, "it has no certificates in PEM")) } else { Ok(all) }
}

/// Trusts every certificate.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! Whose certificates a store's server may show: those that the system trusts, or those of a file in their place.

use std::{fmt, path::Path, sync::Arc};

use object_store::ClientOptions;
use plimsoll_host::Files;
use plimsoll_model::{Error, ErrorKind, Result, ResultExt};

use crate::Environment;

/// The variable by which Amazon's tools are told of the file.
const VARIABLE: &str = "AWS_CA_BUNDLE";

/// Certificates as PEM; none for the system's.
#[derive(Clone, Default)]
pub(super) struct Authorities(Option<Arc<[u8]>>);

impl Authorities {
    /// # Errors
    /// When the file that the environment names cannot be read, or has no certificate.
    pub(super) fn of(environment: &Environment, files: &dyn Files) -> Result<Authorities> {
        let Some(path) = environment.get(VARIABLE) else { return Ok(Authorities::default()) };
        let doing = "reading the certificates that AWS_CA_BUNDLE names";
        let pem = files.read(Path::new(path)).doing(doing, path)?;
        let bad = |why: String| Error::new(ErrorKind::Invalid, doing).object(path).why(why);
        match reqwest::tls::Certificate::from_pem_bundle(&pem) {
            Err(error) => Err(bad(error.to_string())),
            Ok(certificates) if certificates.is_empty() => Err(bad("there is none in it".to_owned())),
            Ok(_) => Ok(Authorities(Some(pem.into()))),
        }
    }

    /// For [`super::client`]; none, if they are the system's.
    ///
    /// # Errors
    /// When they are not certificates.
    pub(super) fn certificates(&self) -> reqwest::Result<Vec<reqwest::tls::Certificate>> {
        self.0.as_deref().map_or(Ok(Vec::new()), reqwest::tls::Certificate::from_pem_bundle)
    }

    /// Options by which nobody else is trusted.
    ///
    /// # Errors
    /// When they are not certificates.
    pub(super) fn only(&self, options: &ClientOptions) -> object_store::Result<ClientOptions> {
        let options = options.clone();
        let Some(pem) = &self.0 else { return Ok(options) };
        let certificates = object_store::Certificate::from_pem_bundle(pem)?;
        Ok(certificates
            .into_iter()
            .fold(options.with_no_system_certificates(true), ClientOptions::with_root_certificate))
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("the system's"),
            Some(pem) => f.write_str(&String::from_utf8_lossy(pem)),
        }
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_host::os;

    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let host = os::host().unwrap();
        let environment: Environment = [(VARIABLE, path.to_str().unwrap())].into_iter().collect();
        let refusal = || Authorities::of(&environment, &*host.files).unwrap_err().to_string();
        assert!(refusal().contains("ca.pem"), "it is not there: {}", refusal());
        std::fs::write(&path, "-----BEGIN NOTHING-----\n").unwrap();
        assert!(refusal().contains("ca.pem") && refusal().contains("AWS_CA_BUNDLE"), "{}", refusal());
    }
}

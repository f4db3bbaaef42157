//! Google Cloud Storage: URL, options and environment become a client.

use object_store::{
    ClientConfigKey,
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
};
use plimsoll_model::{Error, ErrorKind, Result};

use super::{Built, authorities::Authorities, credentials::Source, http};
use crate::{Environment, StoreOptions, VolumeUrl};

pub(super) fn build(url: &VolumeUrl, options: &StoreOptions, environment: &Environment) -> Result<Built> {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_client_options(http::client(options))
        .with_http_connector(options.connections.trusting(Authorities::default()));
    if let Some(path) = environment.get("SERVICE_ACCOUNT") {
        builder = builder.with_service_account_path(path);
    }
    for (name, value) in http::variables(environment, url.scheme()) {
        if let Ok(key) = name.parse::<GoogleConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let endpoint = options.endpoint.clone().or_else(|| builder.get_config_value(&GoogleConfigKey::BaseUrl));
    let url = if url.endpoint().is_some() { url.clone() } else { url.clone().at(endpoint.as_deref())? };
    if let Some(endpoint) = url.endpoint() {
        builder = builder.with_base_url(endpoint);
    }
    let plain = http::is_plain(&url, options, environment)?;
    let gcs = builder
        .with_bucket_name(url.bucket())
        .with_config(GoogleConfigKey::Client(ClientConfigKey::AllowHttp), plain.to_string())
        .with_retry(http::no_retries())
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Invalid, "opening")
                .object(url.canonical())
                .caused_by(error)
                .hint("check GOOGLE_APPLICATION_CREDENTIALS and the other GOOGLE_… environment variables")
        })?;
    let source = if environment.says_yes("GOOGLE_SKIP_SIGNATURE") {
        Source::Anonymous
    } else {
        Source::Gcp(gcs.credentials().clone())
    };
    Ok(Built { url, inner: Box::new(gcs), credentials: source.into(), mark: None })
}

//! Azure Blob Storage: URL, options and environment become a client.

use object_store::{
    ClientConfigKey,
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
};
use plimsoll_model::{Error, ErrorKind, Result};

use super::{Built, authorities::Authorities, credentials::Source, http};
use crate::{Environment, StoreOptions, VolumeUrl};

pub(super) fn build(url: &VolumeUrl, options: &StoreOptions, environment: &Environment) -> Result<Built> {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_client_options(http::client(options))
        .with_http_connector(options.connections.trusting(Authorities::default()));
    for (name, value) in http::variables(environment, url.scheme()) {
        if let Ok(key) = name.parse::<AzureConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = environment.get("IDENTITY_ENDPOINT") {
        builder = builder.with_msi_endpoint(endpoint);
    }
    if let Some(account) = url.param("account") {
        builder = builder.with_account(account);
    }
    let Some(account) = builder.get_config_value(&AzureConfigKey::AccountName) else {
        return Err(Error::new(ErrorKind::Invalid, "opening")
            .object(url.canonical())
            .why("the storage account is not known")
            .hint("add ?account=… to the URL, or set AZURE_STORAGE_ACCOUNT_NAME"));
    };
    // Always part of the identity: a container of the same name in two accounts is two containers.
    let endpoint = options
        .endpoint
        .clone()
        .or_else(|| builder.get_config_value(&AzureConfigKey::Endpoint))
        .unwrap_or_else(|| format!("https://{account}.blob.core.windows.net"));
    let url = if url.endpoint().is_some() { url.clone() } else { url.clone().at(Some(&endpoint))? };
    if let Some(endpoint) = url.endpoint() {
        builder = builder.with_endpoint(endpoint.to_owned());
    }
    let plain = http::is_plain(&url, options, environment)?;
    let azure = builder
        .with_container_name(url.bucket())
        .with_config(AzureConfigKey::UseEmulator, "false")
        .with_config(AzureConfigKey::Client(ClientConfigKey::AllowHttp), plain.to_string())
        .with_retry(http::no_retries())
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Invalid, "opening")
                .object(url.canonical())
                .caused_by(error)
                .hint("check the AZURE_… environment variables")
        })?;
    let source = if environment.says_yes("AZURE_SKIP_SIGNATURE") {
        Source::Anonymous
    } else {
        Source::Azure(azure.credentials().clone())
    };
    Ok(Built { url, inner: Box::new(azure), credentials: source.into(), mark: None })
}

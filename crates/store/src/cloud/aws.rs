//! S3: URL, options, environment and profile become a client.

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use plimsoll_host::Host;
use plimsoll_model::{Error, ErrorKind, Result};

use super::{
    Built,
    authorities::Authorities,
    credentials::Source,
    http,
    profile::{self, Profile},
    streamed::{Crypto, Mark},
};
use crate::{Environment, StoreOptions, VolumeUrl};

pub(super) fn build(url: &VolumeUrl, options: &StoreOptions, environment: &Environment, host: &Host) -> Result<Built> {
    let mark = Mark::new(&*host.chance);
    let mut builder = AmazonS3Builder::new()
        .with_client_options(http::client(options))
        .with_crypto_provider(Arc::new(Crypto(mark)))
        .with_http_connector(options.connections.trusting(Authorities::of(environment, &*host.files)?));
    for (name, value) in http::variables(environment, url.scheme()) {
        // This checksum would need all of a body in memory. The signature has one that does not.
        if let Ok(key) = name.parse::<AmazonS3ConfigKey>()
            && !(key == AmazonS3ConfigKey::Checksum && value.eq_ignore_ascii_case("crc64nvme"))
        {
            builder = builder.with_config(key, value);
        }
    }
    let has = |key: AmazonS3ConfigKey| builder.get_config_value(&key).is_some();
    let own_credentials = has(AmazonS3ConfigKey::AccessKeyId)
        || has(AmazonS3ConfigKey::SecretAccessKey)
        || has(AmazonS3ConfigKey::WebIdentityTokenFile)
        || has(AmazonS3ConfigKey::ContainerCredentialsRelativeUri)
        || has(AmazonS3ConfigKey::ContainerCredentialsFullUri);
    let unsigned = environment.says_yes("AWS_SKIP_SIGNATURE");
    let environment_region = builder.get_config_value(&AmazonS3ConfigKey::Region);
    let environment_endpoint = builder
        .get_config_value(&AmazonS3ConfigKey::S3Endpoint)
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint));

    let profile = profile::load(environment, &*host.files)?;
    // The order of Amazon's own tools: the environment goes before the profile, unless the profile is
    // asked for by name and the environment has no credentials itself.
    if !own_credentials && !unsigned {
        builder = with_profile_credentials(builder, &profile, url, environment)?;
    }
    let region = url.param("region").or(options.region.as_deref()).map(str::to_owned);
    if let Some(region) = region.or(environment_region).or(profile.region) {
        builder = builder.with_region(region);
    }
    let endpoint = options.endpoint.clone().or(environment_endpoint).or(profile.endpoint_url);
    let url = if url.endpoint().is_some() { url.clone() } else { url.clone().at(endpoint.as_deref())? };
    if let Some(endpoint) = url.endpoint() {
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    let s3 = builder
        .with_bucket_name(url.bucket())
        .with_allow_http(http::is_plain(&url, options, environment)?)
        .with_retry(http::no_retries())
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Invalid, "opening")
                .object(url.canonical())
                .caused_by(error)
                .hint("check the AWS_… environment variables")
        })?;
    let source = if unsigned { Source::Anonymous } else { Source::Aws(s3.credentials().clone()) };
    Ok(Built { url, inner: Box::new(s3), credentials: source.into(), mark: Some(mark) })
}

fn with_profile_credentials(
    builder: AmazonS3Builder,
    profile: &Profile,
    url: &VolumeUrl,
    environment: &Environment,
) -> Result<AmazonS3Builder> {
    let refuse = |kind, why: String, hint: &'static str| {
        Err(Error::new(kind, "opening").object(url.canonical()).why(why).hint(hint))
    };
    if let Some(keys) = &profile.keys {
        let builder = builder.with_access_key_id(&keys.id).with_secret_access_key(&keys.secret);
        return Ok(match &keys.token {
            Some(token) => builder.with_token(token),
            None => builder,
        });
    }
    if let Some(setting) = profile.foreign_source {
        return refuse(
            ErrorKind::Unsupported,
            format!("the AWS profile '{}' gets its credentials by {setting}, which is not supported", profile.name),
            "run `aws configure export-credentials --format env` and set what it prints",
        );
    }
    if environment.says_yes("AWS_EC2_METADATA_DISABLED") {
        return refuse(
            ErrorKind::Denied,
            "there are no credentials in the environment and in the profile, and AWS_EC2_METADATA_DISABLED is set"
                .to_owned(),
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
        );
    }
    Ok(builder)
}

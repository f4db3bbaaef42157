//! An HTTP client that reaches the same servers as `object_store`'s, by the same options.
//!
//! What is sent is not its business, and how long that may take neither: [`super::limit`] has the time limits.

use std::time::Duration;

use object_store::{ClientConfigKey, ClientOptions};
use reqwest::{ClientBuilder, NoProxy, Proxy, tls::Certificate};

use super::authorities::Authorities;

/// Options that are set, in the form that `object_store` reads.
struct Options<'a>(&'a ClientOptions);

impl Options<'_> {
    fn text(&self, key: ClientConfigKey) -> Option<String> {
        self.0.get_config_value(&key)
    }

    fn says_yes(&self, key: ClientConfigKey) -> bool {
        let text = self.text(key).unwrap_or_default().to_ascii_lowercase();
        matches!(text.as_str(), "1" | "true" | "on" | "yes" | "y")
    }

    fn time(&self, key: ClientConfigKey) -> Option<Duration> {
        self.text(key).and_then(|text| humantime::parse_duration(&text).ok())
    }
}

/// The client. Whoever has made `object_store`'s by these options knows that they have their form.
///
/// # Errors
/// When it cannot be built.
pub(super) fn client(options: &ClientOptions, authorities: &Authorities) -> reqwest::Result<reqwest::Client> {
    let options = Options(options);
    let mut builder = reqwest::Client::builder().https_only(!options.says_yes(ClientConfigKey::AllowHttp));
    if let Some(agent) = options.text(ClientConfigKey::UserAgent) {
        builder = builder.user_agent(agent);
    }
    if let Some(limit) = options.time(ClientConfigKey::ConnectTimeout) {
        builder = builder.connect_timeout(limit);
    }
    if let Some(limit) = options.time(ClientConfigKey::PoolIdleTimeout) {
        builder = builder.pool_idle_timeout(limit);
    }
    if options.says_yes(ClientConfigKey::Http1Only) {
        builder = builder.http1_only();
    }
    if options.says_yes(ClientConfigKey::Http2Only) {
        builder = builder.http2_prior_knowledge();
    }
    let certificates = authorities.certificates()?;
    builder = if !certificates.is_empty() || options.says_yes(ClientConfigKey::NoSystemCertificates) {
        builder.tls_certs_only(certificates)
    } else {
        builder.tls_certs_merge(certificates)
    };
    if options.says_yes(ClientConfigKey::AllowInvalidCertificates) {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    through_proxy(builder, &options)?.build()
}

fn through_proxy(builder: ClientBuilder, options: &Options<'_>) -> reqwest::Result<ClientBuilder> {
    let Some(url) = options.text(ClientConfigKey::ProxyUrl) else { return Ok(builder) };
    let excludes = options.text(ClientConfigKey::ProxyExcludes);
    let builder =
        builder.proxy(Proxy::all(url)?.no_proxy(excludes.and_then(|excludes| NoProxy::from_string(&excludes))));
    Ok(match options.text(ClientConfigKey::ProxyCaCertificate) {
        Some(certificate) => builder.tls_certs_merge([Certificate::from_pem(certificate.as_bytes())?]),
        None => builder,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_understood_in_every_form_that_the_other_client_takes() {
        let options = ClientOptions::new()
            .with_config(ClientConfigKey::AllowInvalidCertificates, "Yes")
            .with_config(ClientConfigKey::AllowHttp, "1")
            .with_config(ClientConfigKey::Http2Only, "off")
            .with_config(ClientConfigKey::PoolIdleTimeout, "1m 30s")
            .with_connect_timeout(Duration::from_millis(2500));
        let options = Options(&options);
        assert!(options.says_yes(ClientConfigKey::AllowInvalidCertificates));
        assert!(options.says_yes(ClientConfigKey::AllowHttp));
        assert!(!options.says_yes(ClientConfigKey::Http2Only));
        assert!(options.says_yes(ClientConfigKey::Http1Only), "as long as nobody says otherwise");
        assert_eq!(options.time(ClientConfigKey::PoolIdleTimeout), Some(Duration::from_secs(90)));
        assert_eq!(options.time(ClientConfigKey::ConnectTimeout), Some(Duration::from_millis(2500)));
    }
}

//! The profile files of Amazon's tools: `~/.aws/credentials` and `~/.aws/config`.

use std::{
    io,
    path::{Path, PathBuf},
};

use ini::{Ini, ParseOption, Properties};
use plimsoll_host::Files;
use plimsoll_model::{Error, ErrorKind, Result, ResultExt};

use crate::Environment;

/// Settings by which a profile gets credentials in ways that need more than a file.
const FOREIGN_SOURCES: [&str; 5] =
    ["role_arn", "sso_session", "sso_start_url", "credential_process", "web_identity_token_file"];

/// What a profile says. Everything may be missing.
#[derive(Default)]
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) keys: Option<Keys>,
    pub(super) region: Option<String>,
    pub(super) endpoint_url: Option<String>,
    /// A setting of [`FOREIGN_SOURCES`], if there are no keys.
    pub(super) foreign_source: Option<&'static str>,
}

/// Never printed: no `Debug` on purpose.
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
}

/// Reads the profile that the environment names, or `default`.
///
/// # Errors
/// [`ErrorKind::Invalid`] if a profile was named and is in neither file, or a file cannot be understood.
pub(super) fn load(environment: &Environment, files: &dyn Files) -> Result<Profile> {
    let named = environment.get("AWS_PROFILE").or_else(|| environment.get("AWS_DEFAULT_PROFILE"));
    let home = environment.get("HOME").map(|home| Path::new(home).join(".aws"));
    let place = |variable: &str, name: &str| -> Option<PathBuf> {
        environment.get(variable).map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(name)))
    };
    let credentials = read(files, place("AWS_SHARED_CREDENTIALS_FILE", "credentials"))?;
    let config = read(files, place("AWS_CONFIG_FILE", "config"))?;
    choose(&credentials, &config, named)
}

fn read(files: &dyn Files, path: Option<PathBuf>) -> Result<Ini> {
    let Some(path) = path else { return Ok(Ini::new()) };
    let bytes = match files.read(&path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Ini::new());
        }
        bytes => bytes.doing("reading the AWS profile file", path.display())?,
    };
    let bad = |why: String| {
        Error::new(ErrorKind::Invalid, "reading the AWS profile file").object(path.display().to_string()).why(why)
    };
    let text = String::from_utf8(bytes).map_err(|_| bad("it is not UTF-8".to_owned()))?;
    parse(&text).map_err(|line| bad(format!("near line {line}: neither a [section] nor a setting")))
}

/// Fails with the line where reading stopped; its text may be a secret.
fn parse(text: &str) -> Result<Ini, usize> {
    let plain = ParseOption { enabled_quote: false, enabled_escape: false, ..ParseOption::default() };
    Ini::load_from_str_opt(text, plain).map_err(|error| error.line)
}

fn choose(credentials: &Ini, config: &Ini, named: Option<&str>) -> Result<Profile> {
    let name = named.unwrap_or("default");
    let long = format!("profile {name}");
    let section = config.section(Some(long.as_str()));
    let settings = section.or_else(|| (name == "default").then(|| config.section(Some(name))).flatten());
    let secrets = credentials.section(Some(name));
    if named.is_some() && settings.is_none() && secrets.is_none() {
        return Err(Error::new(ErrorKind::Invalid, "reading the AWS profile")
            .object(name)
            .why("AWS_PROFILE names it, but it is in neither ~/.aws/credentials nor ~/.aws/config"));
    }
    let find = |setting: &str| {
        let value = |section: &Properties| {
            // As Amazon's tools read it: a comment may follow after a blank.
            let text = section.get(setting)?;
            text.split([' ', '\t'])
                .find(|word| !word.is_empty())
                .filter(|word| !word.starts_with(['#', ';']))
                .map(str::to_owned)
        };
        secrets.and_then(value).or_else(|| settings.and_then(value))
    };
    let keys = match (find("aws_access_key_id"), find("aws_secret_access_key")) {
        (Some(id), Some(secret)) => Some(Keys { id, secret, token: find("aws_session_token") }),
        _ => None,
    };
    let foreign = FOREIGN_SOURCES.into_iter().find(|setting| find(setting).is_some());
    Ok(Profile {
        name: name.to_owned(),
        foreign_source: foreign.filter(|_| keys.is_none()),
        keys,
        region: find("region"),
        endpoint_url: find("endpoint_url"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "# comment\n[default]\naws_access_key_id = ID\naws_secret_access_key = a/b+c\\d=\n\n\
                               [work]\naws_access_key_id=WID\naws_secret_access_key=WSECRET\naws_session_token=T\n";
    const CONFIG: &str = "[default]\nregion = eu-west-1\ns3 =\n  max_concurrent_requests = 20\n\
                          [profile work]\nregion=us-east-2 # home\nendpoint_url = https://s3.example.com\n\
                          [profile sso]\nsso_session = corp\nregion = eu-west-1\n";

    fn profile(named: Option<&str>) -> Result<Profile> {
        choose(&parse(CREDENTIALS).unwrap(), &parse(CONFIG).unwrap(), named)
    }

    #[test]
    fn the_default_profile_is_taken_from_both_files() {
        let profile = profile(None).unwrap();
        let keys = profile.keys.unwrap();
        assert_eq!((keys.id.as_str(), keys.secret.as_str(), keys.token), ("ID", "a/b+c\\d=", None));
        assert_eq!(profile.region.as_deref(), Some("eu-west-1"));
        assert_eq!(profile.endpoint_url, None);
    }

    #[test]
    fn a_named_profile_has_its_own_keys_region_and_endpoint() {
        let profile = profile(Some("work")).unwrap();
        assert_eq!(profile.keys.unwrap().token.as_deref(), Some("T"));
        assert_eq!(profile.region.as_deref(), Some("us-east-2"));
        assert_eq!(profile.endpoint_url.as_deref(), Some("https://s3.example.com"));
    }

    #[test]
    fn a_profile_that_needs_more_than_a_file_says_so() {
        let profile = profile(Some("sso")).unwrap();
        assert!(profile.keys.is_none());
        assert_eq!(profile.foreign_source, Some("sso_session"));
    }

    #[test]
    fn a_named_profile_must_exist_and_the_default_one_need_not() {
        let error = profile(Some("nobody")).err().unwrap();
        assert!(error.to_string().contains("nobody"), "{error}");
        let nothing = choose(&Ini::new(), &Ini::new(), None).unwrap();
        assert!(nothing.keys.is_none() && nothing.region.is_none());
    }

    #[test]
    fn a_broken_file_is_reported_by_line_and_its_text_is_not_repeated() {
        assert_eq!(parse("[default]\naws_access_key_id = x\nhush\n").err(), Some(4));
    }
}

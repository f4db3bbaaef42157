//! The URL of a volume: its whole identity.

use std::{
    fmt,
    path::{Component, Path, PathBuf},
};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use plimsoll_model::{Error, ErrorKind, Result, limits::PREFIX_BYTES_MAX};
use url::{Host, Url, form_urlencoded};

/// What would change the meaning of a URL's path, or make it unreadable in a message.
const ESCAPED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}');

/// What would end the value of a parameter, or mean another character in it.
const ESCAPED_VALUE: &AsciiSet = &ESCAPED.add(b'&').add(b'+');

const KNOWN: &str = "use s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, file:///directory, \
                     memory:///name or a path";

/// Which kind of store a URL names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Amazon S3, or a server that speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
    /// A local directory.
    File,
    /// Memory of this process, for tests.
    Memory,
}

impl Scheme {
    const ALL: [Scheme; 5] = [Scheme::S3, Scheme::Gcs, Scheme::Azure, Scheme::File, Scheme::Memory];

    /// The word before `://`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scheme::S3 => "s3",
            Scheme::Gcs => "gs",
            Scheme::Azure => "az",
            Scheme::File => "file",
            Scheme::Memory => "memory",
        }
    }

    /// Whether requests go over a network to somebody else's server.
    #[must_use]
    pub fn is_remote(self) -> bool {
        match self {
            Scheme::S3 | Scheme::Gcs | Scheme::Azure => true,
            Scheme::File | Scheme::Memory => false,
        }
    }
}

/// A parsed URL. Two URLs with the same [`canonical`](VolumeUrl::canonical) form name the same volume.
///
/// Shown, and debug-printed, in its canonical form: parameters may hold what nobody should read in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct VolumeUrl {
    scheme: Scheme,
    bucket: String,
    prefix: String,
    endpoint: Option<String>,
    /// Query parameters in their order, decoded, without `endpoint`.
    pub params: Vec<(String, String)>,
}

impl VolumeUrl {
    /// Parses a URL, or an absolute path.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`], without repeating what may be a secret.
    pub fn parse(text: &str) -> Result<VolumeUrl> {
        VolumeUrl::parse_at(text, Path::new(""))
    }

    /// Parses a URL or path below which volumes are: as [`VolumeUrl::parse_at`], but it may be a whole bucket.
    ///
    /// # Errors
    /// As there.
    pub fn parse_parent(text: &str, current_dir: &Path) -> Result<VolumeUrl> {
        let (before, query) = text.split_once('?').map_or((text, None), |(before, query)| (before, Some(query)));
        let bucket = before.split_once("://").map(|(_, rest)| rest.trim_end_matches('/'));
        if bucket.is_none_or(|bucket| bucket.is_empty() || bucket.contains('/')) {
            return VolumeUrl::parse_at(text, current_dir);
        }
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        let mut url = VolumeUrl::parse(&format!("{}/any{query}", before.trim_end_matches('/')))?;
        url.prefix.clear();
        Ok(url)
    }

    /// Parses a URL, or a path, which is taken relative to `current_dir`.
    ///
    /// Paths are cleaned by their text alone: `a/../b` is `b`, whatever `a` links to.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`], without repeating what may be a secret.
    pub fn parse_at(text: &str, current_dir: &Path) -> Result<VolumeUrl> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return plain_path(text, current_dir);
        };
        let Some(scheme) = Scheme::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(scheme)) else {
            return Err(invalid("its scheme is not known").hint(KNOWN));
        };
        let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
        if rest.contains('#') || query.contains('#') {
            return Err(invalid("it contains '#', which starts a fragment").hint("write a '#' in a name as %23"));
        }
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        check_authority(scheme, bucket)?;
        let path = percent_decode_str(path).decode_utf8().map_err(|_| invalid("its path is not UTF-8 when decoded"))?;
        let mut url = match scheme {
            Scheme::File => VolumeUrl::file(Path::new("/").join(&*path).as_path())?,
            _ => VolumeUrl::new(scheme, bucket.to_owned(), path.trim_matches('/').to_owned())?,
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name != "endpoint" {
                url.params.push((name.into_owned(), value.into_owned()));
            } else if scheme.is_remote() {
                url.endpoint = Some(clean_endpoint(&value)?);
            } else {
                return Err(invalid("only s3, gs and az URLs take an endpoint").object(url.canonical()));
            }
        }
        Ok(url)
    }

    fn new(scheme: Scheme, bucket: String, prefix: String) -> Result<VolumeUrl> {
        let url = VolumeUrl { scheme, bucket, prefix, endpoint: None, params: Vec::new() };
        let refuse = |why: &'static str| Err(invalid(why).object(url.canonical()));
        if url.prefix.is_empty() {
            let error = invalid("it names no place inside the store").object(url.canonical());
            return Err(match scheme {
                Scheme::File => error.hint("a volume needs a directory of its own"),
                Scheme::Memory => error.hint("write memory:///name"),
                _ => error.hint(
                    "add a prefix, as in s3://bucket/prefix: a volume owns every key below its URL, \
                     and a whole bucket leaves no room for a second one",
                ),
            });
        }
        if scheme.is_remote() && url.prefix.len() > PREFIX_BYTES_MAX {
            return refuse("its prefix is longer than 768 bytes, which leaves too little of a store's 1024-byte keys");
        }
        if url.prefix.chars().any(char::is_control) {
            return refuse("it contains a control character");
        }
        if url.prefix.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return refuse("its path has an empty, '.' or '..' segment");
        }
        Ok(url)
    }

    /// The URL of an absolute path.
    fn file(path: &Path) -> Result<VolumeUrl> {
        let mut segments: Vec<&str> = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(segment) => {
                    segments.push(segment.to_str().ok_or_else(|| invalid("the path is not UTF-8"))?);
                }
                Component::ParentDir => drop(segments.pop()),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        VolumeUrl::new(Scheme::File, String::new(), segments.join("/"))
    }

    /// Which kind of store it names.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The bucket or container; empty for `file` and `memory`.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The key prefix, without a slash at either end. Empty only for [`VolumeUrl::parse_parent`].
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The server to talk to, if it is not the cloud's own.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// The directory, for `file`.
    #[must_use]
    pub fn dir(&self) -> Option<PathBuf> {
        (self.scheme == Scheme::File).then(|| Path::new("/").join(&self.prefix))
    }

    /// The value of a query parameter.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The URL of a place below this one, with the same endpoint and parameters.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if `name`, made of segments with slashes between them, is none.
    pub fn below(&self, name: &str) -> Result<VolumeUrl> {
        let below = VolumeUrl::new(
            self.scheme,
            self.bucket.clone(),
            format!("{}/{name}", self.prefix).trim_start_matches('/').to_owned(),
        )?;
        Ok(VolumeUrl { endpoint: self.endpoint.clone(), params: self.params.clone(), ..below })
    }

    /// The places above this one that a volume could be at, the nearest first, with the same endpoint and parameters.
    #[must_use]
    pub fn above(&self) -> Vec<VolumeUrl> {
        let ends = self.prefix.rmatch_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
        ends.map(|end| VolumeUrl { prefix: self.prefix[..end].to_owned(), ..self.clone() }).collect()
    }

    /// The same URL at another server; with `None`, and for `file` and `memory`, unchanged.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the endpoint is no http or https URL, or contains credentials.
    pub fn at(mut self, endpoint: Option<&str>) -> Result<VolumeUrl> {
        if let Some(endpoint) = endpoint
            && self.scheme.is_remote()
        {
            self.endpoint = Some(clean_endpoint(endpoint)?);
        }
        Ok(self)
    }

    /// The same directory without symbolic links, as far as it exists, so that every way to it gives one
    /// [`canonical`](VolumeUrl::canonical) form. Reads the file system; URLs of other schemes stay as they are.
    #[must_use]
    pub fn resolved(mut self) -> VolumeUrl {
        let Some(dir) = self.dir() else { return self };
        for existing in dir.ancestors() {
            let (Ok(real), Ok(rest)) = (std::fs::canonicalize(existing), dir.strip_prefix(existing)) else { continue };
            if let Ok(url) = VolumeUrl::file(&real.join(rest)) {
                self.prefix = url.prefix;
            }
            break;
        }
        self
    }

    /// The identity of the volume: no credentials and no parameters but the endpoint, since the same
    /// bucket name at two servers is two buckets.
    #[must_use]
    pub fn canonical(&self) -> String {
        let path = utf8_percent_encode(&self.prefix, ESCAPED);
        let mut text = format!("{}://{}/{path}", self.scheme.name(), self.bucket);
        if let Some(endpoint) = &self.endpoint {
            text.push_str("?endpoint=");
            text.extend(utf8_percent_encode(endpoint, ESCAPED_VALUE));
        }
        text
    }
}

impl fmt::Display for VolumeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.canonical())
    }
}

impl fmt::Debug for VolumeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical())
    }
}

/// Whether a host is this machine, so that nobody can listen in on plain http.
pub(crate) fn is_loopback(endpoint: &Url) -> bool {
    match endpoint.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn invalid(why: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, "reading the volume's URL").why(why)
}

fn plain_path(text: &str, current_dir: &Path) -> Result<VolumeUrl> {
    if text.is_empty() {
        return Err(invalid("it is empty").hint(KNOWN));
    }
    let before_colon = text.split_once(':').map_or("", |(word, _)| word);
    if Scheme::ALL.iter().any(|scheme| scheme.name().eq_ignore_ascii_case(before_colon)) {
        return Err(invalid("'//' is missing after the scheme").hint(KNOWN));
    }
    if text == "~" || text.starts_with("~/") {
        return Err(invalid("no shell has replaced the ~ in it")
            .object(text)
            .hint("write $HOME instead, or ./~ for a directory of that name"));
    }
    let path = current_dir.join(text);
    if !path.is_absolute() {
        return Err(invalid("it is a relative path, and no current directory is known").hint(KNOWN));
    }
    VolumeUrl::file(&path)
}

/// Refuses user names and passwords, before anything repeats them.
fn check_authority(scheme: Scheme, authority: &str) -> Result<()> {
    if authority.contains('@') || (scheme.is_remote() && authority.contains(':')) {
        return Err(invalid("it contains a user name, password or port before the path").hint(
            "credentials come from the environment or a profile; a server goes into ?endpoint=https://host:port",
        ));
    }
    match scheme {
        Scheme::File if authority.is_empty() || authority.eq_ignore_ascii_case("localhost") => Ok(()),
        Scheme::File => Err(invalid("it names a host").hint("write file:///directory, with three slashes")),
        Scheme::Memory if authority.is_empty() => Ok(()),
        Scheme::Memory => Err(invalid("it names a host").hint("write memory:///name, with three slashes")),
        Scheme::S3 | Scheme::Gcs | Scheme::Azure => {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'$');
            if authority.is_empty() || !authority.bytes().all(fits) {
                return Err(invalid("its bucket name is empty or not made of letters, digits, '.', '-' and '_'")
                    .hint("write scheme://bucket/prefix"));
            }
            Ok(())
        }
    }
}

/// An http or https URL without credentials, query and trailing slash.
fn clean_endpoint(text: &str) -> Result<String> {
    let bad = |why: &'static str| invalid(why).hint("write it as https://host:port");
    let url = Url::parse(text).map_err(|_| bad("its endpoint is not a URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("its endpoint contains a user name or password"));
    }
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(bad("its endpoint is not an http or https URL"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("its endpoint has a query or a fragment"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        VolumeUrl::parse_at(text, Path::new("/home/me")).unwrap().canonical()
    }

    fn refusal(text: &str) -> String {
        let error = VolumeUrl::parse_at(text, Path::new("/home/me")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        error.to_string()
    }

    #[test]
    fn every_scheme_has_one_canonical_form() {
        assert_eq!(canonical("s3://b/db/"), "s3://b/db");
        assert_eq!(canonical("S3://b/a%20b"), "s3://b/a%20b");
        assert_eq!(canonical("gs://b/x/y"), "gs://b/x/y");
        assert_eq!(canonical("az://c/x"), "az://c/x");
        assert_eq!(canonical("file:///var/./db//x/"), "file:///var/db/x");
        assert_eq!(canonical("file://localhost/x"), "file:///x");
        assert_eq!(canonical("memory:///m"), "memory:///m");
    }

    #[test]
    fn canonical_forms_parse_back_to_themselves() {
        for text in ["s3://b/a%20%3F%23b?endpoint=http://h:1/x", "file:///a%25b", "memory:///m", "./x?y", "a b.db"] {
            let once = canonical(text);
            assert_eq!(canonical(&once), once, "{text}");
        }
    }

    #[test]
    fn the_places_above_a_volume_end_before_the_whole_store() {
        let above = |text: &str| {
            let above = VolumeUrl::parse(text).unwrap().above();
            above.iter().map(VolumeUrl::canonical).collect::<Vec<_>>()
        };
        assert_eq!(
            above("s3://b/x/y/z?endpoint=http://h"),
            ["s3://b/x/y?endpoint=http://h", "s3://b/x?endpoint=http://h"]
        );
        assert_eq!(above("file:///srv/a/b"), ["file:///srv/a", "file:///srv"]);
        assert!(above("s3://b/x").is_empty() && above("memory:///x").is_empty());
    }

    #[test]
    fn paths_are_taken_from_the_current_directory() {
        assert_eq!(canonical("app.db"), "file:///home/me/app.db");
        assert_eq!(canonical("./x"), "file:///home/me/x");
        assert_eq!(canonical("../x"), "file:///home/x");
        assert_eq!(canonical("/abs/x"), "file:///abs/x");
        assert_eq!(VolumeUrl::parse("/abs/x").unwrap().dir().unwrap(), Path::new("/abs/x"));
        for home in ["~", "~/app"] {
            let error = VolumeUrl::parse_at(home, Path::new("/somewhere")).unwrap_err().to_string();
            assert!(error.contains("$HOME"), "{error}");
        }
        assert!(VolumeUrl::parse("x").unwrap_err().to_string().contains("relative path"));
    }

    #[test]
    fn a_link_to_a_directory_is_that_directory_also_before_the_volume_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("there")).unwrap();
        std::os::unix::fs::symlink(real.join("there"), real.join("link")).unwrap();
        let resolved = |name: &str| VolumeUrl::parse(real.join(name).to_str().unwrap()).unwrap().resolved().canonical();
        let before = resolved("link/db/x");
        assert_eq!(before, format!("file://{}", real.join("there/db/x").display()));
        std::fs::create_dir_all(real.join("there/db/x")).unwrap();
        assert_eq!(resolved("link/db/x"), before);
        assert_eq!(VolumeUrl::parse("memory:///link").unwrap().resolved().canonical(), "memory:///link");
    }

    #[test]
    fn two_endpoints_are_two_volumes_and_other_parameters_are_not() {
        let url = VolumeUrl::parse("s3://b/p?endpoint=http://127.0.0.1:5000/&region=us-east-1&token=hush").unwrap();
        assert_eq!(url.canonical(), "s3://b/p?endpoint=http://127.0.0.1:5000");
        assert_eq!(url.param("region"), Some("us-east-1"));
        assert_eq!(url.endpoint(), Some("http://127.0.0.1:5000"));
        assert!(!format!("{url} {url:?}").contains("hush"));
        assert_eq!(url.below("x y").unwrap().canonical(), "s3://b/p/x%20y?endpoint=http://127.0.0.1:5000");
        assert!(url.below("../x").is_err());
        let elsewhere = url.at(Some("https://other")).unwrap();
        assert_eq!(elsewhere.canonical(), "s3://b/p?endpoint=https://other");
    }

    #[test]
    fn an_endpoint_is_the_same_when_its_url_is_read_again() {
        for endpoint in ["http://h/a&b=c", "http://h/a+b", "http://h/a%26b", "http://h/a%2520b", "http://h/x;y=z"] {
            let url = VolumeUrl::parse("s3://b/p").unwrap().at(Some(endpoint)).unwrap();
            let again = VolumeUrl::parse(&url.canonical()).unwrap();
            assert_eq!((again.endpoint(), again.params.len()), (url.endpoint(), 0), "{endpoint}");
            assert_eq!(again.canonical(), url.canonical());
        }
    }

    #[test]
    fn credentials_are_refused_and_not_repeated() {
        for text in [
            "s3://key:hush@bucket/p",
            "s3://hush@bucket/p",
            "s3://key:hush/x@bucket/p",
            "s3://b/p?endpoint=http://u:hush@h",
            "file://u:hush@h/x",
            "hush://x",
        ] {
            assert!(!refusal(text).contains("hush"), "{text}");
        }
    }

    #[test]
    fn volumes_may_be_below_a_whole_bucket() {
        let parent = |text: &str| VolumeUrl::parse_parent(text, Path::new("/home/me"));
        let bucket = parent("s3://b?endpoint=http://h:1&region=r").unwrap();
        assert_eq!((bucket.prefix(), bucket.param("region")), ("", Some("r")));
        assert_eq!(bucket.below("db").unwrap().canonical(), "s3://b/db?endpoint=http://h:1");
        assert_eq!(parent("s3://b/").unwrap().below("x/y").unwrap().canonical(), "s3://b/x/y");
        assert_eq!(parent("s3://b/p/").unwrap().canonical(), "s3://b/p");
        assert_eq!(parent("dir").unwrap().canonical(), "file:///home/me/dir");
        assert!(parent("s3://").is_err() && parent("s3://b@d").is_err());
    }

    #[test]
    fn a_prefix_is_required_and_the_error_says_why() {
        assert!(refusal("s3://bucket").contains("whole bucket"));
        assert!(refusal("s3://bucket/").contains("prefix"));
        assert!(refusal("file:///").contains("directory of its own"));
        assert!(refusal("memory:///").contains("memory:///name"));
    }

    #[test]
    fn what_cannot_be_a_key_is_refused() {
        for text in ["s3://b/a//b", "s3://b/../x", "s3://b/a%00", "s3://b/%ff", "s3://b/a#b", "s3:b/x", "", "s3:///x"] {
            refusal(text);
        }
        refusal(&format!("s3://b/{}", "x".repeat(769)));
    }

    #[test]
    fn loopback_is_an_address_and_not_a_lookalike() {
        let on = |text: &str| is_loopback(&Url::parse(text).unwrap());
        assert!(on("http://127.0.0.1:1") && on("http://localhost") && on("http://[::1]:9"));
        assert!(!on("http://localhost.example.com") && !on("http://10.0.0.1") && !on("http://127.0.0.1.example.com"));
    }
}

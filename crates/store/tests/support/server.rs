//! An S3 server to test against: one that is running already, or moto, started for the test run.

use std::{
    env, fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use plimsoll_host::{Host, os};
use plimsoll_store::{Environment, RetryPolicy, StoreOptions, VolumeUrl};

/// Where it is to be had, for whoever runs the tests without it.
const MISSING: &str = "these tests need an S3 server. Set PLIMSOLL_TEST_S3_ENDPOINT to a running one, or \
    PLIMSOLL_TEST_MOTO to the path of moto_server. To get it: python3 -m venv .venv && \
    .venv/bin/pip install 'moto[server]'; then it is found by itself";

/// A running server.
pub struct Server {
    pub endpoint: String,
    /// Ends the server when this process ends, however that happens: the pipe to it closes.
    _shell: Option<Child>,
}

/// The server of this test run, with an empty bucket of that name.
pub fn with_bucket(bucket: &str) -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(|| match env::var("PLIMSOLL_TEST_S3_ENDPOINT") {
        Ok(endpoint) => Server { endpoint: endpoint.trim_end_matches('/').to_owned(), _shell: None },
        Err(_) => moto(&[]),
    });
    let answer = server.request(&format!("PUT /{bucket}"));
    // A running server may not let everybody make one. Then it is there, or the tests say so.
    let created = ["BucketAlreadyOwnedByYou", "AccessDenied"].iter().any(|code| answer.contains(code));
    let created = created || answer.starts_with("HTTP/1.1 2");
    assert!(created, "creating bucket {bucket} at {}: {answer}", server.endpoint);
    server
}

/// Starts a moto of its own, with variables in its environment.
pub fn moto(variables: &[(&str, &str)]) -> Server {
    let program = find_moto().expect(MISSING);
    let port = free_port();
    // A shell watches over it: when this process dies, the shell's `read` ends.
    let shell = Command::new("sh")
        .args(["-c", r#""$0" -H 127.0.0.1 -p "$1" >/dev/null 2>&1 & read -r _; kill $!"#])
        .arg(program)
        .arg(port.to_string())
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "moto_server does not listen after a minute");
        thread::sleep(Duration::from_millis(50));
    }
    Server { endpoint: format!("http://{address}"), _shell: Some(shell) }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn find_moto() -> Option<PathBuf> {
    if let Some(path) = env::var_os("PLIMSOLL_TEST_MOTO") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "PLIMSOLL_TEST_MOTO names {}, which is no file", path.display());
        return Some(path);
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain([workspace]);
    places.map(|place| place.join("moto_server")).find(|program| fs::metadata(program).is_ok_and(|meta| meta.is_file()))
}

impl Server {
    /// Sends an unsigned request without body and returns the head of the answer, and some of its body.
    pub fn request(&self, line: &str) -> String {
        let host = self.endpoint.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub fn url(&self, bucket: &str, prefix: &str) -> VolumeUrl {
        url(&self.endpoint, bucket, prefix)
    }
}

pub fn url(endpoint: &str, bucket: &str, prefix: &str) -> VolumeUrl {
    VolumeUrl::parse(&format!("s3://{bucket}/{prefix}?endpoint={endpoint}&region=us-east-1")).unwrap()
}

/// Credentials of the test server; `SECRET` must never be seen in a message.
pub const SECRET: &str = "hush/this+is=secret";

pub fn environment() -> Environment {
    let variable = |name: &str, default: &str| (name.to_owned(), env::var(name).unwrap_or(default.to_owned()));
    [variable("AWS_ACCESS_KEY_ID", "AKIATEST"), variable("AWS_SECRET_ACCESS_KEY", SECRET)].into_iter().collect()
}

/// One try, and no long waits.
pub fn impatient() -> StoreOptions {
    StoreOptions {
        retry: RetryPolicy::NEVER,
        connect_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_secs(5),
        ..StoreOptions::default()
    }
}

pub fn host() -> Host {
    os::host().unwrap()
}

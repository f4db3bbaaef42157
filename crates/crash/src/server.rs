//! An S3 server to work with: one that is running already, or moto, started for the run.

use std::{
    env, io,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Where they are to be had, for whoever runs this without them.
const MISSING: &str = "an S3 server is needed: `cargo xtask tools` installs what the tests use. PLIMSOLL_TEST_MOTO is the \
    path of another moto_server";
/// The bucket that volumes are made in.
pub(crate) const BUCKET: &str = "crash";
/// Names a server that is running already, and has the bucket.
const GIVEN: &str = "PLIMSOLL_TEST_S3_ENDPOINT";

/// A running server.
pub struct Server {
    address: SocketAddr,
    /// Ends a server of ours when this process ends, however that happens: the pipe to it closes.
    shell: Option<Child>,
}

/// The server that is running already, if there is one.
fn given() -> io::Result<Option<SocketAddr>> {
    let Ok(endpoint) = env::var(GIVEN) else { return Ok(None) };
    let address = endpoint.trim_start_matches("http://").trim_end_matches('/').parse();
    address.map(Some).map_err(|error| io::Error::other(format!("{GIVEN}={endpoint}: {error}; it is http://IP:PORT")))
}

/// A port that was free a moment ago.
///
/// # Errors
/// The system's.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A program that a variable names, or that is in one of these places.
fn find(variable: &str, places: impl Iterator<Item = PathBuf>) -> io::Result<PathBuf> {
    let named = env::var_os(variable).map(PathBuf::from);
    let mut places = named.into_iter().chain(places);
    places.find(|program| program.is_file()).ok_or_else(|| io::Error::other(MISSING))
}

fn find_moto() -> io::Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let places: Vec<PathBuf> = env::split_paths(&path).chain([workspace]).collect();
    find("PLIMSOLL_TEST_MOTO", places.into_iter().map(|place| place.join("moto_server")))
}

impl Server {
    /// The server that is running already, or a moto with an empty bucket.
    ///
    /// # Errors
    /// It cannot be found or does not come up.
    pub fn start() -> io::Result<Server> {
        if let Some(address) = given()? {
            return Ok(Server { address, shell: None });
        }
        let port = free_port()?;
        let mut moto = Command::new("sh");
        moto.args(["-c", r#""$0" -H 127.0.0.1 -p "$1" >/dev/null 2>&1 & read -r _; kill $!"#]).arg(find_moto()?);
        moto.arg(port.to_string());
        let server = Server::listening(moto, port)?;
        server.create_bucket()?;
        Ok(server)
    }

    /// Starts a server, and waits until it listens at a port. The command is a shell that ends it when its input does.
    pub(crate) fn listening(mut command: Command, port: u16) -> io::Result<Server> {
        // A shell watches over it: when this process dies, the shell's `read` ends.
        let shell = command.stdin(Stdio::piped()).spawn()?;
        let server = Server { address: SocketAddr::from(([127, 0, 0, 1], port)), shell: Some(shell) };
        let start = Instant::now();
        while TcpStream::connect(server.address).is_err() {
            if start.elapsed() > Duration::from_secs(120) {
                return Err(io::Error::other("the S3 server does not listen after two minutes"));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    fn create_bucket(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect(self.address)?;
        let host = self.address;
        let request =
            format!("PUT /{BUCKET} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 2") { Ok(()) } else { Err(io::Error::other(answer)) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(shell) = &mut self.shell {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }
}

/// The URL of a volume on a server, which no other process has used: a server may outlive what runs on it.
#[must_use]
pub fn url(name: &str) -> String {
    static RUN: OnceLock<u128> = OnceLock::new();
    let run = RUN.get_or_init(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos());
    format!("s3://{BUCKET}/{run}-{}/{name}", std::process::id())
}

/// The environment of a process that uses a server at this address.
#[must_use]
pub fn variables(address: SocketAddr) -> Vec<(String, String)> {
    [
        ("PLIMSOLL_ENDPOINT", format!("http://{address}")),
        ("PLIMSOLL_REGION", "us-east-1".to_owned()),
        ("PLIMSOLL_ALLOW_HTTP", "true".to_owned()),
        // On a busy machine moto lets two creates of one name win, as it looks first and stores then. Here
        // one process writes at a time. Of another server more is expected.
        ("PLIMSOLL_UNSAFE_NO_FENCING", env::var_os(GIVEN).is_none().to_string()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

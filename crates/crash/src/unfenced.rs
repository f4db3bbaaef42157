//! S3 servers on which several creates of one name may win, though each was to happen only if there was nothing.

use std::{env, fs, io, net::SocketAddr, path::Path, path::PathBuf, process::Command};

use crate::server::{BUCKET, Server, free_port};

/// For whoever runs this without any of them.
const MISSING: &str = "an S3 server that cannot fence is needed: `cargo xtask tools` installs s3rver, and \
    PLIMSOLL_TEST_S3RVER is the path of another one; PLIMSOLL_TEST_S3S_FS that of an s3s-fs, PLIMSOLL_TEST_GARAGE that of a garage, in its place";
/// Garage's servers know each other by it. There is one.
const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Answers 200 to every create.
    S3rver,
    /// Heeds the condition as long as nobody else creates the same at that moment.
    S3sFs,
    /// Answers 200 to every create.
    Garage,
}

/// A running server that cannot fence.
pub struct Unfenced {
    server: Server,
    kind: Kind,
}

impl Unfenced {
    /// Starts the server that the environment names, s3rver if it names none, with an empty bucket. It keeps its objects
    /// in a folder that is there and empty.
    ///
    /// # Errors
    /// It cannot be found or does not come up.
    pub fn start(dir: &Path) -> io::Result<Unfenced> {
        let (kind, program) = find()?;
        let port = free_port()?;
        let mut command = Command::new("sh");
        command.args(["-c", kind.line()]).arg(program).arg(dir).arg(BUCKET).arg(port.to_string());
        let (key, secret) = kind.keys();
        command.args([key, secret]);
        match kind {
            Kind::S3rver => {}
            Kind::S3sFs => fs::create_dir(dir.join(BUCKET))?,
            Kind::Garage => fs::write(dir.join("garage.toml"), garage_settings(dir, port, free_port()?))?,
        }
        Ok(Unfenced { server: Server::listening(command, port)?, kind })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The environment of a process that may use it, beside that of any server.
    #[must_use]
    pub fn variables(&self) -> [(String, String); 2] {
        let (key, secret) = self.kind.keys();
        [("AWS_ACCESS_KEY_ID", key), ("AWS_SECRET_ACCESS_KEY", secret)].map(|(name, value)| (name.into(), value.into()))
    }
}

impl Kind {
    /// What starts it, for a shell that is given program, folder, bucket, port and keys.
    fn line(self) -> &'static str {
        match self {
            Kind::S3rver => {
                r#"node "$0" -d "$1" --configure-bucket "$2" --allow-mismatched-signatures --no-vhost-buckets -s \
                -a 127.0.0.1 -p "$3" >/dev/null 2>&1 & read -r _; kill $!"#
            }
            Kind::S3sFs => {
                r#""$0" --access-key "$4" --secret-key "$5" --host 127.0.0.1 --port "$3" "$1" >/dev/null 2>&1 \
                & read -r _; kill $!"#
            }
            Kind::Garage => {
                r#"GARAGE_DEFAULT_BUCKET="$2" GARAGE_DEFAULT_ACCESS_KEY="$4" GARAGE_DEFAULT_SECRET_KEY="$5" \
                "$0" -c "$1/garage.toml" server --single-node --default-bucket >"$1/log" 2>&1 & read -r _; kill $!"#
            }
        }
    }

    /// Key and secret of somebody who may write.
    fn keys(self) -> (&'static str, &'static str) {
        match self {
            // The only ones that it knows.
            Kind::S3rver => ("S3RVER", "S3RVER"),
            Kind::S3sFs | Kind::Garage => ("unfenced-key", "unfenced-secret-key"),
        }
    }
}

/// The server that a variable names, or the s3rver below the folder of what is built, wherever that is.
fn find() -> io::Result<(Kind, PathBuf)> {
    let variables = [
        ("PLIMSOLL_TEST_S3RVER", Kind::S3rver),
        ("PLIMSOLL_TEST_S3S_FS", Kind::S3sFs),
        ("PLIMSOLL_TEST_GARAGE", Kind::Garage),
    ];
    let named = variables.into_iter().filter_map(|(name, kind)| Some((kind, PathBuf::from(env::var_os(name)?))));
    let own = env::current_exe()?;
    let installed = own.ancestors().map(|place| (Kind::S3rver, place.join("node/node_modules/s3rver/bin/s3rver.js")));
    named.chain(installed).find(|(_, program)| program.is_file()).ok_or_else(|| io::Error::other(MISSING))
}

/// One server by itself. The second port is for others, of which there are none.
fn garage_settings(dir: &Path, port: u16, rpc_port: u16) -> String {
    let dir = dir.display();
    format!(
        "metadata_dir = '{dir}/meta'\ndata_dir = '{dir}/data'\ndb_engine = 'sqlite'\nreplication_factor = 1\n\
        rpc_bind_addr = '127.0.0.1:{rpc_port}'\nrpc_public_addr = '127.0.0.1:{rpc_port}'\nrpc_secret = '{SECRET}'\n\
        [s3_api]\ns3_region = 'us-east-1'\napi_bind_addr = '127.0.0.1:{port}'\n"
    )
}

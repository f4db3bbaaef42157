//! A Ceph cluster of our own, and what is tested against its gateways.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{
    process::run,
    suites::SuitesFetch,
    tools::{Tools, programs},
    workspace::{cargo, python, root, suites, target},
};

/// Programs of the cluster and their packages: 69 MB to download, 270 MB installed.
const PROGRAMS: [(&str, &str); 5] = [
    ("ceph", "ceph-common"),
    ("ceph-mon", "ceph-mon"),
    ("ceph-osd", "ceph-osd"),
    ("radosgw", "radosgw"),
    ("curl", "curl"),
];

/// Tests of the workspace that need an S3 server: of the store, and of hosts behind a network that fails.
const OWN: [&str; 2] = ["s3", "outages"];
/// Of the tests with other programs, those that show the most of a server.
const FOREIGN: [&str; 4] = ["Stories", "Programs", "processes_of_one_host", "followers_keep_up"];

#[derive(Args)]
pub(crate) struct Ceph {
    /// How long processes are killed that have their volume there, behind a network that loses answers.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

impl Ceph {
    /// # Errors
    /// When the cluster does not start, or something about a volume on it is not as promised.
    pub(crate) fn run(self) -> Result<()> {
        Tools {}.run()?;
        programs(&PROGRAMS)?;
        SuitesFetch {}.run()?;
        run(Command::new(cargo()).args(["build", "--locked", "-p", "plimsoll-extension", "-p", "plimsoll-cli"]))?;
        let started = Instant::now();
        let cluster = Cluster::start()?;
        println!("the gateways answer after {} s", started.elapsed().as_secs());
        let [one, other] = cluster.gateways;
        let at = |port: u16| format!("http://127.0.0.1:{port}");

        let mut own = Command::new(cargo());
        own.args(["test", "--workspace", "--locked"]).args(OWN.iter().flat_map(|name| ["--test", name]));
        run(own.current_dir(root()).envs(keys()).env("PLIMSOLL_TEST_S3_ENDPOINT", at(one)))?;

        let built = target().join("debug");
        let mut foreign = Command::new(python());
        foreign.arg(root().join("tests/foreign/run.py")).args(FOREIGN).current_dir(root());
        // Whoever is another host takes the other gateway.
        foreign.env("PLIMSOLL_TEST_S3_ENDPOINT", format!("{} {}", at(one), at(other)));
        foreign.env("PLIMSOLL_TEST_LIBRARY", built.join("libplimsoll.so"));
        foreign.env("PLIMSOLL_TEST_PROGRAM", built.join("plimsoll")).env("PLIMSOLL_TEST_SUITES", suites());
        run(&mut foreign)?;

        let mut crash = Command::new(cargo());
        crash.args(["run", "--quiet", "--locked", "--bin", "plimsoll-crash", "--", "run", "--store", "s3"]);
        crash.args(["--losing-answers", "8"]);
        crash.args(["--seconds", &self.seconds.to_string()]).current_dir(root());
        run(crash.envs(keys()).env("PLIMSOLL_TEST_S3_ENDPOINT", at(other)))
    }
}

fn keys() -> [(&'static str, &'static str); 2] {
    [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]
}

/// A running cluster. Dropping it ends it.
struct Cluster {
    script: Child,
    gateways: [u16; 2],
}

impl Cluster {
    fn start() -> Result<Cluster> {
        let folder = target().join("ceph");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
        }
        let [monitor, one, other] = free_ports()?;
        let mut script = Command::new(root().join("tools/ceph"))
            .arg(&folder)
            .args([monitor, one, other].map(|port| port.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting tools/ceph")?;
        let said = BufReader::new(script.stdout.take().context("its output is piped")?);
        let cluster = Cluster { script, gateways: [one, other] };
        if !said.lines().map_while(Result::ok).any(|line| line == "ready") {
            bail!("the cluster did not start; {} has what its daemons said", folder.join("log").display());
        }
        Ok(cluster)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

/// Ports that were free a moment ago, no two the same.
fn free_ports() -> Result<[u16; 3]> {
    let listeners = [0; 3].map(|_| TcpListener::bind("127.0.0.1:0"));
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        let listener = listener.as_ref().map_err(|error| anyhow::anyhow!("looking for a free port: {error}"))?;
        *port = listener.local_addr().context("looking for a free port")?.port();
    }
    Ok(ports)
}

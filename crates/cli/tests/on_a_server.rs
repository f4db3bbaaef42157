//! The command on object stores that count what it asks for.

mod support;

use std::process::Command;

use plimsoll_bench::s3::{Counts, Server};
use support::{Answer, Sandbox, answer, rows};

const COUNT: &str = "SELECT count(*) AS n FROM t";

/// A server, and hosts that know it.
struct Harbour {
    sandbox: Sandbox,
    server: Server,
}

impl Harbour {
    fn new() -> Harbour {
        Harbour { sandbox: Sandbox::new(), server: Server::start().unwrap() }
    }

    fn on(&self, host: &str, args: &[&str]) -> Command {
        let mut command = self.sandbox.on(host, args);
        command.envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]);
        command.envs([("PLIMSOLL_REGION", "us-east-1"), ("PLIMSOLL_ALLOW_HTTP", "true")]);
        command
    }

    fn run(&self, host: &str, args: &[&str]) -> Answer {
        answer(&mut self.on(host, args))
    }

    /// The URL of a volume, which says on which server it is.
    fn url(&self, name: &str) -> String {
        url(&self.server, name)
    }

    fn fill(&self, url: &str) {
        self.run("home", &["create", url]).ok();
        let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, v);
                   WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
                   INSERT INTO t(v) SELECT hex(randomblob(50)) FROM n";
        self.run("home", &["sql", url, sql]).ok();
    }
}

fn url(server: &Server, name: &str) -> String {
    format!("s3://bench/{name}?endpoint={}", server.endpoint())
}

fn writes(counts: &Counts) -> u64 {
    counts.puts + counts.deletes
}

#[test]
fn what_is_asked_about_a_volume_does_not_grow_with_ten_thousand_others() {
    let harbour = Harbour::new();
    let url = harbour.url("one");
    harbour.fill(&url);
    harbour.run("home", &["checkpoint", "create", &url, "kept"]).ok();
    let ask = || {
        let before = harbour.server.total();
        let listed = harbour.run("onlooker", &["--json", "ls", &url]).json();
        assert!(listed["txid"].as_u64().unwrap() > 1, "{listed}");
        let status = harbour.run("onlooker", &["--json", "status", &url]).json();
        assert_eq!(status["txid"], listed["txid"]);
        harbour.run("onlooker", &["du", &url]).ok();
        let asked = harbour.server.total().since(&before);
        (asked.gets, asked.lists, asked.puts, asked.deletes)
    };
    let alone = ask();
    for number in 0..10_000 {
        // Names that begin as its own does, and come before and after it.
        let name = if number % 2 == 0 { format!("one{number}") } else { format!("on{number}") };
        harbour.server.duplicate("one", &name);
    }
    assert!(harbour.server.holds("one9998").0 > 5);
    assert_eq!(ask(), alone);
    // Nobody has them open, so nobody asks anything about them.
    assert_eq!(harbour.server.counts("one9998"), Counts::default());
}

#[test]
fn whoever_may_only_read_reads_everything_and_asks_for_no_write() {
    let harbour = Harbour::new();
    let (url, fork) = (harbour.url("parent"), harbour.url("fork"));
    harbour.fill(&url);
    let kept = harbour.run("home", &["--json", "checkpoint", "create", &url, "kept"]).json();
    harbour.run("home", &["sql", &url, "DELETE FROM t WHERE id > 90"]).ok();
    harbour.run("home", &["compact", &url]).ok();
    harbour.run("home", &["sql", &url, "DELETE FROM t WHERE id > 80"]).ok();
    harbour.run("home", &["fork", &url, &fork]).ok();
    harbour.run("home", &["sql", &fork, "DELETE FROM t WHERE id > 70"]).ok();

    harbour.server.deny_writes();
    let before = harbour.server.total();
    let read = |args: &[&str]| harbour.run("reader", args).ok();
    for (volume, count) in [(&url, 80), (&fork, 70)] {
        let counted = format!("{{\"n\":{count}}}\n");
        assert_eq!(read(&["--json", "sql", "--read-only", volume, COUNT]), counted);
        // What could write, and is not asked to.
        assert_eq!(read(&["--json", "sql", volume, COUNT]), counted);
        for command in ["status", "ls", "du", "verify"] {
            read(&[command, volume]);
        }
        read(&["ls", "--objects", volume]);
        read(&["checkpoint", "ls", volume]);
        read(&["compact", "--dry-run", volume]);
        read(&["stranded", "ls", volume]);
        read(&["export", "--force", volume, "out.db"]);
        assert_eq!(rows(&harbour.sandbox.path("out.db")).len(), count);
    }
    for state in ["kept".to_owned(), kept["txid"].to_string(), "1 ms ago".to_owned()] {
        let counted = read(&["--json", "sql", &url.replacen('?', &format!("@{state}?"), 1), COUNT]);
        let expected = if state.ends_with("ago") { 80 } else { 100 };
        assert_eq!(counted, format!("{{\"n\":{expected}}}\n"), "{state}");
    }
    assert_eq!(writes(&harbour.server.total()), writes(&before), "something was asked to be written");

    // Who tries all the same is told.
    let refused = harbour.run("reader", &["sql", &url, "DELETE FROM t"]);
    assert!(refused.code != 0 && writes(&harbour.server.total()) > writes(&before), "{}", refused.err);
}

#[test]
fn a_fork_on_another_server_is_written_and_detached_and_outlives_its_parent() {
    let harbour = Harbour::new();
    let there = Server::start().unwrap();
    let (parent, child) = (harbour.url("app"), url(&there, "try"));
    harbour.fill(&parent);
    harbour.run("home", &["checkpoint", "create", &parent, "before"]).ok();
    let forked = harbour.run("home", &["--json", "fork", &parent.replacen('?', "@before?", 1), &child]).json();
    harbour.run("home", &["sql", &parent, "DELETE FROM t"]).ok();
    harbour.run("home", &["compact", &parent]).ok();
    harbour.run("home", &["checkpoint", "rm", &parent, "before"]).ok();

    // From a host that knows the fork's URL only.
    harbour.run("other", &["sql", &child, "DELETE FROM t WHERE id > 40"]).ok();
    assert_eq!(harbour.run("third", &["--json", "sql", &child, COUNT]).ok(), "{\"n\":40}\n");
    harbour.run("third", &["verify", &child]).ok();
    let (own, inherited) = {
        let used = harbour.run("third", &["--json", "du", &child]).json();
        (used["live"].as_u64().unwrap(), used["inherited"].as_u64().unwrap())
    };
    assert!(own > 0 && inherited > own, "{own}, {inherited}");

    let used = harbour.run("third", &["--json", "du", &parent]).json();
    let pin = &used["pins"][0];
    assert!(pin["fork"].as_str().unwrap().contains("bench/try"), "{used}");
    assert_eq!((pin["alive"].as_bool(), pin["complete"].as_bool()), (Some(true), Some(true)), "{used}");
    assert_eq!(pin["txid"], forked["txid"]);
    let told = harbour.run("third", &["du", &parent]).ok();
    assert!(told.contains("fork s3://bench/try") && told.contains("checkpoints and forks alone"), "{told}");
    let refused = harbour.run("third", &["rm", &parent]).fails(3);
    assert!(refused.contains("bench/try") && refused.contains("plimsoll detach"), "{refused}");

    harbour.run("other", &["detach", &child]).ok();
    let used = harbour.run("third", &["--json", "du", &parent]).json();
    assert_eq!(used["pins"].as_array().unwrap().len(), 0, "{used}");
    harbour.run("home", &["rm", &parent]).ok();
    harbour.run("home", &["rm", &parent]).fails(7);
    harbour.run("fourth", &["verify", &child]).ok();
    assert_eq!(harbour.run("fourth", &["--json", "sql", &child, COUNT]).ok(), "{\"n\":40}\n");
}

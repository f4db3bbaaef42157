//! The built library, loaded into programs that know nothing of it.

use std::{
    env,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

/// The library without its suffix, as `load_extension` takes it. Cargo puts it beside the tests that are built with it.
fn library() -> PathBuf {
    let test = env::current_exe().unwrap();
    let folder = test.parent().unwrap();
    assert!(folder.join("libplimsoll.so").is_file(), "no library in {}", folder.display());
    folder.join("libplimsoll")
}

/// What a program prints, given its standard input. `None`, with a note, if it is not installed.
fn output(program: &str, arguments: &[&str], input: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        eprintln!("{program} is not installed; not tested");
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program}: {text}{}", String::from_utf8_lossy(&output.stderr));
    Some(text)
}

#[test]
fn the_sqlite_shell_opens_a_volume() {
    let input = [
        format!(".load {}", library().display()).as_str(),
        ".open file:memory:///shell?vfs=plimsoll",
        "CREATE TABLE t(x);",
        "BEGIN; INSERT INTO t VALUES (1), (2), (3); COMMIT;",
        "SELECT sum(x) FROM t;",
        "PRAGMA journal_mode=wal;",
        "PRAGMA integrity_check;",
        "SELECT plimsoll_version();",
    ]
    .join("\n");
    let Some(answers) = output("/usr/bin/sqlite3", &["-batch", "-bail"], &input) else { return };
    assert_eq!(answers, format!("6\ndelete\nok\n{}\n", env!("CARGO_PKG_VERSION")));
}

/// What every Python test starts with: the library loaded once, `connect` opens volumes.
const PYTHON: &str = r#"
import os, sqlite3, sys
loader = sqlite3.connect(":memory:")
loader.enable_load_extension(True)
loader.load_extension(sys.argv[1])
loader.close()
def connect(name):
    return sqlite3.connect(f"file:memory:///{name}?vfs=plimsoll", uri=True, timeout=10)
def one(connection, sql):
    return connection.execute(sql).fetchone()[0]
"#;

fn python(script: &str) -> Option<String> {
    let library = library();
    output("/usr/bin/python3", &["-", library.to_str().unwrap()], &format!("{PYTHON}{script}"))
}

#[test]
fn python_opens_a_volume_after_the_loading_connection_is_gone() {
    let script = r#"
a, b = connect("python"), connect("python")
a.execute("CREATE TABLE t(x)")
a.executemany("INSERT INTO t VALUES (?)", [(i,) for i in range(1000)])
a.commit()
print(one(b, "SELECT sum(x) FROM t"), one(b, "PRAGMA integrity_check"), one(b, "SELECT plimsoll_wait('durable') > 0"))
"#;
    let Some(answer) = python(script) else { return };
    assert_eq!(answer, "499500 ok 1\n");
}

#[test]
fn a_forked_child_is_told_to_open_its_own_connection() {
    let script = r#"
a = connect("forked")
a.execute("CREATE TABLE t(x)")
a.execute("INSERT INTO t VALUES (1)")
a.commit()
sys.stdout.flush()
if os.fork() == 0:
    for sql in ("SELECT * FROM t", "INSERT INTO t VALUES (2)"):
        try:
            a.execute(sql)
            print("child: no error")
        except sqlite3.OperationalError as error:
            print("child:", error)
    print("child:", one(a, "SELECT plimsoll_error()"))
    a.close()
    own = connect("elsewhere")
    own.execute("CREATE TABLE t(x)")
    print("child:", one(own, "SELECT count(*) FROM t"))
    sys.stdout.flush()
    os._exit(0)
os.wait()
a.execute("INSERT INTO t VALUES (2)")
a.commit()
print("parent:", one(a, "SELECT count(*) FROM t"))
"#;
    let Some(answer) = python(script) else { return };
    let told = "using the database: this connection was opened before fork (open a new one in the child)";
    assert_eq!(answer, format!("child: disk I/O error\nchild: disk I/O error\nchild: {told}\nchild: 0\nparent: 2\n"));
}

#[test]
fn threads_of_python_write_side_by_side() {
    let script = r#"
import threading
first = connect("threads")
first.execute("CREATE TABLE t(x)")
first.commit()
def work():
    own = connect("threads")
    for i in range(50):
        own.execute("BEGIN IMMEDIATE")
        own.execute("INSERT INTO t VALUES (?)", (i,))
        own.commit()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(one(first, "SELECT count(*) FROM t"), one(first, "PRAGMA integrity_check"))
"#;
    let Some(answer) = python(script) else { return };
    assert_eq!(answer, "200 ok\n");
}

#[test]
fn logging_and_metrics_begin_with_the_first_volume_if_settings_ask_for_them() {
    let script = r#"
import socket, urllib.request
free = socket.socket()
free.bind(("127.0.0.1", 0))
address = "127.0.0.1:%d" % free.getsockname()[1]
free.close()
os.environ["PLIMSOLL_LOG"] = "info"
os.environ["PLIMSOLL_METRICS_LISTEN"] = address
os.dup2(1, 2)
a = connect("reporting")
a.execute("CREATE TABLE t(x)")
a.close()
page = urllib.request.urlopen(f"http://{address}/metrics").read().decode()
print("plimsoll_sync_total{" in page)
"#;
    let Some(answer) = python(script) else { return };
    assert!(answer.contains("holding the volume for writing") && answer.ends_with("True\n"), "{answer}");
}

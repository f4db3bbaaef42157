//! The same script, on a volume and on a plain file.

use std::{cell::Cell, fs, path::Path};

use plimsoll_sqllogic::{Place, run_original, script};
use sqllogictest::Runner;

/// Runs a script and says where the answer is another one.
fn run(name: &str, text: &str, place: &Place) {
    let mut runner = Runner::new(async || place.open());
    if let Err(error) = runner.run_script_with_name(text, name) {
        panic!("{place:?}: {}", error.display(false));
    }
}

fn plain_file(dir: &tempfile::TempDir, name: &str) -> Place {
    Place::File(dir.path().join(name))
}

#[test]
fn scripts_run_alike_on_a_volume_and_on_a_plain_file() {
    let dir = tempfile::tempdir().unwrap();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut count = 0;
    for entry in fs::read_dir(scripts).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        run(&name, &text, &plain_file(&dir, &name));
        run(&name, &text, &Place::Volume(format!("memory:///scripts-{name}")));
        run(&name, &text, &Place::Volume(format!("file://{}/volume-{name}", dir.path().display())));
        count += 1;
    }
    assert_eq!(count, 5);
}

#[test]
fn random_scripts_run_on_a_volume_as_on_a_plain_file() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..16 {
        let name = format!("seed {seed}");
        let text = script(seed, 250, &plain_file(&dir, &name)).unwrap();
        run(&name, &text, &Place::Volume(format!("memory:///random-{seed}")));
    }
}

#[test]
fn a_random_script_is_the_same_from_the_same_seed() {
    let dir = tempfile::tempdir().unwrap();
    let one = script(1, 80, &plain_file(&dir, "one")).unwrap();
    assert_eq!(one, script(1, 80, &plain_file(&dir, "again")).unwrap());
    assert_ne!(one, script(2, 80, &plain_file(&dir, "two")).unwrap());
    assert!(one.contains("statement ok") && one.contains("query "), "{one}");
}

#[test]
fn a_script_with_another_answer_is_noticed() {
    let place = Place::Volume("memory:///noticed".to_owned());
    let mut runner = Runner::new(async || place.open());
    let error = runner.run_script("query I\nSELECT 1\n----\n2\n").unwrap_err();
    assert!(error.to_string().contains("query result mismatch"), "{error}");
}

/// In the form that SQLite's project uses: conditions, types, sorting, hashes, lines that end as on Windows.
const ORIGINAL: &str = "\
onlyif mysql\r\nhalt\r\n\r\nhash-threshold 4\r\n
statement ok\nCREATE TABLE t(a INTEGER, b TEXT, c REAL)\n
statement ok\nINSERT INTO t VALUES (2, 'two', 2.5), (10, '', -0.125), (NULL, 'b\tc', 1e15)\n
statement error\nINSERT INTO missing VALUES (1)\n
skipif sqlite # others only\nquery I nosort\nSELECT 1/0\n----\n7\n
query ITR rowsort\nSELECT a, b, c FROM t\n----\n10\n(empty)\n-0.125\n2\ntwo\n2.500\nNULL\nb@c\n1000000000000000.000\n
query I valuesort\nSELECT c FROM t WHERE a > 0\n----\n0\n2\n
query I nosort label-1\nSELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5\n----
5 values hashing to {hash}\n
skipif mysql\nhalt\n
query I nosort\nSELECT 1\n----\n2\n";

#[test]
fn scripts_of_sqlites_project_are_read_as_its_program_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let runs = Cell::new(0);
    let run = |text: String| {
        let script = dir.path().join("one.test");
        fs::write(&script, text).unwrap();
        let database = Place::Volume(format!("memory:///original-{}", runs.replace(runs.get() + 1))).open().unwrap();
        run_original(&script, &database, |_| {}).unwrap()
    };
    // `printf '1\n2\n3\n4\n5\n' | md5sum`
    let hash = "a7b1ac3a2b072f71a8e0d463bf4eb822";
    let good = run(ORIGINAL.replace("{hash}", hash));
    assert_eq!(good.different, Vec::<String>::new());
    assert_eq!((good.statements, good.queries), (3, 3));
    let other = run(ORIGINAL.replace("{hash}", hash).replace("two\n2.500", "two\n2.600"));
    assert_eq!(other.different.len(), 1);
    assert!(other.different[0].contains("one.test:") && other.different[0].contains("2.500"), "{other:?}");
    assert_eq!(run(ORIGINAL.replace("{hash}", "00000000000000000000000000000000")).different.len(), 1);
}

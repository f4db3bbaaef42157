//! The same script, on a volume and on a plain file.

use std::{fs, path::Path};

use plimsoll_sqllogic::{Place, script};
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

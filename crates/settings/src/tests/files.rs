use std::{fs, path::Path};

use plimsoll_host::os;
use plimsoll_model::ErrorKind;

use super::environment;
use crate::{Candidate, FILE_BYTES_MAX, Input, Watch, candidates, find};

fn places(variables: &[(&str, &str)]) -> Vec<(String, bool)> {
    let show = |Candidate { path, required }: Candidate| (path.display().to_string(), required);
    candidates(&environment(variables)).into_iter().map(show).collect()
}

#[test]
fn the_file_is_looked_for_here_and_then_in_the_config_directory() {
    let here = ("plimsoll.toml".to_owned(), false);
    assert_eq!(places(&[]), [here.clone(), ("/home/ann/.config/plimsoll/plimsoll.toml".to_owned(), false)]);
    assert_eq!(places(&[("XDG_CONFIG_HOME", "/c")]), [here, ("/c/plimsoll/plimsoll.toml".to_owned(), false)]);
    assert_eq!(places(&[("PLIMSOLL_CONFIG", "my.toml")]), [("my.toml".to_owned(), true)]);
    assert_eq!(places(&[("PLIMSOLL_CONFIG", "")]), []);
}

fn named(path: &Path) -> crate::Environment {
    environment(&[("PLIMSOLL_CONFIG", path.to_str().unwrap())])
}

#[test]
fn a_named_file_has_to_exist_and_another_does_not() {
    let files = os::host().unwrap().files;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plimsoll.toml");
    let error = find(&*files, &named(&path)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");

    let config_home = [("XDG_CONFIG_HOME", dir.path().to_str().unwrap())];
    assert_eq!(find(&*files, &environment(&config_home)).unwrap(), None);
    fs::create_dir(dir.path().join("plimsoll")).unwrap();
    fs::write(dir.path().join("plimsoll/plimsoll.toml"), "takeover = true").unwrap();
    assert_eq!(find(&*files, &environment(&config_home)).unwrap().unwrap().text, "takeover = true");
}

#[test]
fn a_file_that_is_no_text_or_far_too_large_is_refused() {
    let files = os::host().unwrap().files;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plimsoll.toml");
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(find(&*files, &named(&path)).unwrap_err().to_string().contains("not UTF-8"));
    fs::File::create(&path).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
    assert!(find(&*files, &named(&path)).unwrap_err().to_string().contains("more than 1048576"));
}

#[test]
fn a_changed_file_is_taken_up_once_and_a_bad_one_reported_once() {
    let files = os::host().unwrap().files;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plimsoll.toml");
    fs::write(&path, "sync_interval_ms = 1").unwrap();
    let environment = named(&path);
    let file = find(&*files, &environment).unwrap();
    let mut watch = Watch::new(Input { file, environment, overrides: Vec::new() });
    assert_eq!(watch.poll(&*files).unwrap(), None);

    fs::write(&path, "sync_interval_ms = 2").unwrap();
    let sourced = watch.poll(&*files).unwrap().expect("a change");
    assert_eq!(sourced.settings.sync_interval.as_millis(), 2);
    assert_eq!(watch.poll(&*files).unwrap(), None);

    fs::write(&path, "sync_interval_ms = 2s").unwrap();
    assert!(watch.poll(&*files).unwrap_err().to_string().contains("plimsoll.toml:1"));
    assert_eq!(watch.poll(&*files).unwrap(), None);

    fs::remove_file(&path).unwrap();
    assert_eq!(watch.poll(&*files).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(watch.poll(&*files).unwrap(), None);

    fs::write(&path, "sync_interval_ms = 3").unwrap();
    assert_eq!(watch.poll(&*files).unwrap().expect("a change").settings.sync_interval.as_millis(), 3);
}

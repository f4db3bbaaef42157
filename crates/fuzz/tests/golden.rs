//! Files of every format version, as they were written. What is at rest is not written anew when a format changes: a
//! new version adds files, and the old ones stay readable.

use std::{fs, path::Path};

use plimsoll_fuzz::ALL;

fn golden() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"))
}

#[test]
fn bytes_at_rest_do_not_change() {
    for target in ALL.iter().filter(|target| target.read.is_some()) {
        for (number, written) in (target.seeds)().into_iter().enumerate() {
            let path = golden().join(format!("{}-{number}", target.name));
            let kept = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(kept == written, "{} would be written differently now", path.display());
        }
    }
}

#[test]
fn what_any_version_wrote_is_read() {
    let mut read = 0;
    for entry in fs::read_dir(golden()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let target = ALL.iter().filter(|target| target.read.is_some()).find(|target| {
            name.strip_prefix(target.name)
                .is_some_and(|rest| rest.starts_with('-') && rest.as_bytes()[1].is_ascii_digit())
        });
        let target = target.unwrap_or_else(|| panic!("{name} belongs to no format"));
        println!("{name}");
        (target.read.unwrap())(&fs::read(&path).unwrap());
        read += 1;
    }
    assert!(read >= 5, "{read} files");
}

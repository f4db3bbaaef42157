//! Names with stars in them.

/// Whether `name` is what `pattern` says; each `*` stands for anything, nothing too.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.into_iter().any(|at| matches(rest, &name[at..]))
        }),
    }
}

/// Whether one of the patterns says so.
pub(super) fn any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, answer) in [
            ("wal", "wal", true),
            ("wal", "wal2", false),
            ("wal*", "wal", true),
            ("wal*", "walcrash", true),
            ("wal*", "awal", false),
            ("*fault*", "walfault2", true),
            ("trans-9.*.4-*", "trans-9.12.4-1024", true),
            ("trans-9.*.4-*", "trans-9.12.5-1024", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), answer, "{pattern} {name}");
        }
    }
}

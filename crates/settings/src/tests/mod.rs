mod files; // finding, reading and watching plimsoll.toml
mod forms; // what is accepted and what is refused
mod layers; // which source goes before which
mod table; // the table itself, and changes while running

use crate::{Environment, FileText, Input, Override, Settings, Sourced};

fn environment(variables: &[(&str, &str)]) -> Environment {
    let home = ("HOME".to_owned(), "/home/ann".to_owned());
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).chain([home]).collect()
}

fn input(file: &str, variables: &[(&str, &str)], overrides: &[(&str, &str)]) -> Input {
    Input {
        file: Some(FileText { name: "plimsoll.toml".to_owned(), text: file.to_owned() }),
        environment: environment(variables),
        overrides: overrides.iter().map(|(name, value)| Override::new(*name, *value, "--set")).collect(),
    }
}

fn from_file(text: &str) -> plimsoll_model::Result<Sourced> {
    Sourced::load(&input(text, &[], &[]))
}

fn settings(text: &str) -> Settings {
    from_file(text).unwrap().settings
}

/// The error of a file with this text.
fn refused(text: &str) -> String {
    from_file(text).expect_err(text).to_string()
}

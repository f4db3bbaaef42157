//! Every target, over what is kept and a fixed number of mutations.

use plimsoll_fuzz::{ALL, Budget, run};

#[test]
fn no_input_that_is_kept_and_no_mutation_of_one_breaks_a_decoder() {
    for target in &ALL {
        let report = run(target, Budget { mutations: Some(3000), time: None, seed: 1 }, None);
        println!("{}: {}", target.name, report.unwrap_or_else(|why| panic!("{why}")));
    }
}

//! `plimsoll-sim`: runs seeds until one fails or time is up.

fn main() {
    let seeds: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(20);
    let from: u64 = std::env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut all = plimsoll_sim::Coverage::default();
    for seed in from..from + seeds {
        let report = plimsoll_sim::run(seed, std::env::var("LOG").is_ok());
        println!("{seed}: {} steps, {:?}, {} bytes, {:?}", report.steps, report.length, report.trace.len(), report.broken);
        if report.broken.is_some() || std::env::var("KEEP").is_ok() {
            std::fs::write(format!("/tmp/sim-{seed}.trace"), &report.trace).unwrap();
        }
        all.add(&report.coverage);
    }
    println!("{all}");
}

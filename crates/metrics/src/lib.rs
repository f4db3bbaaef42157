//! Counters and gauges for Prometheus, and the page that shows them.
//!
//! Counting is one atomic addition on a counter that was looked up before. What changes with every
//! commit (load, watermarks) is not pushed at all but read when somebody looks. The number of
//! series is bounded, however many volumes a process opens.

mod families; // every metric: name, help, labels
mod label; // values of labels
mod metrics; // what a process counts
mod serve; // GET /metrics
mod volume; // what one volume counts

pub use label::{Breaker, RequestOutcome, StoreOp};
pub use metrics::{Metrics, OTHER, VOLUMES_MAX};
pub use serve::Server;
pub use volume::{Position, Reading, VolumeMetrics};

#[cfg(test)]
mod tests;

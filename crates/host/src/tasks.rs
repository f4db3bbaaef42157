//! Background work.

use std::sync::Arc;

use futures::{channel::oneshot, future::BoxFuture};

/// Runs futures and blocking jobs beside the caller.
pub trait Tasks: Send + Sync {
    /// Starts a future. Nobody waits for it; it ends by itself or when the process does.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs a job that may block (file sync, compression) where it delays no future.
    fn spawn_blocking(&self, job: Box<dyn FnOnce() + Send>);

    /// Drives a future to its end on the calling thread. Must not be called from inside a task.
    fn block_on(&self, future: BoxFuture<'_, ()>);

    /// Offers the calling thread's core to another one that waits for it. A call to the system, and nothing where threads
    /// have no cores, as in a simulation.
    fn give_way(&self) {}
}

/// Runs `job` on the blocking pool and waits for its result.
///
/// Dropping the future does not stop the job.
///
/// # Panics
/// When the job panicked.
pub async fn run_blocking<T: Send + 'static>(tasks: &Arc<dyn Tasks>, job: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = oneshot::channel();
    tasks.spawn_blocking(Box::new(move || {
        // The waiter may be gone; the job's effect counts, not its answer.
        let _ = done.send(job());
    }));
    result.await.expect("BUG: a blocking job panicked")
}

impl dyn Tasks {
    /// Drives a future to its end on the calling thread and returns its output.
    ///
    /// # Panics
    /// When called from inside a task.
    pub fn wait<T: Send>(&self, future: impl Future<Output = T> + Send) -> T {
        let mut output = None;
        self.block_on(Box::pin(async { output = Some(future.await) }));
        output.expect("BUG: block_on returned before its future was ready")
    }
}

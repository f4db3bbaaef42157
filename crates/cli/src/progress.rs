//! Bars on a terminal. Elsewhere nothing is shown.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::setup::Setup;

/// A bar over bytes.
pub(crate) fn bytes(setup: &Setup, total: u64, words: &'static str) -> ProgressBar {
    let style = "{msg} {wide_bar} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
    bar(setup, total, words, style)
}

/// A bar over things.
pub(crate) fn count(setup: &Setup, total: u64, words: &'static str) -> ProgressBar {
    bar(setup, total, words, "{msg} {wide_bar} {pos} of {len}, {eta} left")
}

fn bar(setup: &Setup, total: u64, words: &'static str, style: &str) -> ProgressBar {
    if !setup.progress {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
    let style = ProgressStyle::with_template(style).expect("BUG: a template of ours is malformed");
    bar.set_style(style.progress_chars("=> "));
    bar.with_message(words)
}

/// A line that says that something is under way.
pub(crate) fn waiting(setup: &Setup, words: &'static str) -> ProgressBar {
    if !setup.progress {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message(words);
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    bar
}

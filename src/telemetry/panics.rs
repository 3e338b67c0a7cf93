//! Panics: counted, wherever they happen.
//!
//! The runtime ends the task that panicked, and nothing else; the log tells where it was. This room keeps the number, which a supervisor
//! can watch.

use std::{panic, sync::Arc};

use super::Metrics;

/// From now on every panic of this process is counted, before whoever was told of it first is told.
pub fn count(metrics: Arc<Metrics>) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        metrics.record_panic();
        before(panicked);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_any_thread_is_counted() {
        let metrics = Arc::new(Metrics::new().unwrap());
        count(metrics.clone());
        let ended = std::thread::spawn(|| panic!("on purpose")).join();
        assert!(ended.is_err());
        let page = metrics.render();
        let counted = page.lines().find_map(|line| line.strip_prefix("cogward_panics_total ")).unwrap();
        // Other tests may panic, too.
        assert!(counted.parse::<u64>().unwrap() >= 1, "{counted}");
    }
}

//! Restarting a task that panicked.

use std::future::Future;

/// Runs a task until it ends, and starts it again each time that it panics. The panic was reported by the panic hook; what the
/// task owned was dropped.
pub(super) async fn restart_on_panic<F>(name: &str, mut task: impl FnMut() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Err(error) = tokio::spawn(task()).await {
        if !error.is_panic() {
            return;
        }
        tracing::error!(task = name, "a task panicked; it is started again");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_started_again() {
        let starts = Arc::new(AtomicU32::new(0));
        restart_on_panic("test", || {
            let starts = starts.clone();
            async move { assert!(starts.fetch_add(1, Ordering::Relaxed) >= 2, "the first two attempts panic") }
        })
        .await;
        assert_eq!(starts.load(Ordering::Relaxed), 3);
    }
}

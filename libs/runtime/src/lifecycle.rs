//! Running and stopping the tasks of a process.
//!
//! A process stops on a signal ([`shutdown_on_signals`]) or when one of its tasks ends ([`Supervisor`]). In both cases its tasks
//! are stopped in the same order: intake, drain, and health last.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::time::Duration;

use sealbus_core::error_chain;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Returns a token that fires at the first SIGTERM or SIGINT. A second signal ends the process at once, with the status 128 plus
/// the number of the signal. No event is lost by that: the ledger has the work in flight, or its caller gets no answer.
///
/// Must be called inside a tokio runtime. Fails if the signal handlers cannot be installed.
pub fn shutdown_on_signals() -> io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        loop {
            let number = tokio::select! {
                _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
                _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            };
            if token.is_cancelled() {
                tracing::warn!(signal = number, "second signal received; exiting at once");
                std::process::exit(128 + number);
            }
            tracing::info!(signal = number, "signal received; finishing the work in flight");
            token.cancel();
        }
    });
    Ok(shutdown)
}

/// The stage of a shutdown in which a task is stopped. The tasks of a stage are stopped when all tasks of the earlier stages have
/// ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Tasks that accept new work, such as listeners and pulls.
    Intake,
    /// Tasks that finish accepted work.
    Drain,
    /// Tasks that report the state of the process.
    Health,
}

const STAGES: [Stage; 3] = [Stage::Intake, Stage::Drain, Stage::Health];

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// The failure of a process.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A task returned an error.
    #[error("{task} failed")]
    Failed {
        /// Name of the task.
        task: String,
        /// Error of the task.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A task panicked, or ended before it was stopped, or tasks were still running at the end of the grace period and were
    /// cut off.
    #[error("{0}")]
    Unexpected(String),
}

/// Named tasks that run together and are stopped together.
pub struct Supervisor {
    shutdown: CancellationToken,
    grace: Duration,
    stages: [CancellationToken; STAGES.len()],
    tasks: JoinSet<Outcome>,
    running: HashMap<Id, (String, Stage)>,
}

impl Supervisor {
    /// Returns a supervisor without tasks. It stops its tasks when `shutdown` fires; all stages together may take `grace`.
    pub fn new(shutdown: CancellationToken, grace: Duration) -> Self {
        let (stages, tasks, running) = (Default::default(), JoinSet::new(), HashMap::new());
        Self { shutdown, grace, stages, tasks, running }
    }

    /// Starts a task. It must run until the token that is passed to it fires. If it ends earlier, with or without an error, the
    /// process stops, because the work of the task would not be done any more.
    pub fn spawn<F, E>(&mut self, name: impl Into<String>, stage: Stage, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let future = task(self.stages[stage as usize].clone());
        let handle = self.tasks.spawn(async move { future.await.map_err(Into::into) });
        self.running.insert(handle.id(), (name.into(), stage));
    }

    /// Waits until `shutdown` fires or a task ends. Then it fires `shutdown` and stops the tasks stage by stage. Returns the first
    /// failure; later failures are logged.
    pub async fn run(mut self) -> Result<(), TaskError> {
        let mut first = None;
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => {}
            Some(ended) = self.tasks.join_next_with_id() => {
                let failure = match self.remove(ended) {
                    Ok(task) => TaskError::Unexpected(format!("{task} ended unexpectedly")),
                    Err(failure) => failure,
                };
                tracing::error!(error = %error_chain(&failure), "task ended; stopping the process");
                first = Some(failure);
            }
        }
        self.shutdown.cancel();
        let deadline = Instant::now() + self.grace;
        for stage in STAGES {
            self.stages[stage as usize].cancel();
            while self.running.values().any(|(_, running)| *running == stage) {
                match timeout_at(deadline, self.tasks.join_next_with_id()).await {
                    Ok(Some(ended)) => {
                        if let Err(failure) = self.remove(ended) {
                            tracing::error!(error = %error_chain(&failure), "task failed during shutdown");
                            first.get_or_insert(failure);
                        }
                    }
                    Ok(None) => break,
                    Err(_) => return Err(self.cut_off(first)),
                }
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Removes a task that has ended, and returns its name or its failure.
    fn remove(&mut self, ended: Result<(Id, Outcome), JoinError>) -> Result<String, TaskError> {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let task = self.running.remove(&id).map_or_else(|| "a task".to_owned(), |(name, _)| name);
        match ended {
            Ok((_, Ok(()))) => Ok(task),
            Ok((_, Err(source))) => Err(TaskError::Failed { task, source }),
            Err(error) => Err(TaskError::Unexpected(format!("{task} panicked: {}", panic_message(error)))),
        }
    }

    /// Aborts the tasks that are still running.
    fn cut_off(mut self, first: Option<TaskError>) -> TaskError {
        self.tasks.abort_all();
        let mut tasks: Vec<String> = self.running.drain().map(|(_, (name, _))| name).collect();
        tasks.sort_unstable();
        let overdue = TaskError::Unexpected(format!("{} did not stop within {:?}", tasks.join(", "), self.grace));
        tracing::error!(error = %error_chain(&overdue), "tasks cut off after the grace period");
        first.unwrap_or(overdue)
    }
}

fn panic_message(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "the task was cancelled".to_owned() };
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    const GRACE: Duration = Duration::from_mins(1);

    async fn until_stopped(token: CancellationToken) -> io::Result<()> {
        token.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn tasks_are_stopped_stage_by_stage_with_health_last() {
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(shutdown.clone(), GRACE);
        let order = Arc::new(Mutex::new(Vec::new()));
        for stage in [Stage::Health, Stage::Intake, Stage::Drain] {
            let order = Arc::clone(&order);
            supervisor.spawn(format!("{stage:?}"), stage, |token| async move {
                token.cancelled().await;
                // The next stage must not begin before this task has ended.
                tokio::task::yield_now().await;
                order.lock().unwrap().push(stage);
                Ok::<_, io::Error>(())
            });
        }
        shutdown.cancel();
        supervisor.run().await.expect("all tasks end without error");
        assert_eq!(*order.lock().unwrap(), STAGES);
    }

    #[tokio::test]
    async fn a_failed_task_stops_the_process_and_its_other_tasks() {
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(shutdown.clone(), GRACE);
        supervisor.spawn("health", Stage::Health, until_stopped);
        supervisor.spawn("relay", Stage::Intake, |_| async { Err(io::Error::other("connection refused")) });
        let error = supervisor.run().await.expect_err("the relay failed");
        assert_eq!(error_chain(&error), "relay failed: connection refused");
        assert!(shutdown.is_cancelled(), "the shutdown token must fire");
    }

    #[tokio::test]
    async fn a_panic_stops_the_process() {
        let mut supervisor = Supervisor::new(CancellationToken::new(), GRACE);
        supervisor.spawn("health", Stage::Health, until_stopped);
        supervisor.spawn("sealer", Stage::Drain, |_| async {
            assert!(GRACE.is_zero(), "no tree");
            Ok::<_, io::Error>(())
        });
        assert_eq!(supervisor.run().await.expect_err("panicked").to_string(), "sealer panicked: no tree");
    }

    #[tokio::test]
    async fn a_task_that_ends_early_stops_the_process() {
        let mut supervisor = Supervisor::new(CancellationToken::new(), GRACE);
        supervisor.spawn("dispatcher", Stage::Intake, |_| async { Ok::<_, io::Error>(()) });
        assert_eq!(supervisor.run().await.expect_err("ended").to_string(), "dispatcher ended unexpectedly");
    }

    #[tokio::test]
    async fn a_failure_during_shutdown_is_returned() {
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(shutdown.clone(), GRACE);
        supervisor.spawn("publisher", Stage::Intake, |token| async move {
            token.cancelled().await;
            Err(io::Error::other("lost"))
        });
        shutdown.cancel();
        assert_eq!(supervisor.run().await.expect_err("failed").to_string(), "publisher failed");
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_do_not_stop_are_cut_off_after_the_grace_period() {
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(shutdown.clone(), Duration::from_secs(25));
        supervisor.spawn("stubborn", Stage::Drain, |_| std::future::pending::<io::Result<()>>());
        supervisor.spawn("health", Stage::Health, until_stopped);
        shutdown.cancel();
        let began = Instant::now();
        let error = supervisor.run().await.expect_err("overdue");
        assert_eq!(error.to_string(), "health, stubborn did not stop within 25s");
        assert_eq!(began.elapsed(), Duration::from_secs(25));
    }
}

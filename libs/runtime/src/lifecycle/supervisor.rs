//! The tasks of a process, their failures, and the order in which they end.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use sealbus_core::error_chain;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// When a task is told to end; the tasks of a stage are told once all those of the stages before have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// What takes in new work: listeners, pulls.
    Intake,
    /// What finishes the work that was taken in.
    Drain,
    /// What the work needed: leases, connections.
    Close,
    /// What tells the outside how it goes.
    Health,
}

const STAGES: [Stage; 4] = [Stage::Intake, Stage::Drain, Stage::Close, Stage::Health];

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// Why a process did not end well.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A task ended in an error.
    #[error("{task} failed")]
    Failed {
        /// The task.
        task: String,
        /// Its error.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A task panicked.
    #[error("{task} panicked: {message}")]
    Panicked {
        /// The task.
        task: String,
        /// The panic's message.
        message: String,
    },
    /// A task ended before anybody told it to.
    #[error("{task} ended by itself")]
    Ended {
        /// The task.
        task: String,
    },
    /// Tasks were still running when the grace period had passed, and were cut off.
    #[error("{} did not stop within {grace:?}", tasks.join(", "))]
    Overdue {
        /// The tasks.
        tasks: Vec<String>,
        /// The grace period.
        grace: Duration,
    },
}

/// A set of named tasks that live and end together.
pub struct Supervisor {
    shutdown: CancellationToken,
    grace: Duration,
    stages: [CancellationToken; STAGES.len()],
    tasks: JoinSet<Outcome>,
    running: HashMap<Id, (String, Stage)>,
}

impl Supervisor {
    /// A set without tasks that ends when `shutdown` fires, and has `grace` for it, all stages together.
    pub fn new(shutdown: CancellationToken, grace: Duration) -> Self {
        let (stages, tasks, running) = (Default::default(), JoinSet::new(), HashMap::new());
        Self { shutdown, grace, stages, tasks, running }
    }

    /// Starts a task at once. It is to run until the token that it is given fires; if it ends earlier, well or not, the
    /// process ends with it, since nobody would do its work.
    pub fn spawn<F, E>(&mut self, name: impl Into<String>, stage: Stage, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let future = task(self.stages[stage as usize].clone());
        let handle = self.tasks.spawn(async move { future.await.map_err(Into::into) });
        self.running.insert(handle.id(), (name.into(), stage));
    }

    /// Runs until `shutdown` fires or a task ends; then fires `shutdown` for everybody, ends the tasks stage by stage,
    /// and answers with what went wrong first. What goes wrong after that is logged.
    pub async fn run(mut self) -> Result<(), TaskError> {
        let mut first = None;
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => {}
            Some(ended) = self.tasks.join_next_with_id() => {
                first = Some(match self.failure(ended) {
                    (_, Some(failure)) => failure,
                    (task, None) => TaskError::Ended { task },
                });
                tracing::error!(error = first.as_ref().map(|error| tracing::field::display(error_chain(error))), "stopping");
            }
        }
        self.shutdown.cancel();
        let deadline = Instant::now() + self.grace;
        for stage in STAGES {
            self.stages[stage as usize].cancel();
            while self.running.values().any(|(_, running)| *running == stage) {
                match timeout_at(deadline, self.tasks.join_next_with_id()).await {
                    Ok(Some(ended)) => {
                        if let (_, Some(failure)) = self.failure(ended) {
                            tracing::error!(error = %error_chain(&failure), "while stopping");
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

    /// Takes a task off the list: its name, and its failure if it was one.
    fn failure(&mut self, ended: Result<(Id, Outcome), JoinError>) -> (String, Option<TaskError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let task = self.running.remove(&id).map_or_else(|| "a task".to_owned(), |(name, _)| name);
        let failure = match ended {
            Ok((_, Ok(()))) => None,
            Ok((_, Err(source))) => Some(TaskError::Failed { task: task.clone(), source }),
            Err(error) => Some(TaskError::Panicked { task: task.clone(), message: panic_message(error) }),
        };
        (task, failure)
    }

    /// Drops what is still running.
    fn cut_off(mut self, first: Option<TaskError>) -> TaskError {
        self.tasks.abort_all();
        let mut tasks: Vec<String> = self.running.drain().map(|(_, (name, _))| name).collect();
        tasks.sort_unstable();
        let overdue = TaskError::Overdue { tasks, grace: self.grace };
        tracing::error!(error = %error_chain(&overdue), "cut off");
        first.unwrap_or(overdue)
    }
}

fn panic_message(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "it was cancelled".to_owned() };
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    const GRACE: Duration = Duration::from_mins(1);

    async fn until_told(token: CancellationToken) -> io::Result<()> {
        token.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn ends_stage_by_stage_with_health_last() {
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(shutdown.clone(), GRACE);
        let order = Arc::new(Mutex::new(Vec::new()));
        for stage in [Stage::Health, Stage::Close, Stage::Intake, Stage::Drain] {
            let order = Arc::clone(&order);
            supervisor.spawn(format!("{stage:?}"), stage, |token| async move {
                token.cancelled().await;
                // Each stage takes its time; the next does not begin before.
                tokio::task::yield_now().await;
                order.lock().unwrap().push(stage);
                Ok::<_, io::Error>(())
            });
        }
        shutdown.cancel();
        supervisor.run().await.expect("all ended well");
        assert_eq!(*order.lock().unwrap(), STAGES);
    }

    #[tokio::test]
    async fn an_error_ends_the_process_and_the_others_end_well() {
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(shutdown.clone(), GRACE);
        supervisor.spawn("health", Stage::Health, until_told);
        supervisor.spawn("relay", Stage::Intake, |_| async { Err(io::Error::other("connection refused")) });
        let error = supervisor.run().await.expect_err("the relay failed");
        assert_eq!(error_chain(&error), "relay failed: connection refused");
        assert!(shutdown.is_cancelled(), "everybody else learns of it");
    }

    #[tokio::test]
    async fn a_panic_ends_the_process() {
        let mut supervisor = Supervisor::new(CancellationToken::new(), GRACE);
        supervisor.spawn("health", Stage::Health, until_told);
        supervisor.spawn("sealer", Stage::Drain, |_| async {
            assert!(GRACE.is_zero(), "no tree");
            Ok::<_, io::Error>(())
        });
        assert_eq!(supervisor.run().await.expect_err("panicked").to_string(), "sealer panicked: no tree");
    }

    #[tokio::test]
    async fn a_task_that_just_ends_ends_the_process() {
        let mut supervisor = Supervisor::new(CancellationToken::new(), GRACE);
        supervisor.spawn("dispatcher", Stage::Intake, |_| async { Ok::<_, io::Error>(()) });
        assert_eq!(supervisor.run().await.expect_err("ended").to_string(), "dispatcher ended by itself");
    }

    #[tokio::test]
    async fn a_failure_while_stopping_is_told() {
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
    async fn what_does_not_stop_is_cut_off_after_the_grace_period() {
        let shutdown = CancellationToken::new();
        let mut supervisor = Supervisor::new(shutdown.clone(), Duration::from_secs(25));
        supervisor.spawn("stubborn", Stage::Drain, |_| std::future::pending::<io::Result<()>>());
        supervisor.spawn("health", Stage::Health, until_told);
        shutdown.cancel();
        let began = Instant::now();
        let error = supervisor.run().await.expect_err("overdue");
        assert_eq!(error.to_string(), "health, stubborn did not stop within 25s");
        assert_eq!(began.elapsed(), Duration::from_secs(25));
    }
}

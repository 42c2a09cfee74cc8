//! A budget of bytes that owners share.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// A limited number of bytes that owners share. Clones share the budget. A budget can also count places, with one byte for each.
///
/// After each reservation an owner holds at most as much as is still free (dynamic thresholds: Choudhury and Hahne, 1998). One
/// owner alone can therefore hold half of the limit, two owners a third each, and there is always something free for an owner
/// that holds nothing. Shares need no configuration.
///
/// A reservation that has to wait is granted as soon as it fits. The owners that wait take turns, and each owner's reservations
/// are granted in the order in which they were requested. A large reservation may be passed by smaller ones of other owners.
#[derive(Clone)]
pub struct Budget(Arc<Shared>);

struct Shared {
    name: &'static str,
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    reserved: usize,
    owners: HashMap<Arc<str>, Owner>,
    /// The owners with waiters, in the order of their turns.
    turns: VecDeque<Arc<str>>,
}

/// An owner that holds bytes or waits for them.
#[derive(Default)]
struct Owner {
    held: usize,
    waiters: VecDeque<Waiter>,
}

struct Waiter {
    bytes: usize,
    granted: oneshot::Sender<Reservation>,
}

/// The budget has no room for a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the memory budget for {0} is exhausted")]
pub struct Exhausted(pub &'static str);

impl Budget {
    /// Creates a budget of `limit` bytes. `name` says what they are for and completes the sentence "the memory budget for …".
    pub fn new(name: &'static str, limit: usize) -> Self {
        Self(Arc::new(Shared { name, limit, state: Mutex::default() }))
    }

    /// Returns what the bytes are for.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Returns the highest number of bytes that can be reserved.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Returns the number of bytes that are reserved. It never exceeds the limit.
    pub fn reserved(&self) -> usize {
        self.0.state().reserved
    }

    /// Returns the size of the largest reservation that can be granted, half of the limit. A larger one is refused at once.
    pub fn largest(&self) -> usize {
        self.0.limit / 2
    }

    /// Reserves bytes for an owner without waiting.
    ///
    /// # Errors
    /// [`Exhausted`] if they do not fit now, or if earlier reservations of the owner wait. A reservation of no bytes never fails.
    pub fn try_reserve(&self, owner: &str, bytes: usize) -> Result<Reservation, Exhausted> {
        let mut state = self.0.state();
        let name = state.owner(owner);
        let may_take = bytes == 0 || (state.first_waiter(&name).is_none() && state.fits(self.0.limit, &name, bytes));
        if may_take {
            state.take(&name, bytes);
        } else {
            state.remove_if_idle(&name);
        }
        drop(state);
        // A reservation must not be created under the lock, because dropping it takes the lock.
        if may_take { Ok(Reservation::new(self, name, bytes)) } else { Err(self.exhausted()) }
    }

    /// Reserves bytes for an owner, and waits for them for at most `patience`. Dropping the future ends the wait.
    ///
    /// # Errors
    /// [`Exhausted`] if they did not become free in that time, or exceed [`Budget::largest`].
    pub async fn reserve(&self, owner: &str, bytes: usize, patience: Duration) -> Result<Reservation, Exhausted> {
        match self.try_reserve(owner, bytes) {
            Ok(reservation) => Ok(reservation),
            Err(exhausted) if bytes > self.largest() => Err(exhausted),
            Err(exhausted) => timeout(patience, self.wait(owner, bytes)).await.unwrap_or(Err(exhausted)),
        }
    }

    /// Returns how many reservations of an owner wait.
    pub fn waiting(&self, owner: &str) -> usize {
        let state = self.0.state();
        let waiters = state.owners.get(owner).map(|owner| owner.waiters.iter());
        waiters.map_or(0, |waiters| waiters.filter(|waiter| !waiter.granted.is_closed()).count())
    }

    /// Returns the number of owners that hold or want bytes.
    #[cfg(test)]
    pub(super) fn owners(&self) -> usize {
        self.0.state().owners.len()
    }

    /// Queues a reservation.
    pub(super) fn wait(&self, owner: &str, bytes: usize) -> Wait {
        let (granted, receiver) = oneshot::channel();
        let mut state = self.0.state();
        let name = state.owner(owner);
        if !state.turns.contains(&name) {
            state.turns.push_back(Arc::clone(&name));
        }
        state.owners.entry(name).or_default().waiters.push_back(Waiter { bytes, granted });
        drop(state);
        // Bytes may have become free since they were found to be lacking.
        self.grant();
        Wait { budget: self.clone(), granted: Some(receiver) }
    }

    /// Grants the reservations that fit now, one for each waiting owner in turn.
    fn grant(&self) {
        let mut granted = Vec::new();
        let mut guard = self.0.state();
        let state = &mut *guard;
        let mut later = VecDeque::new();
        while let Some(name) = state.turns.pop_front() {
            let Some(bytes) = state.first_waiter(&name) else {
                state.remove_if_idle(&name);
                continue;
            };
            if !state.fits(self.0.limit, &name, bytes) {
                later.push_back(name);
                continue;
            }
            state.take(&name, bytes);
            let waiter = state.owners.get_mut(&name).and_then(|owner| owner.waiters.pop_front());
            granted.extend(waiter.map(|waiter| (waiter.granted, Arc::clone(&name), bytes)));
            state.turns.push_back(name);
        }
        state.turns = later;
        drop(guard);
        for (sender, name, bytes) in granted {
            // If the receiver has gone meanwhile, the reservation is dropped, which gives the bytes to others.
            let _ = sender.send(Reservation::new(self, name, bytes));
        }
    }

    fn give_back(&self, owner: &Arc<str>, bytes: usize) {
        let mut state = self.0.state();
        state.reserved -= bytes;
        if let Some(held) = state.owners.get_mut(owner).map(|owner| &mut owner.held) {
            *held -= bytes;
        }
        state.remove_if_idle(owner);
        let is_wanted = !state.turns.is_empty();
        drop(state);
        if is_wanted {
            self.grant();
        }
    }

    fn exhausted(&self) -> Exhausted {
        Exhausted(self.0.name)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { name, limit, .. } = &*self.0;
        f.debug_struct("Budget").field("name", name).field("limit", limit).field("reserved", &self.reserved()).finish()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the lock is only held to count bytes and to move waiters")
    }
}

impl State {
    /// Returns the key of an owner.
    fn owner(&self, name: &str) -> Arc<str> {
        self.owners.get_key_value(name).map_or_else(|| Arc::from(name), |(key, _)| Arc::clone(key))
    }

    /// Returns whether the owner would hold at most as much as would be left.
    fn fits(&self, limit: usize, owner: &str, bytes: usize) -> bool {
        let held = self.owners.get(owner).map_or(0, |owner| owner.held);
        let left = limit.checked_sub(self.reserved).and_then(|free| free.checked_sub(bytes));
        bytes == 0 || left.is_some_and(|left| held + bytes <= left)
    }

    fn take(&mut self, owner: &Arc<str>, bytes: usize) {
        self.reserved += bytes;
        self.owners.entry(Arc::clone(owner)).or_default().held += bytes;
    }

    /// Returns the bytes of the owner's first waiter. Removes waiters that no longer wait.
    fn first_waiter(&mut self, owner: &str) -> Option<usize> {
        let waiters = &mut self.owners.get_mut(owner)?.waiters;
        while waiters.front().is_some_and(|waiter| waiter.granted.is_closed()) {
            waiters.pop_front();
        }
        waiters.front().map(|waiter| waiter.bytes)
    }

    fn remove_if_idle(&mut self, owner: &str) {
        if self.owners.get(owner).is_some_and(|owner| owner.held == 0 && owner.waiters.is_empty()) {
            self.owners.remove(owner);
        }
    }
}

/// A queued reservation. Dropping it lets the owner's later reservations pass.
pub(super) struct Wait {
    budget: Budget,
    granted: Option<oneshot::Receiver<Reservation>>,
}

impl Future for Wait {
    type Output = Result<Reservation, Exhausted>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let exhausted = self.budget.exhausted();
        let Some(receiver) = &mut self.granted else { return Poll::Ready(Err(exhausted)) };
        let granted = ready!(Pin::new(receiver).poll(context));
        self.granted = None;
        Poll::Ready(granted.map_err(|_| exhausted))
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.granted.take().is_some() {
            self.budget.grant();
        }
    }
}

/// Bytes of a budget that an owner holds. Dropping it gives them back.
#[must_use = "dropping a reservation gives its bytes back"]
pub struct Reservation {
    budget: Budget,
    owner: Arc<str>,
    bytes: usize,
}

impl Reservation {
    fn new(budget: &Budget, owner: Arc<str>, bytes: usize) -> Self {
        Self { budget: budget.clone(), owner, bytes }
    }

    /// Returns the number of reserved bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reserves more bytes, and waits for them for at most `patience`.
    ///
    /// # Errors
    /// [`Exhausted`] if they did not become free in that time. The reservation keeps the bytes that it has.
    pub async fn grow(&mut self, bytes: usize, patience: Duration) -> Result<(), Exhausted> {
        let mut more = self.budget.reserve(&self.owner, bytes, patience).await?;
        self.bytes += std::mem::take(&mut more.bytes);
        Ok(())
    }

    /// Gives back what exceeds `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let excess = self.bytes.saturating_sub(bytes);
        self.bytes -= excess;
        self.budget.give_back(&self.owner, excess);
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { budget, owner, bytes } = self;
        f.debug_struct("Reservation")
            .field("budget", &budget.0.name)
            .field("owner", owner)
            .field("bytes", bytes)
            .finish()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

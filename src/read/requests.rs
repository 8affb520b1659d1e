//! How many requests for image data are open at the service at once: a permit for each.
//!
//! A request that nobody wants more of at the moment is kept for a while, because whoever comes back would pay for another
//! one. It has a process or a thread of the service to itself, and bytes in the sockets; so it has its permit, too, and is
//! given up where somebody else waits for one.

use std::sync::Arc;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::sync::{Mutex, lock};

/// See the module.
#[derive(Debug)]
pub(super) struct Requests {
    permits: Arc<Semaphore>,
    /// How many there are in all.
    most: usize,
    demand: Mutex<Demand>,
    wanted: Notify,
}

#[derive(Debug, Default)]
struct Demand {
    waiting: usize,
    /// Permits that are about to be given back for those who wait.
    promised: usize,
}

/// Leave to have a request open.
#[derive(Debug)]
pub(super) struct Permit {
    requests: Arc<Requests>,
    is_promised: bool,
    _place: OwnedSemaphorePermit,
}

impl Requests {
    /// At most so many at once.
    pub(super) fn new(most: usize) -> Arc<Self> {
        let (permits, demand) = (Arc::new(Semaphore::new(most)), Mutex::default());
        Arc::new(Self { permits, most, demand, wanted: Notify::new() })
    }

    /// How many may be open at once.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Waits for a permit. `None` never comes: the semaphore is not closed.
    pub(super) async fn permit(self: &Arc<Self>) -> Option<Permit> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Some(self.of(permit));
        }
        let waiting = Waiting::new(self);
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        drop(waiting);
        permit.map(|permit| self.of(permit))
    }

    /// Until somebody begins to wait for a permit.
    pub(super) fn wanted(&self) -> Notified<'_> {
        self.wanted.notified()
    }

    fn of(self: &Arc<Self>, place: OwnedSemaphorePermit) -> Permit {
        Permit { requests: Arc::clone(self), is_promised: false, _place: place }
    }
}

impl Permit {
    /// Whether it is to be given back, because somebody waits for one whom no other one was promised. Who hears so ends the
    /// request.
    pub(super) fn is_wanted_back(&mut self) -> bool {
        let mut demand = lock(&self.requests.demand);
        let wanted = !self.is_promised && demand.promised < demand.waiting;
        demand.promised += usize::from(wanted);
        self.is_promised |= wanted;
        wanted
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut demand = lock(&self.requests.demand);
        demand.promised -= usize::from(self.is_promised);
    }
}

/// Somebody who waits for a permit.
struct Waiting<'a>(&'a Requests);

impl<'a> Waiting<'a> {
    fn new(requests: &'a Requests) -> Self {
        lock(&requests.demand).waiting += 1;
        requests.wanted.notify_waiters();
        Self(requests)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lock(&self.0.demand).waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn as_many_permits_are_wanted_back_as_somebody_waits_for() {
        let requests = Requests::new(3);
        let mut held = [(); 3].map(|()| requests.permit().now_or_never().flatten().unwrap());
        assert!(held.iter_mut().all(|permit| !permit.is_wanted_back()), "nobody waits");
        let wanted = requests.wanted();
        let mut first = Box::pin(requests.permit());
        assert!(first.as_mut().now_or_never().is_none());
        assert!(wanted.now_or_never().is_some(), "who waits is heard");
        let mut second = Box::pin(requests.permit());
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(held.iter_mut().map(Permit::is_wanted_back).collect::<Vec<_>>(), [true, true, false]);
        drop(second);
        let [one, other, mut kept] = held;
        drop((one, other));
        assert!(first.as_mut().now_or_never().flatten().is_some());
        assert!(!kept.is_wanted_back());
        let demand = lock(&requests.demand);
        assert_eq!((demand.waiting, demand.promised), (0, 0));
    }
}

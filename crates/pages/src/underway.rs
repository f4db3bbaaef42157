//! What is on its way from the store: who wants a page of it waits for that instead of asking again.

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{
    FutureExt,
    channel::oneshot::{self, Receiver, Sender},
    future::Shared,
};
use plimsoll_model::PageNo;

use crate::Object;

/// Completes once a page is in the cache, or will not get there.
pub(crate) type Arrival = Shared<Receiver<()>>;

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Underway(Mutex<State>);

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    number: u64,
}

struct Request {
    number: u64,
    object: Arc<Object>,
    /// From the first page to the last, in parts that arrive one after the other.
    parts: Vec<(RangeInclusive<PageNo>, Arrival)>,
    /// All of an object is asked for: whichever page of it is wanted.
    whole: bool,
}

/// A request that is under way until this is dropped.
pub(crate) struct Expected {
    underway: Arc<Underway>,
    number: u64,
    arrivals: std::vec::IntoIter<Sender<()>>,
}

impl Underway {
    fn state(&self) -> MutexGuard<'_, State> {
        // A list of requests; a panic elsewhere does not make it wrong.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces a request for pages of an object, which will arrive in these parts. With `whole` it brings all others, too.
    pub(crate) fn expect(
        self: &Arc<Self>,
        object: &Arc<Object>,
        parts: impl Iterator<Item = RangeInclusive<PageNo>>,
        whole: bool,
    ) -> Expected {
        let (arrivals, parts): (Vec<_>, Vec<_>) = parts
            .map(|part| {
                let (sender, arrival) = oneshot::channel();
                (sender, (part, arrival.shared()))
            })
            .unzip();
        let mut state = self.state();
        state.number += 1;
        let number = state.number;
        state.requests.push(Request { number, object: Arc::clone(object), parts, whole });
        Expected { underway: Arc::clone(self), number, arrivals: arrivals.into_iter() }
    }

    /// The request that brings a page: its last page, and what to wait for.
    pub(crate) fn find(&self, object: &Arc<Object>, page: PageNo) -> Option<(PageNo, Arrival)> {
        let state = self.state();
        state.requests.iter().filter(|request| Arc::ptr_eq(&request.object, object)).find_map(|request| {
            let (last, _) = request.parts.last()?;
            // Between two parts there are only pages of other objects, or such as are cached.
            let part = request.parts.iter().find(|(part, _)| request.whole || *part.end() >= page)?;
            let covers = request.whole || request.parts.first()?.0.start() <= &page;
            covers.then(|| (page.max(*last.end()), part.1.clone()))
        })
    }
}

impl Expected {
    /// The next part is in the cache.
    pub(crate) fn arrived(&mut self) {
        if let Some(sender) = self.arrivals.next() {
            // Mostly nobody waits.
            let _ = sender.send(());
        }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.underway.state().requests.retain(|request| request.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use plimsoll_ltx::FileId;
    use plimsoll_model::Txid;

    use super::*;

    fn page(number: u32) -> PageNo {
        PageNo::new(number).unwrap()
    }

    fn object(txid: u64) -> Arc<Object> {
        Arc::new(Object { id: FileId::sync(Txid(txid)), size: 1 << 20 })
    }

    #[test]
    fn a_page_is_waited_for_until_its_part_is_there_and_not_once_the_request_came_to_an_end() {
        let (underway, large) = (Arc::new(Underway::default()), object(1));
        let parts = [page(5)..=page(9), page(12)..=page(20)];
        let mut expected = underway.expect(&large, parts.into_iter(), false);
        let wait = |number| underway.find(&large, page(number)).map(|(last, arrival)| (last.get(), arrival));
        assert!(wait(4).is_none() && wait(21).is_none() && underway.find(&object(1), page(5)).is_none());
        let (first, second) = (wait(5).unwrap(), wait(13).unwrap());
        assert_eq!((first.0, second.0), (20, 20));
        expected.arrived();
        assert!(first.1.now_or_never().is_some() && second.1.clone().now_or_never().is_none());
        drop(expected);
        assert!(second.1.now_or_never().is_some() && wait(13).is_none());
    }

    #[test]
    fn all_of_a_small_object_comes_at_once() {
        let (underway, small) = (Arc::new(Underway::default()), object(1));
        let expected = underway.expect(&small, std::iter::once(page(5)..=page(5)), true);
        let found = [1, 5, 900].map(|number| underway.find(&small, page(number)).unwrap().0.get());
        assert_eq!(found, [5, 5, 900]);
        drop(expected);
        assert!(underway.find(&small, page(5)).is_none());
    }
}

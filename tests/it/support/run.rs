//! A clock that moves only when told, and an executor that tells it: when nobody can go on, the next sleeper wakes.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use writ::ports::{Now, Pending, Timer};

/// The one clock of a test, in milliseconds. Sleeping advances it.
#[derive(Clone)]
pub struct Clock(Rc<Inner>);

struct Inner {
    millis: Cell<u64>,
    deadlines: RefCell<Vec<u64>>,
    moved: Cell<bool>,
}

impl Clock {
    pub fn new(seconds: u64) -> Self {
        let millis = Cell::new(seconds * 1000);
        Self(Rc::new(Inner { millis, deadlines: RefCell::default(), moved: Cell::new(false) }))
    }

    pub fn now(&self) -> Now {
        Now::from_millis(self.0.millis.get())
    }

    pub fn seconds(&self) -> u64 {
        self.0.millis.get() / 1000
    }

    pub fn set_seconds(&self, seconds: u64) {
        self.0.millis.set(seconds * 1000);
    }

    pub fn advance(&self, seconds: u64) {
        self.advance_millis(seconds * 1000);
    }

    pub fn advance_millis(&self, millis: u64) {
        self.0.millis.set(self.0.millis.get() + millis);
    }

    /// Lets everybody else go first, once.
    pub async fn yield_once(&self) {
        let mut yielded = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            self.0.moved.set(true);
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Drives futures until all are done. Each round polls those that are not, in an order that the seed decides.
    pub fn drive<T>(&self, seed: u64, mut futures: Vec<Pending<'_, T>>) -> Vec<T> {
        let mut random = Random(seed);
        let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
        let mut cx = Context::from_waker(Waker::noop());
        while done.iter().any(Option::is_none) {
            self.0.moved.set(false);
            let mut order: Vec<usize> = (0..futures.len()).filter(|&n| done[n].is_none()).collect();
            random.shuffle(&mut order);
            for n in order {
                if let Poll::Ready(value) = futures[n].as_mut().poll(&mut cx) {
                    done[n] = Some(value);
                    self.0.moved.set(true);
                }
            }
            if !self.0.moved.get() {
                self.wake_the_next();
            }
        }
        done.into_iter().flatten().collect()
    }

    /// Drives one future.
    pub fn block_on<'a, T>(&self, future: impl Future<Output = T> + 'a) -> T {
        self.drive(0, vec![Box::pin(future)]).pop().unwrap()
    }

    fn wake_the_next(&self) {
        let mut deadlines = self.0.deadlines.borrow_mut();
        let next = deadlines.iter().copied().min().expect("a deadlock: nobody can go on and nobody sleeps");
        deadlines.retain(|deadline| *deadline > next);
        self.0.millis.set(self.0.millis.get().max(next));
    }
}

impl Timer for Clock {
    fn sleep(&self, millis: u64) -> Pending<'_, ()> {
        let deadline = self.0.millis.get() + millis;
        Box::pin(poll_fn(move |cx| {
            if self.0.millis.get() >= deadline {
                return Poll::Ready(());
            }
            let mut deadlines = self.0.deadlines.borrow_mut();
            if !deadlines.contains(&deadline) {
                deadlines.push(deadline);
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }))
    }
}

/// SplitMix64: the same seed, the same numbers.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for n in (1..items.len()).rev() {
            items.swap(n, self.below(n + 1));
        }
    }
}

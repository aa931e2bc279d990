//! A clock that moves only when told, and an executor that tells it: when nobody can go on, the next sleeper wakes. And
//! requests as workerd runs them: one whose client has gone runs on while it is held, and otherwise stops where it is,
//! without being dropped.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use writ::ports::{Hold, Lifetime, Now, Pending, Timer};

/// The one clock of a test, in milliseconds. Sleeping advances it.
#[derive(Clone)]
pub struct Clock(Rc<Inner>);

struct Inner {
    millis: Cell<u64>,
    deadlines: RefCell<Vec<u64>>,
    moved: Cell<bool>,
    /// Requests whose clients have gone and that are held.
    left: RefCell<Vec<Pending<'static, ()>>>,
    /// How often the request that is being polled is held.
    holds: RefCell<Rc<Cell<usize>>>,
}

impl Clock {
    pub fn new(seconds: u64) -> Self {
        let millis = Cell::new(seconds * 1000);
        Self(Rc::new(Inner {
            millis,
            deadlines: RefCell::default(),
            moved: Cell::new(false),
            left: RefCell::default(),
            holds: RefCell::default(),
        }))
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
            self.go_on(&mut cx);
        }
        done.into_iter().flatten().collect()
    }

    /// One round of the requests that their clients have left; if nothing moves, the next sleeper wakes.
    fn go_on(&self, cx: &mut Context<'_>) {
        for mut request in self.0.left.take() {
            match request.as_mut().poll(cx) {
                Poll::Ready(()) => self.0.moved.set(true),
                Poll::Pending => self.0.left.borrow_mut().push(request),
            }
        }
        if !self.0.moved.get() {
            self.wake_the_next();
        }
    }

    /// Drives a future for that many rounds; nothing if it is not done by then, and is dropped.
    pub fn drive_for<T>(&self, rounds: usize, mut future: Pending<'_, T>) -> Option<T> {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..rounds {
            self.0.moved.set(false);
            if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
                return Some(value);
            }
            self.go_on(&mut cx);
        }
        None
    }

    /// The host ends what it held, as it does after 30 seconds or with the isolate.
    pub fn end_what_is_held(&self) {
        std::mem::forget(self.0.left.take());
    }

    /// A request as workerd runs it.
    pub fn request<T: 'static>(&self, work: Pending<'static, T>) -> InFlight<T> {
        InFlight { clock: self.clone(), holds: Rc::default(), work: Some(work) }
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

impl Lifetime for Clock {
    fn hold(&self) -> Hold {
        let holds = self.0.holds.borrow().clone();
        holds.set(holds.get() + 1);
        Box::new(Held(holds)) as Box<dyn Any>
    }
}

struct Held(Rc<Cell<usize>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A request that is being answered. Who drops it is the client that goes away.
pub struct InFlight<T: 'static> {
    clock: Clock,
    holds: Rc<Cell<usize>>,
    work: Option<Pending<'static, T>>,
}

impl<T> InFlight<T> {
    fn step(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let before = self.clock.0.holds.replace(self.holds.clone());
        let step = self.work.as_mut().unwrap().as_mut().poll(cx);
        self.clock.0.holds.replace(before);
        if step.is_ready() {
            self.work = None;
        }
        step
    }
}

impl<T> Future for InFlight<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.step(cx)
    }
}

impl<T> Drop for InFlight<T> {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        if self.holds.get() == 0 {
            // The host keeps nothing of it and tells it nothing.
            return std::mem::forget(work);
        }
        let mut left = Self { clock: self.clock.clone(), holds: self.holds.clone(), work: Some(work) };
        let going = poll_fn(move |cx| match left.step(cx) {
            Poll::Pending if left.holds.get() > 0 => Poll::Pending,
            _ => {
                std::mem::forget(left.work.take());
                Poll::Ready(())
            }
        });
        self.clock.0.left.borrow_mut().push(Box::pin(going));
    }
}

impl Timer for Clock {
    fn sleep(&self, millis: u64) -> Pending<'static, ()> {
        let clock = self.0.clone();
        let deadline = clock.millis.get() + millis;
        Box::pin(poll_fn(move |cx| {
            if clock.millis.get() >= deadline {
                return Poll::Ready(());
            }
            let mut deadlines = clock.deadlines.borrow_mut();
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

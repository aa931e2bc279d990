//! What goes wrong, and when. Every port call of every double passes here, is counted, and may fail.

use super::run::{Clock, Random};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use writ::ports::Unavailable;

/// The ports that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    Db,
    Trail,
    Kv,
    Queue,
    Fetch,
    Keys,
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It fails and nothing has happened.
    Fails,
    /// It takes effect, but the caller hears that it failed.
    LosesReply,
}

/// A call as rules see it: its text is the SQL, or the method and key, the message, the URL.
#[derive(Clone, Debug)]
pub struct Seen {
    pub port: Port,
    pub text: String,
    /// How many calls of this port came before it.
    pub index: usize,
}

type Rule = (Box<dyn Fn(&Seen) -> bool>, Effect);

/// All rules, and all calls so far.
pub struct Faults {
    clock: Clock,
    rules: RefCell<Vec<Rule>>,
    seen: RefCell<Vec<Seen>>,
    jitter: Cell<Option<u64>>,
    steady: Cell<bool>,
    order: RefCell<HashMap<String, usize>>,
    counts: RefCell<HashMap<Port, usize>>,
}

impl Faults {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            rules: RefCell::default(),
            seen: RefCell::default(),
            jitter: Cell::new(None),
            steady: Cell::new(false),
            order: RefCell::default(),
            counts: RefCell::default(),
        }
    }

    /// Every call of the port fails from now on.
    pub fn fail(&self, port: Port) {
        self.fail_when(port, |_| true, Effect::Fails);
    }

    /// Every call of the port takes effect and loses its reply from now on.
    pub fn lose_reply(&self, port: Port) {
        self.fail_when(port, |_| true, Effect::LosesReply);
    }

    /// The `nth` call of the port from now on, counted from 0, goes wrong.
    pub fn fail_nth(&self, port: Port, nth: usize, effect: Effect) {
        let wanted = self.calls(port) + nth;
        self.fail_when(port, move |seen| seen.index == wanted, effect);
    }

    /// Calls of the port for which `when` holds go wrong.
    pub fn fail_when(&self, port: Port, when: impl Fn(&Seen) -> bool + 'static, effect: Effect) {
        let rule = move |seen: &Seen| seen.port == port && when(seen);
        self.rules.borrow_mut().push((Box::new(rule), effect));
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.rules.borrow_mut().clear();
    }

    /// How many calls of the port there have been.
    pub fn calls(&self, port: Port) -> usize {
        self.counts.borrow().get(&port).copied().unwrap_or_default()
    }

    /// The texts of all calls of the port.
    pub fn texts(&self, port: Port) -> Vec<String> {
        self.seen.borrow().iter().filter(|seen| seen.port == port).map(|seen| seen.text.clone()).collect()
    }

    /// Notes that an event came to where it is durable.
    pub fn record(&self, event: &str) {
        let mut order = self.order.borrow_mut();
        let next = order.len();
        order.entry(event.to_owned()).or_insert(next);
    }

    /// The ids of the events that came to where they are durable, and in which order.
    pub fn order(&self) -> HashMap<String, usize> {
        self.order.borrow().clone()
    }

    /// Every call waits for a number of turns that the seed decides; `None`: calls are immediate.
    pub fn jitter(&self, seed: Option<u64>) {
        self.jitter.set(seed);
    }

    /// Every call waits for one turn before it takes effect and for one after it, so that each moment can be met.
    pub fn steady(&self, steady: bool) {
        self.steady.set(steady);
    }

    /// Lets `act` happen, or not, as the rules say.
    pub async fn pass<T>(&self, port: Port, text: String, act: impl FnOnce() -> T) -> Result<T, Unavailable> {
        let seen = Seen { port, text, index: self.calls(port) };
        let effects: Vec<Effect> =
            self.rules.borrow().iter().filter(|(when, _)| when(&seen)).map(|(_, effect)| *effect).collect();
        self.seen.borrow_mut().push(seen);
        *self.counts.borrow_mut().entry(port).or_default() += 1;
        let lag = self.lag();
        self.wait(lag).await;
        if effects.contains(&Effect::Fails) {
            return Err(Unavailable("a port that a test has broken"));
        }
        let value = act();
        self.wait(lag).await;
        match effects.contains(&Effect::LosesReply) {
            true => Err(Unavailable("a port whose reply a test has lost")),
            false => Ok(value),
        }
    }

    fn lag(&self) -> usize {
        self.jitter.get().map_or(self.steady.get().into(), |seed| {
            let mut random = Random(seed);
            self.jitter.set(Some(random.next()));
            random.below(4)
        })
    }

    async fn wait(&self, turns: usize) {
        for _ in 0..turns {
            self.clock.yield_once().await;
        }
    }
}

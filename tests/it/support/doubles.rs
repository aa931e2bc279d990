//! KV, queue, other services, randomness, time zones and log, in memory.

use super::faults::{Faults, Port};
use super::flowing::{Flowing, Passed};
use super::run::{Clock, Random};
use super::sockets::ScriptedSocket;
use futures_util::stream::StreamExt;
use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use writ::ports::{
    Answer, Entropy, Fetch, FetchError, Forward, Kv, Log, Message, Now, Opened, Outbound, Payload, Pending, Queue,
    Socket, Timer, Unavailable, Zones,
};

/// Every value that a key ever had; the last one counts.
pub struct MemoryKv {
    history: RefCell<BTreeMap<String, Vec<Option<String>>>>,
    stale: Cell<usize>,
    faults: Rc<Faults>,
}

impl MemoryKv {
    pub fn new(faults: Rc<Faults>) -> Self {
        Self { history: RefCell::default(), stale: Cell::new(0), faults }
    }

    /// The next `reads` reads see what was there before the last write: an older value, or nothing.
    pub fn serve_stale(&self, reads: usize) {
        self.stale.set(reads);
    }

    /// The keys that have a value now.
    pub fn keys(&self) -> Vec<String> {
        let history = self.history.borrow();
        history
            .iter()
            .filter(|(_, values)| values.last().is_some_and(Option::is_some))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// The value now, without passing the faults.
    pub fn value(&self, key: &str) -> Option<String> {
        self.history.borrow().get(key)?.last()?.clone()
    }

    /// Puts a value behind the core's back: damage, or another writer.
    pub fn set(&self, key: &str, value: Option<String>) {
        self.history.borrow_mut().entry(key.to_owned()).or_default().push(value);
    }

    /// Every value that was ever stored.
    pub fn dump(&self) -> String {
        self.history.borrow().iter().map(|(key, values)| format!("{key} = {values:?}\n")).collect()
    }

    fn read(&self, key: &str) -> Option<String> {
        let history = self.history.borrow();
        let values = history.get(key)?;
        match self.stale.get() {
            0 => values.last()?.clone(),
            left => {
                self.stale.set(left - 1);
                values.iter().rev().nth(1)?.clone()
            }
        }
    }
}

impl Kv for MemoryKv {
    fn get<'a>(&'a self, key: &'a str) -> Pending<'a, Result<Option<String>, Unavailable>> {
        Box::pin(async move { self.faults.pass(Port::Kv, format!("get {key}"), || self.read(key)).await })
    }

    fn put<'a>(&'a self, key: &'a str, value: String) -> Pending<'a, Result<(), Unavailable>> {
        assert!(key.len() <= 512, "KV takes no key of {} bytes", key.len());
        Box::pin(async move { self.faults.pass(Port::Kv, format!("put {key}"), || self.set(key, Some(value))).await })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Pending<'a, Result<(), Unavailable>> {
        Box::pin(async move { self.faults.pass(Port::Kv, format!("delete {key}"), || self.set(key, None)).await })
    }

    fn list<'a>(&'a self, prefix: &'a str, limit: u64) -> Pending<'a, Result<Vec<String>, Unavailable>> {
        let found =
            move || self.keys().into_iter().filter(|key| key.starts_with(prefix)).take(limit as usize).collect();
        Box::pin(async move { self.faults.pass(Port::Kv, format!("list {prefix}"), found).await })
    }
}

/// What was sent, and what waits for delivery.
pub struct RecordedQueue {
    waiting: RefCell<Vec<String>>,
    sent: RefCell<Vec<String>>,
    faults: Rc<Faults>,
}

impl RecordedQueue {
    pub fn new(faults: Rc<Faults>) -> Self {
        Self { waiting: RefCell::default(), sent: RefCell::default(), faults }
    }

    /// Messages that were not delivered yet, oldest first.
    pub fn waiting(&self) -> Vec<String> {
        self.waiting.borrow().clone()
    }

    /// Takes all messages that wait.
    pub fn take(&self) -> Vec<String> {
        self.waiting.take()
    }

    /// Every message that the queue ever took.
    pub fn sent(&self) -> Vec<String> {
        self.sent.borrow().clone()
    }
}

impl Queue for RecordedQueue {
    fn send(&self, message: String) -> Pending<'_, Result<(), Unavailable>> {
        assert!(message.len() <= 128_000, "a queue takes no message of {} bytes", message.len());
        Box::pin(async move {
            let act = || {
                if let Ok(event) = serde_json::from_str::<Value>(&message) {
                    event["id"].as_str().into_iter().for_each(|id| self.faults.record(id));
                }
                self.sent.borrow_mut().push(message.clone());
                self.waiting.borrow_mut().push(message.clone());
            };
            self.faults.pass(Port::Queue, message.clone(), act).await
        })
    }

    fn send_all(&self, messages: Vec<String>) -> Pending<'_, Result<(), Unavailable>> {
        let bytes: usize = messages.iter().map(String::len).sum();
        assert!(
            messages.len() <= 100 && bytes <= 256_000,
            "a queue takes no {} messages of {bytes} bytes",
            messages.len()
        );
        Box::pin(async move {
            let act = || {
                for message in &messages {
                    if let Ok(event) = serde_json::from_str::<Value>(message) {
                        event["id"].as_str().into_iter().for_each(|id| self.faults.record(id));
                    }
                    self.sent.borrow_mut().push(message.clone());
                    self.waiting.borrow_mut().push(message.clone());
                }
            };
            self.faults.pass(Port::Queue, messages.join("\n"), act).await
        })
    }
}

/// What another service does with a request.
#[derive(Clone)]
pub struct Scripted {
    result: Result<Answer, FetchError>,
    after_millis: u64,
}

impl Scripted {
    pub fn json(status: u16, body: serde_json::Value) -> Self {
        Self::answer(status, "application/json", body.to_string())
    }

    pub fn answer(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let content_type = Some(content_type.to_owned());
        let answer = Answer { status, content_type, cache_control: None, body: body.into() };
        Self { result: Ok(answer), after_millis: 0 }
    }

    /// The answer says how long it may be kept.
    pub fn kept(mut self, cache_control: &str) -> Self {
        if let Ok(answer) = &mut self.result {
            answer.cache_control = Some(cache_control.to_owned());
        }
        self
    }

    pub fn failure(error: FetchError) -> Self {
        Self { result: Err(error), after_millis: 0 }
    }

    /// The answer takes that long; the caller's own time limit holds.
    pub fn after(mut self, millis: u64) -> Self {
        self.after_millis = millis;
        self
    }
}

type Handler = Box<dyn Fn(&Outbound) -> Scripted>;
type PassedHandler = Box<dyn Fn(&Passed) -> Flowing>;

/// Other services, played by a closure. At first nobody is there.
pub struct ScriptedFetch {
    handler: RefCell<Handler>,
    requests: RefCell<Vec<Outbound>>,
    flowing: RefCell<PassedHandler>,
    passed: RefCell<Vec<Passed>>,
    /// How many pieces of answers were taken, and how many answers were dropped before their end.
    pub taken: Rc<Cell<usize>>,
    pub dropped: Rc<Cell<usize>>,
    /// What services have been sent through WebSockets.
    pub heard: Rc<RefCell<Vec<Message>>>,
    clock: Clock,
    faults: Rc<Faults>,
}

impl ScriptedFetch {
    pub fn new(clock: Clock, faults: Rc<Faults>) -> Self {
        let nobody: Handler = Box::new(|_| Scripted::failure(FetchError::Unreachable));
        let nowhere: PassedHandler = Box::new(|_| Flowing::failure(FetchError::Unreachable));
        Self {
            handler: RefCell::new(nobody),
            requests: RefCell::default(),
            flowing: RefCell::new(nowhere),
            passed: RefCell::default(),
            taken: Rc::default(),
            dropped: Rc::default(),
            heard: Rc::default(),
            clock,
            faults,
        }
    }

    /// From now on `handler` answers.
    pub fn answer(&self, handler: impl Fn(&Outbound) -> Scripted + 'static) {
        *self.handler.borrow_mut() = Box::new(handler);
    }

    /// From now on `handler` answers what is passed on.
    pub fn flow(&self, handler: impl Fn(&Passed) -> Flowing + 'static) {
        *self.flowing.borrow_mut() = Box::new(handler);
    }

    /// Every request that was passed on.
    pub fn passed(&self) -> Vec<Passed> {
        self.passed.borrow().clone()
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Outbound> {
        self.requests.borrow().clone()
    }
}

impl Fetch for ScriptedFetch {
    fn fetch(&self, request: Outbound) -> Pending<'_, Result<Answer, FetchError>> {
        Box::pin(async move {
            let (limit, most) = (request.timeout_millis, request.max_bytes);
            let text = format!("{} {}", request.method, request.url);
            let act = || {
                let scripted = (self.handler.borrow())(&request);
                self.requests.borrow_mut().push(request.clone());
                scripted
            };
            let scripted = self.faults.pass(Port::Fetch, text, act).await.map_err(|_| FetchError::Unreachable)?;
            self.clock.sleep(scripted.after_millis.min(limit)).await;
            if scripted.after_millis > limit {
                return Err(FetchError::Timeout);
            }
            match scripted.result {
                Ok(answer) if answer.body.len() > most => Err(FetchError::TooLarge),
                result => result,
            }
        })
    }

    fn open(&self, request: Forward) -> Pending<'_, Result<Opened, FetchError>> {
        Box::pin(async move {
            let Forward { method, url, headers, payload } = request;
            let (body, length) = match payload {
                Payload::Empty => (Vec::new(), None),
                Payload::Bytes(bytes) => (bytes, None),
                Payload::Chunks(mut chunks, length) => {
                    let mut body = Vec::new();
                    while let Some(piece) = chunks.next().await {
                        body.extend(piece?);
                    }
                    (body, length)
                }
            };
            let request = Passed { method, url, headers, body, length };
            let act = || {
                let flowing = (self.flowing.borrow())(&request);
                self.passed.borrow_mut().push(request.clone());
                flowing
            };
            let text = format!("{} {}", request.method, request.url);
            let flowing = self.faults.pass(Port::Fetch, text, act).await.map_err(|_| FetchError::Unreachable)?;
            self.clock.sleep(flowing.after_millis).await;
            if let Some(failure) = flowing.failure {
                return Err(failure);
            }
            let pieces = match &flowing.socket {
                None => flowing.pieces(&self.clock, (&self.taken, &self.dropped)),
                Some(_) => futures_util::stream::empty().boxed_local(),
            };
            let socket = flowing.socket.map(|script| -> Box<dyn Socket> {
                Box::new(ScriptedSocket::new(&self.clock, script, &self.heard, &self.dropped))
            });
            Ok(Opened { status: flowing.status, headers: flowing.headers, chunks: pieces, socket })
        })
    }
}

/// Random bytes that a seed decides.
pub struct SeededEntropy(RefCell<Random>);

impl SeededEntropy {
    pub fn new(seed: u64) -> Self {
        Self(RefCell::new(Random(seed)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut random = self.0.borrow_mut();
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// The time zones of a table.
pub struct ZoneTable;

impl Zones for ZoneTable {
    fn offset(&self, zone: &str, at: Now) -> Option<i32> {
        let zone = TimeZone::get(zone).ok().filter(|zone| !zone.is_unknown())?;
        Some(zone.to_offset(Timestamp::from_second(at.seconds()).ok()?).seconds())
    }
}

/// Every line that was logged.
#[derive(Default)]
pub struct RecordedLog(RefCell<Vec<String>>);

impl RecordedLog {
    pub fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

impl Log for RecordedLog {
    fn line(&self, line: &str) {
        self.0.borrow_mut().push(line.to_owned());
    }
}

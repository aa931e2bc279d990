//! Requests that are passed on, and answers that come in pieces.

use super::run::Clock;
use super::sockets::Script;
use futures_util::stream;
use std::cell::Cell;
use std::rc::Rc;
use writ::ports::{Chunks, FetchError, Timer};

/// A request that was passed on, with the whole of its body.
#[derive(Clone, Debug)]
pub struct Passed {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// How long the body was said to be, where it came in pieces.
    pub length: Option<u64>,
}

impl Passed {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What a service does with a request that is passed on: its answer comes in pieces, each after so many milliseconds.
#[derive(Clone)]
pub struct Flowing {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub pieces: Vec<(u64, Result<Vec<u8>, FetchError>)>,
    pub after_millis: u64,
    pub failure: Option<FetchError>,
    /// What its end of a WebSocket says.
    pub socket: Option<Script>,
}

impl Flowing {
    pub fn new(status: u16, body: &[u8]) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, pieces: vec![(0, Ok(body.to_vec()))], after_millis: 0, failure: None, socket: None }
    }

    pub fn failure(error: FetchError) -> Self {
        Self { failure: Some(error), ..Self::new(200, b"") }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn of(mut self, pieces: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Self {
        self.pieces = pieces.into_iter().map(|(millis, piece)| (millis, Ok(piece))).collect();
        self
    }

    /// Its pieces, each after its time. `taken` counts them, `dropped` the answers that were dropped before their end.
    pub fn pieces(&self, clock: &Clock, (taken, dropped): (&Rc<Cell<usize>>, &Rc<Cell<usize>>)) -> Chunks {
        let guard = Dropped(dropped.clone(), Cell::new(true));
        let (clock, taken) = (clock.clone(), taken.clone());
        let pieces = stream::unfold((self.pieces.clone().into_iter(), guard), move |(mut pieces, guard)| {
            let (clock, taken) = (clock.clone(), taken.clone());
            async move {
                let Some((millis, piece)) = pieces.next() else {
                    guard.1.set(false);
                    return None;
                };
                if millis > 0 {
                    clock.sleep(millis).await;
                }
                taken.set(taken.get() + 1);
                Some((piece, (pieces, guard)))
            }
        });
        Box::pin(pieces)
    }

    /// It opens a WebSocket and says this.
    pub fn socket(script: Script) -> Self {
        Self { socket: Some(script), headers: Vec::new(), ..Self::new(101, b"") }
    }

    /// After its pieces the connection breaks.
    pub fn broken(mut self) -> Self {
        self.pieces.push((0, Err(FetchError::Unreachable)));
        self
    }

    pub fn after(mut self, millis: u64) -> Self {
        self.after_millis = millis;
        self
    }
}

/// Notes that an answer was dropped before its end.
struct Dropped(Rc<Cell<usize>>, Cell<bool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(self.0.get() + usize::from(self.1.get()));
    }
}

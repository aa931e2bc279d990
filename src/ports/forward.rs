//! Requests that are passed on, with bodies that come in pieces.

use super::Pending;
use futures_util::stream::Stream;
use std::pin::Pin;

/// Why another service gave no answer that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// No connection, or one that broke.
    Unreachable,
    /// The time was up.
    Timeout,
    /// The answer was larger than allowed.
    TooLarge,
}

/// A body on its way, in pieces. A piece that was waited for and not taken comes with the next wait. Dropping it ends the transfer.
pub type Chunks = Pin<Box<dyn Stream<Item = Result<Vec<u8>, FetchError>>>>;

/// The body of a request that is passed on.
pub enum Payload {
    /// None.
    Empty,
    /// All of it.
    Bytes(Vec<u8>),
    /// In pieces, and how many bytes there will be if that is known.
    Chunks(Chunks, Option<u64>),
}

/// A request that is passed on to another service. Redirects are never followed.
pub struct Forward {
    /// The method.
    pub method: String,
    /// An absolute URL that `outbound` has admitted.
    pub url: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub payload: Payload,
}

/// A message of a WebSocket (RFC 6455 §5.6), or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// The end: its code, if there is one, and its reason.
    Close(Option<u16>, String),
}

/// One end of a WebSocket. Dropping it closes the connection.
pub trait Socket {
    /// Waits for the next message; nothing if the connection broke. One that was waited for and not taken comes with the next wait.
    fn receive(&self) -> Pending<'_, Option<Message>>;
    /// Sends a message. After the end nothing is sent any more.
    fn send(&self, message: Message);
}

/// The head of an answer whose body is on its way.
pub struct Opened {
    /// The HTTP status.
    pub status: u16,
    /// Header names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body as the headers describe it: what the host has decoded has no `content-encoding`.
    pub chunks: Chunks,
    /// The service's end of a WebSocket, where one was asked for and the service has agreed (status 101).
    pub socket: Option<Box<dyn Socket>>,
}

//! The service's end of a WebSocket, and what is taken out of the messages of either end.
//!
//! 1. A message is looked through on its own. One that was waited for and not taken comes with the next wait.

use super::scrub::Scrubber;
use crate::ports::{Message, Socket};
use futures_util::future::{Either, FutureExt, select};

/// The service's end, and what is taken out of messages.
pub struct Link {
    /// The service's end.
    pub service: Box<dyn Socket>,
    /// What the service's messages may not have.
    pub secrets: Scrubber,
    /// What the caller's messages may not have.
    pub own: Scrubber,
    /// How much of the bound of a direction has passed, from the service and from the caller.
    pub passed: (u64, u64),
    /// Whose message is looked for first: each end's in turn.
    pub is_callers_turn: bool,
    /// What has come, and is passed on with the host's next time.
    pub arrived: Option<(End, Option<Message>)>,
}

/// What a message counts beside its bytes: many empty ones cost, too.
pub const OF_A_MESSAGE: u64 = 256;

/// The end that a message has come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The service's.
    Service,
    /// The caller's.
    Caller,
}

impl Link {
    /// A connection that has just been opened.
    pub const fn new(service: Box<dyn Socket>, secrets: Scrubber, own: Scrubber) -> Self {
        Self { service, secrets, own, passed: (0, 0), is_callers_turn: false, arrived: None }
    }

    /// The next message, and the end that it has come from. It is not lost where nobody waits for it to the end.
    pub async fn next(&self, caller: &dyn Socket) -> (End, Option<Message>) {
        let of_service = self.service.receive().map(|message| (End::Service, message)).boxed_local();
        let of_caller = caller.receive().map(|message| (End::Caller, message)).boxed_local();
        let (first, second) = if self.is_callers_turn { (of_caller, of_service) } else { (of_service, of_caller) };
        match select(first, second).await {
            Either::Left((message, _)) | Either::Right((message, _)) => message,
        }
    }
}

/// A message without what a scrubber looks for.
pub fn without(message: Message, scrubber: &Scrubber) -> Message {
    match message {
        Message::Text(text) => Message::Text(scrubber.text(&text)),
        Message::Binary(bytes) => Message::Binary(scrubber.bytes(bytes)),
        Message::Close(code, reason) => Message::Close(code, scrubber.text(&reason)),
    }
}

/// The bytes of a message.
pub const fn length(message: &Message) -> usize {
    match message {
        Message::Text(text) | Message::Close(_, text) => text.len(),
        Message::Binary(bytes) => bytes.len(),
    }
}

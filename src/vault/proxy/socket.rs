//! A WebSocket through the proxy (RFC 6455): messages pass in both directions until one end closes it, or it is cut.
//!
//! 1. A message passes whole and on its own: of the service's without the secrets, of the caller's without the caller's token. A secret that a service
//!    spreads over several messages is not found.
//! 2. [`MAX_MESSAGE`] bounds a message, [`MAX_RELAYED`] all of one direction, each with [`OF_A_MESSAGE`] more, and the bound of any call its time: a host
//!    cannot hold a sender up.
//! 3. It is decided again like a stream, and cut with a code that says why (RFC 6455 §7.4.1). However it ends, one event tells.

use super::link::{End, OF_A_MESSAGE, length, without};
use super::stream::{MAX_MILLIS, Proxied, interval_millis};
use crate::config::Config;
use crate::error::{Error, Reason};
use crate::ports::{Message, Now, Socket, World};
use futures_util::future::{Either, select};

/// How many bytes a message has at most.
pub const MAX_MESSAGE: usize = 1_048_576;
/// How many bytes all messages of one direction have at most.
pub const MAX_RELAYED: u64 = 33_554_432;

/// The codes of an end (RFC 6455 §7.4.1).
const GOING_AWAY: u16 = 1001;
const POLICY_VIOLATION: u16 = 1008;
const TOO_BIG: u16 = 1009;
const INTERNAL_ERROR: u16 = 1011;

impl Proxied {
    /// Whether a WebSocket is open.
    pub const fn is_socket(&self) -> bool {
        self.link.is_some()
    }

    /// Waits for a message of either end for a while, and passes it on. False once it is over.
    pub async fn relay(&mut self, caller: &dyn Socket, (world, config): (&World, &Config), now: Now) -> bool {
        let age = now.millis().saturating_sub(self.began.millis());
        if age >= MAX_MILLIS {
            let error = Reason::ProviderTimeout.because("the call has taken too long");
            return self.hang_up(caller, world, &error, now).await;
        }
        let Some(link) = &mut self.link else { return false };
        let Some((from, message)) = link.arrived.take() else {
            link.is_callers_turn = !link.is_callers_turn;
            let wait = interval_millis(config).min(MAX_MILLIS.saturating_sub(age));
            let next = match select(Box::pin(link.next(caller)), world.timer.sleep(wait)).await {
                Either::Left((next, _)) => Some(next),
                Either::Right(_) => None,
            };
            link.arrived = next;
            return true;
        };
        let bytes = message.as_ref().map(length).unwrap_or_default();
        let passed = match from {
            End::Service => {
                self.received = self.received.saturating_add(bytes as u64);
                &mut link.passed.0
            }
            End::Caller => {
                self.sent.set(self.sent.get().saturating_add(bytes as u64));
                &mut link.passed.1
            }
        };
        *passed = passed.saturating_add(OF_A_MESSAGE).saturating_add(bytes as u64);
        if bytes > MAX_MESSAGE || *passed > MAX_RELAYED {
            let error = match from {
                End::Service => Reason::ProviderFailed.because("its messages are too large"),
                End::Caller => Reason::BodyTooLarge.because("more than the proxy passes on"),
            };
            return self.hang_up(caller, world, &error, now).await;
        }
        match (from, message) {
            (End::Service, None) => {
                let error = Reason::ProviderFailed.because("its connection broke off");
                self.hang_up(caller, world, &error, now).await
            }
            (End::Caller, None) => {
                link.service.send(Message::Close(Some(GOING_AWAY), String::new()));
                self.abandon(world, now).await;
                false
            }
            (from, Some(message)) => {
                let is_end = matches!(message, Message::Close(..));
                match from {
                    End::Service => caller.send(without(message, &link.secrets)),
                    End::Caller => link.service.send(without(message, &link.own)),
                }
                if is_end {
                    // The event that it has begun is durable: that the other one is not keeps no end open.
                    drop(self.over(world, None, now).await);
                }
                !is_end
            }
        }
    }

    /// Ends both ends of a WebSocket. Always false.
    pub async fn hang_up(&mut self, caller: &dyn Socket, world: &World, error: &Error, now: Now) -> bool {
        let (code, why) = match error {
            Error::Refused(refusal) => match refusal.reason {
                Reason::BodyTooLarge => (TOO_BIG, refusal.reason.wire().code),
                Reason::ProviderFailed | Reason::ProviderTimeout => (INTERNAL_ERROR, refusal.reason.wire().code),
                reason => (POLICY_VIOLATION, reason.wire().code),
            },
            Error::Fault(_) => (INTERNAL_ERROR, "server_error"),
        };
        caller.send(Message::Close(Some(code), why.to_owned()));
        if let Some(link) = &self.link {
            link.service.send(Message::Close(Some(GOING_AWAY), String::new()));
        }
        self.cut(world, error, now).await;
        false
    }
}

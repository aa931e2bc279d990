//! The small ports: randomness, waiting, the log.

use crate::ports::{Entropy, Log, Pending, Timer};
use std::time::Duration;
use worker::{Delay, console_log};

/// `crypto.getRandomValues`.
pub struct Random;

impl Entropy for Random {
    fn fill(&self, bytes: &mut [u8]) {
        if getrandom::fill(bytes).is_err() {
            // There is no safe way on without randomness; the platform always has it.
            std::process::abort();
        }
    }
}

/// `setTimeout`.
pub struct Timeout;

impl Timer for Timeout {
    fn sleep(&self, millis: u64) -> Pending<'_, ()> {
        Box::pin(Delay::from(Duration::from_millis(millis)))
    }
}

/// `console.log`.
pub struct Console;

impl Log for Console {
    fn line(&self, line: &str) {
        console_log!("{line}");
    }
}

//! The small ports: randomness, waiting, the life of a request, the log.

use crate::ports::{Entropy, Hold, Lifetime, Log, Pending, Timer};
use js_sys::{Function, Promise};
use std::time::Duration;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
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
    fn sleep(&self, millis: u64) -> Pending<'static, ()> {
        Box::pin(Delay::from(Duration::from_millis(millis)))
    }
}

#[wasm_bindgen(module = "cloudflare:workers")]
extern "C" {
    /// `ctx.waitUntil` of whichever request is running.
    #[wasm_bindgen(catch, js_name = waitUntil)]
    fn wait_until(promise: &Promise) -> Result<(), JsValue>;
}

/// `waitUntil`: a request whose client has gone runs on for at most 30 seconds while a promise is pending.
pub struct WaitUntil;

impl Lifetime for WaitUntil {
    fn hold(&self) -> Hold {
        let mut resolve = None;
        let promise = Promise::new(&mut |done, _| resolve = Some(Unresolved(done)));
        if wait_until(&promise).is_err() {
            console_log!("a request cannot be kept running");
        }
        Box::new(resolve)
    }
}

/// A promise that is resolved on drop.
struct Unresolved(Function);

impl Drop for Unresolved {
    fn drop(&mut self) {
        // Resolving cannot fail; a request that has ended by now has nothing to keep.
        drop(self.0.call0(&JsValue::UNDEFINED));
    }
}

/// `console.log`.
pub struct Console;

impl Log for Console {
    fn line(&self, line: &str) {
        console_log!("{line}");
    }
}

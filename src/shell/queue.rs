//! A Cloudflare Queue as the [`Queue`] port.

use crate::ports::{Pending, Queue, Unavailable};
use js_sys::{Array, Object, Promise, Reflect};
use std::cell::OnceCell;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use worker::Env;
use worker::wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    type Producer;

    #[wasm_bindgen(method, catch)]
    fn send(this: &Producer, message: &str, options: &Object) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = sendBatch)]
    fn send_batch(this: &Producer, messages: &Array) -> Result<Promise, JsValue>;
}

/// The binding `AUDIT`. It is looked up once: every token sends its event, and a look-up through the crate costs six calls of the platform.
pub struct CloudflareQueue {
    env: Env,
    bound: OnceCell<(Producer, Object)>,
}

impl CloudflareQueue {
    /// The queue that an environment binds.
    pub const fn new(env: Env) -> Self {
        Self { env, bound: OnceCell::new() }
    }

    /// The queue, and the options that say that a message is text.
    fn bound(&self) -> Result<&(Producer, Object), JsValue> {
        if let Some(bound) = self.bound.get() {
            return Ok(bound);
        }
        let queue = Reflect::get(&self.env, &"AUDIT".into())?;
        if queue.is_undefined() {
            return Err("the binding AUDIT is missing".into());
        }
        let options = Object::new();
        Reflect::set(&options, &"contentType".into(), &"text".into())?;
        Ok(self.bound.get_or_init(|| (queue.unchecked_into(), options)))
    }
}

impl Queue for CloudflareQueue {
    fn send(&self, message: String) -> Pending<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            let sent = async {
                let (queue, options) = self.bound()?;
                JsFuture::from(queue.send(&message, options)?).await
            };
            sent.await.map(drop).map_err(|_| Unavailable("the audit queue"))
        })
    }

    fn send_all(&self, messages: Vec<String>) -> Pending<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            let sent = async {
                let (queue, options) = self.bound()?;
                let batch = Array::new();
                for message in messages {
                    let one = Object::assign(&Object::new(), options);
                    Reflect::set(&one, &"body".into(), &message.into())?;
                    batch.push(&one);
                }
                JsFuture::from(queue.send_batch(&batch)?).await
            };
            sent.await.map(drop).map_err(|_| Unavailable("the audit queue"))
        })
    }
}

//! A Cloudflare Queue as the [`Queue`] port.

use crate::ports::{Pending, Queue, Unavailable};
use wasm_bindgen::JsValue;
use worker::{Env, QueueContentType, RawMessageBuilder};

/// The binding `AUDIT`.
pub struct CloudflareQueue(pub Env);

const DOWN: Unavailable = Unavailable("the audit queue");

impl Queue for CloudflareQueue {
    fn send(&self, message: String) -> Pending<'_, Result<(), Unavailable>> {
        Box::pin(async move {
            let queue = self.0.queue("AUDIT").map_err(|_| DOWN)?;
            let message =
                RawMessageBuilder::new(JsValue::from_str(&message)).build_with_content_type(QueueContentType::Text);
            queue.send_raw(message).await.map_err(|_| DOWN)
        })
    }
}

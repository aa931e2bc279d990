//! WebSockets: at either end the platform's events become messages that wait in line.

use crate::ports::{Message, Pending, Socket};
use js_sys::{Array, ArrayBuffer, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys;

/// How many bytes of messages wait at one end. An end where more do breaks off: nothing could hold its sender up.
const MAX_WAITING: u32 = 4 * 1024 * 1024;

#[wasm_bindgen(module = "/src/shell/http.js")]
extern "C" {
    /// One end of a WebSocket.
    type Line;

    fn line(socket: &JsValue, limit: u32) -> Line;

    #[wasm_bindgen(catch)]
    fn upgraded(lines: &str, limit: u32) -> Result<Array, JsValue>;

    #[wasm_bindgen(method)]
    fn ready(this: &Line) -> js_sys::Promise;

    #[wasm_bindgen(method)]
    fn take(this: &Line) -> JsValue;

    #[wasm_bindgen(method)]
    fn send(this: &Line, data: &JsValue);

    #[wasm_bindgen(method)]
    fn end(this: &Line, code: u16, reason: &str);
}

/// One end of a WebSocket.
pub struct End(Line);

impl End {
    /// The end that a service has agreed to.
    pub fn of_service(socket: &JsValue) -> Self {
        Self(line(socket, MAX_WAITING))
    }

    /// An answer that opens a WebSocket, with this Worker's end of it. `lines` are its headers.
    pub fn opened(lines: &str) -> worker::Result<(web_sys::Response, Self)> {
        let parts = upgraded(lines, MAX_WAITING)?;
        Ok((parts.get(0).unchecked_into(), Self(parts.get(1).unchecked_into())))
    }
}

impl Socket for End {
    fn receive(&self) -> Pending<'_, Option<Message>> {
        Box::pin(async {
            loop {
                let next = self.0.take();
                if next.is_null() {
                    return None;
                }
                if let Some(text) = next.as_string() {
                    return Some(Message::Text(text));
                }
                if let Some(buffer) = next.dyn_ref::<ArrayBuffer>() {
                    return Some(Message::Binary(Uint8Array::new(buffer).to_vec()));
                }
                if let Some(end) = next.dyn_ref::<Array>() {
                    let code = end.get(0).as_f64().map(|code| code as u16).filter(|code| *code > 0);
                    return Some(Message::Close(code, end.get(1).as_string().unwrap_or_default()));
                }
                JsFuture::from(self.0.ready()).await.ok()?;
            }
        })
    }

    fn send(&self, message: Message) {
        match message {
            Message::Text(text) => self.0.send(&JsValue::from_str(&text)),
            Message::Binary(bytes) => self.0.send(&Uint8Array::from(bytes.as_slice())),
            Message::Close(code, reason) => self.0.end(code.unwrap_or_default(), &reason),
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.end(0, "");
    }
}

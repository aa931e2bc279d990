//! Bodies on their way: the platform's streams as pieces of bytes, and back. Whoever reads slowly slows the sender down: one piece is on its way.

use crate::ports::{Chunks, FetchError};
use futures_util::stream::{self, StreamExt};
use js_sys::{Array, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::{AbortController, web_sys};

#[wasm_bindgen(module = "/src/shell/http.js")]
extern "C" {
    #[wasm_bindgen(js_name = pipe)]
    fn make_pipe(length: f64) -> Array;

    /// The end of a pipe that is written to.
    pub type Writer;

    #[wasm_bindgen(method, js_name = write)]
    fn push(this: &Writer, piece: &Uint8Array) -> js_sys::Promise;

    #[wasm_bindgen(method, js_name = close)]
    fn finish(this: &Writer) -> js_sys::Promise;

    #[wasm_bindgen(method)]
    fn abort(this: &Writer, reason: &JsValue) -> js_sys::Promise;
}

impl Writer {
    /// Writes a piece, and waits until it is read. False if nobody reads any more.
    pub async fn write(&self, piece: &[u8]) -> bool {
        JsFuture::from(self.push(&Uint8Array::from(piece))).await.is_ok()
    }

    /// The end.
    pub async fn end(&self) {
        // Who reads has gone, or has it all.
        drop(JsFuture::from(self.finish()).await);
    }

    /// Breaks off: who reads sees an error.
    pub fn cut(&self) {
        drop(self.abort(&JsValue::from_str("the stream was cut")));
    }
}

/// A pipe: its end to read from, and the writer.
pub fn pipe(length: Option<u64>) -> (JsValue, Writer) {
    let ends = make_pipe(length.map_or(-1.0, |length| length as f64));
    (ends.get(0), ends.get(1).unchecked_into())
}

/// Ends what goes on when its caller stops waiting; what is done is done.
pub struct AbortOnDrop(Option<AbortController>);

impl AbortOnDrop {
    /// Aborts by this controller.
    pub const fn new(abort: AbortController) -> Self {
        Self(Some(abort))
    }

    /// It has come to its end.
    pub fn disarm(&mut self) {
        drop(self.0.take());
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(abort) = self.0.take() {
            abort.abort();
        }
    }
}

/// Releases a reader, and ends the transfer that is not over.
struct Reader {
    reader: web_sys::ReadableStreamDefaultReader,
    abort: Option<AbortOnDrop>,
    is_over: bool,
}

impl Reader {
    fn end(mut self) {
        self.is_over = true;
        self.abort.iter_mut().for_each(AbortOnDrop::disarm);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if !self.is_over {
            // Whether the sender hears of it does not matter.
            drop(self.reader.cancel());
        }
    }
}

/// The pieces of a stream. Dropping them before the last one aborts the transfer.
pub fn chunks(stream: &web_sys::ReadableStream, abort: Option<AbortOnDrop>) -> Chunks {
    let reader = Reader { reader: stream.get_reader().unchecked_into(), abort, is_over: false };
    let pieces = stream::unfold(Some(reader), async |reader| {
        let reader = reader?;
        let read = JsFuture::from(reader.reader.read()).await;
        let Ok(chunk) = read else { return Some((Err(FetchError::Unreachable), None)) };
        let member = |name: &str| Reflect::get(&chunk, &JsValue::from_str(name)).unwrap_or_default();
        match member("done").is_truthy() {
            true => {
                reader.end();
                None
            }
            false => Some((Ok(Uint8Array::new(&member("value")).to_vec()), Some(reader))),
        }
    });
    pieces.boxed_local()
}

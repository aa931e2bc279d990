//! The platform's `fetch` as the [`Fetch`] port: no redirect is followed, time and size are capped.

use super::http::{capped, read_headers};
use super::sockets::End;
use super::streams::{self, AbortOnDrop};
use crate::app::MAX_BODY;
use crate::ports::{Answer, Chunks, Fetch, FetchError, Forward, Opened, Outbound, Payload, Pending, Socket};
use futures_util::future::{Either, select};
use futures_util::stream::{self, StreamExt};
use js_sys::{Promise, Reflect, Uint8Array};
use std::time::Duration;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::{AbortController, Delay, Headers, Method, RequestInit, RequestRedirect, web_sys};

#[wasm_bindgen(module = "/src/shell/http.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn pass(
        method: &str,
        url: &str,
        lines: &str,
        body: &JsValue,
        signal: &web_sys::AbortSignal,
    ) -> Result<js_sys::Promise, JsValue>;
}

/// `fetch`. Which URL may be called is the core's gate to say.
pub struct GlobalFetch;

impl Fetch for GlobalFetch {
    fn fetch(&self, request: Outbound) -> Pending<'_, Result<Answer, FetchError>> {
        Box::pin(async move {
            let abort = AbortController::default();
            let signal = abort.signal();
            let _abort = AbortOnDrop::new(abort);
            let exchange = Box::pin(exchange(&request, &signal));
            let limit = Box::pin(Delay::from(Duration::from_millis(request.timeout_millis)));
            match select(exchange, limit).await {
                Either::Left((answer, _)) => answer,
                Either::Right(_) => Err(FetchError::Timeout),
            }
        })
    }

    fn open(&self, request: Forward) -> Pending<'_, Result<Opened, FetchError>> {
        Box::pin(async move {
            let abort = AbortController::default();
            let signal = abort.signal();
            let abort = AbortOnDrop::new(abort);
            head(opened(request, &signal).await?, abort)
        })
    }
}

async fn opened(request: Forward, signal: &web_sys::AbortSignal) -> Result<web_sys::Response, FetchError> {
    let mut lines = String::new();
    request.headers.iter().for_each(|(name, value)| lines.extend([name, "\n", value, "\n"]));
    let body = match request.payload {
        Payload::Empty => JsValue::UNDEFINED,
        Payload::Bytes(bytes) => Uint8Array::from(bytes.as_slice()).into(),
        Payload::Chunks(chunks, length) => {
            let (readable, writer) = streams::pipe(length);
            spawn_local(upload(chunks, writer));
            readable
        }
    };
    let answer = pass(&request.method, &request.url, &lines, &body, signal).map_err(|_| FetchError::Unreachable)?;
    let response = JsFuture::from(answer).await.map_err(|_| FetchError::Unreachable)?;
    response.dyn_into().map_err(|_| FetchError::Unreachable)
}

/// Writes a body as it is read; it breaks off where it does.
async fn upload(mut chunks: Chunks, writer: streams::Writer) {
    while let Some(piece) = chunks.next().await {
        match piece {
            Ok(piece) if piece.is_empty() => {}
            Ok(piece) => {
                if !writer.write(&piece).await {
                    return;
                }
            }
            Err(_) => return writer.cut(),
        }
    }
    writer.end().await;
}

fn head(response: web_sys::Response, mut abort: AbortOnDrop) -> Result<Opened, FetchError> {
    let socket = || Reflect::get(&response, &JsValue::from_str("webSocket")).ok().filter(JsValue::is_object);
    if response.status() == 101
        && let Some(socket) = socket()
    {
        // Its end is said in its own protocol.
        abort.disarm();
        let (status, headers) = (response.status(), read_headers(&response.headers()));
        let socket: Box<dyn Socket> = Box::new(End::of_service(&socket));
        return Ok(Opened { status, headers, chunks: stream::empty().boxed_local(), socket: Some(socket) });
    }
    let mut headers = read_headers(&response.headers());
    // The platform decodes these as a body is read, and leaves the headers as they were.
    let decoded = |(name, value): &(String, String)| {
        name == "content-encoding" && ["gzip", "br"].contains(&value.trim().to_ascii_lowercase().as_str())
    };
    if headers.iter().any(decoded) {
        headers.retain(|(name, _)| name != "content-encoding" && name != "content-length");
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    let chunks = match response.body() {
        Some(_) if length.is_some_and(|length: usize| length <= MAX_BODY) => {
            let buffer = response.array_buffer().map_err(|_| FetchError::Unreachable)?;
            stream::once(whole(buffer, abort)).boxed_local()
        }
        Some(body) => streams::chunks(&body, Some(abort)),
        None => {
            abort.disarm();
            stream::empty().boxed_local()
        }
    };
    Ok(Opened { status: response.status(), headers, chunks, socket: None })
}

/// A body that is small, in one call of the platform.
async fn whole(buffer: Promise, mut abort: AbortOnDrop) -> Result<Vec<u8>, FetchError> {
    let buffer = JsFuture::from(buffer).await.map_err(|_| FetchError::Unreachable)?;
    abort.disarm();
    Ok(Uint8Array::new(&buffer).to_vec())
}

async fn exchange(request: &Outbound, signal: &worker::AbortSignal) -> Result<Answer, FetchError> {
    let response = send(request, signal).await.map_err(|_| FetchError::Unreachable)?;
    let status = response.status_code();
    let content_type = response.headers().get("content-type").ok().flatten();
    let cache_control = response.headers().get("cache-control").ok().flatten();
    let declared = response.headers().get("content-length").ok().flatten().and_then(|text| text.parse::<usize>().ok());
    if declared.is_some_and(|length| length > request.max_bytes) {
        return Err(FetchError::TooLarge);
    }
    let body = match web_sys::Response::from(response).body() {
        Some(stream) => capped(&stream, request.max_bytes)
            .await
            .map_err(|_| FetchError::Unreachable)?
            .ok_or(FetchError::TooLarge)?,
        None => Vec::new(),
    };
    Ok(Answer { status, content_type, cache_control, body })
}

async fn send(request: &Outbound, signal: &worker::AbortSignal) -> worker::Result<worker::Response> {
    let headers = Headers::new();
    for (name, value) in &request.headers {
        headers.set(name, value)?;
    }
    let mut init = RequestInit::new();
    init.with_method(Method::from(request.method.to_owned()))
        .with_headers(headers)
        .with_redirect(RequestRedirect::Manual)
        .with_body(request.body.as_deref().map(JsValue::from_str));
    let request = worker::Request::new_with_init(&request.url, &init)?;
    worker::Fetch::Request(request).send_with_signal(signal).await
}

//! The platform's `fetch` as the [`Fetch`] port: no redirect is followed, time and size are capped.

use super::http::capped;
use crate::ports::{Answer, Fetch, FetchError, Outbound, Pending};
use futures_util::future::{Either, select};
use std::time::Duration;
use wasm_bindgen::JsValue;
use worker::{AbortController, Delay, Headers, Method, RequestInit, RequestRedirect, web_sys};

/// `fetch`. Which URL may be called is the core's gate to say.
pub struct GlobalFetch;

impl Fetch for GlobalFetch {
    fn fetch(&self, request: Outbound) -> Pending<'_, Result<Answer, FetchError>> {
        Box::pin(async move {
            let abort = AbortController::default();
            let signal = abort.signal();
            let _abort = AbortOnDrop(Some(abort));
            let exchange = Box::pin(exchange(&request, &signal));
            let limit = Box::pin(Delay::from(Duration::from_millis(request.timeout_millis)));
            match select(exchange, limit).await {
                Either::Left((answer, _)) => answer,
                Either::Right(_) => Err(FetchError::Timeout),
            }
        })
    }
}

/// Ends what goes on when its caller stops waiting; what is done is done.
struct AbortOnDrop(Option<AbortController>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(abort) = self.0.take() {
            abort.abort();
        }
    }
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

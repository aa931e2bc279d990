//! Requests and responses at the edge of the core.

use crate::app::{HEADERS, MAX_BODY, Request, Response};
use js_sys::{Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys;

/// The path of a URL that the platform has parsed already.
pub fn path(url: &str) -> &str {
    let (path, _) = split(url);
    path
}

/// Path and query.
fn split(url: &str) -> (&str, &str) {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or("/");
    let path = path.split_once('#').map_or(path, |(path, _)| path);
    path.split_once('?').unwrap_or((path, ""))
}

/// Reads a request: the headers that endpoints know, and a body within its limit.
pub async fn read(request: &web_sys::Request, url: &str) -> worker::Result<Request> {
    let (path, query) = split(url);
    let headers = request.headers();
    let header = |name: &str| headers.get(name).ok().flatten();
    let cf = Reflect::get(request, &JsValue::from_str("cf")).ok().filter(JsValue::is_object);
    let place = |name: &str| Reflect::get(cf.as_ref()?, &JsValue::from_str(name)).ok();
    Ok(Request {
        method: request.method(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: HEADERS.iter().filter_map(|name| Some((*name, header(name)?))).collect(),
        body: body(request, header("content-length")).await?,
        peer: crate::app::Peer {
            ip: header("cf-connecting-ip").and_then(|text| text.parse().ok()),
            country: place("country").and_then(|value| value.as_string()),
            asn: place("asn").and_then(|value| value.as_f64()).map(|asn| asn as u32),
        },
    })
}

/// The body, or nothing if it is larger than the limit: what is declared too large is not read, and what declares
/// nothing is read up to the limit.
async fn body(request: &web_sys::Request, declared: Option<String>) -> worker::Result<Option<Vec<u8>>> {
    let Some(stream) = request.body() else { return Ok(Some(Vec::new())) };
    match declared.map(|length| length.parse::<usize>()) {
        Some(Ok(length)) if length <= MAX_BODY => {
            let buffer = JsFuture::from(request.array_buffer()?).await?;
            Ok(Some(Uint8Array::new(&buffer).to_vec()))
        }
        Some(_) => Ok(None),
        None => capped(&stream, MAX_BODY).await,
    }
}

/// Reads a stream to its end, or gives nothing once it has had more than `limit` bytes.
pub async fn capped(stream: &web_sys::ReadableStream, limit: usize) -> worker::Result<Option<Vec<u8>>> {
    let reader: web_sys::ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let mut bytes = Vec::new();
    loop {
        let chunk = JsFuture::from(reader.read()).await?;
        if Reflect::get(&chunk, &JsValue::from_str("done"))?.is_truthy() {
            return Ok(Some(bytes));
        }
        let chunk = Uint8Array::new(&Reflect::get(&chunk, &JsValue::from_str("value"))?);
        if bytes.len().saturating_add(chunk.length() as usize) > limit {
            // The rest is of no interest; whether the sender hears of it neither.
            drop(reader.cancel());
            return Ok(None);
        }
        bytes.extend(chunk.to_vec());
    }
}

/// Hands a response to the platform.
pub fn write(response: Response) -> worker::Result<web_sys::Response> {
    let headers = Object::new();
    for (name, value) in &response.headers {
        Reflect::set(&headers, &JsValue::from_str(name), &JsValue::from_str(value))?;
    }
    let init = web_sys::ResponseInit::new();
    init.set_status(response.status);
    init.set_headers(&headers);
    let body = Some(response.body.as_str()).filter(|body| !body.is_empty());
    Ok(web_sys::Response::new_with_opt_str_and_init(body, &init)?)
}

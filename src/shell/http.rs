//! Requests and responses at the edge of the core.

use super::streams;
use crate::app::{HEADERS, MAX_BODY, Passage, Peer, Proxied, Request, Response};
use crate::ports::{Location, Place};
use js_sys::{Array, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use worker::wasm_bindgen_futures::JsFuture;
use worker::web_sys;

/// Path and query of a URL that the platform has parsed already.
fn split(url: &str) -> (&str, &str) {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after_scheme.find('/').and_then(|at| after_scheme.get(at..)).unwrap_or("/");
    let path = path.split_once('#').map_or(path, |(path, _)| path);
    path.split_once('?').unwrap_or((path, ""))
}

#[wasm_bindgen(module = "/src/shell/http.js")]
extern "C" {
    fn head(request: &web_sys::Request, names: &Array) -> String;

    fn pairs(headers: &web_sys::Headers) -> String;

    #[wasm_bindgen(catch)]
    fn streamed(status: u16, lines: &str, body: &JsValue) -> Result<web_sys::Response, JsValue>;

    #[wasm_bindgen(catch)]
    fn respond(status: u16, lines: &str, body: &str) -> Result<web_sys::Response, JsValue>;

    #[wasm_bindgen(catch, js_name = respond)]
    fn respond_with_bytes(status: u16, lines: &str, body: &Uint8Array) -> Result<web_sys::Response, JsValue>;
}

thread_local! {
    static NAMES: Array = HEADERS.iter().map(|name| JsValue::from_str(name)).collect();
}

/// What comes before the body of a request, and the length that it declares.
pub fn read_head(request: &web_sys::Request) -> (Request, Option<String>) {
    let text = NAMES.with(|names| head(request, names));
    let mut lines = text.split('\n');
    let (method, url) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut present = lines.map(|line| line.strip_prefix(':'));
    let mut next = || present.next().flatten();
    let (path, query) = split(url);
    let (declared, ip) = (next().map(str::to_owned), next().and_then(|text| text.parse().ok()));
    let headers = HEADERS.iter().filter_map(|name| Some((*name, next()?.to_owned()))).collect();
    let asked = Clone::clone(request);
    let location = Location::new(move || place(&asked));
    let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
    (Request { method, path, query, headers, body: None, peer: Peer { ip, location }, passage: None }, declared)
}

/// What the platform says in `request.cf`.
fn place(request: &web_sys::Request) -> Place {
    let cf = Reflect::get(request, &"cf".into()).ok().filter(JsValue::is_object);
    let member = |name: &str| Reflect::get(cf.as_ref()?, &name.into()).ok();
    Place {
        country: member("country").and_then(|value| value.as_string()),
        asn: member("asn").and_then(|value| value.as_f64()).map(|asn| asn as u32),
    }
}

/// Headers as names and values.
pub fn read_headers(headers: &web_sys::Headers) -> Vec<(String, String)> {
    let text = pairs(headers);
    let mut lines = text.split('\n').map(str::to_owned);
    std::iter::from_fn(|| Some((lines.next().filter(|name| !name.is_empty())?, lines.next()?))).collect()
}

/// What is passed on: all headers, and the body. A small one is read, any other comes as it is asked for.
pub async fn read_passage(
    request: &web_sys::Request,
    declared: Option<String>,
    message: &mut Request,
) -> worker::Result<()> {
    let passage = Passage { headers: read_headers(&request.headers()), ..Passage::default() };
    let length = declared.as_deref().and_then(|text| text.parse::<u64>().ok());
    match (length, request.body()) {
        (Some(0), _) | (_, None) => message.body = Some(Vec::new()),
        (Some(length), Some(_)) if length <= MAX_BODY as u64 => message.body = read_body(request, declared).await?,
        (length, Some(stream)) => {
            passage.body.replace(Some((streams::chunks(&stream, None), length)));
        }
    }
    message.passage = Some(passage);
    Ok(())
}

/// The body, or nothing if it is larger than the limit: what is declared too large is not read, and what declares
/// nothing is read up to the limit.
pub async fn read_body(request: &web_sys::Request, declared: Option<String>) -> worker::Result<Option<Vec<u8>>> {
    match declared.map(|length| length.parse::<usize>()) {
        Some(Ok(length)) if length <= MAX_BODY => {
            let buffer = JsFuture::from(request.array_buffer()?).await?;
            Ok(Some(Uint8Array::new(&buffer).to_vec()))
        }
        Some(_) => Ok(None),
        None => match request.body() {
            Some(stream) => capped(&stream, MAX_BODY).await,
            None => Ok(Some(Vec::new())),
        },
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

/// The headers of an answer that is on its way, in lines: ours and the service's.
pub fn lines(response: &Response) -> String {
    let own = response.headers.iter().map(|(name, value)| (*name, value.as_str()));
    let theirs = response.proxied.iter().flat_map(|answer| &answer.headers);
    let mut lines = String::new();
    let all = own.chain(theirs.map(|(name, value)| (name.as_str(), value.as_str())));
    all.for_each(|(name, value)| lines.extend([name, "\n", value, "\n"]));
    lines
}

/// Whether an answer that is on its way is small: it is passed on once all of it is there.
pub fn is_small(answer: &Proxied) -> bool {
    answer.has_body() && answer.length.is_some_and(|length| length <= MAX_BODY as u64)
}

/// An answer that was on its way, with all of its body.
pub fn whole(response: &Response, body: &[u8]) -> worker::Result<web_sys::Response> {
    Ok(streamed(response.status, &lines(response), &Uint8Array::from(body))?)
}

/// The head of an answer that is on its way, and what its pieces are written to; nothing where it has no body.
pub fn open(response: &Response) -> worker::Result<(web_sys::Response, Option<streams::Writer>)> {
    let Some(answer) = &response.proxied else { return Ok((write(response)?, None)) };
    let mut lines = lines(response);
    if !answer.has_body() {
        let length = answer.length.map(|length| length.to_string());
        length.iter().for_each(|length| lines.extend(["content-length\n", length.as_str(), "\n"]));
        return Ok((streamed(response.status, &lines, &JsValue::NULL)?, None));
    }
    let (readable, writer) = streams::pipe(answer.length);
    Ok((streamed(response.status, &lines, &readable)?, Some(writer)))
}

/// The head of an answer that was cut, and a body that breaks off.
pub fn cut(response: &Response) -> worker::Result<web_sys::Response> {
    let (head, writer) = open(response)?;
    writer.iter().for_each(streams::Writer::cut);
    Ok(head)
}

/// The head of an answer of ours that comes in pieces, and what they are written to.
pub fn begin(response: &Response) -> worker::Result<(web_sys::Response, streams::Writer)> {
    let (readable, writer) = streams::pipe(None);
    Ok((streamed(response.status, &lines(response), &readable)?, writer))
}

/// Hands a response to the platform. A header with a line break is refused, as the platform would refuse it.
pub fn write(response: &Response) -> worker::Result<web_sys::Response> {
    let mut lines = String::new();
    for (name, value) in &response.headers {
        if value.contains(['\r', '\n']) {
            return Err(worker::Error::RustError(format!("the header {name} has a line break")));
        }
        lines.extend([name, "\n", value, "\n"]);
    }
    if !response.bytes.is_empty() {
        // A copy: what lies in the memory of WebAssembly may move while the platform sends it.
        return Ok(respond_with_bytes(response.status, &lines, &Uint8Array::from(&*response.bytes))?);
    }
    Ok(respond(response.status, &lines, &response.body)?)
}

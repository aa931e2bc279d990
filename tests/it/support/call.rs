//! Requests, replies, and the tokens in them.

use super::hub::{Isolate, Setup};
use super::sockets::{Script, ScriptedSocket};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::rc::Rc;
use writ::app::{Direction, HEADERS, MAX_BODY, Passage, Pulled, Request, Response};
use writ::crypto::{b64, unb64};
use writ::ports::{Chunks, Message, Pending, Timer};

/// A client's id and secret.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub client_id: String,
    pub client_secret: String,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub text: String,
    /// A body that is no text.
    pub bytes: Vec<u8>,
    /// Whether the body was cut before its end.
    pub cut: bool,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The `error` of an OAuth error, or the `code` of a problem document.
    pub fn error(&self) -> String {
        let body = self.json();
        body["error"].as_str().or(body["code"].as_str()).unwrap_or_else(|| panic!("no error: {self:?}")).to_owned()
    }

    /// Fails the test unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// `access_token` of a token response or a lease.
    #[track_caller]
    pub fn access_token(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["access_token"].as_str().unwrap().to_owned()
    }
}

/// A message in words.
pub fn line(message: &Message) -> String {
    match message {
        Message::Text(text) => format!("text {text}"),
        Message::Binary(bytes) => format!("binary {}", String::from_utf8_lossy(bytes)),
        Message::Close(code, reason) => format!("close {} {reason}", code.unwrap_or_default()),
    }
}

/// A request in the making.
pub struct Call<'a> {
    hub: &'a Setup,
    isolate: Isolate,
    request: Request,
    /// Every header, for endpoints that pass requests on.
    headers: Vec<(String, String)>,
    streamed: Option<(Chunks, Option<u64>)>,
    /// After how many pieces of an answer the client hangs up.
    hangs_up: Option<usize>,
    /// After how many pieces of an answer the client takes no other, and stays.
    stalls: Option<usize>,
    /// The URL and the props of the binding, of code whose outbound Worker the hub is.
    outbound: Option<(String, String)>,
    /// What the caller's end of a WebSocket says.
    socket: Script,
}

impl<'a> Call<'a> {
    /// To that path, with its query if it has one.
    pub fn new(hub: &'a Setup, isolate: Isolate, method: &str, path: &str) -> Self {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            body: Some(Vec::new()),
            ..Request::default()
        };
        Self {
            hub,
            isolate,
            request,
            headers: Vec::new(),
            streamed: None,
            hangs_up: None,
            stalls: None,
            outbound: None,
            socket: Vec::new(),
        }
    }

    /// Sends it to that isolate.
    pub fn on(mut self, isolate: &Isolate) -> Self {
        self.isolate = isolate.clone();
        self
    }

    /// Sets a header. What no endpoint reads does not get through, as on the real host.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        if let Some(name) = HEADERS.iter().copied().find(|known| *known == name) {
            self.request.headers.retain(|(known, _)| *known != name);
            self.request.headers.push((name, value.to_owned()));
        }
        self
    }

    /// Sets the body. One that is larger than the host reads becomes none, as on the real host.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.request.body = Some(body.into()).filter(|body| body.len() <= MAX_BODY);
        self
    }

    /// A body that comes in pieces, of a length that is known or not.
    pub fn streamed(mut self, pieces: Vec<Vec<u8>>, length: Option<u64>) -> Self {
        let pieces = futures_util::stream::iter(pieces.into_iter().map(Ok));
        self.streamed = Some((Box::pin(pieces), length));
        self
    }

    /// The client hangs up after so many pieces of the answer.
    pub fn hanging_up_after(mut self, pieces: usize) -> Self {
        self.hangs_up = Some(pieces);
        self
    }

    /// The client takes no more than so many pieces of the answer, and stays.
    pub fn reading_no_more_after(mut self, pieces: usize) -> Self {
        self.stalls = Some(pieces);
        self
    }

    /// It is code that sends it, to that URL; the hub is its outbound Worker, by a binding with these props.
    pub fn outbound(mut self, url: &str, props: &str) -> Self {
        let (_, query) = url.split_once('?').unwrap_or((url, ""));
        self.request.query = query.to_owned();
        self.outbound = Some((url.to_owned(), props.to_owned()));
        self
    }

    /// It opens a WebSocket and says this. The text of the reply is what it hears, a message a line.
    pub fn socket(mut self, script: Script) -> Self {
        self.socket = script;
        self.header("upgrade", "websocket")
    }

    /// A form; names may repeat.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.header("content-type", "application/x-www-form-urlencoded").body(body)
    }

    /// A JSON body.
    pub fn json(self, value: &Value) -> Self {
        self.header("content-type", "application/json").body(value.to_string())
    }

    /// Basic credentials, form-encoded as RFC 6749 §2.3.1 has it.
    pub fn basic(self, client: &Credentials) -> Self {
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encode(&client.client_id), encode(&client.client_secret));
        self.header("authorization", &format!("Basic {}", STANDARD.encode(pair)))
    }

    /// A bearer token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Where it comes from.
    pub fn ip(mut self, ip: &str) -> Self {
        self.request.peer.ip = Some(ip.parse().unwrap());
        self
    }

    /// The reply, for [`Setup::together`]. Who drops it unfinished is a client that hangs up: see `run`. The moment of the request is when it is polled first.
    pub fn future(self) -> Pending<'a, Reply> {
        Box::pin(async move {
            let Self { hub, isolate, mut request, headers, streamed, hangs_up, stalls, outbound, socket } = self;
            if outbound.is_some() || isolate.app().direction(&request.path) == (Direction::Here { is_passed_on: true })
            {
                let body = std::rc::Rc::new(std::cell::RefCell::new(streamed));
                request.passage = Some(Passage { headers, body, destination: None });
            }
            let (now, clock) = (hub.clock.now(), hub.clock.clone());
            let answer = Box::pin(async move {
                let app = isolate.app();
                let mut response = match outbound {
                    Some((url, props)) => app.handle_outbound(request, &url, &props, now).await,
                    None => app.handle(&request, now).await,
                };
                let mut headers: Vec<(String, String)> =
                    response.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
                if let Some(mut feed) = response.feed.take() {
                    let (mut bytes, mut pieces) = (Vec::new(), 0);
                    let cut = loop {
                        match app.pull_feed(&mut feed, clock.now()).await {
                            Pulled::Piece(piece) => bytes.extend(piece),
                            Pulled::Nothing => continue,
                            Pulled::End => break false,
                            Pulled::Cut => break true,
                        }
                        pieces += 1;
                        if hangs_up == Some(pieces) {
                            break false;
                        }
                    };
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    return Reply { status: response.status, headers, text, bytes: vec![], cut };
                }
                let Some(mut answer) = response.proxied.take() else {
                    let Response { status, body, bytes, .. } = response;
                    return Reply { status, headers, text: body, bytes, cut: false };
                };
                headers.extend(answer.headers.clone());
                if answer.is_socket() {
                    let (heard, dropped) = (Rc::default(), Rc::default());
                    let caller = ScriptedSocket::new(&clock, socket, &heard, &dropped);
                    while app.relay_message(&mut answer, &caller, clock.now()).await {}
                    let lines: Vec<_> = heard.borrow().iter().map(line).collect();
                    return Reply {
                        status: response.status,
                        headers,
                        text: lines.join("\n"),
                        bytes: vec![],
                        cut: false,
                    };
                }
                let (mut bytes, mut cut, mut pieces) = (Vec::new(), false, 0);
                loop {
                    match app.pull(&mut answer, clock.now()).await {
                        Pulled::Piece(piece) => bytes.extend(piece),
                        Pulled::Nothing => continue,
                        Pulled::End => break,
                        Pulled::Cut => {
                            cut = true;
                            break;
                        }
                    }
                    pieces += 1;
                    if stalls == Some(pieces) {
                        while app.goes_on(&mut answer, clock.now()).await {
                            clock.sleep(app.interval_millis()).await;
                        }
                        cut = true;
                        break;
                    }
                    if hangs_up == Some(pieces) {
                        app.abandon(&mut answer, clock.now()).await;
                        break;
                    }
                }
                let text = String::from_utf8_lossy(&bytes).into_owned();
                Reply { status: response.status, headers, text, bytes: vec![], cut }
            });
            let reply = hub.clock.request(answer).await;
            hub.keep(reply.clone());
            reply
        })
    }

    /// Sends it and hangs up after so many rounds; nothing if the reply had not come by then.
    pub fn abandon(self, rounds: usize) -> Option<Reply> {
        let clock = self.hub.clock.clone();
        clock.drive_for(rounds, self.future())
    }

    /// The reply.
    pub fn send(self) -> Reply {
        let clock = self.hub.clock.clone();
        clock.block_on(self.future())
    }
}

/// Header and claims of a compact JWS, unverified.
pub fn decode(token: &str) -> (Value, Value) {
    let part = |n| serde_json::from_slice(&unb64(token.split('.').nth(n).unwrap()).unwrap()).unwrap();
    (part(0), part(1))
}

/// A compact JWS with other claims and the same signature.
pub fn with_claims(token: &str, claims: &Value) -> String {
    let parts: Vec<_> = token.split('.').collect();
    format!("{}.{}.{}", parts[0], b64(claims.to_string()), parts[2])
}

//! The Worker: entry points and port adapters. Only this folder knows the platform.
//!
//! What an isolate has is made at its first event and kept: settings, ports, memory. A Worker that is half configured
//! answers 500 and says in its log which setting to mend.

mod d1;
mod fetch;
mod http;
mod keys;
mod kv;
mod misc;
mod queue;
mod sockets;
mod streams;
mod zones;

use crate::app::{App, Direction, Feed, Proxied, Pulled, Response, Source};
use crate::cli;
use crate::config::{Config, Role};
use crate::ports::{Now, World};
use futures_util::future::{Either, select};
use js_sys::Promise;
use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::{JsError, wasm_bindgen};
use worker::wasm_bindgen_futures::future_to_promise;
use worker::{
    Context, Delay, Env, MessageBatch, ScheduleContext, ScheduledEvent, console_error, event, web_sys, worker_sys,
};

#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

thread_local! {
    static APP: OnceCell<Rc<App>> = const { OnceCell::new() };
}

fn app(env: &Env) -> worker::Result<Rc<App>> {
    APP.with(|cell| match cell.get() {
        Some(app) => Ok(app.clone()),
        None => {
            let config = Config::parse(|name| env.var(name).ok().map(|value| value.to_string()));
            let config = config.map_err(|why| worker::Error::RustError(format!("configuration: {why}")))?;
            let app = Rc::new(App::new(world(env), config));
            Ok(cell.get_or_init(|| app).clone())
        }
    })
}

fn world(env: &Env) -> World {
    World {
        db: Rc::new(d1::D1 { env: env.clone(), binding: "DB" }),
        trail: Rc::new(d1::D1 { env: env.clone(), binding: "AUDIT_DB" }),
        kv: Rc::new(kv::CloudflareKv(env.clone())),
        queue: Rc::new(queue::CloudflareQueue::new(env.clone())),
        fetch: Rc::new(fetch::GlobalFetch),
        keys: Rc::new(keys::WebCrypto::default()),
        entropy: Rc::new(misc::Random),
        zones: Rc::new(zones::Intl::default()),
        timer: Rc::new(misc::Timeout),
        lifetime: Rc::new(misc::WaitUntil),
        log: Rc::new(misc::Console),
    }
}

fn now() -> Now {
    Now::from_millis(js_sys::Date::now() as u64)
}

/// The binding of the Worker that mounts a role, in a deployment of several Workers.
const fn service(role: Role) -> &'static str {
    match role {
        Role::Token => "TOKEN",
        Role::Discovery => "DISCOVERY",
        Role::Authorize => "AUTHORIZE",
        Role::Broker => "BROKER",
        Role::Admin | Role::Audit => "ADMIN",
    }
}

#[event(start)]
fn start() {
    App::warm();
    zones::warm();
}

#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, ctx: Context) -> worker::Result<web_sys::Response> {
    let app = app(&env)?;
    let now = now();
    let (mut message, length) = http::read_head(&request);
    match app.direction(&message.path) {
        Direction::Elsewhere(role) => {
            // Without a binding this Worker says that it has no such path.
            if let Ok(binding) = env.service(service(role)) {
                return Ok(binding.fetch_request(worker::Request::from(request)).await?.into());
            }
        }
        Direction::Here { is_passed_on: true } => http::read_passage(&request, length, &mut message).await?,
        Direction::Here { is_passed_on: false } => message.body = http::read_body(&request, length).await?,
    }
    let response = app.handle(&message, now).await;
    answer(&app, response, &ctx, now).await
}

/// `fetch` of the entrypoint `Outbound`: for code whose outbound Worker this is. `props` are those of the binding, as JSON.
#[wasm_bindgen]
pub fn outbound(request: web_sys::Request, env: Env, ctx: worker_sys::Context, props: String) -> Promise {
    future_to_promise(async move {
        let run = async {
            let (app, ctx, now) = (app(&env)?, Context::new(ctx), now());
            let (mut message, length) = http::read_head(&request);
            http::read_passage(&request, length, &mut message).await?;
            let response = app.handle_outbound(message, &request.url(), &props, now).await;
            answer(&app, response, &ctx, now).await
        };
        run.await.map(JsValue::from).map_err(|error: worker::Error| {
            // What went wrong here is nothing that such code may read.
            console_error!("outbound: {error}");
            JsError::new("the outbound Worker has failed").into()
        })
    })
}

/// Hands an answer to the platform, and sees to what comes after it.
async fn answer(app: &Rc<App>, mut response: Response, ctx: &Context, now: Now) -> worker::Result<web_sys::Response> {
    let (is_staged, ageing) = (app.take_staged(), app.take_ageing());
    if is_staged || !ageing.is_empty() {
        let app = app.clone();
        ctx.wait_until(async move {
            app.renew(&ageing, now).await;
            if is_staged && let Err(error) = app.relay(now).await {
                console_error!("relay: {error}");
            }
        });
    }
    if let Some(feed) = response.feed.take() {
        let (head, writer) = http::begin(&response)?;
        ctx.wait_until(relay_feed(app.clone(), feed, writer));
        return Ok(head);
    }
    if response.proxied.is_none() {
        return http::write(&response);
    }
    if response.proxied.as_ref().is_some_and(|answer| answer.is_socket()) {
        let (head, caller) = sockets::End::opened(&http::lines(&response))?;
        if let Some(answer) = response.proxied.take() {
            ctx.wait_until(relay_messages(app.clone(), answer, caller));
        }
        return Ok(head);
    }
    let (head, writer) = match response.proxied.as_mut().filter(|answer| http::is_small(answer)) {
        None => http::open(&response)?,
        Some(answer) => match all(app, answer).await {
            Some(body) => (http::whole(&response, &body)?, None),
            None => return http::cut(&response),
        },
    };
    if let Some(answer) = response.proxied.take() {
        ctx.wait_until(relay_answer(app.clone(), answer, writer));
    }
    Ok(head)
}

/// The pieces of an answer together, without its end; nothing if it was cut.
async fn all(app: &App, answer: &mut Proxied) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while answer.length.is_some_and(|length| (body.len() as u64) < length) {
        match app.pull(answer, now()).await {
            Pulled::Piece(piece) => body.extend(piece),
            Pulled::Nothing => {}
            Pulled::End | Pulled::Cut => return None,
        }
    }
    Some(body)
}

/// Writes the pieces of an answer as they come, and sees to its event. Its caller may go at any time.
async fn relay_answer(app: Rc<App>, mut answer: Box<Proxied>, writer: Option<streams::Writer>) {
    loop {
        match (app.pull(&mut answer, now()).await, &writer) {
            (Pulled::Piece(piece), Some(writer)) => match written(&app, &mut answer, (writer, &piece)).await {
                Some(true) => {}
                Some(false) => return app.abandon(&mut answer, now()).await,
                None => return writer.cut(),
            },
            (Pulled::Piece(_) | Pulled::Nothing, _) => {}
            (Pulled::End, Some(writer)) => return writer.end().await,
            (Pulled::Cut, Some(writer)) => return writer.cut(),
            (Pulled::End | Pulled::Cut, None) => return,
        }
    }
}

/// Writes a piece, and has the answer decided about again while its caller does not take it: whether that has; nothing if the answer was cut.
async fn written(app: &App, answer: &mut Proxied, (writer, piece): (&streams::Writer, &[u8])) -> Option<bool> {
    let mut writing = Box::pin(writer.write(piece));
    loop {
        let pause = Delay::from(Duration::from_millis(app.interval_millis()));
        match select(writing, Box::pin(pause)).await {
            Either::Left((is_taken, _)) => return Some(is_taken),
            Either::Right(((), pending)) => writing = pending,
        }
        if !app.goes_on(answer, now()).await {
            return None;
        }
    }
}

/// Writes the pieces of an answer that goes on, as long as somebody reads it.
async fn relay_feed(app: Rc<App>, mut feed: Box<Feed>, writer: streams::Writer) {
    loop {
        match app.pull_feed(&mut feed, now()).await {
            Pulled::Piece(piece) if !writer.write(&piece).await => return,
            Pulled::Piece(_) | Pulled::Nothing => {}
            Pulled::End => return writer.end().await,
            Pulled::Cut => return writer.cut(),
        }
    }
}

/// Passes the messages of a WebSocket on, and sees to its event.
async fn relay_messages(app: Rc<App>, mut answer: Box<Proxied>, caller: sockets::End) {
    while app.relay_message(&mut answer, &caller, now()).await {}
}

#[event(queue)]
async fn queue(batch: MessageBatch<String>, env: Env, ctx: Context) -> worker::Result<()> {
    let app = app(&env)?;
    let source = match batch.queue().contains("dlq") {
        true => Source::DeadLetters,
        false => Source::Audit,
    };
    let messages: Vec<String> =
        batch.raw_iter().map(|message| message.body().as_string().unwrap_or_default()).collect();
    match app.consume(source, &messages, now()).await {
        Ok(()) => {
            batch.ack_all();
            if source == Source::Audit {
                ctx.wait_until(async move {
                    if let Err(error) = app.deliver(&messages, now()).await {
                        console_error!("sinks: {error}");
                    }
                });
            }
        }
        Err(error) => {
            console_error!("consume: {error}");
            batch.retry_all();
        }
    }
    Ok(())
}

#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _ctx: ScheduleContext) {
    let outcome = match app(&env) {
        Ok(app) => app.tick(&now).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = outcome {
        console_error!("tick: {error}");
    }
}

/// Its command `verify`. `files` has names and texts in turn.
#[wasm_bindgen(js_name = cli_verify)]
pub fn command_verify(words: Vec<String>, files: Vec<String>) -> Promise {
    future_to_promise(async move {
        let read = |name: &str| {
            let (pairs, _) = files.as_chunks::<2>();
            pairs.iter().find(|[known, _]| known == name).map(|[_, text]| text.clone())
        };
        match cli::verify::run(&words, &read, &keys::WebCrypto::default()).await {
            Ok(text) => Ok(text.into()),
            Err(problem) => Err(js_sys::Error::new(&problem).into()),
        }
    })
}

/// The command line tool, for Node: no event of the platform leads here.
#[wasm_bindgen(js_name = cli)]
pub fn command(words: Vec<String>) -> Result<String, JsError> {
    cli::run(&words, now(), &misc::Random).map_err(|problem| JsError::new(&problem))
}

//! The three doors: [`App::handle`] a request, [`App::consume`] a batch of events, [`App::tick`] of the cron.

use crate::audit;
use crate::config::{Config, Role};
use crate::context::{Cx, Memory};
use crate::error::{Reason, Result};
use crate::jobs::Jobs;
use crate::ports::{Now, World};
use crate::web::render::{self, Style};
use crate::web::router::{self, Guard, Route};
use crate::web::{self, Call, Method};

pub use crate::context::Peer;
pub use crate::web::http::{HEADERS, MAX_BODY, Request, Response};

/// Which queue a batch came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The audit queue.
    Audit,
    /// The queue of what could not be delivered.
    DeadLetters,
}

/// Everything that an isolate has.
pub struct App {
    world: World,
    config: Config,
    memory: Memory,
}

impl App {
    /// An application that remembers nothing yet.
    pub fn new(world: World, config: Config) -> Self {
        Self { world, config, memory: Memory::default() }
    }

    /// What a host may do while it starts, so that the first request need not wait for it.
    pub fn warm() {
        crate::cedar::warm();
    }

    /// The settings.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The role of a path that this Worker does not mount, so that a front door can pass the request on.
    pub fn elsewhere(&self, path: &str) -> Option<Role> {
        let role = router::resolve(path)?.role;
        (!self.config.mounts(role)).then_some(role)
    }

    /// Answers a request.
    pub async fn handle(&self, request: &Request, now: Now) -> Response {
        let method = Method::parse(&request.method);
        let response = match request.path.as_str() {
            "/health" | "/openapi.json" if method != Method::Get => {
                render::error(&Reason::MethodNotAllowed.into(), Style::OAuth, None).with("allow", "GET")
            }
            "/health" => web::health::get(&self.world).await.unwrap_or_else(|e| render::error(&e, Style::OAuth, None)),
            "/openapi.json" => web::admin::openapi::get(self.config.origin()),
            path => match router::resolve(path).filter(|route| self.config.mounts(route.role)) {
                Some(route) => self.route(&route, request, method, now).await,
                None => render::error(&Reason::NoSuchPath.into(), Style::OAuth, None),
            },
        };
        let response = response.with("x-content-type-options", "nosniff");
        match self.config.origin().starts_with("https:") {
            true => response.with("strict-transport-security", "max-age=63072000"),
            false => response,
        }
    }

    async fn route(&self, route: &Route, request: &Request, method: Method, now: Now) -> Response {
        if method == Method::Options && matches!(route.guard, Guard::Public | Guard::Client) {
            return cors(Response::empty(204))
                .with("access-control-allow-methods", route.allow())
                .with(
                    "access-control-allow-headers",
                    "Authorization, Content-Type, DPoP, MCP-Protocol-Version, Mcp-Method, Mcp-Name",
                )
                .with("access-control-max-age", "86400");
        }
        let (issuer, answer) =
            match Cx::open(&self.world, &self.config, &self.memory, &route.tenant, (now, request.peer.clone())).await {
                Ok(cx) => {
                    let answer = self.endpoint(&cx, route, request, method).await;
                    if let Err(error) = &answer {
                        render::log(&cx, error);
                    }
                    (Some(cx.issuer()), answer)
                }
                Err(error) => (None, Err(error)),
            };
        let response = answer.unwrap_or_else(|error| {
            let response = render::error(&error, route.style(), issuer.as_deref());
            match response.status {
                405 => response.with("allow", route.allow()),
                _ => response,
            }
        });
        match route.guard {
            Guard::Admin | Guard::Page => response,
            Guard::Public | Guard::Client => cors(response),
        }
    }

    async fn endpoint(&self, cx: &Cx<'_>, route: &Route, request: &Request, method: Method) -> Result<Response> {
        let run = route.endpoint(method)?;
        let call = Call { cx, request, admin: None, ids: &route.ids };
        match route.guard {
            Guard::Admin => web::admin::answer(call, method, run).await,
            Guard::Public | Guard::Client | Guard::Page => run(call).await,
        }
    }

    /// Keeps a batch of messages; an error means that all of them shall come again.
    pub async fn consume(&self, source: Source, messages: &[String], now: Now) -> Result<()> {
        match source {
            Source::Audit => audit::consume(&self.world, messages, now).await,
            Source::DeadLetters => audit::bury(&self.world, messages, now).await,
        }
    }

    /// One run of the cron; see [`crate::jobs`].
    pub async fn tick(&self, now: Now) -> Result<()> {
        self.jobs().tick(now).await
    }

    const fn jobs(&self) -> Jobs<'_> {
        Jobs { world: &self.world, config: &self.config, memory: &self.memory }
    }

    /// Whether a change has left its event in the outbox since this was last asked.
    pub fn take_staged(&self) -> bool {
        self.memory.take_staged()
    }

    /// Sends what waits: events in the outbox, and signals where this Worker can sign them. For after the answer, so that
    /// nobody need wait for the cron.
    pub async fn relay(&self, now: Now) -> Result<()> {
        self.jobs().relay(now).await
    }
}

fn cors(response: Response) -> Response {
    response
        .with("access-control-allow-origin", "*")
        .with("access-control-expose-headers", "DPoP-Nonce, WWW-Authenticate")
}

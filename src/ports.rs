//! All that the core asks of the world, as small object-safe traits.
//!
//! In scope: what a host must provide. Out of scope: every decision. A port never interprets what passes through it, and
//! nothing here names a platform. Time is not a port: it is read once a request, by the host, and handed in as [`Now`].
//! Futures are boxed and not `Send`: an isolate has one thread.

mod forward;

pub use forward::{Chunks, FetchError, Forward, Message, Opened, Payload, Socket};

use std::any::Any;
use std::borrow::Cow;
use std::cell::LazyCell;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;

/// A boxed future that need not be `Send`.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The moment of a request, in milliseconds since the Unix epoch. Read once, by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(u64);

impl Now {
    /// The moment that is `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, as `exp` and `iat` count them (RFC 7519 §2, NumericDate).
    pub const fn seconds(self) -> i64 {
        (self.0 / 1000).cast_signed()
    }
}

/// The country and the autonomous system of an address, as the platform knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// Autonomous system.
    pub asn: Option<u32>,
}

type Lookup = LazyCell<Place, Box<dyn FnOnce() -> Place>>;

/// The place of the caller's address, looked up when a policy first reads it: the platform parses it for each request anew, which takes
/// as long as a signature.
#[derive(Clone, Debug)]
pub struct Location(Rc<Lookup>);

impl Location {
    /// A location that `lookup` finds when it is first read.
    pub fn new(lookup: impl FnOnce() -> Place + 'static) -> Self {
        Self(Rc::new(LazyCell::new(Box::new(lookup))))
    }
}

impl Default for Location {
    fn default() -> Self {
        Self::new(Place::default)
    }
}

impl Deref for Location {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.0
    }
}

impl PartialEq for Location {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Location {}

/// The port has no answer now. Holds a constant word for the log and never what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable(pub &'static str);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not available", self.0)
    }
}

/// One bound value of a statement. Bytes travel as base64url text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// SQL `NULL`.
    Null,
    /// An integer; D1 carries it as an IEEE double, so at most 2^53.
    Int(i64),
    /// Text.
    Text(String),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A statement as data: constant text with `?1…` placeholders, and its values.
#[derive(Clone, Debug)]
pub struct Sql {
    /// Constant SQL text; values never enter it.
    pub text: &'static str,
    /// The values of `?1`, `?2`, ….
    pub args: Vec<Value>,
}

/// A result row by column name.
pub type Row = serde_json::Map<String, serde_json::Value>;

/// The outcome of one statement.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The rows that it returned.
    pub rows: Vec<Row>,
    /// How many rows it changed.
    pub changes: u64,
}

/// SQLite as D1 offers it: one atomic batch, no interactive transaction.
pub trait Db {
    /// Runs all statements in one transaction, in order; all of them or none.
    fn batch(&self, statements: Vec<Sql>) -> Pending<'_, Result<Vec<Outcome>, Unavailable>>;
}

/// A key-value store that may answer with yesterday's value.
pub trait Kv {
    /// The value under `key`, or nothing, as far as this location knows.
    fn get<'a>(&'a self, key: &'a str) -> Pending<'a, Result<Option<String>, Unavailable>>;
    /// Stores `value`; it becomes visible elsewhere in time.
    fn put<'a>(&'a self, key: &'a str, value: String) -> Pending<'a, Result<(), Unavailable>>;
    /// Removes `key`; it may stay visible elsewhere for a while.
    fn delete<'a>(&'a self, key: &'a str) -> Pending<'a, Result<(), Unavailable>>;
    /// Keys that begin with `prefix`, `limit` at the most, as far as this location knows.
    fn list<'a>(&'a self, prefix: &'a str, limit: u64) -> Pending<'a, Result<Vec<String>, Unavailable>>;
}

/// A durable queue, delivered at least once and in any order.
pub trait Queue {
    /// Resolves when the queue has taken the message for good.
    fn send(&self, message: String) -> Pending<'_, Result<(), Unavailable>>;

    /// The same for several messages at once, [`QUEUED_TOGETHER`] and [`QUEUED_BYTES`] at the most. An error says nothing about which it took.
    fn send_all(&self, messages: Vec<String>) -> Pending<'_, Result<(), Unavailable>>;
}

/// How many messages a queue takes at once, and of how many bytes together: less than the platform's 256 KB.
pub const QUEUED_TOGETHER: usize = 100;
/// See [`QUEUED_TOGETHER`].
pub const QUEUED_BYTES: usize = 200_000;

/// A call to another service. Redirects are never followed.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// An absolute URL that `outbound` has admitted.
    pub url: String,
    /// Header names and values.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body, if any.
    pub body: Option<String>,
    /// How long the whole exchange may take, in milliseconds.
    pub timeout_millis: u64,
    /// How many bytes of the answer are read at most; one more and the call fails with [`FetchError::TooLarge`].
    pub max_bytes: usize,
}

/// The answer of another service.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The media type, if the answer named one.
    pub content_type: Option<String>,
    /// How long it may be kept, if the answer says so (RFC 9111 §5.2).
    pub cache_control: Option<String>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// HTTP to other services.
pub trait Fetch {
    /// Sends one request and reads the whole answer within its limits.
    fn fetch(&self, request: Outbound) -> Pending<'_, Result<Answer, FetchError>>;
    /// Passes one request on, and answers as soon as the head of the answer is there. Who does not wait any longer drops it, which ends the transfer.
    fn open(&self, request: Forward) -> Pending<'_, Result<Opened, FetchError>>;
}

/// A JWS algorithm (RFC 7518 §3.1). Asymmetric ones only: `none` and HMAC have no name here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Alg {
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA on P-384 with SHA-384: verified, never signed with.
    #[serde(rename = "ES384")]
    Es384,
    /// Ed25519 (RFC 8037 §3.1).
    #[serde(rename = "EdDSA", alias = "Ed25519")]
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
}

impl Alg {
    /// Every algorithm that Writ verifies.
    pub const ALL: [Self; 5] = [Self::Es256, Self::Es384, Self::EdDsa, Self::Rs256, Self::Ps256];
    /// The names that are taken, and advertised: Ed25519 has two (RFC 8037 §3.1, RFC 9864 §2.2).
    pub const NAMES: [&str; 6] = ["ES256", "ES384", "Ed25519", "EdDSA", "RS256", "PS256"];
    /// Every algorithm that Writ signs with.
    pub const SIGNING: [Self; 2] = [Self::Es256, Self::Rs256];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }

    /// The algorithm of that exact name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "Ed25519" => Some(Self::EdDsa),
            _ => Self::ALL.into_iter().find(|alg| alg.as_str() == name),
        }
    }

    /// The same, if Writ signs with it.
    pub fn parse_signing(name: &str) -> Option<Self> {
        Self::SIGNING.into_iter().find(|alg| alg.as_str() == name)
    }
}

/// A private key for one signature. `id` names the key material for good, so an adapter may keep the import under it.
#[derive(Clone, Copy)]
pub struct PrivateKey<'a> {
    /// The algorithm that the key signs with.
    pub alg: Alg,
    /// A name that no other key material ever has, such as the thumbprint of the public half.
    pub id: &'a str,
    /// PKCS#8 DER (RFC 5208).
    pub pkcs8: &'a [u8],
}

/// A public key for one verification; `id` as in [`PrivateKey`].
#[derive(Clone, Copy)]
pub struct PublicKey<'a> {
    /// The algorithm that the key verifies.
    pub alg: Alg,
    /// A name that no other key material ever has.
    pub id: &'a str,
    /// The public JWK as JSON text (RFC 7517).
    pub jwk: &'a str,
}

/// A key pair just made: the private half as PKCS#8 DER, the public half as JWK text.
pub struct KeyPair {
    /// PKCS#8 DER; seal it at once.
    pub pkcs8: Vec<u8>,
    /// The public JWK as JSON text, with `kty` and its members and perhaps more.
    pub jwk: String,
}

/// Asymmetric cryptography: WebCrypto in the Worker, crates natively.
pub trait Keys {
    /// Makes a key pair.
    fn generate(&self, alg: Alg) -> Pending<'_, Result<KeyPair, Unavailable>>;
    /// The raw JWS signature over `input` (RFC 7515 §5.1).
    fn sign<'a>(&'a self, key: PrivateKey<'a>, input: &'a [u8]) -> Pending<'a, Result<Vec<u8>, Unavailable>>;
    /// Whether `signature` over `input` was made by the key's private half. A key that the adapter cannot use verifies
    /// nothing: a bad key in a request must not make the port look unavailable.
    fn verify<'a>(
        &'a self,
        key: PublicKey<'a>,
        input: &'a [u8],
        signature: &'a [u8],
    ) -> Pending<'a, Result<bool, Unavailable>>;
}

/// Cryptographically secure random bytes.
pub trait Entropy {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// Time zones (RFC 6557), as the platform knows them. Never a clock: it is told the moment.
pub trait Zones {
    /// How many seconds the zone of that IANA name is ahead of UTC at `at`, daylight saving included; nothing if there is no
    /// such zone.
    fn offset(&self, zone: &str, at: Now) -> Option<i32>;
}

/// Waiting. Never a clock: it tells nothing about what time it is.
pub trait Timer {
    /// Resolves after about `millis` milliseconds.
    fn sleep(&self, millis: u64) -> Pending<'static, ()>;
}

/// A hold on the current request while others depend on it; dropping it lets go.
pub type Hold = Box<dyn Any>;

/// The life of the current request. A host may end a request whose client has gone, without a word to the core: nothing of
/// the request runs again, not even what it would do on drop.
pub trait Lifetime {
    /// Keeps the current request running until the hold is dropped, although its client may have gone. A host need not keep
    /// it for longer than 30 seconds.
    fn hold(&self) -> Hold;
}

/// The host's log. One line, already free of secrets.
pub trait Log {
    /// Writes one line.
    fn line(&self, line: &str);
}

/// The whole world, as the core sees it.
#[derive(Clone)]
pub struct World {
    /// Truth.
    pub db: Rc<dyn Db>,
    /// The audit trail; it answers nothing in Workers without the role `audit`.
    pub trail: Rc<dyn Db>,
    /// Sealed or immutable values.
    pub kv: Rc<dyn Kv>,
    /// Audit events on their way.
    pub queue: Rc<dyn Queue>,
    /// Other services.
    pub fetch: Rc<dyn Fetch>,
    /// Signatures.
    pub keys: Rc<dyn Keys>,
    /// Randomness.
    pub entropy: Rc<dyn Entropy>,
    /// Time zones.
    pub zones: Rc<dyn Zones>,
    /// Waiting.
    pub timer: Rc<dyn Timer>,
    /// The life of the current request.
    pub lifetime: Rc<dyn Lifetime>,
    /// The log.
    pub log: Rc<dyn Log>,
}

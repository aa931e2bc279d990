//! How streams, their states and their requests look (SSF 1.0 §7.1, §8.1). Unknown members of requests are left aside (§8.1.1.3).

use crate::model::stream::StreamStatus;
use crate::web::schema::{ANY, Kind, Member, Object, members, object};

const MAX_TEXT: usize = 1_000;
const MAX_EVENTS: usize = 100;
const MAX_URL: usize = 2_000;
const MAX_ACKNOWLEDGED: usize = 1_000;

const WORDS: Kind = Kind::List(&Kind::Word, ANY);
const EVENTS: Kind = Kind::List(&Kind::Text(MAX_TEXT), MAX_EVENTS);
const STATUS: Kind = Kind::Words("StreamStatus", || {
    [StreamStatus::Enabled, StreamStatus::Paused, StreamStatus::Disabled].map(StreamStatus::as_str).to_vec()
});

object!(
    /// Transmitter metadata.
    TRANSMITTER_METADATA = "TransmitterMetadata" [members![
        must "spec_version" Kind::Word,
        must "issuer" Kind::Word,
        must "jwks_uri" Kind::Word,
        must "delivery_methods_supported" WORDS,
        must "configuration_endpoint" Kind::Word,
        must "status_endpoint" Kind::Word,
        must "verification_endpoint" Kind::Word,
        must "authorization_schemes" Kind::List(&Kind::Json, ANY),
        must "default_subjects" Kind::Word,
    ]]
);

/// How a receiver wants its events.
pub const NEW_DELIVERY: Object = Object {
    name: "NewDelivery",
    groups: &[members![
        must "method" Kind::Text(MAX_TEXT),
        may "endpoint_url" Kind::Text(MAX_URL),
        may "authorization_header" Kind::Text(MAX_URL),
    ]],
    open: true,
};

const NEW: &[Member] = members![
    may "events_requested" EVENTS,
    may "delivery" Kind::Object(&NEW_DELIVERY),
    may "description" Kind::Note(MAX_TEXT),
];

/// What a receiver says of its new stream.
pub const NEW_STREAM: Object = Object { name: "NewStream", groups: &[NEW], open: true };

/// What a receiver says of its stream.
pub const STREAM_UPDATE: Object = Object {
    name: "StreamUpdate",
    groups: &[
        NEW,
        members![
            must "stream_id" Kind::Text(MAX_TEXT),
            may "iss" Kind::Text(MAX_URL),
            may "aud" Kind::Text(MAX_URL),
            may "events_supported" EVENTS,
            may "events_delivered" EVENTS,
        ],
    ],
    open: true,
};

object!(
    /// How a receiver gets its events.
    DELIVERY = "Delivery" [members![must "method" Kind::Word, must "endpoint_url" Kind::Word]]
);

object!(
    /// A stream.
    EVENT_STREAM = "EventStream" [members![
        must "stream_id" Kind::Word,
        must "iss" Kind::Word,
        must "aud" Kind::Word,
        must "events_supported" WORDS,
        may "events_requested" WORDS,
        must "events_delivered" WORDS,
        must "delivery" Kind::Object(&DELIVERY),
        may "description" Kind::Word,
    ]]
);

const STATE: &[Member] = members![
    must "stream_id" Kind::Text(MAX_TEXT),
    must "status" STATUS,
    may "reason" Kind::Note(MAX_TEXT),
];

object!(
    /// Whether a stream flows.
    STREAM_STATE = "StreamState" [STATE]
);

/// Whether a stream shall flow.
pub const NEW_STREAM_STATE: Object = Object { name: "NewStreamState", groups: &[STATE], open: true };

/// What a receiver wants verified.
pub const VERIFICATION_REQUEST: Object = Object {
    name: "VerificationRequest",
    groups: &[members![must "stream_id" Kind::Text(MAX_TEXT), may "state" Kind::Note(MAX_TEXT)]],
    open: true,
};

/// What a receiver takes, and has taken (RFC 8936 §2.2).
pub const POLL_REQUEST: Object = Object {
    name: "PollRequest",
    groups: &[members![
        may "maxEvents" Kind::Whole(0, i64::MAX),
        may "returnImmediately" Kind::Boolean,
        may "ack" Kind::List(&Kind::Text(MAX_TEXT), MAX_ACKNOWLEDGED),
        may "setErrs" Kind::Json,
    ]],
    open: true,
};

object!(
    /// Events that wait (RFC 8936 §2.3).
    POLLED_EVENTS = "PolledEvents" [members![must "sets" Kind::Json, must "moreAvailable" Kind::Boolean]]
);

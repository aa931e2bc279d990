//! `admin/policies`: Cedar text that permits or forbids.
//!
//! 1. A policy that does not parse or does not fit the schema is refused with line and column, whatever its mode.
//! 2. A policy that probably does not mean what it says is written, and the answer has warnings.

use super::aggregate::{Aggregate, Named, Shown};
use super::{Page, check_slug};
use crate::cedar::{Complaint, Mode, Source};
use crate::context::Cx;
use crate::error::{Reason, Result};
use crate::policy;
use crate::store;
use crate::store::policies::Policy;
use crate::web::AdminCall;
use crate::web::schema::{ANY, Kind, Member, Object, members, object};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const MAX_DESCRIPTION: usize = 500;
/// The most characters of a text.
pub const MAX_CEDAR: usize = 65_536;

/// The modes of a policy.
pub const MODE: Kind =
    Kind::Words("Mode", || [Mode::Enforce, Mode::Shadow, Mode::Off].iter().map(|mode| mode.as_str()).collect());

const BODY_MEMBERS: &[Member] = members![
    may "description" Kind::Note(MAX_DESCRIPTION),
    must "cedar" Kind::Note(MAX_CEDAR),
    may "mode" MODE,
];

object!(
    /// What a policy says: as shown, or without what only the server sets.
    BODY = "PolicyBody" [BODY_MEMBERS, members![
        read "id" Kind::Word,
        read "created_at" Kind::Time,
        read "updated_at" Kind::Time,
    ]]
);

object!(
    /// A policy.
    POLICY = "Policy" [BODY_MEMBERS, members![
        must "id" Kind::Word,
        must "description" Kind::Note(MAX_DESCRIPTION),
        must "mode" MODE,
        must "created_at" Kind::Time,
        must "updated_at" Kind::Time,
        may "warnings" Kind::List(&Kind::Word, ANY),
    ]]
);

/// What an administrator says in a policy.
#[derive(Deserialize, Serialize)]
pub struct PolicyBody {
    #[serde(default)]
    description: String,
    cedar: String,
    #[serde(default = "enforce")]
    mode: Mode,
}

const fn enforce() -> Mode {
    Mode::Enforce
}

/// Policies.
pub struct Policies;

impl Policies {
    /// Writes a policy over what is still as it was read.
    async fn write(call: AdminCall<'_>, id: &str, version: Option<i64>, body: PolicyBody) -> Result<Source> {
        policy::check(call.cx, id, &body.cedar).map_err(|complaints| {
            Reason::InvalidPolicy.because(complaints.iter().map(Complaint::line).collect::<Vec<_>>().join("\n"))
        })?;
        let PolicyBody { description, cedar, mode } = body;
        let source = Source { id: id.to_owned(), cedar, mode };
        policy::change(call.cx, call.admin, id, |present| match present.map(|policy| policy.version) == version {
            true => Ok(Some((source.clone(), description.clone()))),
            false => Err(Reason::PreconditionFailed.into()),
        })
        .await?;
        Ok(source)
    }
}

impl Aggregate for Policies {
    type Record = Policy;
    type Body = PolicyBody;

    const PATH: &'static str = "policies";
    const BODY: Object = BODY;
    const FILTERS: &'static [&'static str] = &[];

    fn id(policy: &Policy) -> (&str, i64) {
        (&policy.source.id, policy.version)
    }

    fn view(_: &Cx<'_>, policy: &Policy) -> Map<String, Value> {
        let Source { id, cedar, mode } = &policy.source;
        let body = PolicyBody { description: policy.description.clone(), cedar: cedar.clone(), mode: *mode };
        Shown {
            id: ("id", id),
            body: &body,
            status: None,
            created: ("created_at", policy.created_at),
            updated_at: policy.updated_at,
        }
        .members()
    }

    async fn find(cx: &Cx<'_>, id: &str) -> Result<Option<Policy>> {
        cx.one(store::policies::get(&cx.tenant.id, id)).await
    }

    async fn list(cx: &Cx<'_>, page: &Page) -> Result<Vec<Policy>> {
        cx.all(store::policies::list(&cx.tenant.id, page.after(), page.rows())).await
    }

    async fn problems(_: &Cx<'_>, _: &PolicyBody) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn update(call: AdminCall<'_>, present: Policy, body: PolicyBody) -> Result<Policy> {
        let same = body.cedar == present.source.cedar && body.mode == present.source.mode;
        if same && body.description == present.description {
            return Ok(present);
        }
        let description = body.description.clone();
        let source = Self::write(call, &present.source.id, Some(present.version), body).await?;
        let (version, updated_at) = (present.version.saturating_add(1), call.cx.now.seconds());
        Ok(Policy { source, description, version, updated_at, ..present })
    }

    async fn warnings(cx: &Cx<'_>, policy: &Policy) -> Result<Vec<String>> {
        policy::warnings(cx, &policy.source.cedar).await
    }

    async fn delete(call: AdminCall<'_>, present: &Policy) -> Result<()> {
        policy::change(call.cx, call.admin, &present.source.id, |now| {
            match now.ok_or(Reason::NotFound)?.version == present.version {
                true => Ok(None),
                false => Err(Reason::PreconditionFailed.into()),
            }
        })
        .await
    }
}

impl Named for Policies {
    fn check_name(name: &str) -> Result<()> {
        // These are paths below `policies`.
        if ["explain", "replay", "templates"].contains(&name) {
            return Err(Reason::InvalidField.because("`id` is a word of this API: choose another"));
        }
        check_slug("id", name)
    }

    async fn create(call: AdminCall<'_>, name: &str, body: PolicyBody) -> Result<Policy> {
        let (description, now) = (body.description.clone(), call.cx.now.seconds());
        let source = Self::write(call, name, None, body).await?;
        Ok(Policy { source, description, shard: String::new(), version: 1, created_at: now, updated_at: now })
    }
}

//! `admin/policies`: Cedar text that permits or forbids.
//!
//! 1. A policy that does not parse or does not fit the schema is refused with line and column, whatever its mode.
//! 2. A policy that probably does not mean what it says is written, and the answer has warnings.
//! 3. A change with which a test of a policy fails is refused, unless it is forced.

use super::aggregate::{Aggregate, Named, Shown};
use super::{Page, check_slug, items, parameters};
use crate::cedar::{Complaint, Mode, Source};
use crate::context::Cx;
use crate::error::{Reason, Result};
use crate::policy::testing::{self, MAX_TESTS};
use crate::policy::written::MAX_SCOPES;
use crate::policy::{self, templates};
use crate::store;
use crate::store::policies::{Policy, PolicyDraft};
use crate::web::negotiation::Conditions;
use crate::web::schema::{ANY, Kind, Member, Object, members, object};
use crate::web::{AdminCall, Response};
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
    may "tests" Kind::List(&Kind::Object(&TEST), MAX_TESTS),
];

object!(
    /// A test: a question, and what is expected of the policies in force.
    TEST = "PolicyTest" [members![
        must "name" Kind::Text(100),
        must "question" Kind::Json,
        must "expect" Kind::Words("Expectation", || vec!["allow", "deny"]),
        may "scopes" Kind::List(&Kind::Text(512), MAX_SCOPES),
        may "require" Kind::List(&Kind::Text(100), 10),
        may "ttl" Kind::Whole(1, 99_999_999),
    ]]
);

object!(
    /// What a policy says: as shown, or without what only the server sets.
    BODY = "PolicyBody" [BODY_MEMBERS, members![
        may "force" Kind::Boolean,
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tests: Vec<Value>,
    /// Whether it is written although a test fails.
    #[serde(default, skip_serializing)]
    force: bool,
}

impl PolicyBody {
    /// Its tests as they are stored.
    fn stored_tests(&self) -> Option<String> {
        (!self.tests.is_empty()).then(|| Value::from(self.tests.clone()).to_string())
    }
}

/// Tests as they are shown.
fn shown_tests(policy: &Policy) -> Vec<Value> {
    policy.tests.as_deref().and_then(|tests| serde_json::from_str(tests).ok()).unwrap_or_default()
}

const fn enforce() -> Mode {
    Mode::Enforce
}

/// Policies.
pub struct Policies;

impl Policies {
    /// Writes a policy over what is still as it was read.
    async fn write(
        call: AdminCall<'_>,
        id: &str,
        version: Option<i64>,
        body: PolicyBody,
    ) -> Result<(PolicyDraft, Option<String>)> {
        policy::check(call.cx, id, &body.cedar).map_err(|complaints| {
            Reason::InvalidPolicy.because(complaints.iter().map(Complaint::line).collect::<Vec<_>>().join("\n"))
        })?;
        let tests = body.stored_tests();
        let PolicyBody { description, cedar, mode, force, .. } = body;
        let draft = PolicyDraft { source: Source { id: id.to_owned(), cedar, mode }, description, tests };
        let not_run = policy::change(call.cx, call.admin, (id, force), |present| {
            match present.map(|policy| policy.version) == version {
                true => Ok(Some(draft.clone())),
                false => Err(Reason::PreconditionFailed.into()),
            }
        })
        .await?;
        Ok((draft, not_run))
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
        let (description, tests) = (policy.description.clone(), shown_tests(policy));
        let body = PolicyBody { description, cedar: cedar.clone(), mode: *mode, tests, force: false };
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

    async fn problems(_: &Cx<'_>, body: &PolicyBody) -> Result<Vec<String>> {
        Ok(testing::read(&body.tests).err().unwrap_or_default())
    }

    async fn update(call: AdminCall<'_>, present: Policy, body: PolicyBody) -> Result<Policy> {
        let same = body.cedar == present.source.cedar && body.mode == present.source.mode;
        if same && body.description == present.description && body.stored_tests() == present.tests {
            return Ok(present);
        }
        let (PolicyDraft { source, description, tests }, not_run) =
            Self::write(call, &present.source.id, Some(present.version), body).await?;
        let (version, updated_at) = (present.version.saturating_add(1), call.cx.now.seconds());
        Ok(Policy { source, description, tests, not_run, version, updated_at, ..present })
    }

    async fn warnings(cx: &Cx<'_>, policy: &Policy) -> Result<Vec<String>> {
        let mut all: Vec<String> = policy.not_run.iter().cloned().collect();
        all.extend(policy::warnings(cx, &policy.source).await?);
        Ok(all)
    }

    async fn delete(call: AdminCall<'_>, present: &Policy) -> Result<()> {
        let is_forced = match parameters(call, &["force"])?.first().map(|(_, value)| value.as_str()) {
            None => false,
            Some("true") => true,
            Some(_) => return Err(Reason::InvalidQuery.because("`force` may only be `true`")),
        };
        policy::change(call.cx, call.admin, (&present.source.id, is_forced), |now| {
            match now.ok_or(Reason::NotFound)?.version == present.version {
                true => Ok(None),
                false => Err(Reason::PreconditionFailed.into()),
            }
        })
        .await
        .map(drop)
    }
}

/// Words of this API below `policies`, which were names of policies before (docs/decisions.md 157).
pub const RESERVED: [&str; 3] = ["explain", "replay", "templates"];

/// Removes a policy whose name has become a word of this API.
pub async fn remove(call: AdminCall<'_>, name: &str) -> Result<Response> {
    let present = Policies::find(call.cx, name).await?.ok_or(Reason::NotFound)?;
    Conditions::of(call.request).expect(Some(present.version))?;
    Policies::delete(call, &present).await?;
    Ok(Response::empty(204))
}

impl Named for Policies {
    fn check_name(name: &str) -> Result<()> {
        // These are paths below `policies`.
        if RESERVED.contains(&name) {
            return Err(Reason::InvalidField.because("`id` is a word of this API: choose another"));
        }
        check_slug("id", name)
    }

    async fn create(call: AdminCall<'_>, name: &str, body: PolicyBody) -> Result<Policy> {
        let now = call.cx.now.seconds();
        let (PolicyDraft { source, description, tests }, not_run) = Self::write(call, name, None, body).await?;
        let shard = String::new();
        Ok(Policy { source, description, tests, not_run, shard, version: 1, created_at: now, updated_at: now })
    }
}

object!(
    /// A policy that people ask for, with its tests.
    TEMPLATE = "PolicyTemplate" [members![
        must "name" Kind::Word,
        must "title" Kind::Word,
        must "description" Kind::Word,
        must "cedar" Kind::Word,
        must "tests" Kind::List(&Kind::Object(&TEST), MAX_TESTS),
    ]]
);

object!(
    /// The templates.
    TEMPLATES = "PolicyTemplates" [members![must "items" Kind::List(&Kind::Object(&TEMPLATE), ANY)]]
);

/// Lists the templates.
pub async fn templates(_: AdminCall<'_>) -> Result<Response> {
    Ok(items(&templates::all(), None))
}

//! Where the policies in force lie: a manifest under its content hash, and shards under theirs.
//!
//! In scope: which shard a policy belongs to, reading the shards that a question needs, writing those that a change alters. Out of
//! scope: what the policies say.
//!
//! 1. A policy whose statements all name one client lies in a shard of clients; one whose statements all name one resource or one
//!    connection in a shard of these; any other in the shard that every question reads.
//! 2. The tenant's pointer names the manifest, and the manifest names the shards. All are content hashes, and a text that does not have
//!    its hash is not believed, wherever it comes from.
//! 3. KV holds them, immutable, so its staleness cannot matter. Where KV has one not, or not whole, D1 tells.
//! 4. Where all policies lie in the shard that every question reads, the pointer names that shard: this is how it was before there were
//!    others.

use crate::cedar::{Home, Mode, Shard, Source};
use crate::context::Cx;
use crate::context::cache::key;
use crate::crypto::sha256;
use crate::error::{Fault, Result};
use crate::ports::Sql;
use crate::store;
use crate::store::policies::Policy;
use futures_util::future::join;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The shard that every question reads.
const EVERYWHERE: &str = "";

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

key!(
    /// The manifest of a content hash.
    ManifestKey(hash) -> Manifest = "policy-manifest", weighs |manifest| manifest.0.len().saturating_mul(128)
);
key!(
    /// The shard of a content hash, parsed as far as it was needed.
    ShardKey(hash) -> Shard = "policy-shard", weighs Shard::weight
);

/// The name of each shard, and its content hash.
#[derive(Clone, Default)]
pub struct Manifest(BTreeMap<String, String>);

impl Manifest {
    /// Its text; nothing where the pointer needs none.
    fn text(&self) -> Result<Option<String>> {
        if self.0.keys().all(|shard| shard == EVERYWHERE) {
            return Ok(None);
        }
        Ok(Some(serde_json::to_string(&self.0).map_err(|_| Fault::Broken("a manifest has no JSON"))?))
    }

    /// What the tenant's pointer says when this is in force.
    fn pointer(&self) -> Result<String> {
        let of_text = self.text()?.map(|text| sha256(&text).to_text());
        Ok(of_text.or_else(|| self.0.get(EVERYWHERE).cloned()).unwrap_or_default())
    }
}

/// The name of the shard in which policies of that home lie: one of 64 for clients, for resources, or for connections.
fn shard_of(home: &Home) -> String {
    let (kind, name) = match home {
        Home::Everywhere => return EVERYWHERE.to_owned(),
        Home::Client(id) => ("c", id),
        Home::Resource(uri) => ("r", uri),
        Home::Connection(name) => ("k", name),
    };
    // FNV-1a: it is asked for each token, and in which shard a name falls is no secret.
    let hash = name.bytes().fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
    [kind, &((hash ^ (hash >> 32)) & 63).to_string()].concat()
}

/// The shards that can have a say about a client and these homes.
pub(super) async fn reached(cx: &Cx<'_>, homes: &BTreeSet<Home>) -> Result<Vec<Rc<Shard>>> {
    let pointer = &cx.tenant.policy_hash;
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let manifest = cx.immutable(&ManifestKey(pointer), async || load_manifest(cx, pointer).await).await?;
    let names = names(homes);
    let wanted: Vec<(&str, &str)> =
        names.iter().filter_map(|name| Some((name.as_str(), manifest.0.get(name)?.as_str()))).collect();
    let (some, others) = wanted.split_at(wanted.len().div_ceil(2));
    // A cold isolate does not wait for one after the other.
    let (some, others) = join(load(cx, some), load(cx, others)).await;
    Ok([some?, others?].concat())
}

async fn load(cx: &Cx<'_>, shards: &[(&str, &str)]) -> Result<Vec<Rc<Shard>>> {
    let mut loaded = Vec::with_capacity(shards.len());
    for (name, hash) in shards {
        loaded.push(cx.immutable(&ShardKey(hash), async || load_shard(cx, name, hash).await).await?);
    }
    Ok(loaded)
}

async fn load_manifest(cx: &Cx<'_>, pointer: &str) -> Result<Manifest> {
    if let Some(text) = kept(cx, pointer).await {
        let one = || BTreeMap::from([(EVERYWHERE.to_owned(), pointer.to_owned())]);
        return Ok(Manifest(serde_json::from_str(&text).unwrap_or_else(|_| one())));
    }
    let manifest = Manifest(cx.all(store::policies::shards(&cx.tenant.id)).await?.into_iter().collect());
    if manifest.pointer()? != pointer {
        // The policies have changed since the pointer was read; the next request reads the new pointer.
        return Err(Fault::Unavailable("the policies in force").into());
    }
    if let Some(text) = manifest.text()? {
        keep(cx, pointer, text).await;
    }
    Ok(manifest)
}

async fn load_shard(cx: &Cx<'_>, name: &str, hash: &str) -> Result<Shard> {
    let known = kept(cx, hash).await.and_then(|text| serde_json::from_str::<Vec<Source>>(&text).ok());
    if let Some(sources) = known {
        return Ok(Shard::read(hash, &sources));
    }
    let policies = cx.all(store::policies::in_shard(&cx.tenant.id, name)).await?;
    let sources = policies.into_iter().map(|policy| policy.source).collect();
    let (text, sources) = pack(sources)?;
    if sha256(&text).to_text() != hash {
        return Err(Fault::Unavailable("the policies in force").into());
    }
    keep(cx, hash, text).await;
    Ok(Shard::read(hash, &sources))
}

/// What KV has under a content hash, if it is that.
async fn kept(cx: &Cx<'_>, hash: &str) -> Option<String> {
    // KV down is no reason to fail: D1 has the truth.
    let text = cx.world.kv.get(&kv_key(&cx.tenant.id, hash)).await.ok().flatten()?;
    (sha256(&text).to_text() == hash).then_some(text)
}

async fn keep(cx: &Cx<'_>, hash: &str, text: String) {
    if cx.world.kv.put(&kv_key(&cx.tenant.id, hash), text).await.is_err() {
        cx.world.log.line("policies: KV did not take a shard; D1 serves it");
    }
}

/// How the names of all manifests and shards of a tenant in KV begin.
pub fn kv_prefix(tenant: &str) -> String {
    format!("policy/{tenant}/")
}

fn kv_key(tenant: &str, hash: &str) -> String {
    kv_prefix(tenant) + hash
}

/// A shard's text and what is in it: everything that is not off, by id.
fn pack(mut sources: Vec<Source>) -> Result<(String, Vec<Source>)> {
    sources.retain(|source| source.mode != Mode::Off);
    sources.sort_by(|a, b| a.id.cmp(&b.id));
    let text = serde_json::to_string(&sources).map_err(|_| Fault::Broken("policies have no JSON"))?;
    Ok((text, sources))
}

/// What a change of one policy does to the shards.
pub(super) struct Altered {
    /// The shard of the policy as it will be.
    pub(super) shard: String,
    /// What the tenant's pointer will say.
    pub(super) pointer: String,
    /// Links of the change.
    pub(super) links: Vec<Sql>,
    /// What KV has to have before the pointer moves: the shards, then the manifest, each by its content hash.
    texts: Vec<(String, String)>,
    manifest: Manifest,
    /// What will lie in the shards that it looked at, by their names.
    contents: BTreeMap<String, Vec<Source>>,
    /// Those of them that will be others than now.
    changed: BTreeSet<String>,
}

impl Altered {
    /// Whether a question that reads the shards of these names could have another answer.
    pub(super) fn touches(&self, names: &BTreeSet<String>) -> bool {
        !self.changed.is_disjoint(names)
    }
}

/// The shards as a change would leave them, for questions that are asked before.
pub(super) struct Trial<'a> {
    altered: &'a Altered,
    /// The policy that is written, as if it were enforced.
    enforced: Option<&'a Source>,
    made: RefCell<BTreeMap<String, Rc<Shard>>>,
}

impl<'a> Trial<'a> {
    pub(super) const fn new(altered: &'a Altered, enforced: Option<&'a Source>) -> Self {
        Self { altered, enforced, made: RefCell::new(BTreeMap::new()) }
    }

    /// The shards of these names.
    pub(super) async fn shards(&self, cx: &Cx<'_>, names: &BTreeSet<String>) -> Result<Vec<Rc<Shard>>> {
        let (mut found, mut others) = (Vec::new(), Vec::new());
        for name in names {
            match self.make(name)? {
                Some(shard) => found.push(shard),
                None => others.extend(self.altered.manifest.0.get(name).map(|hash| (name.as_str(), hash.as_str()))),
            }
        }
        found.extend(load(cx, &others).await?);
        Ok(found)
    }

    fn make(&self, name: &str) -> Result<Option<Rc<Shard>>> {
        if let Some(known) = self.made.borrow().get(name) {
            return Ok(Some(Rc::clone(known)));
        }
        let Some(sources) = self.altered.contents.get(name) else { return Ok(None) };
        let enforced = self.enforced.filter(|_| name == self.altered.shard);
        let others = sources.iter().filter(|one| enforced.is_none_or(|enforced| enforced.id != one.id));
        let (text, sources) = pack(others.chain(enforced).cloned().collect())?;
        let shard = Rc::new(Shard::read(&sha256(&text).to_text(), &sources));
        self.made.borrow_mut().insert(name.to_owned(), Rc::clone(&shard));
        Ok(Some(shard))
    }
}

/// The names of the shards that documents of these homes lie in.
pub(super) fn names(homes: &BTreeSet<Home>) -> BTreeSet<String> {
    homes.iter().map(shard_of).collect()
}

/// Writes what a change has made into KV, so that a reader who follows the new pointer finds it.
pub(super) async fn write(cx: &Cx<'_>, altered: &Altered) {
    for (hash, text) in &altered.texts {
        keep(cx, hash, text.clone()).await;
    }
}

/// Makes the shards that a change of one policy alters, and the manifest. Nothing is written yet.
///
/// Where the pointer is not made of the shards that D1 tells of, an older version of Writ has moved it, and every shard is made anew.
pub(super) async fn alter(
    cx: &Cx<'_>,
    (pointer, shards): (&str, Vec<(String, String)>),
    present: Option<&Policy>,
    wanted: Option<&Source>,
) -> Result<Altered> {
    let tenant = &cx.tenant.id;
    let mut manifest = Manifest(shards.into_iter().collect());
    let before = manifest.pointer()?;
    let shard = wanted.map(|source| shard_of(&Home::of(&source.cedar)));
    let mut touched: BTreeSet<String> = present.map(|policy| policy.shard.clone()).into_iter().collect();
    touched.extend(shard.clone());
    if before != pointer {
        touched.extend(cx.all(store::policies::shard_names(tenant)).await?);
        touched.extend(manifest.0.keys().cloned());
    }
    let id = present.map(|policy| &policy.source.id).or(wanted.map(|source| &source.id));
    let (mut links, mut texts, mut contents) = (Vec::new(), Vec::new(), BTreeMap::new());
    let mut changed = BTreeSet::new();
    for name in touched {
        let policies = cx.all(store::policies::in_shard(tenant, &name)).await?;
        let others = policies.into_iter().map(|policy| policy.source).filter(|source| Some(&source.id) != id);
        let new = wanted.filter(|_| shard.as_ref() == Some(&name)).cloned();
        let (text, sources) = pack(others.chain(new).collect())?;
        let is_empty = sources.is_empty();
        contents.insert(name.clone(), sources);
        if is_empty {
            if manifest.0.remove(&name).is_some() {
                links.push(store::policies::drop_shard(tenant, &name));
                changed.insert(name);
            }
            continue;
        }
        let hash = sha256(&text).to_text();
        if manifest.0.get(&name) != Some(&hash) {
            links.push(store::policies::put_shard(tenant, &name, &hash));
            texts.push((hash.clone(), text));
            changed.insert(name.clone());
            manifest.0.insert(name, hash);
        }
    }
    let pointer = manifest.pointer()?;
    texts.extend(manifest.text()?.filter(|_| pointer != before).map(|text| (pointer.clone(), text)));
    Ok(Altered { shard: shard.unwrap_or_default(), pointer, links, texts, manifest, contents, changed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_has_the_shard_that_is_stored_with_its_policies() {
        // What these are is stored: another spreading would look for policies where they are not.
        for (home, shard) in [
            (Home::Everywhere, ""),
            (Home::Client("a".into()), "c0"),
            (Home::Resource("https://mcp.example/mcp".into()), "r48"),
            (Home::Connection("bigquery".into()), "k9"),
        ] {
            assert_eq!(shard_of(&home), shard, "{home:?}");
        }
    }

    #[test]
    fn names_are_spread_evenly() {
        let mut counts = [0_usize; 64];
        for n in 0..6_400 {
            let shard = shard_of(&Home::Client(format!("client_01J{n:08}")));
            counts[shard[1..].parse::<usize>().unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (50..200).contains(count)), "{counts:?}");
    }
}

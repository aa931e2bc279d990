//! A witness of logs, as strict as C2SP tlog-witness has it: it keeps what it has cosigned last, takes only what the log's key has signed, and cosigns
//! only what continues that. It reads and verifies with code of its own.

use super::doubles::Scripted;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use sha2::{Digest, Sha256};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use writ::ports::Outbound;

type Hash = [u8; 32];
type Lie = Box<dyn Fn(String) -> String>;

pub struct Witness {
    pub name: String,
    key: SigningKey,
    clock: super::run::Clock,
    /// The log that it knows: its verifier key.
    log: RefCell<Option<String>>,
    /// What it has cosigned last.
    pub latest: RefCell<Option<(u64, Hash)>>,
    /// The status of each answer so far.
    pub answered: RefCell<Vec<u16>>,
    /// By how many seconds its clock is ahead.
    pub ahead: Cell<u64>,
    /// How long it takes to answer.
    pub takes_millis: Cell<u64>,
    /// Says this instead, if there is something.
    pub instead: RefCell<Option<Scripted>>,
    /// Changes the lines of its answer.
    pub lies: RefCell<Option<Lie>>,
}

fn key_id(name: &str, kind: u8, key: &[u8]) -> [u8; 4] {
    let digest = Sha256::new().chain_update(name).chain_update([b'\n', kind]).chain_update(key).finalize();
    digest[..4].try_into().unwrap()
}

fn node(left: Hash, right: Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// RFC 6962 §2.1.2 word by word: the roots of the first `m` and of all `n` leaves, as the proof has them.
fn roots(m: u64, n: u64, whole: bool, old: Hash, proof: &mut Vec<Hash>) -> Option<(Hash, Hash)> {
    if m == n {
        let root = if whole { old } else { proof.pop()? };
        return Some((root, root));
    }
    let k = (0..64).map(|bits| 1_u64 << bits).take_while(|k| *k < n).last()?;
    let outer = proof.pop()?;
    if m <= k {
        let (first, left) = roots(m, k, whole, old, proof)?;
        Some((first, node(left, outer)))
    } else {
        let (first, right) = roots(m - k, n - k, false, old, proof)?;
        Some((node(outer, first), node(outer, right)))
    }
}

fn decimal(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

fn hash(line: &str) -> Option<Hash> {
    STANDARD.decode(line).ok()?.try_into().ok()
}

impl Witness {
    /// A witness with that name, which serves at the URL of its name.
    pub fn new(hub: &super::Setup, name: &str) -> Rc<Self> {
        let seed: Hash = Sha256::digest(name).into();
        Rc::new(Self {
            name: name.to_owned(),
            key: SigningKey::from_bytes(&seed),
            clock: hub.clock.clone(),
            log: RefCell::default(),
            latest: RefCell::default(),
            answered: RefCell::default(),
            ahead: Cell::new(0),
            takes_millis: Cell::new(0),
            instead: RefCell::default(),
            lies: RefCell::default(),
        })
    }

    /// Opens witnesses: each answers below the URL of its name, and nobody else does.
    pub fn open(hub: &super::Setup, witnesses: &[Rc<Self>]) {
        let all = witnesses.to_vec();
        hub.fetch.answer(move |request| {
            let is_at = |one: &&Rc<Self>| request.url == format!("{}/add-checkpoint", one.url());
            match all.iter().find(is_at) {
                Some(witness) => witness.answer(request),
                None => Scripted::failure(writ::ports::FetchError::Unreachable),
            }
        });
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.name)
    }

    /// Its verifier key.
    pub fn vkey(&self) -> String {
        let public = self.key.verifying_key().to_bytes();
        let id: String = key_id(&self.name, 4, &public).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}+{id}+{}", self.name, STANDARD.encode([&[4], &public[..]].concat()))
    }

    /// Its operator adds the key of a log.
    pub fn trust(&self, vkey: &str) {
        *self.log.borrow_mut() = Some(vkey.trim().to_owned());
    }

    pub fn size(&self) -> u64 {
        self.latest.borrow().map_or(0, |(size, _)| size)
    }

    fn answer(&self, request: &Outbound) -> Scripted {
        if let Some(instead) = &*self.instead.borrow() {
            return instead.clone();
        }
        assert_eq!(request.method, "POST");
        let body = request.body.as_deref().unwrap();
        let (status, text) = self.add_checkpoint(body).unwrap_or_else(|| panic!("no request of the form: {body}"));
        self.answered.borrow_mut().push(status);
        let text = match (&*self.lies.borrow(), status) {
            (Some(lie), 200) => lie(text),
            _ => text,
        };
        let media = if status == 409 { "text/x.tlog.size" } else { "text/plain" };
        Scripted::answer(status, media, text).after(self.takes_millis.get())
    }

    /// Nothing where the request is not of the form that the specification has.
    fn add_checkpoint(&self, body: &str) -> Option<(u16, String)> {
        let (head, note) = body.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let old = decimal(lines.next()?.strip_prefix("old ")?)?;
        let mut proof = lines.map(hash).collect::<Option<Vec<_>>>()?;
        assert!(proof.len() <= 63 && note.ends_with('\n'));
        let (text, signatures) = note.split_once("\n\n")?;
        let text = format!("{text}\n");
        let fields: Vec<&str> = text.lines().collect();
        let [origin, size, root] = fields[..] else { return None };
        let (size, root) = (decimal(size)?, hash(root)?);
        let Some(log) = self.log.borrow().clone().filter(|log| log.split('+').next() == Some(origin)) else {
            return Some((404, String::new()));
        };
        let public: Vec<u8> = STANDARD.decode(log.splitn(3, '+').nth(2)?).ok()?;
        assert_eq!(public[0], 1);
        let verifying = VerifyingKey::try_from(&public[1..]).ok()?;
        let signed = signatures.lines().any(|line| {
            let Some((name, signature)) = line.strip_prefix("— ").and_then(|line| line.split_once(' ')) else {
                panic!("no signature: {line}");
            };
            let bytes = STANDARD.decode(signature).unwrap();
            let is_its = name == origin && bytes[..4] == key_id(origin, 1, &public[1..]);
            is_its && verifying.verify(text.as_bytes(), &Signature::from_slice(&bytes[4..]).unwrap()).is_ok()
        });
        if !signed {
            return Some((403, String::new()));
        }
        if old > size {
            return Some((400, String::new()));
        }
        let (seen, seen_root) = self.latest.borrow().unwrap_or((0, Sha256::digest("").into()));
        if old != seen {
            return Some((409, format!("{seen}\n")));
        }
        if old == size && root != seen_root {
            return Some((409, format!("{seen}\n")));
        }
        let continues = match old {
            0 => proof.is_empty(),
            _ => roots(old, size, true, seen_root, &mut proof) == Some((seen_root, root)) && proof.is_empty(),
        };
        if !continues {
            return Some((422, String::new()));
        }
        *self.latest.borrow_mut() = Some((size, root));
        Some((200, self.cosign(&text)))
    }

    /// Its signature line under the text of a checkpoint.
    pub fn cosign(&self, text: &str) -> String {
        let at = self.clock.seconds() + self.ahead.get();
        let signature = self.key.sign(format!("cosignature/v1\ntime {at}\n{text}").as_bytes()).to_bytes();
        let id = key_id(&self.name, 4, self.key.verifying_key().as_bytes());
        let bytes = [&id[..], &at.to_be_bytes(), &signature].concat();
        format!("— {} {}\n", self.name, STANDARD.encode(bytes))
    }
}

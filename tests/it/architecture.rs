//! The map of `src/lib.rs` and the house rules, held by reading the text of the project (who imports whom: `graph`). Each rule is also shown a sample
//! that breaks it, so that none can pass because it looks at nothing.

use std::fs;
use std::path::Path;

/// Each module may import those of the rows above its own, and none of its own row.
const ROWS: &[&[&str]] = &[
    &["ports"],
    &["crypto", "error"],
    &["jose"],
    &["oauth", "webauthn"],
    &["model"],
    &["cedar", "config"],
    &["store"],
    &["context"],
    &["outbound"],
    &["audit"],
    &["directory"],
    &["policy"],
    &["keys"],
    &["revocation", "webhooks"],
    &["federation"],
    &["authn"],
    &["registration"],
    &["approvals"],
    &["tokens"],
    &["authorize"],
    &["vault"],
    &["grants"],
    &["jobs"],
    &["web"],
    &["app"],
    &["cli"],
    &["shell"],
];

const DOCUMENTS: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "docs/architecture.md",
    "docs/conformance.md",
    "docs/decisions.md",
    "docs/mechanisms.md",
    "docs/open.md",
    "docs/operations.md",
    "docs/performance.md",
    "docs/policies.md",
    "docs/requirements.md",
    "docs/storage.md",
    "docs/threats.md",
];

const MAX_LINES: usize = 400;

/// A file of the project.
pub struct File {
    pub path: String,
    pub text: String,
}

impl File {
    pub fn sample(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The text without comments and without the unit tests, which end a file.
    fn code(&self) -> String {
        let lines = self.text.lines().take_while(|line| line.trim() != "#[cfg(test)]");
        lines
            .map(|line| {
                line.split_once("//").map_or(line, |(code, _)| if code.ends_with(':') { line } else { code }).to_owned()
                    + "\n"
            })
            .collect()
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path == *place || (place.ends_with('/') && self.path.starts_with(place)))
    }
}

/// Every file below `folder` whose name ends like that, by path from the root of the project.
fn files(folder: &str, ending: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let generated = ["target", "build", "node_modules", "__pycache__"].contains(&name)
                || (name.starts_with('.') && name != ".ci");
            if path.is_dir() && !generated {
                folders.push(path);
            } else if path.is_file() && name.ends_with(ending) && name != ".git" {
                // What is no text has no rules.
                if let Ok(text) = fs::read_to_string(&path) {
                    found.push(File { path: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), text });
                }
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

pub fn sources() -> Vec<File> {
    let found = files("src", ".rs");
    assert!(found.len() > 60, "the sources are where they were");
    found
}

type Rule = fn(&File) -> Vec<String>;

/// The project keeps the rule, and the rule notices every one of the samples.
#[track_caller]
fn hold(files: &[File], rule: Rule, broken: &[(&str, &str)]) {
    for (path, text) in broken {
        assert!(!rule(&File::sample(path, text)).is_empty(), "the rule misses {path}: {text}");
    }
    let complaints: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Identifiers with what stands before and after each.
fn words(code: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + code[rest..].find(is_word)?;
        let end = code[start..].find(|c| !is_word(c)).map_or(code.len(), |n| start + n);
        rest = end;
        Some((&code[..start], &code[start..end], &code[end..]))
    })
}

/// Whether the word is used as the name of a crate: a path begins with it, or `use` names it.
fn names_crate(code: &str, name: &str) -> bool {
    words(code).any(|(before, word, after)| {
        let path = after.starts_with("::") && !before.ends_with("::") && !before.ends_with('.');
        let import = before.trim_end().ends_with("use") && !after.starts_with('(');
        word == name && (path || import)
    })
}

/// The level of a module.
pub fn row_of(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

fn platform(file: &File) -> Vec<String> {
    let names = ["worker", "wasm_bindgen", "wasm_bindgen_futures", "js_sys", "web_sys"];
    let code = file.code();
    let found = names.iter().filter(|name| !file.is_in(&["src/shell/"]) && names_crate(&code, name));
    found.map(|name| format!("{}: `{name}` outside of src/shell", file.path)).collect()
}

fn sql(file: &File) -> Vec<String> {
    let keywords =
        ["SELECT ", "INSERT INTO", "INSERT OR ", "UPDATE ", "DELETE FROM", "CREATE TABLE", "DROP TABLE", "ON CONFLICT"];
    let code = file.code();
    let lower = |keyword: &str| code.contains(&format!("\"{}", keyword.to_lowercase()));
    let found =
        keywords.iter().filter(|keyword| !file.is_in(&["src/store/"]) && (code.contains(**keyword) || lower(keyword)));
    found.map(|keyword| format!("{}: SQL ({keyword}) outside of src/store", file.path)).collect()
}

fn store_awaits(file: &File) -> Vec<String> {
    let code = file.code();
    let found = [".await", "async "].into_iter().filter(|word| file.is_in(&["src/store/"]) && code.contains(word));
    found.map(|word| format!("{}: the store is data, and `{word}` is not", file.path)).collect()
}

fn symmetric(file: &File) -> Vec<String> {
    let names = ["aes_gcm", "aes", "sha2", "sha1", "hmac", "hkdf", "subtle", "chacha20poly1305", "ring"];
    let code = file.code();
    let found = names.iter().filter(|name| !file.is_in(&["src/crypto/"]) && names_crate(&code, name));
    found.map(|name| format!("{}: `{name}` outside of src/crypto", file.path)).collect()
}

fn outbound(file: &File) -> Vec<String> {
    let code: String = file.code().split_whitespace().collect();
    let found = ["world.fetch", ".fetch.fetch(", ".fetch.open(", "Outbound{", "Forward{"].into_iter();
    let found = found.filter(|call| {
        !file.is_in(&["src/outbound.rs", "src/ports.rs", "src/ports/", "src/shell/"]) && code.contains(call)
    });
    found.map(|call| format!("{}: `{call}` goes around the gate of src/outbound.rs", file.path)).collect()
}

fn minting(file: &File) -> Vec<String> {
    let code: String = file.code().split_whitespace().collect();
    let mut complaints = Vec::new();
    if !file.is_in(&["src/tokens/mint.rs", "src/jose/claims.rs"]) && code.contains("AccessToken{") {
        complaints.push(format!("{}: access tokens are made in src/tokens/mint.rs", file.path));
    }
    let signs = code.contains("keys.sign(");
    if signs && !file.is_in(&["src/tokens/mint.rs", "src/keys.rs", "src/audit/log/keys.rs", "src/vault/provider/"]) {
        complaints.push(format!("{}: nothing signs but issuance, checkpoints and providers", file.path));
    }
    if code.contains("\"at+jwt\"") && !file.is_in(&["src/tokens/mint.rs", "src/tokens/verify.rs", "src/jose/"]) {
        complaints.push(format!(
            "{}: access tokens are signed in src/tokens/mint.rs and verified in src/tokens/verify.rs",
            file.path
        ));
    }
    complaints
}

fn test_switches(file: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines: Vec<&str> = file.text.lines().collect();
    for (n, line) in lines.iter().enumerate() {
        let stands_before_tests =
            line.trim() == "#[cfg(test)]" && lines.get(n + 1).is_some_and(|next| next.trim() == "mod tests {");
        let names_test = words(line).any(|(before, word, _)| word == "test" && before.contains("cfg"));
        if names_test && !stands_before_tests && !line.trim_start().starts_with("//") {
            complaints.push(format!("{}:{}: behaviour may not depend on whether tests run", file.path, n + 1));
        }
    }
    complaints
}

fn clocks(file: &File) -> Vec<String> {
    let code = file.code();
    let host = file.is_in(&["src/shell/", "src/bin/"]);
    let found = [
        "SystemTime::now",
        "Instant::now",
        "Zoned::now",
        "Timestamp::now",
        "Utc::now",
        "Local::now",
        "Date::now",
        "thread_local!",
        "static mut",
    ];
    let found = found.into_iter().filter(|name| !host && code.contains(name));
    found.map(|name| format!("{}: `{name}`: take `Now`", file.path)).collect()
}

/// RUSTSEC-2023-0071: what `rsa` does with a private key takes a time that tells of it.
fn rsa_private(file: &File) -> Vec<String> {
    let names = ["pkcs1v15", "pss", "oaep", "Pkcs1v15Sign", "Pkcs1v15Encrypt", "Oaep", "Pss", "rsa_decrypt"];
    let code = file.code();
    let found = names.into_iter().filter(|name| words(&code).any(|(_, word, _)| word == *name));
    found.map(|name| format!("{}: `{name}`: sign through the port", file.path)).collect()
}

fn size(file: &File) -> Vec<String> {
    let lines = file.text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
    let long = (lines > MAX_LINES).then(|| format!("{}: {lines} lines before tests; at most {MAX_LINES}", file.path));
    long.into_iter().collect()
}

fn module_doc(file: &File) -> Vec<String> {
    let missing =
        (!file.text.starts_with("//! ")).then(|| format!("{}: a file begins by saying what it is", file.path));
    missing.into_iter().collect()
}

fn suppressions(file: &File) -> Vec<String> {
    let code: String = file.code().split_whitespace().collect();
    let found = ["#[allow(", "#![allow(", "unsafe{", "todo!(", "unimplemented!(", "dbg!("];
    found.into_iter().filter(|text| code.contains(text)).map(|text| format!("{}: `{text}`", file.path)).collect()
}

fn notes_to_self(file: &File) -> Vec<String> {
    // In two halves, so that this file keeps its own rule.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("HA", "CK"),
        concat!("Place", "holder."),
    ];
    let found = marks.into_iter().filter(|mark| words_or_text(&file.text, mark));
    found.map(|mark| format!("{}: `{mark}`: a known gap is a line in docs/conformance.md", file.path)).collect()
}

fn words_or_text(text: &str, mark: &str) -> bool {
    text.match_indices(mark).any(|(n, _)| {
        let is_word = |c: char| c.is_alphanumeric();
        !text[..n].ends_with(is_word) && !text[n + mark.len()..].starts_with(is_word)
    })
}

fn machine_paths(file: &File) -> Vec<String> {
    let roots = [concat!("/wo", "rk"), concat!("/fa", "rm"), concat!("/ho", "me/"), concat!("/ro", "ot/")];
    let found = roots.into_iter().filter(|root| {
        file.text.match_indices(root).any(|(n, _)| {
            let free = !file.text[..n].ends_with(|c: char| c.is_alphanumeric() || "._-$}~/*".contains(c));
            let whole = root.ends_with('/')
                || !file.text[n + root.len()..].starts_with(|c: char| c.is_alphanumeric() || "-_.".contains(c));
            free && whole
        })
    });
    found.map(|root| format!("{}: `{root}` is a path of one machine", file.path)).collect()
}

/// Pages that this repository does not have.
fn absent_pages(file: &File) -> Vec<String> {
    let marks = ["design §", "design, §", "checklist", "fault model", "security decision ("];
    let lines = file.text.lines().enumerate();
    let found = lines.filter(|(_, line)| marks.iter().any(|mark| line.to_lowercase().contains(mark)));
    found.map(|(n, line)| format!("{}:{}: cites what is not here: {}", file.path, n + 1, line.trim())).collect()
}

#[test]
fn the_map_of_lib_rs_and_the_table_tell_the_same() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! | ")?.split(" | ").nth(1));
    let named: Vec<Vec<String>> = rows
        .map(|cell| cell.replace("(WebAssembly only)", ""))
        .map(|cell| words(&cell).map(|(_, word, _)| word.to_owned()).collect())
        .filter(|row: &Vec<String>| row.first().is_some_and(|word| row_of(word).is_some()))
        .collect();
    assert_eq!(named.len(), 8, "{named:?}");
    let (mut documented, mut table) = (Vec::new(), Vec::new());
    for (level, row) in named.iter().enumerate() {
        for module in row {
            documented.push(module.as_str());
            let below = named[..level].iter().flatten().map(|name| row_of(name).unwrap());
            assert!(below.max() < row_of(module), "`{module}` is on another level in src/lib.rs");
        }
    }
    table.extend(ROWS.iter().copied().flatten().copied());
    documented.sort_unstable();
    table.sort_unstable();
    assert_eq!(documented, table);
    let declared =
        lib.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    let mut declared: Vec<_> = declared.collect();
    declared.sort_unstable();
    assert_eq!(declared, table, "every module is on the map");
}

#[test]
fn the_platform_is_named_only_in_the_shell() {
    hold(
        &sources(),
        platform,
        &[
            ("src/app.rs", "use worker::Env;"),
            ("src/web/x.rs", "fn f(value: wasm_bindgen::JsValue) {}"),
            ("src/keys.rs", "let now = js_sys::Date::now();"),
            ("src/cx.rs", "use web_sys;"),
        ],
    );
}

#[test]
fn sql_is_in_the_store_alone_and_the_store_is_data() {
    hold(
        &sources(),
        sql,
        &[
            ("src/keys.rs", r#"batch("SELECT 1")"#),
            ("src/audit/x.rs", r#"let text = "DELETE FROM events";"#),
            ("src/vault/x.rs", r#"let text = "update leases set claim = 1";"#),
        ],
    );
    hold(
        &sources(),
        store_awaits,
        &[("src/store/x.rs", "cx.batch(vec![]).await?"), ("src/store/x.rs", "pub async fn f() {}")],
    );
}

#[test]
fn symmetric_cryptography_is_in_crypto_alone() {
    hold(
        &sources(),
        symmetric,
        &[
            ("src/vault/x.rs", "use aes_gcm::Aes256Gcm;"),
            ("src/jose/x.rs", "let digest = sha2::Sha256::digest(b);"),
            ("src/keys.rs", "use subtle::ConstantTimeEq;"),
        ],
    );
}

#[test]
fn no_private_key_of_rsa_works_outside_the_signature_port() {
    hold(&sources(), rsa_private, &[("src/vault/x.rs", "use rsa::pkcs1v15::SigningKey;")]);
}

#[test]
fn every_call_to_another_service_passes_the_gate() {
    hold(
        &sources(),
        outbound,
        &[
            ("src/vault/lease.rs", "cx.world.fetch.fetch(request).await"),
            ("src/web/x.rs", "let port = &cx\n    .world\n    .fetch;"),
            ("src/keys.rs", "let request = Outbound { method };"),
            ("src/vault/x.rs", "let request = Forward { method };"),
        ],
    );
}

#[test]
fn access_tokens_are_minted_in_one_place() {
    hold(
        &sources(),
        minting,
        &[
            ("src/web/token.rs", "let claims = AccessToken { iss };"),
            ("src/tokens/verify.rs", "cx.world.keys.sign(key, input).await"),
            ("src/vault/provider/x.rs", "Unsigned::new(alg, \"at+jwt\"); cx.world.keys.sign(key, input)"),
        ],
    );
}

#[test]
fn nothing_behaves_otherwise_under_test_and_nobody_reads_a_clock() {
    hold(
        &sources(),
        test_switches,
        &[
            ("src/cx.rs", "if cfg!(test) { return }"),
            ("src/cx.rs", "#[cfg(not(test))]\nfn now() {}"),
            ("src/cx.rs", "#[cfg(test)]\nfn now() {}"),
            ("src/cx.rs", "#[cfg_attr(test, derive(Debug))]"),
        ],
    );
    hold(
        &sources(),
        clocks,
        &[("src/keys.rs", "let t = std::time::Instant::now();"), ("src/cx.rs", "thread_local! {}")],
    );
}

#[test]
fn files_are_short_and_begin_by_saying_what_they_are() {
    let long = "x\n".repeat(MAX_LINES + 1);
    let both: Vec<File> = sources().into_iter().chain(files("tests/it/support", ".rs")).collect();
    hold(&both, size, &[("src/x.rs", &long)]);
    hold(&both, module_doc, &[("src/x.rs", "use crate::cx;"), ("src/x.rs", "")]);
}

#[test]
fn functions_have_seven_arguments_at_the_most() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("clippy.toml")).unwrap();
    let limit = text.lines().find_map(|line| line.strip_prefix("too-many-arguments-threshold = ")).unwrap();
    assert!(limit.parse::<u8>().unwrap() <= 7, "{limit}");
}

#[test]
fn nothing_is_suppressed_without_a_reason_and_nothing_is_left_for_later() {
    hold(
        &sources(),
        suppressions,
        &[("src/x.rs", "#[allow(dead_code)]"), ("src/x.rs", "todo!()"), ("src/x.rs", "unsafe { f() }")],
    );
    hold(
        &everything(),
        notes_to_self,
        &[("src/x.rs", concat!("// TO", "DO: later")), ("docs/x.md", concat!("FIX", "ME"))],
    );
}

/// Everything that people wrote; lock files are not.
fn everything() -> Vec<File> {
    let mut all = files("", "");
    all.retain(|file| {
        !file.path.ends_with("lock.json")
            && !file.path.ends_with("Cargo.lock")
            // What links a working tree to its repository.
            && file.path != ".git"
            && file.path != "tests/it/architecture.rs"
    });
    assert!(all.len() > 100);
    all
}

#[test]
fn no_text_names_a_path_of_one_machine() {
    hold(
        &everything(),
        machine_paths,
        &[
            ("README.md", concat!("cd /wo", "rk/main")),
            ("scripts/x", concat!("\"/fa", "rm\"")),
            ("docs/x.md", concat!("`/ho", "me/somebody`")),
        ],
    );
    assert!(machine_paths(&File::sample("scripts/x", "$TOOLS/worker-build node_modules/workerd")).is_empty());
}

#[test]
fn no_text_cites_a_page_that_is_not_here() {
    let broken = [
        "//! 1. Fresh (design §5).",
        "/// Checklist, line 62.",
        "// security decision (h)",
        "| Fault model | row 16 |",
    ];
    hold(&everything(), absent_pages, &broken.map(|text| ("src/x.rs", text)));
    assert!(absent_pages(&File::sample("docs/x.md", "A security decision never rests on old data (R102).")).is_empty());
}

#[test]
fn every_document_is_there_and_says_something() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let missing: Vec<_> = DOCUMENTS
        .iter()
        .filter(|path| !fs::read_to_string(root.join(path)).is_ok_and(|text| text.len() > 200))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_place_that_the_page_of_threats_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/threats.md")).unwrap();
    let rows = document.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let last = rows.skip(1).filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    let places: Vec<_> = last.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(places.len() > 20, "{places:?}");
    let missing: Vec<_> = places.iter().filter(|place| !root.join("src").join(place).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn numbering(names: &[&str]) -> Result<(), String> {
    for (n, name) in names.iter().enumerate() {
        let wanted = format!("{:04}_", n + 1);
        let rest = name.strip_prefix(&wanted).and_then(|rest| rest.strip_suffix(".sql"));
        let sound = rest.is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
        });
        sound.then_some(()).ok_or_else(|| format!("`{name}` should be {wanted}….sql"))?;
    }
    Ok(())
}

#[test]
fn migrations_are_numbered_without_gaps() {
    let files = files("migrations", "");
    let names = files.iter().map(|file| file.path.trim_start_matches("migrations/"));
    let (trail, truth): (Vec<_>, Vec<_>) = names.partition(|name| name.starts_with("audit/"));
    let trail: Vec<_> = trail.iter().map(|name| name.trim_start_matches("audit/")).collect();
    for names in [&truth, &trail] {
        assert!(!names.is_empty());
        numbering(names).unwrap();
    }
    for bad in [
        &["1_start.sql"][..],
        &["0001_start.sql", "0003_more.sql"],
        &["0001_start.sql", "0001_again.sql"],
        &["0001_.sql"],
    ] {
        assert!(numbering(bad).is_err(), "{bad:?}");
    }
}

/// The two pages of promises: of the standards, and of the project itself.
fn promises() -> [String; 2] {
    ["docs/conformance.md", "docs/requirements.md"]
        .map(|path| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap())
}

/// The names in the last column of the tables of a document: `file::test` or `file::module::test`.
fn named_tests(document: &str) -> Vec<String> {
    let rows = document.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let cells = rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|name| name.contains("::"))
        .map(str::to_owned)
        .collect()
}

/// Whether a file of tests has a test of that name.
fn is_there(tests: &[File], name: &str) -> bool {
    let (place, test) = name.rsplit_once("::").unwrap();
    let place = place.replace("::", "/");
    let paths = [format!("tests/it/{place}.rs"), format!("src/{place}.rs"), format!("src/{place}/mod.rs")];
    let declaration = format!("#[test]\nfn {test}()");
    let found = tests.iter().filter(|file| paths.contains(&file.path));
    found.map(|file| file.text.replace("    ", "")).any(|text| text.contains(&declaration))
}

#[test]
fn every_test_that_the_conformance_table_names_exists() {
    let tests: Vec<File> = files("tests", ".rs").into_iter().chain(sources()).collect();
    for document in promises() {
        let names = named_tests(&document);
        assert!(names.len() > 50, "{}", names.len());
        let missing: Vec<_> = names.iter().filter(|name| !is_there(&tests, name)).collect();
        assert!(missing.is_empty(), "{missing:#?}");
    }

    assert_eq!(named_tests("| a | b `code` | `routes::token::x`, `keys::y` |"), ["routes::token::x", "keys::y"]);
    assert!(is_there(&tests, "architecture::migrations_are_numbered_without_gaps"));
    assert!(!is_there(&tests, "architecture::no_such_test"));
    assert!(!is_there(&tests, "architecture::numbering"), "a function that is no test");
}

#[test]
fn every_requirement_has_a_test_or_says_that_it_is_a_gap() {
    let untested = |document: &str| -> Vec<String> {
        let promised = |row: &&str| row.contains(" | yes | ") || (number(row).is_some() && !row.contains(" | gap | "));
        let rows = document.lines().filter(|line| line.starts_with("| ")).filter(promised);
        rows.filter(|row| named_tests(row).is_empty()).map(str::to_owned).collect()
    };
    assert_eq!(promises().iter().flat_map(|document| untested(document)).collect::<Vec<_>>(), Vec::<String>::new());
    assert_eq!(untested("| RFC 1 §1 | x | yes | none |").len(), 1);
    assert_eq!(untested("| R1 | x | Writ | none |").len(), 1);
}

/// The number of a row of `docs/requirements.md`.
fn number(row: &str) -> Option<usize> {
    row.strip_prefix("| R")?.split(' ').next()?.parse().ok()
}

/// The requirements that a text cites, as `R12`.
fn cited(text: &str) -> Vec<usize> {
    let words = text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
    words.filter(|word| word.len() <= 4).filter_map(|word| word.strip_prefix('R')?.parse().ok()).collect()
}

#[test]
fn each_requirement_has_a_number_of_its_own_and_each_number_that_is_cited_is_there() {
    let [_, requirements] = promises();
    let mut numbers: Vec<_> = requirements.lines().filter_map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());

    let unknown: Vec<_> = everything()
        .iter()
        .flat_map(|file| cited(&file.text).into_iter().map(|number| (file.path.clone(), number)))
        .filter(|(_, number)| !numbers.contains(number))
        .collect();
    assert_eq!(unknown, []);
    assert_eq!(cited("R7 and `docs/requirements.md` R12, R13; RS256, R_1, XR2, R12345"), [7, 12, 13]);
}

/// The numbers that follow a word in a text.
fn numbers_after(word: &str, text: &str) -> Vec<usize> {
    let digits = |rest: &str| rest.split(|sign: char| !sign.is_ascii_digit()).next().unwrap_or_default().parse().ok();
    text.split(word).skip(1).filter_map(digits).collect()
}

#[test]
fn each_decision_has_a_number_of_its_own_and_each_that_is_cited_is_there() {
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/decisions.md")).unwrap();
    let heads = document.lines().filter_map(|line| line.split_once(". **")?.0.parse::<usize>().ok());
    let numbers: Vec<_> = heads.collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());

    let unknown: Vec<_> = everything()
        .iter()
        .flat_map(|file| numbers_after("decision ", &file.text).into_iter().map(|number| (file.path.clone(), number)))
        .filter(|(_, number)| !numbers.contains(number))
        .collect();
    assert_eq!(unknown, []);
    assert_eq!(numbers_after("decision ", "see decision 23, decision (b) and decision 4."), [23, 4]);
}

#[test]
fn every_test_of_conformance_is_in_the_table() {
    let named: Vec<_> = promises().iter().flat_map(|document| named_tests(document)).collect();
    let mut missing = Vec::new();
    for file in files("tests/it/conformance", ".rs") {
        let place = file.path.trim_start_matches("tests/it/").trim_end_matches(".rs").replace('/', "::");
        let tests = file.text.split("#[test]\nfn ").skip(1).filter_map(|rest| rest.split('(').next());
        missing.extend(tests.map(|test| format!("{place}::{test}")).filter(|name| !named.contains(name)));
    }
    assert_eq!(missing, Vec::<String>::new());
}

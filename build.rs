//! Builds the catalogue into the artifact: each `catalogue/NAME.toml` as JSON, so that the Worker needs no parser of TOML and reads an entry
//! when it is needed. What an entry may hold is `vault::service`'s to say; a native test reads them all.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=catalogue");
    let mut files: Vec<_> =
        fs::read_dir("catalogue")?.collect::<Result<Vec<_>, _>>()?.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    let mut table = String::from("&[\n");
    for path in files {
        let name = path.file_stem().and_then(|name| name.to_str()).ok_or("a name in the catalogue is no text")?;
        let entry: toml::Value =
            toml::from_str(&fs::read_to_string(&path)?).map_err(|error| format!("{}: {error}", path.display()))?;
        writeln!(table, "({name:?}, {:?}),", serde_json::to_string(&entry)?)?;
    }
    table.push(']');
    fs::write(Path::new(&env::var("OUT_DIR")?).join("catalogue.rs"), table)?;
    Ok(())
}

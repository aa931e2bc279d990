//! Gives compiled WebAssembly its JavaScript: `bindgen INPUT.wasm DIRECTORY` writes `index.js` and `index_bg.wasm`.
//!
//! The command line of wasm-bindgen with the options that the crate `worker` needs: a module that instantiates itself, and that can
//! be made anew after a panic. Compiling the whole command line, with its test runner, takes four times as long.

use std::error::Error;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(input), Some(output), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: bindgen INPUT.wasm DIRECTORY".into());
    };
    Bindgen::new()
        .module(true)?
        .input_path(&input)
        .out_name("index")
        .typescript(false)
        .reset_state_function(true)
        .force_enable_abort_handler(true)
        .generate(&output)?;
    Ok(())
}

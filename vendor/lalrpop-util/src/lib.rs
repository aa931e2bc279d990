//! `lalrpop-util` with a lexer that knows the tokens of Cedar's grammars and nothing else.

pub use original::*;
pub mod lexer;

//! `regex-lite` under the name of `regex`: the same interface, a fraction of the size. Classes such as `\d` are ASCII.

pub use regex_lite::*;

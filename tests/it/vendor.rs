//! What stands in `vendor/` does for Writ what it replaces.

use cedar_policy::ffi::DetailedError;
use cedar_policy::{EntityTypeName, PolicySet};

const REST: &str = "(principal, action, resource)";

/// How many statements Cedar reads, or the place of its first complaint.
fn read(text: &str) -> Result<usize, usize> {
    let set = text.parse::<PolicySet>();
    set.map(|set| set.num_of_policies()).map_err(|errors| {
        let first = DetailedError::from(errors.iter().next().unwrap());
        first.source_locations[0].loc.start
    })
}

#[test]
fn space_is_that_of_unicode_and_comments_end_with_their_line() {
    for space in
        [" ", "\t\r\n\u{b}\u{c}", "\u{85}\u{a0}\u{1680}\u{2000}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}"]
    {
        assert_eq!(read(&format!("{space}permit{space}{REST}{space};{space}")), Ok(1), "{space:?}");
    }
    assert_eq!(read(&format!("// \"ü;\r\npermit{REST}//;\n;//")), Ok(1));
    assert_eq!(read(&format!("permit{REST}; // permit{REST};\rpermit{REST};")), Ok(2));
    for no_space in ["\u{200b}", "\u{feff}", "\0", "\u{1c}", "/ /"] {
        assert_eq!(read(&format!("{no_space}permit{REST};")), Err(0), "{no_space:?}");
    }
}

#[test]
fn the_longest_token_counts_and_a_keyword_beats_a_name() {
    let when = |condition: &str| read(&format!("permit{REST} when {{ {condition} }};"));
    for good in [
        "context.inner == context.is1",
        "context.a<=1&&!context.b||context.c!=1",
        "context.permitted",
        "ip(\"::1\").isIpv6()||A::b::\"x\"==context.a",
        "007 == 7",
        "[{a:1}.a,-1*2].contains(1)",
        "principal in[Client::\"a\"]",
        "context.a like\"*\"",
        "_x::y::\"a\" is A",
    ] {
        assert_eq!(when(good), Ok(1), "{good}");
    }
    let start = format!("permit{REST} when {{ ").len();
    for (bad, at) in
        [("1 = 1", 0), ("a & b", 2), ("a | b", 2), ("1x", 1), ("true ? 1", 5), ("principalx in", 14), ("#", 0)]
    {
        assert_eq!(when(bad), Err(start + at), "{bad}");
    }
    assert!(read("permitt(principal, action, resource);").is_err());
    assert!(read("permit(principal == ?principal, action, resource);").is_ok_and(|statics| statics == 0), "a template");
    assert!(read("permit(principal == ?other, action, resource);").is_err());
}

#[test]
fn a_string_ends_at_the_first_quote_that_is_not_escaped() {
    let named = |name: &str| read(&format!("permit{REST} when {{ principal.name == \"{name}\" }};"));
    for good in ["", "a;}(", "\\\"", "\\\\", "\\n\\t\\0\\x41\\u{1f600}", "a\nb", "ü日\u{202e}", "//"] {
        assert_eq!(named(good), Ok(1), "{good:?}");
    }
    let quote = format!("permit{REST} when {{ principal.name == ").len();
    for open in ["\\", "\\\\\\", "\\\n", "a\\\nb"] {
        assert!(named(open).is_err_and(|at| at >= quote), "{open:?}");
    }
}

#[test]
fn a_name_is_a_path_of_ascii_identifiers() {
    let reads = |name: &str| name.parse::<EntityTypeName>().is_ok();
    for good in ["a", "_", "_9", "A::B", "A9::_b::C", "principal"] {
        assert!(reads(good), "{good}");
    }
    for bad in [
        "", "9a", "a-b", "a b", "ä", "aä", "٣", "a٣", "a\n", "\na", "a::", "::a", "a:b", "a::9", "a::::b", "if",
        "a::in",
    ] {
        assert!(!reads(bad), "{bad:?}");
    }
}

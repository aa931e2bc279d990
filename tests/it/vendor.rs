//! What stands in `vendor/` does for Writ what it replaces.

use cedar_policy::PolicySet;
use cedar_policy::ffi::DetailedError;
use writ::cedar::check;

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
fn names_in_several_scripts_are_fine_and_text_that_runs_both_ways_is_not() {
    let named = |name: &str| check("p", &format!("permit{REST} when {{ principal.name == \"{name}\" }};"));
    for good in ["Zürich Склад", "сhаt", "東京 Tokyo", "αβγ abc"] {
        assert_eq!(named(good), Ok(()), "{good}");
    }
    assert!(named("user\u{202e}x").is_err());
}

#[test]
fn a_number_of_json_reads_back_as_itself() {
    let mut bits = 2026_u64;
    let random = std::iter::repeat_with(|| {
        bits = bits.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        f64::from_bits(bits ^ (bits >> 31))
    });
    let chosen = [0.0, -0.0, 0.1, 1.0, -1.5, 1e15, 1e16, 1e21, 1e-7, f64::MAX, f64::MIN_POSITIVE, 5e-324, 1.0 / 3.0];
    for number in random.filter(|number| number.is_finite()).take(10_000).chain(chosen) {
        let text = serde_json::to_string(&number).unwrap();
        let back: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(back.is_f64() || number == 0.0, "{text}");
        assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits(), "{text}");
    }
    assert_eq!(serde_json::json!([1.0, 0.5, f64::NAN, f32::MAX]).to_string(), "[1.0,0.5,null,3.4028234663852886e38]");
}

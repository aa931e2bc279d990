//! Reading the little XML that a service answers (XML 1.0): the texts of the elements below one element.
//!
//! 1. Elements have to be closed in order, and no wanted one comes twice. Declarations of types, processing instructions and CDATA are refused.
//! 2. A reference to an entity is not resolved: a text with one is no value.

use crate::crypto::Secret;
use quick_xml::Reader;
use quick_xml::events::Event;
use std::collections::BTreeMap;

const MAX_DEPTH: usize = 16;

/// The texts of the elements right below the one at `path`, without white space, by name.
pub fn children(xml: &str, path: &[&str]) -> Option<BTreeMap<String, Secret<String>>> {
    let mut reader = Reader::from_str(xml);
    let (mut open, mut found) = (Vec::<String>::new(), BTreeMap::new());
    let mut text = Secret::new(String::with_capacity(xml.len()));
    loop {
        let mut part = String::new();
        match reader.read_event().ok()? {
            Event::Start(_) if open.len() >= MAX_DEPTH => return None,
            Event::Start(element) => {
                open.push(std::str::from_utf8(element.local_name().as_ref()).ok()?.to_owned());
                text = Secret::new(String::new());
            }
            Event::Text(event) => part = event.decode().ok()?.into_owned(),
            Event::GeneralRef(_) => part.push(char::REPLACEMENT_CHARACTER),
            Event::End(_) => {
                let name = open.pop()?;
                let value = text.expose().chars().filter(|sign| !sign.is_ascii_whitespace()).collect();
                if open == path && found.insert(name, Secret::new(value)).is_some() {
                    return None;
                }
                text = Secret::new(String::new());
            }
            Event::Empty(_) | Event::Decl(_) | Event::Comment(_) => {}
            Event::DocType(_) | Event::PI(_) | Event::CData(_) => return None,
            Event::Eof => return open.is_empty().then_some(found),
        }
        if !part.is_empty() {
            text = Secret::new([text.expose().as_str(), &part].concat());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(xml: &str) -> Option<Vec<(String, String)>> {
        let found = children(xml, &["a", "b"])?;
        Some(found.into_iter().map(|(name, text)| (name, text.expose().clone())).collect())
    }

    #[test]
    fn the_texts_below_one_element_are_read_and_no_others() {
        let xml = "<?xml version=\"1.0\"?><a xmlns=\"x\"><b>\n <c>1\n 2</c><d/><e>3</e></b><c>4</c><!-- 5 --></a>";
        let pair = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(read(xml).unwrap(), [pair("c", "12"), pair("e", "3")]);
        assert!(read("<a><c>1</c></a>").unwrap().is_empty());
        assert!(!read("<a><b><c>1&amp;2</c></b></a>").unwrap()[0].1.is_ascii(), "no entity is resolved");
    }

    #[test]
    fn xml_that_says_two_things_or_more_than_elements_is_refused() {
        for xml in [
            "<a><b><c>1</c><c>2</c></b></a>",
            "<a><b><c>1</c></b>",
            "<a><b><c>1</b></c></a>",
            "<!DOCTYPE a [<!ENTITY x \"1\">]><a><b><c>&x;</c></b></a>",
            "<a><b><c><![CDATA[1]]></c></b></a>",
            "<a><?x y?></a>",
            &"<a>".repeat(20),
        ] {
            assert!(read(xml).is_none(), "{xml}");
        }
    }
}

//! Paths into a record, and where in its text they lead.

use std::fmt;

use serde::{
    Deserializer as _,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Into an object, by the contract's name of the key.
    Key(String),
    /// Into an array, from 0.
    Index(usize),
}

/// The path as people read it: `containers[3].origin`.
pub(super) fn render(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.extend([".", key]),
            Step::Index(index) => text.extend(["[", &index.to_string(), "]"]),
        }
    }
    text
}

/// The reverse of [`render`], for the paths of the contract's own fields.
pub(super) fn parse(text: &str) -> Vec<Step> {
    text.split(['.', '[', ']'])
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.parse()
                .map_or_else(|_| Step::Key(part.to_owned()), Step::Index)
        })
        .collect()
}

/// The contract's name for a key, which proto3 JSON also lets be written in lowerCamelCase.
pub(super) fn contract_name(key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 1);
    for char in key.chars() {
        if char.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(char.to_ascii_lowercase());
    }
    name
}

/// A key of an object with its value, as they stand in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'a> {
    /// With its quotes.
    pub(super) key: &'a str,
    pub(super) value: &'a str,
}

impl Member<'_> {
    /// The contract's name of its key.
    pub(super) fn name(&self) -> String {
        let key: String = serde_json::from_str(self.key).unwrap_or_default();
        contract_name(&key)
    }
}

/// The members of an object, in order; where the text is not good JSON, those before.
pub(super) fn members(object: &str) -> Vec<Member<'_>> {
    let mut parts = Parts::default();
    // The error was met before, by whoever asks for the members.
    let _ = serde_json::Deserializer::from_str(object).deserialize_map(&mut parts);
    parts.members
}

/// The elements of an array, in order; where the text is not good JSON, those before.
pub(super) fn elements(array: &str) -> Vec<&str> {
    let mut parts = Parts::default();
    // As above.
    let _ = serde_json::Deserializer::from_str(array).deserialize_seq(&mut parts);
    parts.elements
}

/// The part of `text` that `path` leads to. `None` where the path or good JSON ends before.
pub(super) fn find<'a>(text: &'a str, path: &[Step]) -> Option<&'a str> {
    path.iter().try_fold(text, |part, step| match step {
        Step::Key(key) => members(part)
            .iter()
            .find(|member| member.name() == *key)
            .map(|member| member.value),
        Step::Index(index) => elements(part).get(*index).copied(),
    })
}

/// Where `part`, a slice of `text`, begins in it, in bytes.
pub(super) fn offset(text: &str, part: &str) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}

/// Collects an object's or an array's parts without looking into them.
#[derive(Default)]
struct Parts<'a> {
    members: Vec<Member<'a>>,
    elements: Vec<&'a str>,
}

impl<'de> Visitor<'de> for &mut Parts<'de> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            self.members.push(Member {
                key: key.get(),
                value: value.get(),
            });
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(element) = seq.next_element::<&RawValue>()? {
            self.elements.push(element.get());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        r#" {"id": "a", "vesselId" : "v", "containers": [{}, {"origin":"b]\"}"}], "bad": }"#;

    #[test]
    fn a_path_leads_to_its_part_of_the_text() {
        for (path, part) in [
            ("", Some(TEXT)),
            ("id", Some("\"a\"")),
            ("vessel_id", Some("\"v\"")),
            ("containers[1].origin", Some("\"b]\\\"}\"")),
            ("containers[2]", None),
            ("bad", None),
        ] {
            let steps = parse(path);
            assert_eq!(render(&steps), path);
            let found = find(TEXT, &steps);
            assert_eq!(found, part, "{path}");
            if let Some(part) = found {
                assert!(TEXT[offset(TEXT, part)..].starts_with(part));
            }
        }
    }

    #[test]
    fn members_keep_their_spelling_and_know_their_name() {
        let members = members(TEXT);
        let keys: Vec<_> = members.iter().map(|member| member.key).collect();
        assert_eq!(keys, ["\"id\"", "\"vesselId\"", "\"containers\""]);
        assert_eq!(members[1].name(), "vessel_id");
    }
}

//! Counts the containers of a record before any of them is decoded: an empty one is three bytes of text, and takes
//! thirty times as much memory.

use std::{cell::Cell, fmt};

use memchr::memchr_iter;
use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_path_to_error::Track;

use super::{fault::Refusal, path};
use crate::consignment::MAX_CONTAINERS;

/// The fewest bytes of a container in an array, `{},`.
const CONTAINER_BYTES: usize = 3;

/// Whether `text` could hold more containers than are allowed: each has a bracket, as the record itself. Few records
/// do, and this takes next to no time.
pub(super) fn may_exceed(text: &[u8]) -> bool {
    text.len() > CONTAINER_BYTES * MAX_CONTAINERS
        && memchr_iter(b'{', text).count() > MAX_CONTAINERS + 1
}

/// How many containers `text` holds.
///
/// # Errors
///
/// More than are allowed, and then what is not JSON.
pub(super) fn containers(text: &str) -> Result<usize, Refusal> {
    let most = Cell::new(0);
    let counted = serde_json::Deserializer::from_str(text).deserialize_map(Record(&most));
    match counted {
        Err(error) if most.get() > MAX_CONTAINERS && !error.is_data() => {
            Err(Refusal::new(Track::new().path(), error))
        }
        // Whatever else is wrong is met again when it is decoded.
        _ => Ok(most.get()),
    }
}

/// Counts the containers of a record.
struct Record<'c>(&'c Cell<usize>);

impl<'de> Visitor<'de> for Record<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if path::contract_name(&key) == "containers" {
                map.next_value_seed(Elements(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Counts the elements of an array.
struct Elements<'c>(&'c Cell<usize>);

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, array: D) -> Result<(), D::Error> {
        array.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let mut count = 0;
        while array.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
            self.0.set(self.0.get().max(count));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_counted_wherever_they_stand() {
        for (text, expected) in [
            ("{}", 0),
            (r#"{"containers":[{},{"id":"{[,]}"},5]}"#, 3),
            (r#"{"x":[{},{}],"containers":[{}],"containers":[{},{}]}"#, 2),
            (r#"{"containers":[{"containers":[{},{}]}]}"#, 1),
            (r#"{"containers":null}"#, 0),
            (r#"{"containers":[{},{}"#, 2),
        ] {
            let counted = containers(text).map_err(|error| error.to_string());
            assert_eq!(counted, Ok(expected), "{text}");
        }
        let many = "{},".repeat(MAX_CONTAINERS + 1);
        assert!(containers(&format!("{{\"containers\":[{many}")).is_err());
    }
}

//! The texts of a stored consignment that a scan can be narrowed by, read without decoding the rest.

use prost::encoding::decode_varint;

/// `Consignment` and `Container` of the wire contract.
const CONTAINERS: u64 = 4;
const VESSEL_ID: u64 = 5;
const CUSTOMER_ID: u64 = 2;
const ORIGIN: u64 = 3;
const USER_ID: u64 = 4;

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The consignment's vessel.
    Vessel = 1,
    /// A container's customer.
    Customer,
    /// The user who recorded a container.
    User,
    /// Where a container comes from.
    Origin,
}

/// What is stored is no consignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is no consignment: {0}")]
pub struct MalformedBody(&'static str);

/// Hands each text of the consignment that `body` encodes to `take`: the vessel, and of each container the customer,
/// the user and the origin. What is absent is the empty text, as the contract has it.
pub(super) fn each_text<'b>(
    body: &'b [u8],
    mut take: impl FnMut(Kind, &'b str),
) -> Result<(), MalformedBody> {
    let mut vessel = "";
    let mut fields = Fields(body);
    while let Some((number, value)) = fields.next()? {
        match number {
            CONTAINERS => each_of_container(bytes(value)?, &mut take)?,
            // Of a field that comes several times the last counts.
            VESSEL_ID => vessel = text(value)?,
            _ => {}
        }
    }
    take(Kind::Vessel, vessel);
    Ok(())
}

fn each_of_container<'b>(
    container: &'b [u8],
    take: &mut impl FnMut(Kind, &'b str),
) -> Result<(), MalformedBody> {
    let [mut customer, mut user, mut origin] = [""; 3];
    let mut fields = Fields(container);
    while let Some((number, value)) = fields.next()? {
        match number {
            CUSTOMER_ID => customer = text(value)?,
            ORIGIN => origin = text(value)?,
            USER_ID => user = text(value)?,
            _ => {}
        }
    }
    take(Kind::Customer, customer);
    take(Kind::User, user);
    take(Kind::Origin, origin);
    Ok(())
}

/// What is left of a message.
struct Fields<'b>(&'b [u8]);

/// A field's value: its bytes, or nothing where it is a number.
type Value<'b> = Option<&'b [u8]>;

impl<'b> Fields<'b> {
    /// The next field's number and value.
    fn next(&mut self) -> Result<Option<(u64, Value<'b>)>, MalformedBody> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => {
                self.varint()?;
                None
            }
            1 => self.bytes(8).map(|_| None)?,
            2 => {
                let length = self.varint()?;
                Some(self.bytes(length)?)
            }
            5 => self.bytes(4).map(|_| None)?,
            _ => return Err(MalformedBody("a field of an unknown type")),
        };
        Ok(Some((key >> 3, value)))
    }

    fn varint(&mut self) -> Result<u64, MalformedBody> {
        decode_varint(&mut self.0).map_err(|_| MalformedBody("a number is cut off"))
    }

    fn bytes(&mut self, length: u64) -> Result<&'b [u8], MalformedBody> {
        let split = usize::try_from(length)
            .ok()
            .and_then(|length| self.0.split_at_checked(length));
        let (bytes, rest) = split.ok_or(MalformedBody("a field is cut off"))?;
        self.0 = rest;
        Ok(bytes)
    }
}

fn bytes(value: Value<'_>) -> Result<&[u8], MalformedBody> {
    value.ok_or(MalformedBody("a number where a text or message should be"))
}

fn text(value: Value<'_>) -> Result<&str, MalformedBody> {
    std::str::from_utf8(bytes(value)?).map_err(|_| MalformedBody("a text is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use prost::Message as _;

    use super::*;
    use crate::proto::{Consignment, Container};

    /// The same as the decoded consignment has it.
    fn decoded(body: &[u8]) -> Vec<(Kind, String)> {
        let consignment = Consignment::decode(body).unwrap();
        let of_container = |one: Container| {
            [
                (Kind::Customer, one.customer_id),
                (Kind::User, one.user_id),
                (Kind::Origin, one.origin),
            ]
        };
        let mut texts: Vec<_> = (consignment.containers.into_iter())
            .flat_map(of_container)
            .collect();
        texts.push((Kind::Vessel, consignment.vessel_id));
        texts
    }

    fn read(body: &[u8]) -> Result<Vec<(Kind, String)>, MalformedBody> {
        let mut texts = Vec::new();
        each_text(body, |kind, text| texts.push((kind, text.to_owned())))?;
        Ok(texts)
    }

    /// One field in its encoding, also such as the contract does not know.
    fn field() -> impl Strategy<Value = Vec<u8>> {
        let container = ("\\PC{0,3}", "\\PC{0,3}", "\\PC{0,3}").prop_map(|(a, b, c)| Container {
            customer_id: a,
            origin: b,
            user_id: c,
            ..Container::default()
        });
        let known = |consignment: Consignment| consignment.encode_to_vec();
        prop_oneof![
            container.prop_map(move |one| known(Consignment {
                containers: vec![one],
                ..Consignment::default()
            })),
            ("\\PC{0,3}", any::<i32>()).prop_map(move |(vessel_id, weight)| known(Consignment {
                description: vessel_id.clone(),
                weight,
                vessel_id,
                ..Consignment::default()
            })),
            // Fields 100 to 103: a number, eight bytes, bytes, four bytes.
            Just(vec![0xa0, 6, 0xff, 1]),
            Just(vec![0xa9, 6, 1, 2, 3, 4, 5, 6, 7, 8]),
            Just(vec![0xb2, 6, 2, 9, 9]),
            Just(vec![0xbd, 6, 1, 2, 3, 4]),
        ]
    }

    proptest! {
        #[test]
        fn the_texts_are_those_of_the_decoded_consignment(fields in vec(field(), 0..8)) {
            let body = fields.concat();
            prop_assert_eq!(read(&body), Ok(decoded(&body)));
        }

        #[test]
        fn no_bytes_are_read_otherwise_than_they_are_decoded(body in vec(any::<u8>(), 0..40)) {
            if Consignment::decode(&body[..]).is_ok() && let Ok(texts) = read(&body) {
                prop_assert_eq!(texts, decoded(&body));
            }
        }
    }

    #[test]
    fn what_is_no_consignment_is_refused() {
        for body in [
            &b"a"[..],
            &[0x07],
            &[0x2a, 2, b'v'],
            &[0x2a, 1, 0xff],
            &[0x28, 1],
            &[0x22, 3, 0x12, 2, b'c'],
            &[0x22, 0x80],
        ] {
            assert!(Consignment::decode(body).is_err(), "{body:?}");
            assert!(read(body).is_err(), "{body:?}");
        }
    }
}

//! Envelopes to break: a key, an event and its plaintext.

use sealbus_core::envelope::{Binding, DataKey, Envelope, Plaintext};
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The data key whose bytes rise from this one.
pub(crate) fn key(first: u8) -> DataKey {
    let secret = std::array::from_fn(|index| first.wrapping_add(u8::try_from(index).unwrap()));
    DataKey::new(Uuid::from_u128(1 + u128::from(first)), &Zeroizing::new(secret))
}

pub(crate) const EVENT: Binding<'static> = Binding {
    origin: "bus.test/one",
    tenant: "acme",
    plan: "order-1",
    event_id: Uuid::from_u128(7),
    event_type: "user.created",
    data_version: 1,
};

pub(crate) fn plaintext() -> Plaintext {
    Plaintext { data: r#"{"name":"Ada"}"#.into(), metadata: r#"{"ip":"192.0.2.7"}"#.into() }
}

/// An envelope of that event, as a tree.
pub(crate) fn envelope() -> Value {
    let nonce = std::array::from_fn(|index| 100 + u8::try_from(index).unwrap());
    serde_json::from_str(&Envelope::seal(&key(0), nonce, &EVENT, &plaintext()).to_text()).unwrap()
}

/// The envelope with this byte of one of its parts, of its key id too, changed by these bits.
pub(crate) fn flipped(mut envelope: Value, part: &str, at: usize, bits: u8) -> Value {
    let text = envelope[part].as_str().unwrap().to_owned();
    envelope[part] = if part == "key" {
        let mut id = text.parse::<Uuid>().unwrap().into_bytes();
        id[at % 16] ^= bits;
        json!(Uuid::from_bytes(id))
    } else {
        let mut bytes = super::unbase64(&text);
        let length = bytes.len();
        bytes[at % length] ^= bits;
        json!(super::base64(&bytes))
    };
    envelope
}

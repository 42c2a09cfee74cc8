//! A sample envelope: its data key, its event and its plaintext.

use sealbus_core::envelope::{Binding, DataKey, Envelope, Plaintext};
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Returns the data key with the bytes `first`, `first + 1`, and so on.
pub(crate) fn key(first: u8) -> DataKey {
    let secret = std::array::from_fn(|index| first.wrapping_add(u8::try_from(index).unwrap()));
    DataKey::new(Uuid::from_u128(1 + u128::from(first)), &Zeroizing::new(secret))
}

/// The event of the sample envelope.
pub(crate) const EVENT: Binding<'static> = Binding {
    origin: "bus.test/one",
    tenant: "acme",
    plan: "order-1",
    event_id: Uuid::from_u128(7),
    event_type: "user.created",
    data_version: 1,
};

/// Returns the plaintext of the sample envelope.
pub(crate) fn plaintext() -> Plaintext {
    Plaintext { data: r#"{"name":"Ada"}"#.into(), metadata: r#"{"ip":"192.0.2.7"}"#.into() }
}

/// Returns the sample envelope as a JSON value.
pub(crate) fn envelope() -> Value {
    let nonce = std::array::from_fn(|index| 100 + u8::try_from(index).unwrap());
    serde_json::from_str(&Envelope::seal(&key(0), nonce, &EVENT, &plaintext()).to_text()).unwrap()
}

/// Flips bits in one byte of a part of an envelope, which may be its key id. The index is taken modulo the length.
pub(crate) fn flipped(mut envelope: Value, part: &str, index: usize, bits: u8) -> Value {
    let text = envelope[part].as_str().unwrap().to_owned();
    envelope[part] = if part == "key" {
        let mut id = text.parse::<Uuid>().unwrap().into_bytes();
        id[index % 16] ^= bits;
        json!(Uuid::from_bytes(id))
    } else {
        let mut bytes = super::unbase64(&text);
        let length = bytes.len();
        bytes[index % length] ^= bits;
        json!(super::base64(&bytes))
    };
    envelope
}

//! Properties of envelopes and wrapped keys: they open to the original content, and not after any change.

use std::num::NonZeroU32;

use proptest::prelude::*;
use proptest::sample::Index;
use sealbus_core::canonical;
use sealbus_core::envelope::{Binding, DataKey, DataSubject, Envelope, Plaintext, UnwrapError, WrappedKey};
use sealbus_core::seal::{KeyId, Keyring};
use sealbus_core::verify::Verdict;
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::common;
use crate::common::envelope::{EVENT, envelope, flipped, key, plaintext};

fn verdict(text: &str, key: &DataKey, binding: &Binding<'_>) -> Result<(), Verdict> {
    let envelope = Envelope::parse(text).map_err(|refused| refused.verdict())?;
    envelope.open(key, binding).map(drop).map_err(|unopened| unopened.verdict())
}

proptest! {
    #[test]
    fn a_sealed_envelope_opens(
        data in common::json::value((-1_000_000_i64..1_000_000).prop_map(Into::into), "[ -~é\u{10000}]{0,9}"),
        metadata in prop::collection::btree_map("[a-c]{1,3}", "[ -~é]{0,9}", 0..4),
        secret: [u8; 32],
        nonce: [u8; 24],
        version in 1_u32..,
        names in prop::array::uniform4("[ -~é]{1,20}"),
    ) {
        let [origin, tenant, plan, event_type] = &names;
        let binding = Binding { origin, tenant, plan, event_type, event_id: Uuid::from_bytes([nonce[0]; 16]), data_version: version };
        let key = DataKey::new(Uuid::from_bytes([secret[0]; 16]), &Zeroizing::new(secret));
        let plaintext = Plaintext { data: canonical::write(&data), metadata: canonical::write(&json!(metadata)) };
        let text = Envelope::seal(&key, nonce, &binding, &plaintext).to_text();
        let read = canonical::canonicalise(text.as_bytes(), canonical::Limits::PAYLOAD).unwrap();
        prop_assert_eq!(&read, &text);
        prop_assert_eq!(Envelope::parse(&text).unwrap().open(&key, &binding), Ok(plaintext));
    }

    #[test]
    fn a_changed_part_has_its_verdict(
        (part, expected) in prop::sample::select(vec![
            ("ciphertext", Verdict::Aad), ("commitment", Verdict::Commitment), ("nonce", Verdict::Commitment),
            ("key", Verdict::Commitment),
        ]),
        at: Index,
        bits in 1_u8..,
    ) {
        let changed = flipped(envelope(), part, at.index(1 << 16), bits);
        prop_assert_eq!(verdict(&changed.to_string(), &key(0), &EVENT), Err(expected));
    }

    /// The verdict is FORMAT if the text is not an envelope any more. Otherwise it depends on the changed member.
    #[test]
    fn a_changed_byte_of_the_text_is_refused(at: Index, bits in 1_u8..128) {
        let mut bytes = envelope().to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        let changed = String::from_utf8(bytes).unwrap();
        let expected = if Envelope::parse(&changed).is_err() {
            Verdict::Format
        } else {
            let (before, after): (Value, Value) = (envelope(), serde_json::from_str(&changed).unwrap());
            if before["ciphertext"] == after["ciphertext"] { Verdict::Commitment } else { Verdict::Aad }
        };
        prop_assert_eq!(verdict(&changed, &key(0), &EVENT), Err(expected));
    }

    #[test]
    fn a_cut_ciphertext_is_refused(kept: Index) {
        let mut cut = envelope();
        let ciphertext = common::unbase64(cut["ciphertext"].as_str().unwrap());
        let kept = kept.index(ciphertext.len());
        cut["ciphertext"] = json!(common::base64(&ciphertext[..kept]));
        let expected = if kept < 16 { Verdict::Format } else { Verdict::Aad };
        prop_assert_eq!(verdict(&cut.to_string(), &key(0), &EVENT), Err(expected));
    }

    /// The names consist of few characters, so that many pairs differ only in the boundary between two names.
    #[test]
    fn an_envelope_opens_for_its_event_only(one in event(), other in event()) {
        let (one, other) = (binding(&one), binding(&other));
        let text = Envelope::seal(&key(0), [3; 24], &one, &plaintext()).to_text();
        let expected = if one == other { Ok(()) } else { Err(Verdict::Aad) };
        prop_assert_eq!(verdict(&text, &key(0), &other), expected);
    }

    #[test]
    fn an_envelope_opens_with_its_key_only(at in 0_usize..32, bits in 1_u8.., key_id: u128) {
        let mut secret: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap());
        secret[at] ^= bits;
        let text = envelope().to_string();
        // One key has the right id and other bytes, the other one the right bytes and another id.
        let other_bytes = DataKey::new(key(0).key_id(), &Zeroizing::new(secret));
        secret[at] ^= bits;
        let other_id = DataKey::new(Uuid::from_u128(key_id | 1 << 127), &Zeroizing::new(secret));
        for other in [other_bytes, other_id] {
            prop_assert_eq!(verdict(&text, &other, &EVENT), Err(Verdict::Commitment));
        }
    }

    #[test]
    fn a_wrapped_key_unwraps_unless_it_was_changed(
        secret: [u8; 32],
        nonce: [u8; 24],
        epoch: NonZeroU32,
        names in prop::array::uniform2("[ab]{1,4}"),
        others in (prop::array::uniform2("[ab]{1,4}"), any::<NonZeroU32>(), any::<u128>()),
        at in 0_usize..72,
        bits in 1_u8..,
        length in 0_usize..72,
    ) {
        let [tenant, subject] = &names;
        let subject = DataSubject::parse(subject).unwrap();
        let key = DataKey::new(Uuid::from_u128(5), &Zeroizing::new(secret));
        let row = keyring().wrap_data_key(&key, tenant, &subject, epoch, &nonce).unwrap();
        prop_assert_eq!(row.wrapped.len(), 72);
        let unwrapped = keyring().unwrap_data_key(&row).unwrap();
        prop_assert_eq!(unwrapped.key_id(), key.key_id());
        prop_assert_eq!(unwrapped.request_mac("o", "t", b"r"), key.request_mac("o", "t", b"r"));

        let mut flipped = row.clone();
        flipped.wrapped[at] ^= bits;
        let ([other_tenant, other_subject], other_epoch, other_id) = others;
        let changes = [
            flipped,
            WrappedKey { wrapped: row.wrapped[..length].to_vec(), ..row.clone() },
            WrappedKey { wrapped: [row.wrapped.as_slice(), &[0]].concat(), ..row.clone() },
            WrappedKey { kek: KeyId::new(RETIRED), ..row.clone() },
            WrappedKey { tenant: other_tenant, subject: DataSubject::parse(&other_subject).unwrap(), ..row.clone() },
            WrappedKey { epoch: other_epoch, ..row.clone() },
            WrappedKey { key_id: Uuid::from_u128(other_id), ..row.clone() },
        ];
        for changed in changes.into_iter().filter(|changed| *changed != row) {
            let refused = matches!(keyring().unwrap_data_key(&changed), Err(UnwrapError::Changed(..)));
            prop_assert!(refused, "{:?}", changed);
        }
    }
}

type Event = ([String; 4], u128, u32);

fn event() -> impl Strategy<Value = Event> {
    (prop::array::uniform4("[ab]{0,2}"), 0_u128..2, 1_u32..3)
}

fn binding(event: &Event) -> Binding<'_> {
    let ([origin, tenant, plan, event_type], id, data_version) = event;
    Binding { origin, tenant, plan, event_type, event_id: Uuid::from_u128(*id), data_version: *data_version }
}

const ACTIVE: &str = "kek-0123456789abcdef";
const RETIRED: &str = "kek-fedcba9876543210";

/// Returns a keyring with a retired KEK, an active KEK and an HMAC key.
fn keyring() -> Keyring {
    let secret = |first: u8| common::base64(&(first..first + 32).collect::<Vec<_>>());
    let keys = json!([
        { "id": RETIRED, "secret": secret(64), "status": "retired" },
        { "id": ACTIVE, "secret": secret(32) },
        { "id": "hmac-0123456789abcdef", "secret": secret(0) },
    ]);
    Keyring::parse(&json!({ "keys": keys }).to_string()).unwrap()
}

/// The expected bytes of `docs/spec/integrity.md#erasure-wrapped` were made by an independent implementation in another
/// language.
#[test]
fn a_wrapped_key_has_the_documented_bytes() {
    let subject = DataSubject::parse("Ada").unwrap();
    let nonce = std::array::from_fn(|index| 200 + u8::try_from(index).unwrap());
    let row = keyring().wrap_data_key(&key(0), "acme", &subject, NonZeroU32::MIN, &nonce).unwrap();
    assert_eq!(row.kek.as_str(), ACTIVE);
    assert_eq!(
        hex::encode(&row.wrapped),
        "c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe635c11abe346cb2517edf3adb339de85dc2f4b7719f42c1\
         de9aad273730d78da36b68f8478f8a3d2257c517c975ffbe"
    );
    assert_eq!(format!("{row:?}"), format!("WrappedKey({} of tenant acme, under {ACTIVE})", row.key_id));
}

#[test]
fn a_data_key_unwraps_with_the_kek_that_wrapped_it() {
    let (subject, nonce) = (DataSubject::parse("Ada").unwrap(), [1; 24]);
    let only = |id: &str, status: &str| {
        let secret = common::base64(&(64..96).collect::<Vec<_>>());
        Keyring::parse(&json!({ "keys": [{ "id": id, "secret": secret, "status": status }] }).to_string()).unwrap()
    };
    let row = only(RETIRED, "active").wrap_data_key(&key(0), "acme", &subject, NonZeroU32::MIN, &nonce).unwrap();
    // A retired or revoked KEK still unwraps.
    assert!(keyring().unwrap_data_key(&row).is_ok());
    assert!(only(RETIRED, "revoked").unwrap_data_key(&row).is_ok());
    let missing = only(ACTIVE, "active").unwrap_data_key(&row);
    assert!(matches!(missing, Err(UnwrapError::NoKek(kek, _)) if kek.as_str() == RETIRED));
    // A key of another kind is not used as a KEK, even if a row names it.
    let row = WrappedKey { kek: KeyId::new("hmac-0123456789abcdef"), ..row };
    assert!(matches!(keyring().unwrap_data_key(&row), Err(UnwrapError::NoKek(..))));

    for none in [only(RETIRED, "retired"), only("hmac-0123456789abcdef", "active")] {
        assert!(none.wrap_data_key(&key(0), "acme", &subject, NonZeroU32::MIN, &nonce).is_none());
    }
}

//! New keys, and changes of keyring files.

use std::collections::BTreeMap;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::seal::file::entries;
use crate::seal::{KeyId, KeyKind, Keyring, KeyringError, PublicKey, Status};

/// A new key as an entry of a keyring file. Its secret is not printed, and it is wiped from memory on drop.
pub struct NewKey {
    id: KeyId,
    public: Option<PublicKey>,
    entry: Zeroizing<String>,
}

/// The text of a keyring file that is changed key by key. Everything else stays as it is, byte for byte: the order of keys and of
/// their members, spaces, and the spelling of values. The text is wiped from memory on drop.
pub struct KeyringText(Zeroizing<String>);

#[derive(Deserialize)]
struct Shape<'t> {
    #[serde(borrow)]
    keys: &'t RawValue,
}

/// The members of a key by name, as parts of the text.
type Members<'t> = BTreeMap<String, &'t RawValue>;

impl NewKey {
    /// Makes a key from these bytes only: 32 are its secret; 8 are its id, if its kind has no public key. The bytes must come from
    /// the system's random generator. A weak secret is refused.
    pub fn new(kind: KeyKind, random: &[u8; 40], status: Status) -> Result<Self, KeyringError> {
        let (secret, name) = random.split_first_chunk::<32>().expect("40 bytes are more than 32");
        let public = kind.has_public().then(|| PublicKey::of_seed(secret));
        let id = match &public {
            Some(public) => kind.id_of_public(public.as_bytes()),
            None => kind.id(name.try_into().expect("40 bytes are 32 and 8")),
        };
        let secret = Zeroizing::new(STANDARD.encode(secret));
        let public_member = public.as_ref().map(|public| format!(r#", "public": "{public}""#)).unwrap_or_default();
        let entry = Zeroizing::new(format!(
            r#"{{ "id": "{id}", "secret": "{}"{public_member}, "status": {} }}"#,
            secret.as_str(),
            json!(status)
        ));
        let key = Self { id, public, entry };
        Keyring::parse(&key.keyring()).map(|_| key)
    }

    /// Returns the id of the key.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// Returns the public key, if the kind of the key has one.
    pub fn public(&self) -> Option<&PublicKey> {
        self.public.as_ref()
    }

    /// Returns the text of a keyring file with only this key.
    pub fn keyring(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{{\n  \"keys\": [\n    {}\n  ]\n}}\n", self.entry.as_str()))
    }
}

impl KeyringText {
    /// Takes the text of a file. Refuses a text that does not have the form of a keyring. [`Keyring::parse`] checks the keys.
    pub fn new(text: Zeroizing<String>) -> Result<Self, KeyringError> {
        entries(&text).map(|_| Self(text))
    }

    /// Returns the current text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the file has the key.
    pub fn holds(&self, id: &KeyId) -> bool {
        self.member(id, "id").is_some()
    }

    /// Adds a key after the others.
    pub fn add(&mut self, key: &NewKey) {
        let keys = self.keys();
        let last = entries_of(keys).last().map(|last| self.range(last).end);
        if let Some(end) = last {
            self.replace(end..end, &format!(",\n    {}", key.entry.as_str()));
        } else {
            let inside = self.range(keys).start + 1;
            self.replace(inside..inside, &key.entry);
        }
    }

    /// Sets the status of a key. Returns whether the file has the key.
    pub fn set_status(&mut self, id: &KeyId, status: Status) -> bool {
        self.set(id, "status", &json!(status).to_string())
    }

    /// Sets the log index from which a key does not count any more. Returns whether the file has the key.
    pub fn set_until(&mut self, id: &KeyId, until: u64) -> bool {
        self.set(id, "until", &until.to_string())
    }

    fn set(&mut self, id: &KeyId, name: &str, value: &str) -> bool {
        if let Some(place) = self.member(id, name) {
            self.replace(place, value);
            return true;
        }
        let Some(key_id) = self.member(id, "id") else { return false };
        self.replace(key_id.end..key_id.end, &format!(", \"{name}\": {value}"));
        true
    }

    /// Returns the range of the value of a member.
    fn member(&self, id: &KeyId, name: &str) -> Option<Range<usize>> {
        let key = entries_of(self.keys()).into_iter().map(members).find(|members| is_of(members, id))?;
        key.get(name).map(|value| self.range(value))
    }

    fn keys(&self) -> &RawValue {
        let shape: Shape<'_> =
            serde_json::from_str(&self.0).expect("new() and every change leave the text of a keyring");
        shape.keys
    }

    /// Returns the range of a part of the text.
    fn range(&self, part: &RawValue) -> Range<usize> {
        let start = part.get().as_ptr().addr() - self.0.as_ptr().addr();
        start..start + part.get().len()
    }

    fn replace(&mut self, place: Range<usize>, by: &str) {
        let mut text = Zeroizing::new(String::with_capacity(self.0.len() + by.len()));
        text.push_str(&self.0[..place.start]);
        text.push_str(by);
        text.push_str(&self.0[place.end..]);
        self.0 = text;
    }
}

impl Keyring {
    /// Returns the keyring of several files. Refuses what [`Keyring::parse`] refuses.
    pub fn of_texts<'t>(texts: impl IntoIterator<Item = &'t KeyringText>) -> Result<Self, KeyringError> {
        let entries = texts.into_iter().map(|text| entries(&text.0)).collect::<Result<Vec<_>, _>>()?;
        Self::of(entries.into_iter().flatten().collect())
    }
}

fn entries_of(keys: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(keys.get()).expect("new() refuses a text whose keys are not an array")
}

fn members(key: &RawValue) -> Members<'_> {
    serde_json::from_str(key.get()).expect("new() refuses a text with a key that is not an object")
}

fn is_of(members: &Members<'_>, id: &KeyId) -> bool {
    let named = members.get("id").and_then(|named| serde_json::from_str::<KeyId>(named.get()).ok());
    named.as_ref() == Some(id)
}

//! What the table says of one variable, and the typed keys by which its value is read.

use std::fmt;
use std::marker::PhantomData;

/// Who reads a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The role that accepts events and serves reads.
    Publisher,
    /// The role that takes the outbox to the broker.
    Relay,
    /// The role that builds the log.
    Sealer,
    /// The role that feeds subscriptions' sinks.
    Dispatcher,
    /// The role that cosigns logs' checkpoints.
    Witness,
    /// The operator's commands, and those that speak to the API.
    Commands,
    /// `sealbus dev`, which runs everything in one process.
    Dev,
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publisher => "publisher",
            Self::Relay => "relay",
            Self::Sealer => "sealer",
            Self::Dispatcher => "dispatcher",
            Self::Witness => "witness",
            Self::Commands => "commands",
            Self::Dev => "dev",
        })
    }
}

/// What a value has to obey beyond its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Nothing more.
    Any,
    /// Not below the first, not above the second; both are spelled as a value would be.
    Between(&'static str, &'static str),
    /// One of these spellings.
    OneOf(&'static [&'static str]),
}

/// How much of a value may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// All of it.
    Open,
    /// A URL: all but its credentials and its query.
    Url,
    /// Nothing.
    Hidden,
}

/// One row of the table: all that is known of a variable before anybody sets it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The environment variable, `SEALBUS_…`.
    pub name: &'static str,
    /// The heading that it stands under in the documentation.
    pub group: &'static str,
    /// What it is for, in a sentence or two.
    pub about: &'static str,
    /// What a value is, in a word or two: "duration", "host:port".
    pub kind: &'static str,
    /// The value where nobody gives one, spelled as one would give it.
    pub default: Option<&'static str>,
    /// What a value has to obey beyond its kind.
    pub rule: Rule,
    /// How much of a value may be shown.
    pub secrecy: Secrecy,
    /// Whether `…_FILE` names a file that holds the value. Not where the value is itself the path of a file.
    pub from_file: bool,
    /// Who reads it.
    pub readers: &'static [Reader],
    /// Parses a value; see [`Value::measure`](super::Value::measure) for the number.
    pub(super) measure: fn(&str) -> Result<Option<i128>, &'static str>,
}

impl Entry {
    /// The key of the variable in the TOML file: `SEALBUS_NATS_URL` is `nats_url`.
    pub fn key(&self) -> String {
        self.name.trim_start_matches("SEALBUS_").to_ascii_lowercase()
    }

    /// `text` as a number, if it is a value that has an order.
    pub(super) fn measured(&self, text: &str) -> Option<i128> {
        (self.measure)(text).ok().flatten()
    }

    /// What is wrong with `text` as a value, or nothing.
    pub(super) fn fault(&self, text: &str) -> Option<String> {
        let measured = match (self.measure)(text) {
            Ok(measured) => measured,
            Err(rule) => return Some(format!("is not {rule}")),
        };
        match self.rule {
            Rule::Any => None,
            Rule::OneOf(choices) if choices.contains(&text) => None,
            Rule::OneOf(choices) => Some(format!("has to be one of {}", choices.join(", "))),
            Rule::Between(least, most) => (measured < self.measured(least) || measured > self.measured(most))
                .then(|| format!("is out of range: {least} to {most}")),
        }
    }
}

/// The key of a variable that has a default, and so always has a value.
#[derive(Debug)]
pub struct Setting<T>(&'static str, PhantomData<fn() -> T>);

/// The key of a variable that has no default.
#[derive(Debug)]
pub struct OptionalSetting<T>(&'static str, PhantomData<fn() -> T>);

/// Both kinds of keys are a name that carries a type.
macro_rules! key {
    ($key:ident) => {
        impl<T> $key<T> {
            pub(super) const fn new(name: &'static str) -> Self {
                Self(name, PhantomData)
            }

            /// The environment variable.
            pub const fn name(self) -> &'static str {
                self.0
            }
        }

        impl<T> Clone for $key<T> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T> Copy for $key<T> {}
    };
}
key!(Setting);
key!(OptionalSetting);

/// Turns the list of variables into the static table and one typed key for each, so that neither can miss the other.
///
/// A line is: what it is for (doc comments), its readers, `KEY: type`, its default where it has one, its rule where it
/// has one. The variable's name is `SEALBUS_` and the key.
macro_rules! table {
    ($($group:literal {$(
        $(#[doc = $about:literal])+
        [$($reader:ident)+] $key:ident: $type:ty $(= $default:literal)? $(, $rule:expr)?;
    )+})+) => {
        $($(
            $(#[doc = $about])+
            pub const $key: table!(@type $type $(, $default)?) =
                <table!(@type $type $(, $default)?)>::new(concat!("SEALBUS_", stringify!($key)));
        )+)+

        /// Every variable that Sealbus reads.
        pub static TABLE: &[Entry] = &[$($(Entry {
            name: concat!("SEALBUS_", stringify!($key)),
            group: $group,
            about: concat!($($about),+).trim_ascii_start(),
            kind: <$type as Value>::KIND,
            default: table!(@default $($default)?),
            rule: table!(@rule $($rule)?),
            secrecy: <$type as Value>::SECRECY,
            from_file: <$type as Value>::FROM_FILE,
            readers: &[$(Reader::$reader),+],
            measure: |text| <$type as Value>::parse(text).map(|value| value.measure()),
        }),+),+];
    };
    (@type $type:ty) => { OptionalSetting<$type> };
    (@type $type:ty, $default:literal) => { Setting<$type> };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
    (@rule) => { Rule::Any };
    (@rule $rule:expr) => { $rule };
}
pub(super) use table;

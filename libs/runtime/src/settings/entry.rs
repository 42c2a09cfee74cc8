//! The entries of the table, and the typed keys by which values are read.

use std::marker::PhantomData;

/// A rule for values in addition to their kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// No further rule.
    Any,
    /// At least the first and at most the second value.
    Between(&'static str, &'static str),
    /// One of these values.
    OneOf(&'static [&'static str]),
}

/// How much of a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// The whole value.
    Open,
    /// The URL without its credentials and its query.
    Url,
    /// Nothing.
    Hidden,
}

/// An entry of the table: the definition of a variable.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Environment variable, `SEALBUS_…`.
    pub name: &'static str,
    /// Heading in the documentation.
    pub group: &'static str,
    /// Meaning, in one or two sentences.
    pub about: &'static str,
    /// Kind of values, such as "duration" or "host:port".
    pub kind: &'static str,
    /// Default, as it would be written in the environment.
    pub default: Option<&'static str>,
    /// A rule for values in addition to their kind.
    pub rule: Rule,
    /// How much of a value is shown.
    pub secrecy: Secrecy,
    /// Whether `…_FILE` can name a file that holds the value. Values that are paths do not have this form.
    pub from_file: bool,
    /// The parts of Sealbus that read the variable: roles, `commands` (of operators, and those that call the API), and
    /// `dev` (`sealbus dev`, which runs all roles in one process).
    pub readers: &'static [&'static str],
    /// Parses a value and returns its [`Value::measure`](super::Value::measure).
    pub(super) measure: fn(&str) -> Result<Option<i128>, &'static str>,
}

impl Entry {
    /// Returns the key of the variable in the TOML file: `nats_url` for `SEALBUS_NATS_URL`.
    pub fn key(&self) -> String {
        self.name.trim_start_matches("SEALBUS_").to_ascii_lowercase()
    }

    /// Returns the number of a value of a kind that has an order.
    pub(super) fn measured(&self, text: &str) -> Option<i128> {
        (self.measure)(text).ok().flatten()
    }

    /// Checks a value. The error says which rule the value breaks, such as "is not a duration: …".
    pub(super) fn check(&self, text: &str) -> Result<(), String> {
        let measured = (self.measure)(text).map_err(|rule| format!("is not {rule}"))?;
        match self.rule {
            Rule::OneOf(choices) if !choices.contains(&text) => Err(format!("must be one of {}", choices.join(", "))),
            Rule::Between(least, most) if measured < self.measured(least) || measured > self.measured(most) => {
                Err(format!("is out of range: {least} to {most}"))
            }
            _ => Ok(()),
        }
    }
}

/// The key by which a variable's value is read. `DEFAULT` tells whether the variable has a default.
#[derive(Debug)]
pub struct Key<T, const DEFAULT: bool>(&'static str, PhantomData<fn() -> T>);

/// The key of a variable that has a default and therefore always has a value.
pub type Setting<T> = Key<T, true>;

/// The key of a variable that has no default.
pub type OptionalSetting<T> = Key<T, false>;

impl<T, const DEFAULT: bool> Key<T, DEFAULT> {
    pub(super) const fn new(name: &'static str) -> Self {
        Self(name, PhantomData)
    }

    /// Returns the name of the environment variable.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// Makes the static table and a typed key for each variable from one list, so that table and keys agree.
///
/// An item of the list consists of the meaning (doc comments), the readers, `KEY: type`, and optionally a default and a rule. The
/// name of the variable is `SEALBUS_` and the key.
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

        /// All variables that Sealbus reads.
        pub static TABLE: &[Entry] = &[$($(Entry {
            name: concat!("SEALBUS_", stringify!($key)),
            group: $group,
            about: concat!($($about),+).trim_ascii_start(),
            kind: <$type as Value>::KIND,
            default: table!(@default $($default)?),
            rule: table!(@rule $($rule)?),
            secrecy: <$type as Value>::SECRECY,
            from_file: <$type as Value>::FROM_FILE,
            readers: &[$(stringify!($reader)),+],
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

//! What a publish call says of waiting: `wait=sealed`, and `timeout=2s` beside it.

use std::time::Duration;

use sealbus_core::duration;
use sealbus_core::error::{ErrorKind, Refused};

use crate::http::parameters::Parameters;

/// That a call waits until its events are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// How long at most.
    pub within: Duration,
}

impl Wait {
    /// Takes `wait` and `timeout` out of the parameters, and refuses what else stands there. None: the call does not wait.
    ///
    /// # Errors
    /// `invalid_field`: another `wait` than `sealed`, a `timeout` that is no duration, exceeds `longest` or stands alone.
    pub fn read(mut parameters: Parameters, longest: Duration) -> Result<Option<Self>, Refused> {
        let (wait, timeout) = (parameters.text("wait")?, parameters.text("timeout")?);
        parameters.end()?;
        let refuse = |name, rule, detail: String| Err(Refused::field(ErrorKind::InvalidField, name, rule, detail));
        match wait.as_deref() {
            None if timeout.is_none() => return Ok(None),
            None => return refuse("timeout", "dependency", "stands beside wait=sealed only".into()),
            Some("sealed") => {}
            Some(_) => return refuse("wait", "enum", "is sealed".into()),
        }
        let Some(timeout) = timeout else { return Ok(Some(Self { within: longest })) };
        match duration::parse(&timeout) {
            Err(_) => refuse("timeout", "format", "is digits and a unit, such as 500ms or 5s".into()),
            Ok(within) if within > longest => refuse("timeout", "maximum", format!("is at most {longest:?}")),
            Ok(within) => Ok(Some(Self { within })),
        }
    }
}

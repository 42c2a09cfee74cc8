//! The user that Postgres runs as. It refuses to run as root.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::BackingError;

/// The user for Postgres if this process is root and `SEALBUS_POSTGRES_USER` is not set. Debian's package creates it.
const DEFAULT_USER: &str = "postgres";

/// A user to run a server as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub uid: u32,
    gid: u32,
}

impl Account {
    /// Returns the user to run Postgres as, or `None` to run it as the current user, who is not root.
    pub(crate) fn for_postgres() -> Result<Option<Self>, BackingError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let user = std::env::var("SEALBUS_POSTGRES_USER").unwrap_or_else(|_| DEFAULT_USER.into());
        let users = std::fs::read_to_string("/etc/passwd").map_err(BackingError::io("cannot read /etc/passwd"))?;
        let found = users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            (name == user).then_some(Self { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
        });
        found.filter(|account| account.uid != 0).map(Some).ok_or_else(|| {
            BackingError::Unusable(format!(
                "Postgres does not run as root, and there is no user {user} to run it as; create it \
                 (`useradd --system {user}`), or name another with SEALBUS_POSTGRES_USER"
            ))
        })
    }

    /// Makes a command run as this user.
    pub(crate) fn apply(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Makes this user the owner of a folder or file.
    pub(crate) fn own(self, path: &Path) -> Result<(), BackingError> {
        chown(path, Some(self.uid), Some(self.gid))
            .map_err(BackingError::io(format!("cannot change the owner of {}", path.display())))
    }

    /// Returns whether this user can enter a folder, which needs the execute permission on every folder above it.
    pub(crate) fn can_enter(self, folder: &Path) -> bool {
        let mut enter = Command::new("sh");
        enter.args(["-c", "cd \"$1\"", "sh"]).arg(folder).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
        self.apply(&mut enter);
        enter.status().is_ok_and(|status| status.success())
    }
}

//! The users of this machine, and which of them a client is.

use std::fmt;
use std::sync::{Arc, LazyLock};

use nix::unistd::{Uid, User};

use crate::audit::IdentityRef;

/// A user (or group) of this machine as a rule names it. The name of a client's
/// uid is looked up when it connects, so that a user who is made later needs no
/// reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRef {
    Name(String),
    Uid(u32),
}

impl fmt::Display for UserRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Uid(uid) => write!(f, "uid {uid}"),
        }
    }
}

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: Option<u32>,
    pub pid: Option<i32>,
    /// What the system calls the uid; `None` where it has no name for it.
    pub name: Option<Arc<str>>,
    /// The program of the process, for the record only: a pid may have gone to
    /// another process by the time it is looked at.
    pub exe: Option<Arc<str>>,
}

impl Account {
    /// Asks the name service, which can block.
    pub fn of(uid: u32) -> Self {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        Self {
            uid,
            gid: None,
            pid: None,
            name: user.map(|u| u.name.into()),
            exe: None,
        }
    }

    /// Whether this is the account that a rule names.
    pub fn is(&self, user: &UserRef) -> bool {
        match user {
            UserRef::Uid(uid) => *uid == self.uid,
            UserRef::Name(name) => self.name.as_deref() == Some(name),
        }
    }

    /// Whether the uid tells users apart.
    ///
    /// A user namespace shows everybody whom it has no number for under one uid,
    /// the overflow uid (user_namespaces(7)), usually that of `nobody`. Where there
    /// can be such users, that uid says nothing about who somebody is.
    pub(super) fn is_known(&self) -> bool {
        overflow_uid() != Some(self.uid)
    }

    /// The account as records show it.
    pub(super) fn identity(&self) -> IdentityRef {
        IdentityRef {
            subject: match &self.name {
                Some(name) => name.clone(),
                None => self.uid.to_string().into(),
            },
            uid: Some(self.uid),
            gid: self.gid,
            pid: self.pid,
            exe: self.exe.clone(),
            ..IdentityRef::default()
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} (uid {})", self.uid),
            None => write!(f, "uid {}", self.uid),
        }
    }
}

/// The overflow uid of this process's user namespace; `None` where every user has
/// a number of its own.
fn overflow_uid() -> Option<u32> {
    static OVERFLOW: LazyLock<Option<u32>> = LazyLock::new(|| {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let uid = std::fs::read_to_string("/proc/sys/kernel/overflowuid").unwrap_or_default();
        overflow_in(&map, &uid)
    });
    *OVERFLOW
}

fn overflow_in(map: &str, uid: &str) -> Option<u32> {
    let numbers = map.split_ascii_whitespace().map(str::parse::<u32>);
    let all = [Ok(0), Ok(0), Ok(u32::MAX)];
    match map.trim().is_empty() || numbers.eq(all) {
        // No namespaces, or the first of them, in which everybody has a number.
        true => None,
        false => uid.trim().parse().ok(),
    }
}

/// The program that a process runs, as far as this process may know.
pub fn executable(pid: i32) -> Option<Arc<str>> {
    let path = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(path.to_string_lossy().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_number_here_is_nobody_in_particular() {
        // The first namespace, and a kernel without any.
        assert_eq!(
            overflow_in("         0          0 4294967295\n", "65534\n"),
            None
        );
        assert_eq!(overflow_in("", ""), None);
        for map in [
            "         0     100000      65536\n",
            "0 0 65536\n",
            "0 1000 1\n1 100000 65536\n",
        ] {
            assert_eq!(overflow_in(map, "65534\n"), Some(65534), "{map}");
        }
    }
}

//! What a process that holds secrets does before anything else.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Uid, User};
use tracing::warn;

use super::Failure;
use crate::access::UserRef;

/// Disables core dumps, and keeps other processes of the same user from reading this one's
/// memory.
pub(super) fn keep_memory_private() {
    if let Err(e) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        warn!("core dumps cannot be disabled: {e}");
    }
    #[cfg(target_os = "linux")]
    if let Err(e) = nix::sys::prctl::set_dumpable(false) {
        warn!("other processes of this user can read the memory of this one: {e}");
    }
}

/// Allows as many sockets as the system does: each client and each server takes one.
pub(super) fn allow_many_sockets() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(e) = raised {
        warn!("the limit of open files stays as it is: {e}");
    }
}

/// Gives up root for good and becomes `[listen] user`, if that is set. Called while there is one
/// thread, and before anything is opened: what can be opened after it can be opened at a reload
/// as well.
pub(super) fn become_user(user: Option<&UserRef>) -> Result<(), Failure> {
    let root = Uid::effective().is_root();
    let Some(user) = user else {
        if root {
            warn!("running as root, which pgvalet never needs; see [listen] user");
        }
        return Ok(());
    };
    let found = match user {
        UserRef::Name(name) => User::from_name(name),
        UserRef::Uid(uid) => User::from_uid(Uid::from_raw(*uid)),
    };
    let Some(found) = found.ok().flatten() else {
        return Err(failed(format!("this machine knows no {user}")));
    };
    if found.uid == Uid::effective() {
        return Ok(());
    }
    if !root {
        return Err(failed(format!(
            "only root can become {user}; start pgvalet as root or as {user}"
        )));
    }
    become_other(&found).map_err(|e| failed(format!("root could not become {user}: {e}")))?;
    // If root can be regained, nothing was given up.
    if nix::unistd::setuid(Uid::from_raw(0)).is_ok() {
        return Err(failed("root could be regained".to_owned()));
    }
    keep_memory_private(); // a change of user resets it
    Ok(())
}

fn failed(why: String) -> Failure {
    Failure::Failed(format!("[listen] user: {why}"))
}

#[cfg(target_os = "linux")]
fn become_other(user: &User) -> nix::Result<()> {
    let name = std::ffi::CString::new(user.name.as_str()).map_err(|_| nix::Error::EINVAL)?;
    nix::unistd::initgroups(&name, user.gid)?;
    nix::unistd::setgid(user.gid)?;
    nix::unistd::setuid(user.uid)?;
    // Root must not come back through a program with the set-user-id bit either.
    nix::sys::prctl::set_no_new_privs()
}

#[cfg(not(target_os = "linux"))]
fn become_other(_user: &User) -> nix::Result<()> {
    Err(nix::Error::ENOTSUP)
}

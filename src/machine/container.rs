//! Whether this process runs in a container, as far as those say it.

use std::{env, fs, path::Path};

/// What a container says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// A pod of Kubernetes.
    Kubernetes,
    /// One of Docker's, or of what imitates it.
    Docker,
    /// One of Podman's.
    Podman,
    /// Some other.
    Other,
}

/// What it is; `None` where nothing says that it is one.
#[must_use]
pub fn container() -> Option<Container> {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let is_in = |words: &[&str]| words.iter().any(|word| cgroups.contains(word));
    if is_set("KUBERNETES_SERVICE_HOST") || is_in(&["kubepods"]) {
        Some(Container::Kubernetes)
    } else if Path::new("/run/.containerenv").exists() || is_in(&["libpod"]) {
        Some(Container::Podman)
    } else if Path::new("/.dockerenv").exists() || is_in(&["docker"]) {
        Some(Container::Docker)
    } else if is_set("container") || is_in(&["lxc", "containerd", "machine.slice"]) {
        // systemd-nspawn and LXC set the variable.
        Some(Container::Other)
    } else {
        None
    }
}

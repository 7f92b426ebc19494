//! What this machine says of itself where a network does not do what it should: its interfaces, who holds which port,
//! whether it is a container, what its firewall drops.
//!
//! It is read from where Linux has it (proc(5), sysfs(5)), without any right that not everybody has. Elsewhere, and
//! where it may not be read, less is known; nothing fails.

pub mod container;
pub mod firewall;
pub mod links;
pub mod sockets;

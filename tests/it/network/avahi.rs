//! Avahi, which answers and asks on the same port on most desktops.

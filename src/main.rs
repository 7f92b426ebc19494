//! The `shippy` command.

fn main() {}

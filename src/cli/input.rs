//! Reads consignments from files and standard input.

//! Prints consignments.

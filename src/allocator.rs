//! The executable's allocator, in a file of its own so that a benchmark can run on the same one.

// musl's own is 4 to 90 times slower when several threads allocate.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

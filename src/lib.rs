//! The Node.js face of ip-risk. It converts between JavaScript and the core, and decides nothing.

#![deny(missing_docs)]
#![expect(clippy::needless_pass_by_value, reason = "the napi macro hands arguments over by value")]
#![expect(unreachable_pub, reason = "the napi macro exports what no Rust crate can reach")]

mod checker;
mod error;
mod feeds;
mod outcome;
mod registry;
mod setup;
mod stats;
mod text;
mod vocabulary;
mod words;

use mimalloc::MiMalloc;
use napi_derive::module_init;

/// Cached answers live long among bodies and tasks that do not. The allocators of C libraries let them share pages, which
/// then cannot be used again: that cost three times the memory of the answers themselves.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// One thread is enough: what runs here waits for sockets. The default would be one per processor.
const RUNTIME_THREADS: usize = 1;
/// Name resolution blocks, so it has threads of its own; idle ones end after ten seconds.
const MOST_BLOCKING_THREADS: usize = 4;

/// Runs when the addon is loaded. It must not panic, so a runtime that cannot be built leaves napi's own.
#[module_init]
fn init() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .max_blocking_threads(MOST_BLOCKING_THREADS)
        .thread_name("ip-risk")
        .enable_all()
        .build();
    if let Ok(runtime) = runtime {
        napi::bindgen_prelude::create_custom_tokio_runtime(runtime);
    }
}

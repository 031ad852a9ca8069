// SPDX-License-Identifier: GPL-2.0

//! One safe function for each trace event of `bpf_pack_trace.h`. They may be called in any context.
//!
//! `kernel::declare_trace!` cannot help: it finds only events in the kernel's own bindings.

use kernel::bindings;
use kernel::jump_label::static_branch_unlikely;
use kernel::macros::paste;

/// Declares the events and defines a function for each. All events have two numbers.
macro_rules! events {
    ($($(#[$doc:meta])* $name:ident($first:ident, $second:ident);)*) => { paste! {
        extern "C" {$(
            static [<__tracepoint_bpf_pack_ $name>]: bindings::tracepoint;
            fn [<rust_do_trace_bpf_pack_ $name>](first: usize, second: usize);
        )*}

        $(
            $(#[$doc])*
            #[inline]
            pub(crate) fn $name($first: usize, $second: usize) {
                // SAFETY: The macro needs a static that has a `struct tracepoint` all the time:
                // trace.c defines it in this module.
                let enabled = unsafe {
                    static_branch_unlikely!(
                        [<__tracepoint_bpf_pack_ $name>],
                        bindings::tracepoint,
                        key
                    )
                };
                if enabled {
                    // SAFETY: The function takes two numbers by value, in any context.
                    unsafe { [<rust_do_trace_bpf_pack_ $name>]($first, $second) };
                }
            }
        )*
    } };
}

events! {
    /// An image got memory.
    reserve(address, size);
    /// An image was finalized.
    finalize(address, size);
    /// A freed image consists of traps again.
    retire(address, size);
    /// A region was made: its pack is in the books.
    make_region(address, size);
    /// A region is about to be freed: its pack is not in the books any more.
    free_region(address, size);
    /// All CPUs were synchronised, and the images of the batch are free.
    synchronise(images, size);
}

// SPDX-License-Identifier: GPL-2.0

//! One safe function for each trace event of `bpf_pack_trace.h`. Any context.
//!
//! `kernel::declare_trace!` looks in the kernel's own bindings and so serves events of the kernel
//! only.

use kernel::bindings;
use kernel::jump_label::static_branch_unlikely;
use kernel::macros::paste;

/// Declares the events and defines a function for each; all of them take two numbers.
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
                // SAFETY: The tracepoint is a static of this module, defined in trace.c.
                let enabled = unsafe {
                    static_branch_unlikely!(
                        [<__tracepoint_bpf_pack_ $name>],
                        bindings::tracepoint,
                        key
                    )
                };
                if enabled {
                    // SAFETY: The event takes two numbers by value.
                    unsafe { [<rust_do_trace_bpf_pack_ $name>]($first, $second) };
                }
            }
        )*
    } };
}

events! {
    /// Memory was reserved for an image.
    reserve(address, size);
    /// An image is final.
    finalize(address, size);
    /// An image was freed and is BRK again.
    retire(address, size);
    /// A region was made: its pack is in the books.
    make_region(address, size);
    /// A region is about to be freed: its pack is in the books no more.
    free_region(address, size);
    /// All CPUs were synchronised, and so many images became free by it.
    synchronise(images, size);
}

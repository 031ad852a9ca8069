// SPDX-License-Identifier: GPL-2.0

//! The kernel symbols that are not exported to modules, resolved once, all or nothing.
//!
//! A kprobe on `kallsyms_lookup_name()` tells where that function is, and it leads to the rest:
//! a kprobe cannot stand on `noinstr` functions nor on data. This is what out-of-tree modules must
//! do and is not blessed by upstream; the README says what a kernel would have to export instead.
//!
//! The function types are the kernel's own, by way of `helpers.h`. What is static in the kernel
//! (`patch_lock`, `bpf_jit_current`) or only in assembly (`dummy_tramp`) has no declaration to
//! compare with.

use crate::faults::{
    self,
    Point, //
};
use crate::sys;
use core::mem::transmute;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::prelude::*;
use kernel::str::CStr;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use kernel::sync::SetOnce;

/// What bindgen makes of a pointer to a function is an [`Option`]; this is the pointer itself.
pub(crate) trait Nullable {
    /// The pointer that is not null.
    type Function;
}

impl<F> Nullable for Option<F> {
    type Function = F;
}

/// The type of a kernel function, by its name in `helpers.h`.
pub(crate) type Function<T> = <T as Nullable>::Function;

/// Where [`KernelFns`] and its symbols are written down, each once.
///
/// A `fn` is a function of the type that `helpers.h` has for it, `data` an object of the type that
/// follows, and of an `address` nothing is known but where it is.
macro_rules! symbols {
    (@type fn $t:ty) => { Function<$t> };
    (@type data $t:ty) => { NonNull<$t> };
    (@type address $t:ty) => { $t };
    (@value fn $t:ty, $found:expr) => {
        // SAFETY: The symbol is a function of this type: `helpers.h` took it from the kernel's
        // own declaration.
        unsafe { transmute::<*mut c_void, Function<$t>>($found.as_ptr()) }
    };
    (@value data $t:ty, $found:expr) => { $found.cast() };
    (@value address $t:ty, $found:expr) => { $found.as_ptr() as $t };
    ($($(#[$doc:meta])* $field:ident: $kind:ident $t:ty = $name:literal;)*) => {
        /// Functions and data of the kernel, by address.
        ///
        /// # Invariants
        ///
        /// Each field is the address of the one symbol of its name that the running kernel has, and
        /// has that symbol's type. Core kernel text and data are never unmapped.
        pub(crate) struct KernelFns {
            $($(#[$doc])* pub(crate) $field: symbols!(@type $kind $t),)*
        }

        impl KernelFns {
            /// Resolves everything that `r` finds; every name is tried before the first error
            /// ends this, so that the log names them all.
            fn find_all(r: &mut Resolver) -> Result<Self> {
                $(let $field = r.address($name);)*
                // INVARIANT: Each name is that of its field.
                Ok(Self { $($field: { let found = $field?; symbols!(@value $kind $t, found) },)* })
            }
        }
    };
}

symbols! {
    /// Allocates and maps a region.
    vmalloc_node_range: fn sys::bpf_pack_vmalloc_node_range = c"__vmalloc_node_range_noprof";
    /// Makes linear-map pages invalid, and flushes the TLB, "noflush" or not
    /// (arch/arm64/mm/pageattr.c, `__change_memory_common()`).
    set_direct_map_valid: fn sys::bpf_pack_set_direct_map_valid = c"set_direct_map_valid_noflush";
    /// Whether the kernel's policy lets the linear map be changed.
    can_set_direct_map: fn sys::bpf_pack_can_set_direct_map = c"can_set_direct_map";
    /// Cleans the data cache to the point of unification.
    dcache_clean_pou: fn sys::bpf_pack_dcache_clean_pou = c"dcache_clean_pou";
    /// Maps a page in a fixmap slot.
    set_fixmap: fn sys::bpf_pack_set_fixmap = c"__set_fixmap";
    /// Where the patch site of a function is.
    ftrace_location: fn sys::bpf_pack_ftrace_location = c"ftrace_location";
    /// 0 if no BPF image is at an address.
    address_lookup: fn sys::bpf_pack_address_lookup = c"bpf_address_lookup";
    /// Changes one instruction of live text.
    patch_text: fn sys::bpf_pack_patch_text = c"aarch64_insn_patch_text_nosync";
    /// Changes an aligned word of data in text.
    write_literal: fn sys::bpf_pack_write_literal = c"aarch64_insn_write_literal_u64";
    /// Hooked.
    pack_alloc: address usize = c"bpf_prog_pack_alloc";
    /// Hooked.
    pack_free: address usize = c"bpf_prog_pack_free";
    /// Hooked.
    pack_finalize: address usize = c"bpf_jit_binary_pack_finalize";
    /// Hooked.
    text_copy: address usize = c"bpf_arch_text_copy";
    /// Hooked.
    text_poke: address usize = c"bpf_arch_text_poke";
    /// The fill function of callers that want zeroes.
    fill_with_zero: address usize = c"bpf_jit_fill_hole_with_zero";
    /// Held by everybody who changes an instruction of live text.
    text_mutex: data bindings::mutex = c"text_mutex";
    /// Where the PLT of a program leads while no trampoline is attached
    /// (arch/arm64/net/bpf_jit_comp.c).
    dummy_tramp: address usize = c"dummy_tramp";
    /// Owns the fixmap slot FIX_TEXT_POKE0 (arch/arm64/kernel/patching.c).
    patch_lock: data bindings::raw_spinlock_t = c"patch_lock";
    /// Bytes that JIT images are charged for (kernel/bpf/core.c).
    jit_current: data i64 = c"bpf_jit_current";
    /// A static key, whose first field is the count (kernel/bpf/core.c).
    pred_flush: data i32 = c"bpf_pred_flush_enabled";
    /// Where the kernel's text begins.
    text_start: address usize = c"_stext";
    /// Where it ends.
    text_end: address usize = c"_etext";
}

// SAFETY: By the type invariants the addresses are good on every CPU and for ever, and the
// data fields that are pointers are only accessed with locks or atomics.
unsafe impl Send for KernelFns {}
// SAFETY: As above.
unsafe impl Sync for KernelFns {}

/// The symbols of the running kernel, from the first successful [`KernelFns::resolve`] on.
static RESOLVED: SetOnce<KernelFns> = SetOnce::new();

/// `kallsyms_lookup_name()`: 0 if there is no such symbol.
type LookupName = Function<sys::bpf_pack_kallsyms_lookup_name>;
/// `kallsyms_on_each_match_symbol()`: calls a function with the address of each.
type EachMatch = Function<sys::bpf_pack_kallsyms_on_each_match_symbol>;

/// Finds `kallsyms_lookup_name()` with a kprobe, which is put in place and removed at once.
fn find_lookup_name() -> Result<LookupName> {
    let mut probe = KBox::new(bindings::kprobe::default(), GFP_KERNEL)?;
    probe.symbol_name = c"kallsyms_lookup_name".as_char_ptr();
    // Registering resolves the name; live text need not be patched for that.
    probe.flags = bindings::KPROBE_FLAG_DISABLED;
    // SAFETY: `probe` is zeroed but for the name, lives on the heap until it is unregistered below
    // and has no handlers.
    let registered = unsafe { bindings::register_kprobe(&raw mut *probe) };
    if registered < 0 {
        pr_err!("no kprobe on kallsyms_lookup_name: is the kernel locked down or kprobes off?\n");
        return Err(Error::from_errno(registered));
    }
    let address = probe.addr;
    // SAFETY: It was registered above.
    unsafe { bindings::unregister_kprobe(&raw mut *probe) };
    if address.is_null() {
        return Err(ENOENT);
    }
    // SAFETY: `addr` is the address of `kallsyms_lookup_name()`, whose type is the kernel's.
    Ok(unsafe { transmute::<*mut bindings::kprobe_opcode_t, LookupName>(address) })
}

/// The symbols of one name.
#[derive(Default)]
struct Matches {
    count: usize,
    last: usize,
}

/// Counts one symbol.
///
/// # Safety
///
/// `data` must be a [`Matches`] that nobody else uses.
unsafe extern "C" fn count_match(data: *mut c_void, address: usize) -> c_int {
    // SAFETY: By the caller's promise.
    let matches = unsafe { &mut *data.cast::<Matches>() };
    matches.count = matches.count.saturating_add(1);
    matches.last = address;
    0
}

/// Looks symbols up and remembers what went wrong.
struct Resolver {
    each_match: EachMatch,
    failed: usize,
}

impl Resolver {
    fn new() -> Result<Self> {
        let lookup = find_lookup_name()?;
        // SAFETY: `lookup` is `kallsyms_lookup_name()`, and the name is a C string.
        let address = unsafe { lookup(c"kallsyms_on_each_match_symbol".as_char_ptr()) };
        if address == 0 {
            pr_err!("this kernel has no symbol `kallsyms_on_each_match_symbol`\n");
            return Err(ENOENT);
        }
        Ok(Self {
            // SAFETY: The address of that function, whose type is the kernel's.
            each_match: unsafe { transmute::<usize, EachMatch>(address) },
            failed: 0,
        })
    }

    /// The address of `name` in the kernel itself, or an error that the log names.
    ///
    /// Not `kallsyms_lookup_name()`: that takes the first of several symbols of one name, and a
    /// module's where the kernel has none.
    fn address(&mut self, name: &CStr) -> Result<NonNull<c_void>> {
        let mut matches = Matches::default();
        // SAFETY: The name is a C string, and `count_match` gets what it wants.
        unsafe {
            (self.each_match)(
                Some(count_match),
                name.as_char_ptr(),
                (&raw mut matches).cast(),
            )
        };
        if faults::at(Point::Symbol, ENOENT).is_err() {
            matches.count = 0;
        }
        let found = NonNull::new(matches.last as *mut c_void).filter(|_| matches.count == 1);
        found.ok_or_else(|| {
            match matches.count {
                0 => pr_err!("this kernel has no symbol `{}`\n", name),
                several => pr_err!(
                    "this kernel has {} symbols `{}`: no telling which is meant\n",
                    several,
                    name
                ),
            }
            self.failed = self.failed.saturating_add(1);
            ENOENT
        })
    }
}

impl KernelFns {
    /// Resolves everything, or says in the log what is missing or ambiguous. May sleep.
    ///
    /// `also` is looked up, too: for the self-tests, which ask for what no kernel has.
    ///
    /// # Errors
    ///
    /// `ENOENT` if a symbol is missing or is there more than once; what `register_kprobe()` returns.
    pub(crate) fn resolve(also: Option<&CStr>) -> Result<&'static Self> {
        let mut r = Resolver::new()?;
        if let Some(name) = also {
            let _ = r.address(name);
        }
        let found = Self::find_all(&mut r);
        if r.failed > 0 {
            pr_err!(
                "{} symbols not found: this kernel is not supported\n",
                r.failed
            );
            return Err(ENOENT);
        }
        RESOLVED.populate(found?);
        RESOLVED.as_ref().ok_or(EINVAL)
    }

    /// Bytes that the kernel has charged for JIT images, as compared with `net.core.bpf_jit_limit`.
    pub(crate) fn jit_charged(&self) -> i64 {
        // SAFETY: By the type invariants this is the kernel's `atomic_long_t`.
        unsafe { Atomic::from_ptr(self.jit_current.as_ptr()) }.load(Relaxed)
    }

    /// Whether the kernel flushes branch predictors before it reuses memory for classic BPF.
    ///
    /// No arm64 kernel does so far. Where one does, the stock allocator serves: it knows which
    /// packs need it.
    pub(crate) fn pred_flush_enabled(&self) -> bool {
        // SAFETY: By the type invariants this is the kernel's `struct static_key`, whose first
        // field is an `atomic_t` (checked in prototypes.c).
        unsafe { Atomic::from_ptr(self.pred_flush.as_ptr()) }.load(Relaxed) != 0
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The kernel symbols that are not exported to modules. The module resolves all of them once, or
//! fails; a few are optional.
//!
//! A kprobe on `kallsyms_lookup_name()` gives the address of that function, which leads to the
//! other symbols: no kprobe can stand on data or on `noinstr` functions. Out-of-tree modules have
//! to do this, and upstream does not support it. `Documentation/upstream.md` says what a kernel would
//! have to export instead.
//!
//! The function types are the kernel's own, from `helpers.h`. A kernel with kCFI compares a hash of
//! the caller's type with one of the function's. rustc's hash is not clang's where an argument is
//! an enum or a pointer to a function: `helpers.c` makes those calls. Symbols that are static in the
//! kernel (`patch_lock`, `bpf_jit_current`) or defined in assembly (`dummy_tramp`) have no
//! declaration to compare with.

use crate::compat::not_supported;
use crate::faults::{
    self,
    Point, //
};
use crate::node::Node;
use crate::plan::REGION_ALIGN;
use crate::sys;
use core::mem::transmute;
use core::ops::Range;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::str::CStr;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use kernel::sync::SetOnce;

/// The [`Option`] that bindgen makes of a pointer to a function.
pub(crate) trait Nullable {
    /// The type of the pointer that is not null.
    type Function;
}

impl<F> Nullable for Option<F> {
    type Function = F;
}

/// The type of a kernel function, by its name in `helpers.h`.
pub(crate) type Function<T> = <T as Nullable>::Function;

/// Defines [`KernelFns`] and resolves its fields.
///
/// A `fn` is a function whose type is in `helpers.h`; `data` is an object of the given type; an
/// `address` is only that, and an `optional` one may be missing.
macro_rules! symbols {
    (@type fn $t:ty) => { Function<$t> };
    (@type data $t:ty) => { NonNull<$t> };
    (@type address $t:ty) => { $t };
    (@type optional $t:ty) => { Option<$t> };
    (@find optional $r:ident $name:literal) => { Ok::<_, Error>($r.optional($name)) };
    (@find $kind:ident $r:ident $name:literal) => { $r.address($name) };
    (@value fn $t:ty, $found:expr) => {
        // SAFETY: The symbol is a function of this type: `helpers.h` takes the type from the
        // kernel's declaration of that function.
        unsafe { transmute::<*mut c_void, Function<$t>>($found.as_ptr()) }
    };
    (@value data $t:ty, $found:expr) => { $found.cast() };
    (@value address $t:ty, $found:expr) => { $found.as_ptr() as $t };
    (@value optional $t:ty, $found:expr) => { $found.map(|found| found.as_ptr() as $t) };
    ($($(#[$doc:meta])* $field:ident: $kind:ident $t:ty = $name:literal;)*) => {
        /// Functions and data of the kernel, by address.
        ///
        /// # Invariants
        ///
        /// Each field but `window_prot` is the address of the one symbol of its name that the
        /// running kernel has, and has that symbol's type. Core kernel text and data are never
        /// unmapped.
        pub(crate) struct KernelFns {
            /// The protection bits of the window for writes, which every write needs.
            pub(crate) window_prot: u64,
            $($(#[$doc])* pub(crate) $field: symbols!(@type $kind $t),)*
        }

        impl KernelFns {
            /// Resolves all symbols. It looks all of them up before it returns the first error, so
            /// that the log names every symbol that is missing.
            fn find_all(r: &mut Resolver) -> Result<Self> {
                $(let $field = symbols!(@find $kind r $name);)*
                // INVARIANT: The table gives each field its symbol, and `Resolver::address` finds
                // it only if the kernel has exactly one.
                Ok(Self {
                    window_prot: sys::prot_window(),
                    $($field: { let found = $field?; symbols!(@value $kind $t, found) },)*
                })
            }
        }
    };
}

symbols! {
    /// Allocates and maps a region.
    vmalloc_node_range: fn sys::bpf_pack_vmalloc_node_range = c"__vmalloc_node_range_noprof";
    /// Unmaps a part of vmalloc space, and flushes the TLB.
    vunmap_range: fn sys::bpf_pack_vunmap_range = c"vunmap_range";
    /// Makes pages of the linear map invalid, or valid again. For the former it flushes the TLB in
    /// spite of its name (arch/arm64/mm/pageattr.c, `__change_memory_common()`).
    set_direct_map_valid: fn sys::bpf_pack_set_direct_map_valid = c"set_direct_map_valid_noflush";
    /// Whether the kernel's policy lets the linear map be changed.
    can_set_direct_map: fn sys::bpf_pack_can_set_direct_map = c"can_set_direct_map";
    /// Cleans the data cache to the point of unification.
    dcache_clean_pou: fn sys::bpf_pack_dcache_clean_pou = c"dcache_clean_pou";
    /// Maps a page in a fixmap slot.
    set_fixmap: fn sys::bpf_pack_set_fixmap = c"__set_fixmap";
    /// Finds the patch site of a function.
    ftrace_location: fn sys::bpf_pack_ftrace_location = c"ftrace_location";
    /// Looks up the BPF program at an address; 0 if there is none.
    address_lookup: fn sys::bpf_pack_address_lookup = c"bpf_address_lookup";
    /// Changes one instruction of live text.
    patch_text: fn sys::bpf_pack_patch_text = c"aarch64_insn_patch_text_nosync";
    /// Changes an aligned 64-bit word of data in text.
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
    /// Hooked, in a kernel that has it.
    fixup_call_args: optional usize = c"bpf_fixup_call_args";
    /// The fill function of callers that want zeroes.
    fill_with_zero: address usize = c"bpf_jit_fill_hole_with_zero";
    /// The lock of everybody who changes instructions of live text.
    text_mutex: data bindings::mutex = c"text_mutex";
    /// The target of a program's PLT while no trampoline is attached
    /// (arch/arm64/net/bpf_jit_comp.c).
    dummy_tramp: address usize = c"dummy_tramp";
    /// The lock of the fixmap slot FIX_TEXT_POKE0 (arch/arm64/kernel/patching.c).
    patch_lock: data bindings::raw_spinlock_t = c"patch_lock";
    /// The bytes that the kernel has charged for JIT images (kernel/bpf/core.c).
    jit_current: data i64 = c"bpf_jit_current";
    /// The count in a static key: its first field (kernel/bpf/core.c).
    pred_flush: data i32 = c"bpf_pred_flush_enabled";
    /// The start of the kernel's text.
    text_start: address usize = c"_stext";
    /// The end of the kernel's text.
    text_end: address usize = c"_etext";
}

// SAFETY: By the type invariants the addresses are valid on every CPU and never change. The objects
// behind the data fields are only accessed with their locks or atomically.
unsafe impl Send for KernelFns {}
// SAFETY: As for `Send`.
unsafe impl Sync for KernelFns {}

/// Waits until every task has made a voluntary context switch since this was called.
///
/// So no task is any more in the instructions of ours before a call is counted, or after it is
/// counted no longer.
pub(crate) fn wait_for_tasks() {
    // SAFETY: It needs a context that may sleep: the callers set the module up or remove it.
    unsafe { bindings::synchronize_rcu_tasks() }
}

/// Whether [`KernelFns::map_region`] fills with traps and makes the alias invalid by itself.
pub(crate) const MAPS_SEALED: bool = false;

/// What is lost without `bpf_fixup_call_args()`, in words.
pub(crate) const WITHOUT_FIXUP_CALL_ARGS: &str =
    "each function of a program interrupts all CPUs by itself";

/// The symbols of the running kernel, once [`KernelFns::resolve`] has succeeded.
static RESOLVED: SetOnce<KernelFns> = SetOnce::new();

/// `kallsyms_lookup_name()`: 0 if there is no such symbol.
type LookupName = Function<sys::bpf_pack_kallsyms_lookup_name>;
/// `kallsyms_on_each_match_symbol()`: calls a function with the address of each symbol of a name.
type EachMatch = Function<sys::bpf_pack_kallsyms_on_each_match_symbol>;

/// Finds `kallsyms_lookup_name()` with a kprobe, which it registers and unregisters at once.
fn find_lookup_name() -> Result<LookupName> {
    let memory = faults::at(Point::ProbeMemory, ENOMEM)
        .and_then(|()| Ok(KBox::new(bindings::kprobe::default(), GFP_KERNEL)?));
    let mut probe = memory.inspect_err(|error| pr_err!("cannot look symbols up: {:?}\n", error))?;
    probe.symbol_name = c"kallsyms_lookup_name".as_char_ptr();
    // Registering a disabled kprobe resolves the name but does not patch live text.
    probe.flags = bindings::KPROBE_FLAG_DISABLED;
    let registered = faults::at(Point::ProbeRegister, not_supported()).and_then(|()| {
        // SAFETY: `probe` is zeroes but for the name and the flag, and has no handlers. It stays on
        // the heap until it is unregistered below.
        to_result(unsafe { bindings::register_kprobe(&raw mut *probe) })
    });
    registered.inspect_err(|_| {
        pr_err!("no kprobe on kallsyms_lookup_name: has this kernel kprobes?\n");
    })?;
    let address = probe.addr;
    // SAFETY: It was registered above, once.
    unsafe { bindings::unregister_kprobe(&raw mut *probe) };
    if address.is_null() {
        return Err(ENOENT);
    }
    // SAFETY: `addr` is the address of `kallsyms_lookup_name()`, and `LookupName` is the kernel's
    // type of that function.
    Ok(unsafe { transmute::<*mut bindings::kprobe_opcode_t, LookupName>(address) })
}

/// The number of symbols of one name, and the address of the last.
#[derive(Default)]
struct Matches {
    count: usize,
    last: usize,
}

impl Matches {
    /// The address, if there is one symbol of the name.
    fn only(&self) -> Option<NonNull<c_void>> {
        NonNull::new(self.last as *mut c_void).filter(|_| self.count == 1)
    }
}

/// Counts one symbol in the [`Matches`] at `data`.
///
/// # Safety
///
/// `data` must point to a [`Matches`] that nobody else uses.
unsafe extern "C" fn count_match(data: *mut c_void, address: usize) -> c_int {
    // SAFETY: The caller promises that nobody else uses the `Matches` at `data`.
    let matches = unsafe { &mut *data.cast::<Matches>() };
    matches.count = matches.count.saturating_add(1);
    matches.last = address;
    0
}

/// Looks symbols up, and counts those that it does not find.
struct Resolver {
    each_match: EachMatch,
    failed: usize,
}

impl Resolver {
    fn new() -> Result<Self> {
        let lookup = find_lookup_name()?;
        // SAFETY: `lookup` is `kallsyms_lookup_name()`, which needs a C string.
        let address = unsafe { lookup(c"kallsyms_on_each_match_symbol".as_char_ptr()) };
        if address == 0 || faults::at(Point::Lookup, ENOENT).is_err() {
            pr_err!("this kernel has no symbol `kallsyms_on_each_match_symbol`\n");
            return Err(ENOENT);
        }
        Ok(Self {
            // SAFETY: The address is that of `kallsyms_on_each_match_symbol()`, and `EachMatch` is
            // the kernel's type of that function.
            each_match: unsafe { transmute::<usize, EachMatch>(address) },
            failed: 0,
        })
    }

    /// Finds the symbols `name` of the kernel itself.
    fn matches(&self, name: &CStr) -> Matches {
        let mut matches = Matches::default();
        // SAFETY: `each_match` is the function that the helper wants. The name is a C string.
        // `count_match` gets a pointer to `matches`, which nobody else uses during the call.
        unsafe {
            sys::bpf_pack_helper_each_match(
                Some(self.each_match),
                Some(count_match),
                name.as_char_ptr(),
                (&raw mut matches).cast(),
            )
        };
        matches
    }

    /// Returns the address of the only symbol `name` of the kernel itself. If there is none, the log
    /// says so: the module goes on without it.
    fn optional(&self, name: &CStr) -> Option<NonNull<c_void>> {
        let found = faults::at(Point::OptionalSymbol, ENOENT).map(|()| self.matches(name).only());
        let found = found.unwrap_or(None);
        if found.is_none() {
            // There is only one such symbol.
            pr_info!(
                "this kernel has no symbol `{}`; {}\n",
                name,
                WITHOUT_FIXUP_CALL_ARGS
            );
        }
        found
    }

    /// Returns the address of the only symbol `name` of the kernel itself.
    ///
    /// `kallsyms_lookup_name()` would return the first of several symbols of that name, or a symbol
    /// of a module if the kernel has none.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no such symbol, or more than one; the log names it.
    fn address(&mut self, name: &CStr) -> Result<NonNull<c_void>> {
        let mut matches = self.matches(name);
        if faults::at(Point::Symbol, ENOENT).is_err() {
            matches.count = 0;
        }
        matches.only().ok_or_else(|| {
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
    /// Resolves all symbols, or names in the log those that are missing or ambiguous. May sleep.
    ///
    /// It looks up `also`, too: the self-tests ask for a symbol that no kernel has.
    ///
    /// # Errors
    ///
    /// `ENOENT` if a symbol is missing or is there more than once; what `register_kprobe()`
    /// returns.
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

    /// The symbols, once [`KernelFns::resolve`] has succeeded.
    #[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
    pub(crate) fn resolved() -> Option<&'static Self> {
        RESOLVED.as_ref()
    }

    /// Maps `len` bytes of zeroed memory, read-only and executable, at a multiple of
    /// [`REGION_ALIGN`] in `span`. May sleep. With larger leaves than a page if `large`. On `node` if
    /// that has such memory, or on another. /proc/vmallocinfo names `caller`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory or no room.
    ///
    /// # Safety
    ///
    /// The span must be of addresses for vmalloc areas.
    pub(crate) unsafe fn map_region(
        &self,
        len: usize,
        span: Range<usize>,
        gfp: bindings::gfp_t,
        large: bool,
        node: Node,
        caller: *const c_void,
    ) -> Result<NonNull<u8>> {
        // If a huge mapping is allowed, the kernel rounds a length of PMD_SIZE or more up to a
        // multiple of PMD_SIZE, and we would not fill and seal the rest. So we allow it only for such
        // multiples; with 4 KiB pages all lengths are.
        let block = sys::pmd_size();
        let whole = len < block || len % block == 0;
        // SAFETY: It only computes flags and has no preconditions.
        let flags = unsafe { sys::bpf_pack_helper_vm_flags(large && whole) };
        let prot = bindings::pgprot_t {
            pgprot: sys::prot_rox(),
        };
        // SAFETY: By the type invariants this is the kernel's function. The caller promises that
        // the addresses are for such areas, and has a context that may sleep.
        let base = unsafe {
            (self.vmalloc_node_range)(
                len,
                REGION_ALIGN,
                span.start,
                span.end,
                gfp | bindings::__GFP_ZERO,
                prot,
                flags,
                node.number(),
                caller,
            )
        };
        // It is unmapped before `vfree()` tells kmemleak that it is gone, and there is nothing in it
        // that kmemleak could look for.
        // SAFETY: kmemleak takes any address.
        unsafe { sys::bpf_pack_helper_no_scan(base) };
        NonNull::new(base.cast()).ok_or(ENOMEM)
    }

    /// Unmaps an area before its aliases become valid. May sleep.
    ///
    /// # Safety
    ///
    /// `start` and `end` must be those of an area of [`KernelFns::map_region`] where nobody
    /// executes.
    pub(crate) unsafe fn unmap_region(&self, start: usize, end: usize) {
        // SAFETY: By the type invariants this is the kernel's function, and by the caller's promise
        // the area is ours.
        unsafe { (self.vunmap_range)(start, end) }
    }

    /// Frees an area. May sleep.
    ///
    /// # Safety
    ///
    /// It must be one of [`KernelFns::map_region`], after [`KernelFns::unmap_region`], whose
    /// aliases are valid. Nobody may use it any more.
    pub(crate) unsafe fn free_region(&self, base: *const c_void) {
        // SAFETY: By the caller's promise the area is ours.
        unsafe { sys::bpf_pack_helper_vfree(base) }
    }

    /// Whether the kernel's policy lets the linear map be changed.
    pub(crate) fn can_set_direct_map(&self) -> bool {
        // SAFETY: It has no preconditions.
        unsafe { (self.can_set_direct_map)() }
    }

    /// Makes `pages` pages of the linear map invalid, or valid again. May sleep. `address` is their
    /// executable address.
    ///
    /// # Safety
    ///
    /// They must be pages of a region, whose aliases nobody uses.
    pub(crate) unsafe fn set_alias(
        &self,
        _address: usize,
        page: *mut bindings::page,
        pages: c_uint,
        valid: bool,
    ) -> c_int {
        // SAFETY: By the type invariants this is the kernel's function, and by the caller's promise
        // nobody uses the aliases.
        unsafe { (self.set_direct_map_valid)(page, pages, valid) }
    }

    /// Returns the bytes that the kernel has charged for JIT images. It compares them with
    /// `net.core.bpf_jit_limit`.
    pub(crate) fn jit_charged(&self) -> i64 {
        // SAFETY: By the type invariants this is the address of the kernel's `atomic_long_t`, which
        // is only accessed atomically.
        unsafe { Atomic::from_ptr(self.jit_current.as_ptr()) }.load(Relaxed)
    }

    /// Whether the kernel flushes branch predictors before it reuses memory for classic BPF.
    ///
    /// No arm64 kernel does so yet. In a kernel that does, the stock allocator serves instead of
    /// us: it knows which packs need the flush.
    pub(crate) fn pred_flush_enabled(&self) -> bool {
        // SAFETY: By the type invariants this is the address of the kernel's `struct static_key`,
        // whose first field is an `atomic_t` (checked in prototypes.c).
        unsafe { Atomic::from_ptr(self.pred_flush.as_ptr()) }.load(Relaxed) != 0
    }
}

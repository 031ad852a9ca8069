// SPDX-License-Identifier: GPL-2.0

//! The kernel symbols that are not exported to modules, resolved once, all or nothing.
//!
//! A kprobe on `kallsyms_lookup_name()` tells where that function is, and it resolves the rest:
//! a kprobe cannot stand on `noinstr` functions nor on data. This is what out-of-tree modules must
//! do and is not blessed by upstream; the README says what a kernel would have to export instead.
//!
//! The function types here are compared with the kernel's headers in `prototypes.c`. What is static
//! in the kernel (`patch_lock`, `bpf_jit_current`) or only in assembly (`dummy_tramp`) cannot be.

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

/// A `pgprot_t`, passed by value.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct PgProt(pub(crate) u64);

/// `__vmalloc_node_range_noprof()`, mm/vmalloc.c.
pub(crate) type VmallocNodeRange = unsafe extern "C" fn(
    size: usize,
    align: usize,
    start: usize,
    end: usize,
    gfp: bindings::gfp_t,
    prot: PgProt,
    vm_flags: usize,
    node: c_int,
    caller: *const c_void,
) -> *mut c_void;
/// `set_direct_map_valid_noflush()`, arch/arm64/mm/pageattr.c.
pub(crate) type SetDirectMapValid =
    unsafe extern "C" fn(page: *mut bindings::page, nr: c_uint, valid: bool) -> c_int;
/// `can_set_direct_map()`, arch/arm64/mm/pageattr.c.
pub(crate) type CanSetDirectMap = unsafe extern "C" fn() -> bool;
/// `__set_fixmap()`, arch/arm64/mm/fixmap.c.
pub(crate) type SetFixmap = unsafe extern "C" fn(slot: c_int, pa: u64, prot: PgProt);
/// `bpf_jit_fill_hole_t`, include/linux/filter.h. Only ever passed on.
pub(crate) type FillHole = Option<unsafe extern "C" fn(area: *mut c_void, size: c_uint)>;
/// `bpf_prog_pack_alloc()`, kernel/bpf/core.c.
pub(crate) type PackAlloc =
    unsafe extern "C" fn(size: u32, fill: FillHole, was_classic: bool) -> *mut c_void;
/// `bpf_prog_pack_free()`, kernel/bpf/core.c.
pub(crate) type PackFree = unsafe extern "C" fn(ptr: *mut c_void, size: u32);
/// `bpf_jit_binary_pack_finalize()`, kernel/bpf/core.c; the headers are opaque here.
pub(crate) type PackFinalize = unsafe extern "C" fn(ro: *mut c_void, rw: *mut c_void) -> c_int;
/// `bpf_arch_text_copy()`, arch/arm64/net/bpf_jit_comp.c.
pub(crate) type TextCopy =
    unsafe extern "C" fn(dst: *mut c_void, src: *mut c_void, len: usize) -> *mut c_void;

/// `bpf_arch_text_poke()`, arch/arm64/net/bpf_jit_comp.c; the kinds are `enum bpf_text_poke_type`.
pub(crate) type TextPoke = unsafe extern "C" fn(
    ip: *mut c_void,
    old_kind: c_uint,
    new_kind: c_uint,
    old: *mut c_void,
    new: *mut c_void,
) -> c_int;
/// `bpf_address_lookup()`, kernel/bpf/core.c: 0 if no BPF image is at this address.
pub(crate) type AddressLookup = unsafe extern "C" fn(
    address: usize,
    size: *mut usize,
    offset: *mut usize,
    symbol: *mut c_char,
) -> c_int;
/// `aarch64_insn_write_literal_u64()`, arch/arm64/kernel/patching.c.
pub(crate) type WriteLiteral = unsafe extern "C" fn(address: *mut c_void, value: u64) -> c_int;
/// `aarch64_insn_patch_text_nosync()`, arch/arm64/kernel/patching.c.
pub(crate) type PatchText = unsafe extern "C" fn(address: *mut c_void, insn: u32) -> c_int;

/// Functions and data of the kernel, by address.
///
/// # Invariants
///
/// Each field is what the running kernel's symbol table gives for the symbol that its comment
/// names, and has that symbol's type. Core kernel text and data are never unmapped.
pub(crate) struct KernelFns {
    /// `__vmalloc_node_range_noprof`
    pub(crate) vmalloc_node_range: VmallocNodeRange,
    /// `set_direct_map_valid_noflush`
    pub(crate) set_direct_map_valid: SetDirectMapValid,
    /// `can_set_direct_map`
    pub(crate) can_set_direct_map: CanSetDirectMap,
    /// `__set_fixmap`
    pub(crate) set_fixmap: SetFixmap,
    /// `bpf_prog_pack_alloc`
    pub(crate) pack_alloc: PackAlloc,
    /// `bpf_prog_pack_free`
    pub(crate) pack_free: PackFree,
    /// `bpf_jit_binary_pack_finalize`
    pub(crate) pack_finalize: PackFinalize,
    /// `bpf_arch_text_copy`
    pub(crate) text_copy: TextCopy,
    /// `bpf_arch_text_poke`
    pub(crate) text_poke: TextPoke,
    /// `bpf_address_lookup`
    pub(crate) address_lookup: AddressLookup,
    /// `aarch64_insn_patch_text_nosync`
    pub(crate) patch_text: PatchText,
    /// `aarch64_insn_write_literal_u64`
    pub(crate) write_literal: WriteLiteral,
    /// `bpf_jit_fill_hole_with_zero`: only its address matters.
    pub(crate) fill_with_zero: usize,
    /// `text_mutex`: held by everybody who changes an instruction of live text.
    pub(crate) text_mutex: NonNull<bindings::mutex>,
    /// `dummy_tramp` of arch/arm64/net/bpf_jit_comp.c: where the PLT of a program leads while no
    /// trampoline is attached.
    pub(crate) dummy_tramp: usize,
    /// `patch_lock` of arch/arm64/kernel/patching.c, which owns the fixmap slot FIX_TEXT_POKE0.
    pub(crate) patch_lock: NonNull<bindings::raw_spinlock_t>,
    /// `bpf_jit_current` of kernel/bpf/core.c: bytes that JIT images are charged for.
    pub(crate) jit_current: NonNull<i64>,
    /// `bpf_pred_flush_enabled` of kernel/bpf/core.c: a static key, whose first field is the count.
    pub(crate) pred_flush: NonNull<i32>,
    /// `_stext`: where the kernel's text begins.
    pub(crate) text_start: usize,
    /// `_etext`: where it ends.
    pub(crate) text_end: usize,
}

// SAFETY: By the type invariants the addresses are good on every CPU and for ever, and the two
// data fields that are pointers are only accessed with locks or atomics.
unsafe impl Send for KernelFns {}
// SAFETY: As above.
unsafe impl Sync for KernelFns {}

/// The symbols of the running kernel, from the first successful [`KernelFns::resolve`] on.
static RESOLVED: SetOnce<KernelFns> = SetOnce::new();

/// `kallsyms_lookup_name()`: 0 if there is no such symbol.
type LookupName = unsafe extern "C" fn(name: *const c_char) -> usize;

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
    // SAFETY: `addr` is the address of `kallsyms_lookup_name()`, whose type was checked in
    // prototypes.c.
    Ok(unsafe { transmute::<*mut bindings::kprobe_opcode_t, LookupName>(address) })
}

/// Looks symbols up and remembers what was missing.
struct Resolver {
    lookup: LookupName,
    missing: usize,
}

impl Resolver {
    /// The address of `name`, or an error that the log names.
    fn address(&mut self, name: &CStr) -> Result<NonNull<c_void>> {
        // SAFETY: `lookup` is `kallsyms_lookup_name()`, and the name is a C string.
        let address = unsafe { (self.lookup)(name.as_char_ptr()) };
        NonNull::new(address as *mut c_void).ok_or_else(|| {
            pr_err!("this kernel has no symbol `{}`\n", name);
            self.missing = self.missing.saturating_add(1);
            ENOENT
        })
    }
}

/// Resolves a function symbol to a pointer of the type that the field has.
macro_rules! function {
    ($resolver:expr, $name:literal) => {
        $resolver.address($name).map(|address| {
            // SAFETY: The symbol is a function of this type: prototypes.c compares it with the
            // kernel's headers.
            unsafe { transmute::<*mut c_void, _>(address.as_ptr()) }
        })
    };
}

impl KernelFns {
    /// Resolves everything, or says in the log what is missing. May sleep.
    ///
    /// `sabotage` looks up one name that no kernel has, for the self-tests.
    ///
    /// # Errors
    ///
    /// `ENOENT` if a symbol is missing; what `register_kprobe()` returns.
    pub(crate) fn resolve(sabotage: bool) -> Result<&'static Self> {
        let mut r = Resolver {
            lookup: find_lookup_name()?,
            missing: 0,
        };
        // Every name is tried before the first error ends this, so that the log names them all.
        let vmalloc_node_range = function!(r, c"__vmalloc_node_range_noprof");
        let set_direct_map_valid = function!(r, c"set_direct_map_valid_noflush");
        let can_set_direct_map = function!(r, c"can_set_direct_map");
        let set_fixmap = function!(r, c"__set_fixmap");
        let pack_alloc = function!(r, c"bpf_prog_pack_alloc");
        let pack_free = function!(r, c"bpf_prog_pack_free");
        let pack_finalize = function!(r, c"bpf_jit_binary_pack_finalize");
        let text_copy = function!(r, c"bpf_arch_text_copy");
        let text_poke = function!(r, c"bpf_arch_text_poke");
        let address_lookup = function!(r, c"bpf_address_lookup");
        let patch_text = function!(r, c"aarch64_insn_patch_text_nosync");
        let write_literal = function!(r, c"aarch64_insn_write_literal_u64");
        let fill_with_zero = r.address(c"bpf_jit_fill_hole_with_zero");
        let text_mutex = r.address(c"text_mutex");
        let dummy_tramp = r.address(c"dummy_tramp");
        let patch_lock = r.address(c"patch_lock");
        let jit_current = r.address(c"bpf_jit_current");
        let pred_flush = r.address(c"bpf_pred_flush_enabled");
        let text_start = r.address(c"_stext");
        let text_end = r.address(c"_etext");
        if sabotage {
            let _ = r.address(c"bpf_pack_no_such_symbol");
        }
        if r.missing > 0 {
            pr_err!(
                "{} symbols missing: this kernel is not supported\n",
                r.missing
            );
            return Err(ENOENT);
        }
        // INVARIANT: Each name is that of its field.
        RESOLVED.populate(Self {
            vmalloc_node_range: vmalloc_node_range?,
            set_direct_map_valid: set_direct_map_valid?,
            can_set_direct_map: can_set_direct_map?,
            set_fixmap: set_fixmap?,
            pack_alloc: pack_alloc?,
            pack_free: pack_free?,
            pack_finalize: pack_finalize?,
            text_copy: text_copy?,
            text_poke: text_poke?,
            address_lookup: address_lookup?,
            patch_text: patch_text?,
            write_literal: write_literal?,
            fill_with_zero: fill_with_zero?.as_ptr() as usize,
            text_mutex: text_mutex?.cast(),
            dummy_tramp: dummy_tramp?.as_ptr() as usize,
            patch_lock: patch_lock?.cast(),
            jit_current: jit_current?.cast(),
            pred_flush: pred_flush?.cast(),
            text_start: text_start?.as_ptr() as usize,
            text_end: text_end?.as_ptr() as usize,
        });
        Self::resolved().ok_or(EINVAL)
    }

    /// The symbols, once they have been resolved.
    pub(crate) fn resolved() -> Option<&'static Self> {
        RESOLVED.as_ref()
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

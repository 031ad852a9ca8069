// SPDX-License-Identifier: GPL-2.0

//! Violations made on purpose, with which a test shows that the checks can fail.

use crate::memory;
use crate::sys;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// The prototype of `__vmalloc_node_range_noprof()`.
type VmallocNodeRange = unsafe extern "C" fn(
    size: usize,
    align: usize,
    start: usize,
    end: usize,
    gfp: bindings::gfp_t,
    prot: bindings::pgprot_t,
    vm_flags: usize,
    node: c_int,
    caller: *const c_void,
) -> *mut c_void;

/// The prototype of `kallsyms_lookup_name()`.
type KallsymsLookupName = unsafe extern "C" fn(name: *const c_char) -> usize;

/// The violation that is in place; dropping it removes it.
pub(crate) enum Seed {
    /// No violation.
    Nothing,
    /// A page that is writable and executable.
    WriteExecute(WriteExecute),
    /// A writable alias of a page.
    Alias(Alias),
}

impl Seed {
    /// The address of the violation.
    pub(crate) fn address(&self) -> Option<u64> {
        match self {
            Self::Nothing => None,
            Self::WriteExecute(mapping) => Some(mapping.0.addr().get() as u64),
            Self::Alias(alias) => Some(alias.mapping.addr().get() as u64),
        }
    }
}

/// A page of our own that is writable and executable.
///
/// # Invariants
///
/// Was returned by `__vmalloc_node_range_noprof()` and is not freed.
pub(crate) struct WriteExecute(NonNull<c_void>);

// SAFETY: The mapping is the kernel's; any task may free it.
unsafe impl Send for WriteExecute {}

impl WriteExecute {
    /// Maps a fresh page.
    pub(crate) fn new() -> Result<Self> {
        let vmalloc = lookup(c"__vmalloc_node_range_noprof")?;
        // SAFETY: The kernel's function of this name has this prototype.
        let vmalloc: VmallocNodeRange = unsafe { core::mem::transmute(vmalloc) };
        // SAFETY: The arguments are those of an ordinary `vmalloc()`, but for the protection.
        let address = unsafe {
            vmalloc(
                bindings::PAGE_SIZE,
                1,
                sys::ptwalk_helper_vmalloc_start(),
                sys::ptwalk_helper_vmalloc_end(),
                bindings::GFP_KERNEL,
                bindings::pgprot_t {
                    pgprot: sys::ptwalk_helper_prot_write_execute(),
                },
                0,
                bindings::NUMA_NO_NODE,
                core::ptr::null(),
            )
        };
        // INVARIANT: Just allocated.
        NonNull::new(address).map(Self).ok_or(ENOMEM)
    }
}

impl Drop for WriteExecute {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, and nobody else knows the address.
        unsafe { sys::vfree(self.0.as_ptr()) }
    }
}

/// A writable alias of a page that belongs to somebody else.
///
/// # Invariants
///
/// `mapping` was returned by `vmap()` and is not unmapped; a reference to `page` is held.
pub(crate) struct Alias {
    mapping: NonNull<c_void>,
    page: Page,
}

// SAFETY: The mapping is the kernel's; any task may remove it.
unsafe impl Send for Alias {}

impl Alias {
    /// Maps the page at `va` a second time.
    ///
    /// # Errors
    ///
    /// `EFAULT` if nothing is mapped at `va`; `EBUSY` if the page has no reference count to hold.
    pub(crate) fn new(va: u64) -> Result<Self> {
        let leaf = memory::walk(va)?.leaf().ok_or(EFAULT)?;
        let page = Page::get(leaf.translate(va))?;
        // SAFETY: The page is one of memory and stays: we hold a reference.
        let mapping = unsafe { sys::ptwalk_helper_map_writable(page.0) };
        let mapping = NonNull::new(mapping).ok_or(ENOMEM)?;
        // INVARIANT: Just mapped, and the reference moves in.
        Ok(Self { mapping, page })
    }

    /// The physical address of the page.
    pub(crate) fn pa(&self) -> u64 {
        self.page.0
    }
}

impl Drop for Alias {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, and nobody else knows the address.
        unsafe { sys::vunmap(self.mapping.as_ptr()) }
    }
}

/// A page, by a physical address in it.
///
/// # Invariants
///
/// A reference to the page is held.
struct Page(u64);

impl Page {
    /// Takes a reference.
    fn get(pa: u64) -> Result<Self> {
        // SAFETY: Has no preconditions; memory has a `struct page`.
        if !unsafe { sys::ptwalk_helper_is_memory(pa) && sys::ptwalk_helper_get_page(pa) } {
            return Err(EBUSY);
        }
        // INVARIANT: Just taken.
        Ok(Self(pa))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { sys::ptwalk_helper_put_page(self.0) }
    }
}

/// Finds a kernel symbol that is not exported.
///
/// # Errors
///
/// `ENOENT` if the kernel does not have it; what registering a kprobe returns.
fn lookup(name: &CStr) -> Result<NonNull<c_void>> {
    let mut probe = bindings::kprobe {
        symbol_name: c"kallsyms_lookup_name".as_char_ptr(),
        ..Default::default()
    };
    // SAFETY: A zeroed kprobe with a symbol name is what the function wants; it does not move
    // until it is unregistered.
    to_result(unsafe { bindings::register_kprobe(&raw mut probe) })?;
    let address = NonNull::new(probe.addr.cast::<c_void>());
    // SAFETY: It is registered.
    unsafe { bindings::unregister_kprobe(&raw mut probe) };
    // SAFETY: The kernel's function of this name has this prototype.
    let kallsyms_lookup_name: KallsymsLookupName =
        unsafe { core::mem::transmute(address.ok_or(ENOENT)?) };
    // SAFETY: The name is NUL-terminated.
    let found = unsafe { kallsyms_lookup_name(name.as_char_ptr()) };
    NonNull::new(core::ptr::with_exposed_provenance_mut(found)).ok_or(ENOENT)
}

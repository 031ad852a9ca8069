// SPDX-License-Identifier: GPL-2.0

//! Allocators for the images of the BPF JIT.
//!
//! C header: [`include/linux/bpf_prog_pack.h`](srctree/include/linux/bpf_prog_pack.h)

use crate::{
    bindings,
    error::to_result,
    prelude::*, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull,
    slice, //
};

/// An allocator for the images of the BPF JIT.
///
/// All functions may sleep. The address of an image says whose it is: the kernel's own allocator
/// serves what [`ProgPack::alloc`] refuses, and everything about images that it has not returned.
///
/// # Safety
///
/// The kernel writes to what [`ProgPack::alloc`] returns, with [`ProgPack::finalize`] and
/// [`ProgPack::copy`], and then executes it. So an implementation must ensure:
///
/// - [`ProgPack::alloc`] returns memory that nobody else uses until [`ProgPack::free`], as large
///   and as aligned as it says, executable, and where the JIT's programs can be.
/// - If [`ProgPack::finalize`] or [`ProgPack::copy`] succeeds, the image has exactly the bytes that
///   were given, and all CPUs fetch them: on return, or within a load of this task when
///   [`ProgPack::end_load`] returns.
/// - No function fails because the implementation is leaving while it has an image of the JIT.
/// - Each function says of an image of the kernel's own allocator that it is none of this one, and
///   leaves it alone. Of its own images it never says so.
pub unsafe trait ProgPack: 'static {
    /// Allocates `size` bytes of read-only executable memory, aligned to 64 bytes and full of
    /// trapping instructions.
    ///
    /// `was_classic` says that anybody may have loaded the program. [`None`] if the kernel's own
    /// allocator is to serve.
    fn alloc(size: u32, was_classic: bool) -> Option<NonNull<u8>>;

    /// Copies `words` to the image and makes them visible to instruction fetch on all CPUs, or on
    /// all of them at the end of this task's load.
    ///
    /// [`None`] if it is no image of this allocator. With `EBUSY` it is finalized already, or
    /// another task is about to, and nothing has changed; with any other error the kernel frees the
    /// image.
    fn finalize(image: *mut u8, words: &[u32]) -> Option<Result>;

    /// Frees the image. False if it is none of this allocator. True also for an address in its
    /// memory where no image begins, which it leaves alone.
    ///
    /// # Safety
    ///
    /// Nobody may enter the image any more.
    unsafe fn free(image: *mut u8) -> bool;

    /// Copies `len` bytes from `src` to a part of an image, like [`ProgPack::finalize`]. With an
    /// error the image stays.
    ///
    /// # Safety
    ///
    /// The caller must be allowed to show these bytes to everybody who can read images. They need
    /// not be readable: that is an error.
    unsafe fn copy(dst: *mut u8, src: *const u8, len: usize) -> Option<Result>;

    /// This task begins to finalize `images` images, none of which anybody enters before
    /// [`ProgPack::end_load`]. False if each of them is to be finalized by itself; then there is no
    /// [`ProgPack::end_load`].
    fn begin_load(images: u32) -> bool;

    /// This task is done with that.
    fn end_load();
}

/// The registration of an allocator. It ends when this is dropped, which waits until no call is in
/// flight. The allocator must have no images of the JIT any more then, and refuse new ones.
///
/// # Invariants
///
/// `ops` are the operations of `T`, and registered.
#[must_use = "the registration ends when it is dropped"]
pub struct Registration<T: ProgPack> {
    ops: &'static bindings::bpf_prog_pack_ops,
    _allocator: PhantomData<fn() -> T>,
}

// SAFETY: Any task may unregister an allocator. Nobody writes to the operations.
unsafe impl<T: ProgPack> Send for Registration<T> {}
// SAFETY: `&Registration` has no methods.
unsafe impl<T: ProgPack> Sync for Registration<T> {}

impl<T: ProgPack> Registration<T> {
    const OPS: bindings::bpf_prog_pack_ops = bindings::bpf_prog_pack_ops {
        alloc: Some(Self::alloc),
        finalize: Some(Self::finalize),
        free: Some(Self::free),
        copy: Some(Self::copy),
        begin_load: Some(Self::begin_load),
        end_load: Some(Self::end_load),
    };

    /// Has the JIT ask this allocator. Sleeps.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there is another one.
    ///
    /// # Safety
    ///
    /// The registration must be dropped before the module of `T` is unloaded, and when `T` has no
    /// images any more: a module holds a reference to itself while it has some. It must not be
    /// forgotten: the operations are memory and code of that module.
    pub unsafe fn new() -> Result<Self> {
        // The one copy of the constant that is registered.
        let ops = &Self::OPS;
        // SAFETY: The operations are a constant of the module. The caller promises that `drop`
        // unregisters them while that is there.
        to_result(unsafe { bindings::bpf_prog_pack_register(ops) })?;
        // INVARIANT: They were registered above.
        Ok(Self {
            ops,
            _allocator: PhantomData,
        })
    }

    /// # Safety
    ///
    /// None: it is unsafe because the kernel's type for it is. The same holds for the next ones
    /// that name no other.
    unsafe extern "C" fn alloc(size: u32, was_classic: bool) -> *mut c_void {
        T::alloc(size, was_classic).map_or(core::ptr::null_mut(), |image| image.as_ptr().cast())
    }

    /// # Safety
    ///
    /// `rw` must be a buffer that begins with its size.
    unsafe extern "C" fn finalize(
        ro: *mut bindings::bpf_binary_header,
        rw: *mut bindings::bpf_binary_header,
    ) -> c_int {
        // SAFETY: By the caller's promise the buffer begins with its size in bytes, which the JIT
        // has written. Nobody else uses it now.
        let words = unsafe {
            let words = rw.cast::<u32>();
            slice::from_raw_parts(words, words.read() as usize / size_of::<u32>())
        };
        errno_of(T::finalize(ro.cast(), words))
    }

    /// # Safety
    ///
    /// Nobody may enter the image any more.
    unsafe extern "C" fn free(image: *mut c_void) -> bool {
        // SAFETY: By the caller's promise nobody enters it.
        unsafe { T::free(image.cast()) }
    }

    /// # Safety
    ///
    /// The caller must be allowed to show these bytes to everybody who can read images.
    unsafe extern "C" fn copy(dst: *mut c_void, src: *mut c_void, len: usize) -> c_int {
        // SAFETY: The caller's promise is that of `T::copy`.
        errno_of(unsafe { T::copy(dst.cast(), src.cast(), len) })
    }

    unsafe extern "C" fn begin_load(images: u32) -> bool {
        T::begin_load(images)
    }

    unsafe extern "C" fn end_load() {
        T::end_load()
    }
}

impl<T: ProgPack> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants these are registered.
        unsafe { bindings::bpf_prog_pack_unregister(self.ops) }
    }
}

/// The result in the words of C: `-ENOENT` if the image is another allocator's. An error of that
/// name becomes `EINVAL`, so that nobody takes it for that.
fn errno_of(outcome: Option<Result>) -> c_int {
    match outcome {
        None => ENOENT.to_errno(),
        Some(Ok(())) => 0,
        Some(Err(ENOENT)) => EINVAL.to_errno(),
        Some(Err(error)) => error.to_errno(),
    }
}

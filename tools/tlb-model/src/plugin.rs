// SPDX-License-Identifier: GPL-2.0

//! The callbacks that QEMU calls, and the global state behind them.
//!
//! Generated code keeps the current page of each CPU in a scoreboard, and calls [`on_page`] only
//! when a translation block lies on another one. Whatever may change a translation sets the current
//! page to [`NO_PAGE`], so that the next block calls.
//!
//! Lock order: `regions`, then one CPU at a time, then `out`.

use crate::counters::{Inline, InlineCounts, Snapshot, Tally};
use crate::decode::{decode, Marker, Op, Scope, Sgi, PSTATE_I};
use crate::ffi::{self, Data, GByteArray, Id, Info, Register, Tb};
use crate::guest::{Cpu, Reg};
use crate::irqs::IrqsOff;
use crate::options::Options;
use crate::region::Regions;
use crate::report;
use crate::tlb::Kill;
use crate::vcpu::Vcpu;
use std::ffi::{c_char, c_int, c_uint, c_void, CStr, CString};
use std::fs::File;
use std::io::Write;
use std::process;
use std::ptr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

/// The API version, which QEMU reads before it calls anything.
#[no_mangle]
pub(crate) static qemu_plugin_version: c_int = ffi::API_VERSION;

/// "No current page": not the page number of any address.
const NO_PAGE: u64 = u64::MAX;
/// Neither a page number nor [`NO_PAGE`].
const NEVER_PAGE: u64 = u64::MAX - 1;
/// Set in the data of [`on_page`] when it is called in the middle of a translation block.
const SECOND_PAGE: u64 = 1;
/// Bytes of a scoreboard row: the current page, the number of open regions and the inline counters.
const ROW: usize = size_of::<u64>() * (2 + Inline::ALL.len());

/// The plugin's state.
struct Plugin {
    /// What it was asked to do.
    options: Options,
    /// The current page of each CPU.
    page: ffi::U64,
    /// How many regions are open: without any, [`on_irqs`] is not called.
    watch: ffi::U64,
    /// The inline counters of each CPU.
    inline: [ffi::U64; Inline::ALL.len()],
    /// The CPUs; empty until they are initialised.
    vcpus: Vec<OnceLock<Mutex<Slot>>>,
    /// The open regions.
    regions: Mutex<Regions>,
    /// The output file, if there is one.
    out: Option<Mutex<File>>,
}

// SAFETY: The raw pointers in it are scoreboards, which QEMU lets any thread use.
unsafe impl Send for Plugin {}
// SAFETY: As above; everything that is changed is behind a lock.
unsafe impl Sync for Plugin {}

/// Set once, by [`qemu_plugin_install`].
static PLUGIN: OnceLock<Plugin> = OnceLock::new();

/// A CPU: the model and the way to the guest's state.
struct Slot {
    /// What is modelled.
    vcpu: Vcpu,
    /// Its stretches with interrupts masked.
    irqs: IrqsOff,
    /// Access to registers and memory.
    guest: QemuCpu,
    /// The thread that runs it.
    thread: ThreadId,
}

/// Registers that are read, besides x0 to x30.
const NAMED: [(&str, Reg); 6] = [
    ("pc", Reg::Pc),
    ("cpsr", Reg::Pstate),
    ("TTBR0_EL1", Reg::Ttbr0),
    ("TTBR1_EL1", Reg::Ttbr1),
    ("TCR_EL1", Reg::Tcr),
    ("SCTLR_EL1", Reg::Sctlr),
];

/// Access to a CPU's registers and memory.
///
/// # Invariants
///
/// The handles were made for the CPU that this belongs to. `buffer` is a live byte array that only
/// this uses. Methods are called in callbacks of that CPU only.
struct QemuCpu {
    /// x0 to x30.
    general: [Register; 31],
    /// The registers of `NAMED`, in its order.
    named: [Register; NAMED.len()],
    /// Where QEMU puts what is read.
    buffer: *mut GByteArray,
}

// SAFETY: By the type invariants it is used by one thread at a time, that of its CPU.
unsafe impl Send for QemuCpu {}

/// Ends QEMU: the plugin cannot go on and must not give wrong figures.
fn fail(why: &str) -> ! {
    eprintln!("tlb_model: {why}");
    process::abort()
}

impl QemuCpu {
    /// Finds the registers of the CPU in whose initialisation callback this is called.
    fn new() -> Self {
        let mut general = [ptr::null_mut(); 31];
        let mut named = [ptr::null_mut(); NAMED.len()];
        // SAFETY: Called in a CPU's initialisation callback; the array holds `len` descriptors, whose
        // names live as long as QEMU.
        unsafe {
            let array = ffi::qemu_plugin_get_registers();
            let first = (*array).data.cast::<ffi::RegisterDescriptor>();
            for i in 0..(*array).len as usize {
                let descriptor = &*first.add(i);
                let Ok(name) = CStr::from_ptr(descriptor.name).to_str() else {
                    continue;
                };
                let number = name.strip_prefix('x').and_then(|n| n.parse::<usize>().ok());
                if let Some(at) = number.and_then(|n| general.get_mut(n)) {
                    *at = descriptor.handle;
                }
                if let Some(i) = NAMED.iter().position(|(known, _)| *known == name) {
                    named[i] = descriptor.handle;
                }
            }
            ffi::g_array_free(array, 1);
        }
        if let Some(i) = general.iter().position(|handle| handle.is_null()) {
            fail(&format!("QEMU shows no register x{i}"));
        }
        if let Some(i) = named.iter().position(|handle| handle.is_null()) {
            fail(&format!("QEMU shows no register {}", NAMED[i].0));
        }
        // INVARIANT: The handles are this CPU's, and the buffer is new.
        Self {
            general,
            named,
            // SAFETY: No preconditions.
            buffer: unsafe { ffi::g_byte_array_new() },
        }
    }

    /// Empties the buffer: reads append to it.
    fn clear(&mut self) -> *mut GByteArray {
        // SAFETY: By the type invariants the buffer is live and only used here.
        unsafe { ffi::g_byte_array_set_size(self.buffer, 0) };
        self.buffer
    }

    /// The little-endian number in the buffer; 0 if it is empty.
    fn number(&self) -> u64 {
        // SAFETY: By the type invariants the buffer is live and only used here; it has `len` bytes.
        unsafe {
            let buffer = &*self.buffer;
            let mut bytes = [0; 8];
            let len = bytes.len().min(buffer.len as usize);
            if len != 0 {
                ptr::copy_nonoverlapping(buffer.data, bytes.as_mut_ptr(), len);
            }
            u64::from_le_bytes(bytes)
        }
    }
}

impl Cpu for QemuCpu {
    fn reg(&mut self, reg: Reg) -> u64 {
        let handle = match reg {
            Reg::X(n) => match self.general.get(usize::from(n)) {
                Some(&handle) => handle,
                None => return 0,
            },
            named => match NAMED.iter().position(|&(_, known)| known == named) {
                Some(i) => self.named[i],
                None => return 0,
            },
        };
        let buffer = self.clear();
        // SAFETY: By the type invariants the handle is this CPU's and this is a callback of it.
        if !unsafe { ffi::qemu_plugin_read_register(handle, buffer) } {
            fail(&format!("QEMU does not let {reg:?} be read"));
        }
        self.number()
    }

    fn descriptor(&mut self, pa: u64) -> Option<u64> {
        let buffer = self.clear();
        // SAFETY: By the type invariants the buffer is live and this is a callback of a CPU.
        let status = unsafe { ffi::qemu_plugin_read_memory_hwaddr(pa, buffer, 8) };
        (status == 0).then(|| self.number())
    }

    fn translate(&mut self, va: u64) -> Option<u64> {
        let mut pa = 0;
        // SAFETY: By the type invariants this is a callback of a CPU.
        unsafe { ffi::qemu_plugin_translate_vaddr(va, &mut pa) }.then_some(pa)
    }
}

/// Locks; the panic strategy is abort, so a lock is never poisoned.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Plugin {
    /// The plugin. Callbacks run only after it was set.
    fn get() -> &'static Self {
        match PLUGIN.get() {
            Some(plugin) => plugin,
            None => fail("called before it was installed"),
        }
    }

    /// The CPU numbered `index`.
    fn slot(&self, index: c_uint) -> MutexGuard<'_, Slot> {
        match self.vcpus.get(index as usize).and_then(OnceLock::get) {
            Some(slot) => lock(slot),
            None => fail(&format!("CPU {index} was not initialised")),
        }
    }

    /// The CPUs that were initialised.
    fn slots(&self) -> impl Iterator<Item = (c_uint, &Mutex<Slot>)> {
        let numbered = (0..).zip(&self.vcpus);
        numbered.filter_map(|(i, slot)| Some((i, slot.get()?)))
    }

    /// Makes the CPU's next translation block call [`on_page`].
    fn forget_page(&self, index: c_uint) {
        // SAFETY: The entry is of a live scoreboard, and the CPU exists.
        unsafe { ffi::qemu_plugin_u64_set(self.page, index, NO_PAGE) };
    }

    /// Has [`on_irqs`] called or not on a CPU.
    fn watch_interrupts(&self, index: c_uint, open_regions: usize) {
        // SAFETY: The entry is of a live scoreboard, and the CPU exists.
        unsafe { ffi::qemu_plugin_u64_set(self.watch, index, open_regions as u64) };
    }

    /// An inline counter of a CPU.
    fn counter(&self, which: Inline, index: c_uint) -> u64 {
        // SAFETY: The entry is of a live scoreboard, and the CPU exists.
        unsafe { ffi::qemu_plugin_u64_get(self.inline[which as usize], index) }
    }

    /// All counters now. `executing` is the CPU in whose callback this is, with the number of
    /// instructions that generated code has counted in advance.
    fn snapshot(&self, executing: Option<(c_uint, u64)>) -> Snapshot {
        let mut sum = Snapshot::default();
        sum.models
            .resize_with(self.options.models.len(), Default::default);
        for (index, slot) in self.slots() {
            let mut inline: InlineCounts = Inline::ALL.map(|which| self.counter(which, index));
            if let Some((_, ahead)) = executing.filter(|&(vcpu, _)| vcpu == index) {
                let insns = &mut inline[Inline::Insns as usize];
                *insns = insns.saturating_sub(ahead);
            }
            let mut slot = lock(slot);
            slot.vcpu.settle(inline[Inline::Insns as usize]);
            sum.inline.add(&inline);
            sum.cpu.add(slot.vcpu.counts());
            let models = sum.models.iter_mut().zip(slot.vcpu.model_counts());
            models.for_each(|(sum, counts)| sum.add(counts));
        }
        sum
    }

    /// Removes entries: of one CPU, or of all.
    fn kill(&self, kill: &Kill, only: Option<c_uint>, count: bool) {
        for (index, slot) in self.slots() {
            if only.is_none_or(|vcpu| vcpu == index) {
                let mut slot = lock(slot);
                slot.vcpu.kill(kill, count);
                self.forget_page(index);
            }
        }
    }

    /// Writes a line.
    fn print(&self, line: &str) {
        match &self.out {
            Some(file) => {
                if let Err(why) = lock(file).write_all(line.as_bytes()) {
                    fail(&format!("cannot write the output: {why}"));
                }
            }
            None => {
                if let Ok(text) = CString::new(line) {
                    // SAFETY: The string ends with NUL.
                    unsafe { ffi::qemu_plugin_outs(text.as_ptr()) };
                }
            }
        }
    }
}

/// Data of an instruction's callback: its word, and how many instructions of its part of the
/// translation block follow it.
fn pack(word: u32, following: usize) -> Data {
    ptr::without_provenance_mut((following << 32) | word as usize)
}

/// A CPU was made.
unsafe extern "C" fn on_vcpu_init(index: c_uint, _: Data) {
    let plugin = Plugin::get();
    let Some(slot) = plugin.vcpus.get(index as usize) else {
        fail(&format!("there should be no CPU {index}"));
    };
    let thread = thread::current().id();
    // One thread for several CPUs makes this QEMU's inline counters and conditional callbacks act on
    // the wrong CPU.
    if plugin
        .slots()
        .any(|(_, other)| lock(other).thread == thread)
    {
        fail("several CPUs on one thread: use -smp 1 or -accel tcg,thread=multi");
    }
    let fresh = slot.set(Mutex::new(Slot {
        vcpu: Vcpu::new(&plugin.options, index),
        irqs: IrqsOff::default(),
        guest: QemuCpu::new(),
        thread,
    }));
    if fresh.is_err() {
        fail(&format!("CPU {index} was initialised twice"));
    }
    plugin.forget_page(index);
}

/// A CPU goes on after it was idle; it may have been reset in between.
unsafe extern "C" fn on_vcpu_resume(index: c_uint, _: Data) {
    let plugin = Plugin::get();
    if let Some(slot) = plugin.vcpus.get(index as usize).and_then(OnceLock::get) {
        lock(slot).vcpu.regime_changes();
        plugin.forget_page(index);
    }
}

/// A CPU executes on another page than before. `data` is the address for which the block was
/// translated, and [`SECOND_PAGE`].
unsafe extern "C" fn on_page(index: c_uint, data: Data) {
    let plugin = Plugin::get();
    let translated = data.addr() as u64 & !SECOND_PAGE;
    let mut slot = plugin.slot(index);
    let Slot { vcpu, guest, .. } = &mut *slot;
    let mut va = translated;
    // Blocks are shared by all addresses of one physical page: kernel code keeps the identity-map
    // address of the boot, and user code that of another process.
    if plugin.options.pc_always || translated >> 63 == 0 {
        // The program counter is that of the start of the block.
        let pc = guest.reg(Reg::Pc);
        va = if data.addr() as u64 & SECOND_PAGE == 0 {
            pc
        } else {
            (pc & !0xfff).wrapping_add(0x1000)
        };
    }
    vcpu.fetch(guest, va, plugin.counter(Inline::Insns, index));
    // Generated code compares with the page that the block was translated for.
    let page = if va >> 12 == translated >> 12 {
        va >> 12
    } else {
        NO_PAGE
    };
    // SAFETY: The entry is of a live scoreboard, and the CPU exists.
    unsafe { ffi::qemu_plugin_u64_set(plugin.page, index, page) };
}

/// A CPU is about to execute an instruction that changes or may change a translation, or sends an
/// interrupt, or is a marker.
unsafe extern "C" fn on_insn(index: c_uint, data: Data) {
    let plugin = Plugin::get();
    let word = data.addr() as u32;
    let following = (data.addr() >> 32) as u64;
    match decode(word) {
        Some(Op::Tlbi(tlbi)) => {
            let kill = {
                let mut slot = plugin.slot(index);
                let Slot { vcpu, guest, .. } = &mut *slot;
                vcpu.tlbi(guest, tlbi)
            };
            if let Some(kill) = kill.filter(|_| plugin.options.tlbi) {
                let only = (tlbi.scope == Scope::Local).then_some(index);
                plugin.kill(&kill, only, true);
            }
        }
        Some(Op::Regime) => {
            plugin.slot(index).vcpu.regime_changes();
            plugin.forget_page(index);
        }
        Some(Op::Sgi(rt)) => {
            let vcpus = plugin.slots().count() as u32;
            let mut slot = plugin.slot(index);
            let value = slot.guest.reg(Reg::X(rt));
            slot.vcpu.sgi(Sgi::new(value, vcpus));
        }
        Some(Op::Marker(marker)) => on_marker(plugin, index, marker, following),
        _ => {}
    }
}

/// A CPU is about to execute an instruction that may mask or unmask interrupts, while a region is
/// open.
unsafe extern "C" fn on_irqs(index: c_uint, data: Data) {
    let plugin = Plugin::get();
    let following = (data.addr() >> 32) as u64;
    let now = plugin.counter(Inline::Insns, index) - following;
    let Slot { irqs, guest, .. } = &mut *plugin.slot(index);
    let masks = match decode(data.addr() as u32) {
        Some(Op::IrqMask) => true,
        Some(Op::Daif(rt)) => guest.reg(Reg::X(rt)) & PSTATE_I != 0,
        _ => false,
    };
    if masks {
        irqs.mask(now);
    } else {
        irqs.unmask(now);
    }
}

/// A CPU takes an exception or interrupt.
unsafe extern "C" fn on_taken(index: c_uint, _kind: c_int, _from: u64, _to: u64, _: Data) {
    if let Some(slot) = Plugin::get().vcpus.get(index as usize) {
        if let Some(slot) = slot.get() {
            lock(slot).irqs.exception();
        }
    }
}

/// A CPU executes a marker, which `following` instructions follow that are counted already.
fn on_marker(plugin: &Plugin, index: c_uint, marker: Marker, following: u64) {
    let mut regions = lock(&plugin.regions);
    let arguments = [0, 1, 2].map(|n| plugin.slot(index).guest.reg(Reg::X(n)));
    match marker {
        Marker::Start => {
            let now = plugin.snapshot(Some((index, following)));
            if regions.start(arguments[0], now) {
                for (vcpu, slot) in plugin.slots() {
                    let Slot { irqs, guest, .. } = &mut *lock(slot);
                    let here = vcpu == index;
                    // Only the executing CPU's registers can be read.
                    let masked = here && guest.reg(Reg::Pstate) & PSTATE_I != 0;
                    let ahead = if here { following } else { 0 };
                    irqs.start(plugin.counter(Inline::Insns, vcpu) - ahead, masked);
                    plugin.watch_interrupts(vcpu, regions.open());
                }
            }
        }
        Marker::Stop => {
            let now = plugin.snapshot(Some((index, following + 1)));
            if let Some((id, counts)) = regions.stop(now) {
                let mut irqs_off = 0;
                for (vcpu, slot) in plugin.slots() {
                    let ahead = if vcpu == index { following + 1 } else { 0 };
                    let now = plugin.counter(Inline::Insns, vcpu) - ahead;
                    irqs_off = irqs_off.max(lock(slot).irqs.stop(now));
                    plugin.watch_interrupts(vcpu, regions.open());
                }
                plugin.print(&report::region(&plugin.options, id, &counts, irqs_off));
            }
        }
        Marker::Range => {
            for (vcpu, slot) in plugin.slots() {
                let [number, low, high] = arguments;
                if !lock(slot).vcpu.set_range(number, low, high) && vcpu == index {
                    regions.error();
                }
                plugin.forget_page(vcpu);
            }
        }
        Marker::Flush => plugin.kill(&Kill::All, None, false),
    }
}

/// A CPU has read or written data.
unsafe extern "C" fn on_data(index: c_uint, _info: u32, va: u64, _: Data) {
    let mut slot = Plugin::get().slot(index);
    let Slot { vcpu, guest, .. } = &mut *slot;
    vcpu.data(guest, va);
}

/// A translation block was made: attaches the callbacks and counters to it.
unsafe extern "C" fn on_translation(tb: Tb, _: Data) {
    let plugin = Plugin::get();
    // SAFETY: `tb` is valid in this callback, and so are its instructions.
    unsafe {
        let count = ffi::qemu_plugin_tb_n_insns(tb);
        let insns = || (0..count).map(|i| ffi::qemu_plugin_tb_get_insn(tb, i));
        let Some(va) = insns().next().map(|insn| ffi::qemu_plugin_insn_vaddr(insn)) else {
            return;
        };
        // A block crosses at most one page boundary.
        let crossing = insns()
            .position(|insn| ffi::qemu_plugin_insn_vaddr(insn) >> 12 != va >> 12)
            .unwrap_or(count);
        attach_page(plugin, tb, None, va, crossing);
        let tbs = plugin.inline[Inline::Tbs as usize];
        ffi::qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, ffi::INLINE_ADD_U64, tbs, 1);
        for (i, insn) in insns().enumerate() {
            if i == crossing {
                attach_page(plugin, tb, Some(insn), va, count - crossing);
            }
            if plugin.options.data() {
                ffi::qemu_plugin_register_vcpu_mem_cb(
                    insn,
                    on_data,
                    ffi::CB_NO_REGS,
                    ffi::MEM_RW,
                    ptr::null_mut(),
                );
            }
            let mut word = [0; 4];
            ffi::qemu_plugin_insn_data(insn, word.as_mut_ptr().cast::<c_void>(), word.len());
            let end = if i < crossing { crossing } else { count };
            attach_op(plugin, insn, u32::from_le_bytes(word), end - i - 1);
        }
    }
}

/// Attaches the lookup and the instruction counter to the part of a block that lies on one page:
/// the first (`insn` is `None`) or the second, which begins at `insn`. `va` is where the block
/// begins; the part has `count` instructions.
///
/// # Safety
///
/// To be called in the translation callback of `tb`; `insn` belongs to it.
unsafe fn attach_page(plugin: &Plugin, tb: Tb, insn: Option<ffi::Insn>, va: u64, count: usize) {
    let address = match insn {
        None => va,
        Some(_) => (va & !0xfff).wrapping_add(0x1000) | SECOND_PAGE,
    };
    let data: Data = ptr::without_provenance_mut(address as usize);
    let (add, counter) = (ffi::INLINE_ADD_U64, plugin.inline[Inline::Insns as usize]);
    let (regs, ne, page) = (ffi::CB_R_REGS, ffi::COND_NE, plugin.page);
    // The slow mode attaches the same code: with other code, translation blocks would end elsewhere
    // and the guest would be interrupted at other instructions.
    let compare = if plugin.options.slow {
        NEVER_PAGE
    } else {
        address >> 12
    };
    // The counter comes second, so that the callback sees it without this part.
    // SAFETY: As promised by the caller.
    unsafe {
        match insn {
            None => ffi::qemu_plugin_register_vcpu_tb_exec_cond_cb(
                tb, on_page, regs, ne, page, compare, data,
            ),
            Some(insn) => ffi::qemu_plugin_register_vcpu_insn_exec_cond_cb(
                insn, on_page, regs, ne, page, compare, data,
            ),
        }
        match insn {
            None => ffi::qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
                tb,
                add,
                counter,
                count as u64,
            ),
            Some(insn) => ffi::qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
                insn,
                add,
                counter,
                count as u64,
            ),
        }
    }
}

/// Attaches what an instruction needs by itself.
///
/// # Safety
///
/// To be called in the translation callback of the block that `insn` belongs to.
unsafe fn attach_op(plugin: &Plugin, insn: ffi::Insn, word: u32, following: usize) {
    let counter = match decode(word) {
        None => return,
        Some(Op::IcIvau) => Inline::IcIvau,
        Some(Op::IcAll) => Inline::IcAll,
        Some(Op::DcCvau) => Inline::DcCvau,
        Some(Op::Isb) => Inline::Isb,
        Some(Op::Dsb) => Inline::Dsb,
        Some(Op::DsbNxs) => Inline::DsbNxs,
        Some(Op::Svc) => Inline::Svc,
        Some(Op::IrqMask | Op::IrqUnmask | Op::Daif(_) | Op::Eret) => {
            let (data, regs, watch) = (pack(word, following), ffi::CB_R_REGS, plugin.watch);
            // SAFETY: As promised by the caller.
            unsafe {
                ffi::qemu_plugin_register_vcpu_insn_exec_cond_cb(
                    insn,
                    on_irqs,
                    regs,
                    ffi::COND_NE,
                    watch,
                    0,
                    data,
                );
            }
            return;
        }
        Some(Op::Tlbi(_) | Op::Regime | Op::Sgi(_) | Op::Marker(_)) => {
            let data = pack(word, following);
            // SAFETY: As promised by the caller.
            unsafe {
                ffi::qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, ffi::CB_R_REGS, data);
            }
            return;
        }
    };
    let (add, entry) = (ffi::INLINE_ADD_U64, plugin.inline[counter as usize]);
    // SAFETY: As promised by the caller.
    unsafe { ffi::qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, add, entry, 1) };
}

/// QEMU ends.
unsafe extern "C" fn on_exit(_: Data) {
    let plugin = Plugin::get();
    let regions = lock(&plugin.regions);
    let counts = plugin.snapshot(None);
    plugin.print(&report::total(&plugin.options, &regions, &counts));
}

/// Checks that this QEMU is what the declarations are for; returns the CPUs that it may have.
fn check_host(info: &Info) -> Result<usize, String> {
    // SAFETY: QEMU gives a string.
    let target = unsafe { CStr::from_ptr(info.target_name) };
    if info.version_cur != ffi::API_VERSION {
        return Err(format!(
            "QEMU has plugin API version {}, this plugin was written for {}",
            info.version_cur,
            ffi::API_VERSION
        ));
    }
    if target != c"aarch64" || !info.system_emulation {
        return Err("only qemu-system-aarch64 is supported".to_owned());
    }
    usize::try_from(info.max_vcpus).map_err(|_| "no CPUs".to_owned())
}

/// Sets everything up; returns what went wrong.
fn install(id: Id, info: &Info, arguments: &[*mut c_char]) -> Result<(), String> {
    let max_vcpus = check_host(info)?;
    let items = arguments.iter().map(|&argument| {
        // SAFETY: QEMU gives strings, which live until the installation is done.
        unsafe { CStr::from_ptr(argument) }.to_str()
    });
    let items: Vec<&str> = items
        .collect::<Result<_, _>>()
        .map_err(|_| "an option is not UTF-8".to_owned())?;
    let options = Options::parse(items)?;
    let out = match &options.out {
        Some(path) => {
            let file = File::create(path).map_err(|why| format!("cannot make {path}: {why}"))?;
            Some(Mutex::new(file))
        }
        None => None,
    };
    // SAFETY: No preconditions.
    let score = unsafe { ffi::qemu_plugin_scoreboard_new(ROW) };
    let entry = |i: usize| ffi::U64 {
        score,
        offset: i * size_of::<u64>(),
    };
    let plugin = Plugin {
        page: entry(0),
        watch: entry(1),
        inline: Inline::ALL.map(|which| entry(2 + which as usize)),
        vcpus: (0..max_vcpus).map(|_| OnceLock::new()).collect(),
        regions: Mutex::default(),
        out,
        options,
    };
    plugin.print(&report::header(&plugin.options, max_vcpus));
    if PLUGIN.set(plugin).is_err() {
        return Err("loaded twice".to_owned());
    }
    let none = ptr::null_mut();
    // SAFETY: The callbacks have the types that this API version calls; see `check_host`.
    unsafe {
        ffi::qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init, none);
        ffi::qemu_plugin_register_vcpu_resume_cb(id, on_vcpu_resume, none);
        ffi::qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation, none);
        ffi::qemu_plugin_register_vcpu_discon_cb(id, ffi::DISCON_TAKEN, on_taken, none);
        ffi::qemu_plugin_register_atexit_cb(id, on_exit, none);
    }
    Ok(())
}

/// QEMU's entry into the plugin; returns 0 on success.
///
/// # Safety
///
/// To be called by QEMU, with `argc` strings in `argv`.
#[no_mangle]
pub(crate) unsafe extern "C" fn qemu_plugin_install(
    id: Id,
    info: *const Info,
    argc: c_int,
    argv: *mut *mut c_char,
) -> c_int {
    let arguments = match usize::try_from(argc) {
        Ok(count) if count != 0 => {
            // SAFETY: As promised by QEMU.
            unsafe { std::slice::from_raw_parts(argv, count) }
        }
        _ => &[],
    };
    // SAFETY: As promised by QEMU.
    match install(id, unsafe { &*info }, arguments) {
        Ok(()) => 0,
        Err(why) => {
            eprintln!("tlb_model: {why}");
            1
        }
    }
}

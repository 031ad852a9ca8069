// SPDX-License-Identifier: GPL-2.0

//! The callbacks that QEMU calls while the guest runs.

use crate::counters::Inline;
use crate::decode::{decode, Marker, Op, Scope, Sgi, PSTATE_I};
use crate::ffi::{self, Data};
use crate::guest::{Cpu, Reg};
use crate::irqs::IrqsOff;
use crate::plugin::cpu::{fail, QemuCpu};
use crate::plugin::install::on_reset;
use crate::plugin::state::{lock, Plugin, Slot, NO_PAGE, SECOND_PAGE};
use crate::report;
use crate::tlb::Kill;
use crate::vcpu::Vcpu;
use std::ffi::{c_int, c_uint};
use std::ptr;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, OnceLock};
use std::thread;

/// Data of an instruction's callback: its word, and how many instructions of its part of the
/// translation block follow it.
pub(super) fn pack(word: u32, following: usize) -> Data {
    ptr::without_provenance_mut((following << 32) | word as usize)
}

/// QEMU made a CPU.
pub(super) unsafe extern "C" fn on_vcpu_init(index: c_uint, _: Data) {
    let plugin = Plugin::get();
    let Some(slot) = plugin.vcpus.get(index as usize) else {
        fail(&format!("there should be no CPU {index}"));
    };
    let thread = thread::current().id();
    // One thread for several CPUs makes this QEMU's inline counters and conditional callbacks act
    // on the wrong CPU.
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
pub(super) unsafe extern "C" fn on_vcpu_resume(index: c_uint, _: Data) {
    let plugin = Plugin::get();
    if let Some(slot) = plugin.vcpus.get(index as usize).and_then(OnceLock::get) {
        lock(slot).vcpu.regime_changes();
        plugin.forget_page(index);
    }
}

/// A CPU executes on another page than before. `data` is the address for which the block was
/// translated, and [`SECOND_PAGE`].
pub(super) unsafe extern "C" fn on_page(index: c_uint, data: Data) {
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
pub(super) unsafe extern "C" fn on_insn(index: c_uint, data: Data) {
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
pub(super) unsafe extern "C" fn on_irqs(index: c_uint, data: Data) {
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
pub(super) unsafe extern "C" fn on_taken(
    index: c_uint,
    _kind: c_int,
    _from: u64,
    _to: u64,
    _: Data,
) {
    if let Some(slot) = Plugin::get().vcpus.get(index as usize) {
        if let Some(slot) = slot.get() {
            lock(slot).irqs.exception();
        }
    }
}

/// A CPU executes a marker; `following` instructions after it are counted already.
fn on_marker(plugin: &Plugin, index: c_uint, marker: Marker, following: u64) {
    let mut regions = lock(&plugin.regions);
    if !plugin.counting.load(Ordering::Relaxed) {
        if marker != Marker::Begin {
            regions.error();
            return;
        }
        drop(regions);
        // QEMU lets all CPUs come to the end of their translation blocks first.
        // SAFETY: The callback has the type that this API version calls, and a CPU calls this.
        unsafe { ffi::qemu_plugin_reset(plugin.id, on_reset, ptr::null_mut()) };
        return;
    }
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
        // Something is counted already.
        Marker::Begin => {}
    }
}

/// A CPU has read or written data.
pub(super) unsafe extern "C" fn on_data(index: c_uint, _info: u32, va: u64, _: Data) {
    let mut slot = Plugin::get().slot(index);
    let Slot { vcpu, guest, .. } = &mut *slot;
    vcpu.data(guest, va);
}

/// QEMU ends.
pub(super) unsafe extern "C" fn on_exit(_: Data) {
    let plugin = Plugin::get();
    let regions = lock(&plugin.regions);
    let counts = plugin.snapshot(None);
    plugin.print(&report::total(&plugin.options, &regions, &counts));
}

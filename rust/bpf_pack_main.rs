// SPDX-License-Identifier: GPL-2.0

//! A program pack allocator for the arm64 BPF JIT: packs of 2 MiB, each mapped by one TLB entry.
//!
//! Wiring only: parameters, order of construction, order of destruction. `Documentation/` in the
//! project's repository describes the whole.

mod abi;
mod counters;
mod debugfs;
mod hook;
mod ksym;
mod lifetime;
mod owners;
mod pagetable;
mod patchsite;
mod poke;
mod region;
mod report;
mod service;
mod sys;
mod trace;

use debugfs::DebugFs;
use hook::Hooks;
use kernel::prelude::*;
use ksym::KernelFns;
use lifetime::Opened;
use pack_core::ChunkCount;
use region::LeafLimit;
use service::{
    Config,
    Service,
    GATE, //
};

module! {
    type: BpfPack,
    name: "bpf_pack",
    authors: ["bpf_pack maintainers"],
    description: "Program packs for the arm64 BPF JIT, each mapped by one TLB entry",
    license: "GPL",
    params: {
        near_packs: u32 {
            default: 16,
            description: "Packs to place within direct branch range of the kernel text, at most (0 to 512, default 16); 0 places all of them anywhere",
        },
        retain_seconds: u32 {
            default: 5,
            description: "Seconds for which an empty pack is kept (0 to 250, default 5)",
        },
        leaf: u32 {
            default: 0,
            description: "Largest page-table leaf to ask for: 0 = 2 MiB (default), 1 = 64 KiB, 2 = base page; for testing and measuring",
        },
        align: u32 {
            default: 64,
            description: "Bytes to which images are aligned, a power of two from 64 (default) to 65536; 4096 or more emulates a page per program, for measuring",
        },
        fault: u32 {
            default: 0,
            description: "For self-tests: 1 = a symbol is missing, 2 = no memory for packs",
        },
    },
}

/// The parameter `fault`: pretend that a symbol is missing.
const FAULT_SYMBOL: u32 = 1;
/// The parameter `fault`: pretend that there is no memory for packs.
const FAULT_MEMORY: u32 = 2;

/// Checks that a parameter is at most `max`; the log names one that is not.
fn at_most(name: &str, value: u32, max: u32) -> Result<u32> {
    if value > max {
        pr_err!("parameter {}={}: must be at most {}\n", name, value, max);
        return Err(EINVAL);
    }
    Ok(value)
}

/// Reads the module parameters.
///
/// # Errors
///
/// `EINVAL` if one is out of range; the log names it.
fn config() -> Result<Config> {
    use module_parameters as given;

    let near_packs = at_most("near_packs", given::near_packs.value(), 512)?;
    let leaf = match at_most("leaf", given::leaf.value(), 2)? {
        0 => LeafLimit::Huge,
        1 => LeafLimit::Contiguous,
        _ => LeafLimit::Page,
    };
    let align = at_most("align", given::align.value(), 65536)?;
    if !align.is_power_of_two() || align < 64 {
        pr_err!(
            "parameter align={}: must be a power of two from 64 to 65536\n",
            align
        );
        return Err(EINVAL);
    }
    let fault = at_most("fault", given::fault.value(), FAULT_SYMBOL | FAULT_MEMORY)?;
    Ok(Config {
        near_packs: near_packs as usize,
        retain_rounds: at_most("retain_seconds", given::retain_seconds.value(), 250)?,
        leaf,
        align: ChunkCount::new(align / 64),
        no_memory: fault & FAULT_MEMORY != 0,
    })
}

/// The module.
// Fields are dropped in this order: no new calls and none in flight, then no files, then the
// service with its packs, all of which are empty by then: a live image holds the module.
struct BpfPack {
    _hooks: Hooks,
    _gate: Opened<Service>,
    _debugfs: DebugFs,
    _service: Running,
}

/// The service, wound up when this is dropped.
struct Running(Pin<KBox<Service>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.wind_up();
    }
}

impl kernel::Module for BpfPack {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let config = config()?;
        let kernel = KernelFns::resolve(module_parameters::fault.value() & FAULT_SYMBOL != 0)?;
        let service = Service::new(kernel, config);
        let service = Running(KBox::pin_init(service, GFP_KERNEL)?);
        let debugfs = DebugFs::new();
        // SAFETY: The service is on the heap and is dropped after the gate, by the order of the
        // fields, and of these variables on an error.
        let gate = unsafe { GATE.open(&service.0) };
        let hooks = Hooks::attach(kernel)?;
        pr_info!("serving the BPF JIT from 2 MiB packs\n");
        Ok(Self {
            _hooks: hooks,
            _gate: gate,
            _debugfs: debugfs,
            _service: service,
        })
    }
}

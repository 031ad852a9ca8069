// SPDX-License-Identifier: GPL-2.0

//! A program pack allocator for the arm64 BPF JIT: packs of 2 MiB, each mapped by one TLB entry.
//!
//! This file only reads the parameters, and builds the parts of the module and takes them down in
//! order. `Documentation/` in the project's repository describes the whole.
//!
//! A kernel with CONFIG_BPF_PROG_PACK_OPS lets its JIT have a pack allocator. There three modules are
//! other files, with the same interface, `patchsite.rs` is left out, and some of what the rest offers
//! is not used.

#![cfg_attr(CONFIG_ARM64_BPF_PACK_NATIVE, allow(dead_code))]

mod a64;
mod abi;
mod compat;
mod config;
mod counters;
mod debugfs;
mod faults;
#[cfg_attr(CONFIG_ARM64_BPF_PACK_NATIVE, path = "hook/native.rs")]
mod hook;
#[cfg_attr(CONFIG_ARM64_BPF_PACK_NATIVE, path = "ksym/native.rs")]
mod ksym;
mod lifetime;
mod node;
mod owners;
#[cfg(not(CONFIG_ARM64_BPF_PACK_NATIVE))]
mod patchsite;
mod plan;
mod poke;
mod region;
mod report;
mod service;
mod sleep;
mod sys;
mod trace;
#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
mod unit;
#[cfg_attr(CONFIG_ARM64_BPF_PACK_NATIVE, path = "window/native.rs")]
mod window;

use compat::Parameter;
use config::{
    Config,
    Knobs, //
};
use debugfs::DebugFs;
use faults::Point;
use hook::Hooks;
use kernel::prelude::*;
use ksym::KernelFns;
use lifetime::Opened;
use service::{
    Service,
    GATE, //
};
use sleep::Sleep;

/// Declares the module, with the parameters that every build has and those that are given.
macro_rules! declare {
    ($($more:tt)*) => {
        module! {
            type: BpfPack,
            name: "bpf_pack",
            authors: ["bpf_pack maintainers"],
            description: "Program packs for the arm64 BPF JIT, each mapped by one TLB entry",
            license: "GPL",
            params: {
                near_packs: u32 {
                    default: 16,
                    description: "Packs within 128 MiB of the kernel text, at most (0 to 128, default 16; the kernel and its modules leave room for 80 to 90); 0 places all of them anywhere",
                },
                retain_seconds: u32 {
                    default: 5,
                    description: "Seconds for which an empty pack is kept (0 to 250, default 5)",
                },
                randomize: u32 {
                    default: 0,
                    description: "1 = every image goes to a random place of its pack, not only the first (default 0)",
                },
                $($more)*
            },
        }
    };
}

#[cfg(not(CONFIG_ARM64_BPF_PACK_TEST))]
declare! {}

#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
declare! {
    leaf: u32 {
        default: 0,
        description: "Largest page-table leaf to ask for: 0 = 2 MiB (default), 1 = 64 KiB, 2 = base page",
    },
    align: u32 {
        default: 64,
        description: "Bytes to which images are aligned, a power of two from 64 (default) to 65536; 4096 or more emulates a page per program",
    },
    max_packs: u32 {
        default: 512,
        description: "Packs at most (1 to 512, default 512)",
    },
    origin: u32 {
        default: 32768,
        description: "Chunk of a pack to which its first image goes (0 to 32767, default 32768 = a random one)",
    },
    fault: u32 {
        default: 0,
        description: "The number of the step that fails, as in the debugfs file faults; 0 = none (default)",
    },
    fault_skip: u32 {
        default: 0,
        description: "How often that step succeeds before (default 0)",
    },
    symbol_twice: u32 {
        default: 0,
        description: "1 = look up a symbol of which the kernel has several (default 0)",
    },
}

/// The number of packs within the range of a branch instruction, in both directions.
// CAST: The number is 128.
const MAX_NEAR_PACKS: u32 = (2 * a64::BRANCH_RANGE / pack_core::PACK_SIZE) as u32;

/// Checks that a parameter is from `min` to `max`.
///
/// # Errors
///
/// `EINVAL` if it is not; the log names it.
fn in_range(name: &str, value: u32, min: u32, max: u32) -> Result<u32> {
    if !(min..=max).contains(&value) {
        pr_err!("parameter {name}={value}: must be from {min} to {max}\n");
        return Err(EINVAL);
    }
    Ok(value)
}

/// Returns the defaults: a shipped module has no parameters for the knobs.
#[cfg(not(CONFIG_ARM64_BPF_PACK_TEST))]
fn knobs() -> Result<Knobs> {
    Ok(Knobs::default())
}

/// Reads the parameters of the test build.
///
/// # Errors
///
/// `EINVAL` if one is out of range; the log names it.
#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
fn knobs() -> Result<Knobs> {
    use module_parameters as given;
    use plan::{
        LeafLimit,
        MAX_PACKS, //
    };

    let leaf = match in_range("leaf", given::leaf.get(), 0, 2)? {
        0 => LeafLimit::Huge,
        1 => LeafLimit::Contiguous,
        _ => LeafLimit::Page,
    };
    let align = in_range("align", given::align.get(), 64, 65536)?;
    if !align.is_power_of_two() {
        pr_err!("parameter align={align}: must be a power of two\n");
        return Err(EINVAL);
    }
    let chunks = pack_core::PACK_CHUNKS.get();
    let origin = in_range("origin", given::origin.get(), 0, chunks)?;
    // CAST: There are few.
    let fault = in_range("fault", given::fault.get(), 0, faults::NAMES.len() as u32)?;
    faults::arm(fault, given::fault_skip.get())?;
    Ok(Knobs {
        leaf,
        align: pack_core::ChunkCount::new(align / 64),
        max_packs: in_range("max_packs", given::max_packs.get(), 1, MAX_PACKS as u32)? as usize,
        origin: (origin < chunks).then_some(origin),
        // Several file systems have a function of this name.
        symbol: (given::symbol_twice.get() != 0).then_some(c"init_once"),
    })
}

/// Reads the module parameters.
///
/// # Errors
///
/// `EINVAL` if one is out of range; the log names it.
fn config() -> Result<Config> {
    use module_parameters as given;

    Ok(Config {
        near_packs: in_range("near_packs", given::near_packs.get(), 0, MAX_NEAR_PACKS)? as usize,
        retain_seconds: in_range("retain_seconds", given::retain_seconds.get(), 0, 250)?,
        randomize: in_range("randomize", given::randomize.get(), 0, 1)? != 0,
        knobs: knobs()?,
    })
}

/// The module.
// Rust drops the fields in this order, the reverse of that in which `init` makes them: first the
// files, because reading them uses the rest; then the hooks and the calls before sleep, so that no
// new calls come; then the gate, which waits for calls in flight; then the service with its packs.
// These are empty by then, because a live image holds the module.
struct BpfPack {
    _debugfs: DebugFs,
    _hooks: Hooks,
    _sleep: Pin<KBox<Sleep>>,
    _gate: Opened<Service>,
    _service: Running,
}

/// The service. Dropping this shuts it down.
struct Running(Pin<KBox<Service>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.shut_down();
    }
}

impl kernel::Module for BpfPack {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let config = config()?;
        let kernel = KernelFns::resolve(config.knobs.symbol)?;
        let service = faults::at(Point::Service, ENOMEM)
            .and_then(|()| KBox::pin_init(Service::new(kernel, config), GFP_KERNEL));
        let service =
            Running(service.inspect_err(|error| pr_err!("cannot make the books: {:?}\n", error))?);
        // SAFETY: The target must stay valid until the gate is dropped. The service is on the heap
        // and is dropped after the gate: as a field, and as a local variable when `init` fails.
        let gate = unsafe { GATE.open(&service.0) };
        let sleep = faults::at(Point::Sleep, ENOMEM)
            .and_then(|()| KBox::pin_init(Sleep::register(), GFP_KERNEL))
            .inspect_err(|error| pr_err!("cannot watch for sleep: {:?}\n", error))?;
        let hooks = Hooks::attach(kernel)?;
        hook::prove()?;
        // Nothing fails from here on. Before, no image may be served and no file opened: if `init`
        // then failed, the kernel would free the module while they use it.
        service.0.start();
        let first = report::FirstPack::of(&service.0);
        pr_info!("serving the BPF JIT; {}\n", first);
        Ok(Self {
            _debugfs: DebugFs::new(),
            _hooks: hooks,
            _sleep: sleep,
            _gate: gate,
            _service: service,
        })
    }
}

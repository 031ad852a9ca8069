// SPDX-License-Identifier: GPL-2.0

//! Setting the plugin up.

use crate::counters::Inline;
use crate::ffi::{self, Data, Id, Info};
use crate::options::Options;
use crate::plugin::callbacks::{on_exit, on_taken, on_vcpu_init, on_vcpu_resume};
use crate::plugin::state::{lock, Plugin, PLUGIN, ROW};
use crate::plugin::translation::on_translation;
use crate::report;
use std::ffi::{c_char, c_int, CStr};
use std::fs::File;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

/// The API version, which QEMU reads before it calls anything.
#[no_mangle]
pub(crate) static qemu_plugin_version: c_int = ffi::API_VERSION;

/// Checks that the declarations fit this QEMU; returns the number of CPUs that it may have.
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

/// Sets everything up; returns a description of the error, if any.
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
        id,
        counting: AtomicBool::new(!options.begin_at_marker),
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
    register(id);
    Ok(())
}

/// Has QEMU call the plugin.
fn register(id: Id) {
    let none = ptr::null_mut();
    // SAFETY: The callbacks have the types that this API version calls; see `check_host`.
    unsafe {
        ffi::qemu_plugin_register_vcpu_init_cb(id, on_vcpu_init, none);
        ffi::qemu_plugin_register_vcpu_resume_cb(id, on_vcpu_resume, none);
        ffi::qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation, none);
        ffi::qemu_plugin_register_vcpu_discon_cb(id, ffi::DISCON_TAKEN, on_taken, none);
        ffi::qemu_plugin_register_atexit_cb(id, on_exit, none);
    }
}

/// Begins to count. QEMU has thrown all translation blocks away, and no CPU executes any meanwhile.
pub(super) unsafe extern "C" fn on_reset(_: Data) {
    let plugin = Plugin::get();
    plugin.counting.store(true, Ordering::Relaxed);
    for (index, slot) in plugin.slots() {
        lock(slot).vcpu.regime_changes();
        plugin.forget_page(index);
    }
    register(plugin.id);
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

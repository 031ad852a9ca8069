// SPDX-License-Identifier: GPL-2.0

//! Settings of the kernel that say something about BPF.

use crate::context::Context;
use anyhow::Result;

/// Reads the setting `name`, such as `net.core.bpf_jit_limit`: `None` if the kernel has none, or
/// does not let us read it.
pub fn number(context: &Context, name: &str) -> Option<i64> {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    context.read(path).ok()?.trim().parse().ok()
}

/// Seconds since the machine was booted.
///
/// # Errors
///
/// If `/proc/uptime` cannot be read.
pub fn uptime(context: &Context) -> Result<f64> {
    let text = context.read("/proc/uptime")?;
    Ok(text
        .split(' ')
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(0.0))
}

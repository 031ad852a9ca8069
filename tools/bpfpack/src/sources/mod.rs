// SPDX-License-Identifier: GPL-2.0

//! What the kernel and the module tell, each in the one place that knows its format.

pub mod bpf;
pub mod btf;
pub mod holders;
pub mod images;
pub mod kallsyms;
pub mod module;
pub mod sysctl;
pub mod vmalloc;

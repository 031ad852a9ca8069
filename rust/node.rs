// SPDX-License-Identifier: GPL-2.0

//! Memory nodes (NUMA). The packs on a node have slots of their own in the books, so that looking for
//! a pack of a node is looking in those.

#![deny(unsafe_code)]

use crate::plan::slots_of_node;
use crate::sys;
use kernel::prelude::*;
use pack_core::SlotRange;

/// A memory node.
#[derive(Clone, Copy)]
pub(crate) struct Node(c_int);

impl Node {
    /// The node with this number.
    pub(crate) fn new(number: c_int) -> Self {
        Self(number)
    }

    /// The node of the CPU that the task is on. It may go to another at any time. Any context.
    pub(crate) fn here() -> Self {
        Self(sys::this_node())
    }

    /// The node's number.
    pub(crate) fn number(self) -> c_int {
        self.0
    }

    /// The slots of packs on this node, or [`None`] if the machine has one node.
    pub(crate) fn slots(self) -> Option<SlotRange> {
        let (start, end) = slots_of_node(u32::try_from(self.0).unwrap_or(0), sys::node_numbers())?;
        Some(SlotRange { start, end })
    }
}

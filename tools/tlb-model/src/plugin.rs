// SPDX-License-Identifier: GPL-2.0

//! The callbacks that QEMU calls, and the state that they share.
//!
//! Generated code keeps the current page of each CPU in a scoreboard, and calls
//! [`on_page`](callbacks::on_page) only when a translation block lies on another page. Whatever may
//! change a translation sets the current page to [`NO_PAGE`](state::NO_PAGE), so that the next
//! block calls.

mod callbacks;
mod cpu;
mod install;
mod state;
mod translation;

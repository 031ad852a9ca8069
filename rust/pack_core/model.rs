// SPDX-License-Identifier: GPL-2.0

//! A second opinion: a shadow that decides what is right, and seeded operations to compare the pool
//! with it.
//!
//! The [`Shadow`] is the specification in its most naive form, one cell for each chunk and nothing
//! cached; the [`Trial`] applies every [`Op`] to the pool and to the shadow and compares all that
//! they say. Like the rest of the crate it neither allocates nor panics. It is there only with the
//! feature `model`, which a build for the kernel does not have.

mod op;
mod queries;
mod random;
mod shadow;
mod trial;

pub use op::Generator;
pub use op::Limits;
pub use op::Op;
pub use random::Random;
pub use shadow::Cell;
pub use shadow::Shadow;
pub use shadow::ShadowPack;
pub use trial::Failure;
pub use trial::Trial;

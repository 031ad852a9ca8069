// SPDX-License-Identifier: GPL-2.0

//! A model of the pool, for tests: a shadow that decides which answers are right, and random
//! operations.
//!
//! The [`Shadow`] is the specification in its simplest form: one cell for each chunk, and nothing
//! is cached. The [`Trial`] applies each [`Op`] to the pool and to the shadow and compares all
//! answers. Like the rest of the crate, the model neither allocates nor panics. It needs the
//! feature `model`, which a build for the kernel does not have.

mod bytes;
mod op;
mod queries;
mod random;
mod shadow;
mod trial;

pub use bytes::Bytes;
pub use op::Generator;
pub use op::Limits;
pub use op::Op;
pub use random::Random;
pub use shadow::Cell;
pub use shadow::Shadow;
pub use shadow::ShadowPack;
pub use trial::Failure;
pub use trial::Trial;

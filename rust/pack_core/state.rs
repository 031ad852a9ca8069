// SPDX-License-Identifier: GPL-2.0

//! What a range can be, and how that is written down.

/// The state of a range that is not free.
///
/// ```text
/// Free --reserve--> Reserved --begin_write--> Writing --finalize--> Live
///  ^                 |     ^                   | | ^               |  |
///  |                 |     +----abort_write----+ | +--begin_write--+  |
///  |                 |                           |                    |
///  |                 |                      begin_retire              |
///  |                 |                           v                    |
///  |                 |                         Doomed                 |
///  |                 |                           |                    |
///  |                 |                finalize or abort_write         |
///  |                 |                           v                    |
///  |                 +------begin_retire---> Retiring <--begin_retire-+
///  |                                             |
///  |                                          retired
///  |                                             v
///  +---release--- Syncing <---begin_batch--- Retired
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RangeState {
    /// Handed out and not yet final: the bytes are still traps, nobody may branch there.
    Reserved,
    /// The owner is copying an image there; nobody else may write to it or free it.
    Writing,
    /// The bytes are an image, and programs run there.
    Live,
    /// Freed while it was being written: who writes there retires it when the copy ends.
    Doomed,
    /// The owner is filling it with traps; no longer anybody's image.
    Retiring,
    /// The traps are visible; no CPU has been synchronised since.
    Retired,
    /// The traps are visible, and a synchronisation of all CPUs that began after that is under way.
    Syncing,
}

impl RangeState {
    /// All states, in the order of a range's life.
    pub const ALL: [Self; 7] = [
        Self::Reserved,
        Self::Writing,
        Self::Live,
        Self::Doomed,
        Self::Retiring,
        Self::Retired,
        Self::Syncing,
    ];

    /// Returns the state's name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Writing => "writing",
            Self::Live => "live",
            Self::Doomed => "doomed",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
            Self::Syncing => "syncing",
        }
    }

    /// Returns the state's bits in the planes A, B and C.
    ///
    /// C says that nobody needs the image any more, and then A alone that the range is
    /// [`Retired`](Self::Retired) and B alone that it is [`Syncing`](Self::Syncing): so the steps
    /// that concern all such ranges work on whole words. They leave a range alone that has no C,
    /// whatever A and B are, and one that has all three, to which somebody may still write.
    #[inline]
    pub(crate) const fn code(self) -> (bool, bool, bool) {
        match self {
            Self::Reserved => (true, false, false),
            Self::Writing => (true, true, false),
            Self::Live => (false, true, false),
            Self::Doomed => (true, true, true),
            Self::Retiring => (false, false, true),
            Self::Retired => (true, false, true),
            Self::Syncing => (false, true, true),
        }
    }

    /// Returns the state with the given bits, if there is one.
    #[inline]
    pub(crate) const fn from_code(code: (bool, bool, bool)) -> Option<Self> {
        match code {
            (true, false, false) => Some(Self::Reserved),
            (true, true, false) => Some(Self::Writing),
            (false, true, false) => Some(Self::Live),
            (true, true, true) => Some(Self::Doomed),
            (false, false, true) => Some(Self::Retiring),
            (true, false, true) => Some(Self::Retired),
            (false, true, true) => Some(Self::Syncing),
            (false, false, false) => None,
        }
    }
}

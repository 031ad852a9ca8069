// SPDX-License-Identifier: GPL-2.0

//! A range of addresses in cells of equal size, each with what it is used for most.

use super::Use;
use crate::sources::images::Image;

/// One cell.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    /// Bytes that are used, by use, in the order of [`Use::ALL`].
    used: [u64; Use::ALL.len()],
}

impl Cell {
    /// What most of the used bytes are, and whether half of the cell is used or more.
    pub(super) fn main_use(&self, cell_bytes: u64) -> Option<(Use, bool)> {
        let total: u64 = self.used.iter().sum();
        let uses = Use::ALL.into_iter().zip(self.used);
        // The first of several that are equal.
        let (main, most) = uses.rev().max_by_key(|(_, used)| *used)?;
        (most > 0).then_some((main, total * 2 >= cell_bytes))
    }
}

/// Divides `start..end` into cells of `cell_bytes` and fills them with `images`.
pub(super) fn fill<'a>(
    start: u64,
    end: u64,
    cell_bytes: u64,
    images: impl Iterator<Item = &'a Image>,
) -> Vec<Cell> {
    let count = end.saturating_sub(start).div_ceil(cell_bytes);
    let mut cells = vec![Cell::default(); usize::try_from(count).unwrap_or(0)];
    for image in images {
        let (mut from, to) = (
            image.address.max(start),
            image.address.saturating_add(image.bytes).min(end),
        );
        while from < to {
            let cell = (from - start) / cell_bytes;
            let next = to.min(start + (cell + 1) * cell_bytes);
            // CAST: A discriminant, and an index below `count`, which is a `usize`.
            if let Some(cell) = cells.get_mut(cell as usize) {
                cell.used[Use::of(image) as usize] += next - from;
            }
            from = next;
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::images::Owner;

    fn image(address: u64, bytes: u64, owner: Owner) -> Image {
        Image {
            address,
            bytes,
            pack: Some(0),
            state: Some("live".into()),
            owner,
            age_seconds: None,
            run_count: None,
        }
    }

    #[test]
    fn images_fill_the_cells_that_they_lie_in() {
        let target = || Owner::Trampoline { target: "f".into() };
        let images = [
            image(0x1000 + 4096 - 64, 128, Owner::Anonymous),
            image(0x1000 + 2 * 4096, 2048, target()),
            image(0x1000 + 2 * 4096 + 2048, 64, Owner::Anonymous),
        ];
        let cells = fill(0x1000, 0x1000 + 4 * 4096, 4096, images.iter());
        let uses: Vec<_> = cells.iter().map(|cell| cell.main_use(4096)).collect();
        let filter = Some((Use::Filter, false));
        let expected = [filter, filter, Some((Use::Trampoline, true)), None];
        assert_eq!(uses, expected);
    }

    #[test]
    fn what_lies_outside_is_left_out() {
        let images = [image(0, 1 << 20, Owner::Anonymous)];
        let cells = fill(4096, 8192, 4096, images.iter());
        assert_eq!(cells.len(), 1);
        assert_eq!(cells[0].used.iter().sum::<u64>(), 4096);
        assert!(fill(8192, 4096, 4096, images.iter()).is_empty());
    }
}

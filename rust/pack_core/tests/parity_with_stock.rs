// SPDX-License-Identifier: GPL-2.0

//! The same operations give the same layout as the stock allocator of Linux 7.3
//! (`bpf_prog_pack_alloc()` and `bpf_prog_pack_free()` in kernel/bpf/core.c): first fit from bit 0
//! over a linear list of packs.
//!
//! The comparison uses one rank, an alignment of 1, packs of 2 MiB (one memory node), and releases
//! retired memory at once. It leaves out predictor flushes, which prefer packs by `was_classic`:
//! arm64 never enables them.

mod common;

use common::stock::Stock;
use common::HostPool;
use pack_core::model::Random;
use pack_core::ChunkCount;
use pack_core::ChunkIdx;
use pack_core::Error;
use pack_core::RankSet;
use pack_core::Reserved;
use pack_core::Taken;
use pack_core::CHUNK_SIZE;

/// An image, by its names in both allocators.
struct Image {
    size: usize,
    stock: (usize, usize),
    ours: Reserved,
}

/// Reserves and finalizes, and adds a pack if one is needed.
fn alloc(pool: &mut HostPool, chunks: u32, size: usize) -> Reserved {
    let reserve = |pool: &mut HostPool| pool.reserve(size, ChunkCount::ONE, RankSet::ALL);
    let reserved = reserve(pool).or_else(|error| {
        assert_eq!(error, Error::NeedPack(ChunkCount::holding(size).unwrap()));
        pool.add(common::pack(chunks, 0)).unwrap();
        reserve(pool)
    });
    let reserved = reserved.unwrap();
    common::make_live(pool, reserved.pack, reserved.range);
    reserved
}

/// Frees, releases at once and removes empty packs.
fn free(pool: &mut HostPool, image: &Reserved) {
    let taken = pool.begin_retire(image.pack, image.range.start());
    assert_eq!(taken, Ok(Taken::Retiring(image.range)));
    pool.retired(image.pack, image.range).unwrap();
    let batch = pool.begin_batch().unwrap().close();
    assert_eq!(common::release(pool, batch).ranges, 1);
    while pool.take_empty(|_, _| true).is_some() {}
}

/// Returns which chunks are used, pack by pack.
fn layout(pool: &HostPool) -> Vec<Vec<bool>> {
    let bits = |pack: &common::HostPack| {
        let mut bits = vec![false; pack.stats().chunks as usize];
        for (_, range) in pack.ranges() {
            bits[common::start(range)..common::end(range)].fill(true);
        }
        bits
    };
    pool.occupied().map(|(_, pack)| bits(pack)).collect()
}

/// Runs `steps` random operations through both, with up to `most` bytes for each image and about
/// `load` images.
///
/// It leaves out frees that remove a pack from the middle of the list: see the last test. Returns
/// the largest numbers of packs and of images at a time.
fn compare(seed: u64, chunks: u32, most: u32, load: u32, steps: u32) -> (usize, usize) {
    let mut random = Random::new(seed);
    let (mut stock, mut pool) = (Stock::new(chunks), common::pool(64));
    let mut images: Vec<Image> = Vec::new();
    let (mut most_packs, mut most_images) = (0, 0);
    for step in 0..steps {
        // Above the load it frees more images, below it makes more. Sometimes it frees all.
        let making = random.below(2 * load) >= images.len() as u32;
        if making {
            let size = 1 + random.below(most) as usize;
            let (stock, ours) = (stock.alloc(size), alloc(&mut pool, chunks, size));
            let start = ours.range.start().get() as usize;
            assert_eq!(start, stock.1, "SEED={seed}, step {step}: {size} bytes");
            images.push(Image { size, stock, ours });
        } else {
            let index = random.below(images.len() as u32) as usize;
            let Image {
                size,
                stock: (name, start),
                ours,
            } = &images[index];
            if !stock.leaves_a_gap(*name, *size) {
                stock.free(*name, *start, *size);
                free(&mut pool, ours);
                images.swap_remove(index);
            }
        }
        if step % 16 == 0 {
            assert!(
                stock.layout() == layout(&pool),
                "SEED={seed}, step {step}: layouts differ"
            );
        }
        most_packs = most_packs.max(stock.packs());
        most_images = most_images.max(images.len());
    }
    pack_core::check_invariants(&pool).unwrap();
    (most_packs, most_images)
}

#[test]
fn one_pack() {
    for seed in common::seeds(4) {
        let (packs, images) = compare(seed, 32_768, 4_096, 300, 6_000);
        assert!(packs == 1 && images > 250, "{packs} packs, {images} images");
    }
}

#[test]
fn many_packs() {
    for seed in common::seeds(20) {
        let (packs, images) = compare(seed, 256, 4_096, 120, 4_000);
        assert!(packs > 5 && images > 100, "{packs} packs, {images} images");
    }
}

#[test]
fn packs_come_and_go() {
    for seed in common::seeds(20) {
        // There is about one image for each pack, so that the last pack often becomes empty.
        let (packs, _) = compare(seed, 16, 1_024, 3, 4_000);
        assert!(packs > 1, "{packs} packs");
    }
}

#[test]
fn images_of_a_whole_pack() {
    for seed in common::seeds(4) {
        assert!(compare(seed, 512, 512 * 64, 10, 2_000).0 > 5);
    }
}

/// The known difference: after a pack in the middle was removed, the stock allocator appends the
/// next pack to its list, and so prefers the packs that followed the removed one. Our pool uses the
/// vacant slot, and so prefers the new pack.
#[test]
fn a_pack_that_went_from_the_middle() {
    let (mut stock, mut pool) = (Stock::new(4), common::pool(4));
    let size = 4 * CHUNK_SIZE;
    let images: Vec<Image> = (0..3)
        .map(|_| Image {
            size,
            stock: stock.alloc(size),
            ours: alloc(&mut pool, 4, size),
        })
        .collect();
    assert!(stock.leaves_a_gap(images[1].stock.0, size));
    stock.free(images[1].stock.0, 0, size);
    free(&mut pool, &images[1].ours);
    let name = stock.alloc(size).0;
    assert_eq!(stock.position(name), Some(2));
    let again = alloc(&mut pool, 4, size);
    assert_eq!(
        (again.pack.slot(), again.range.start()),
        (1, ChunkIdx::nth(0))
    );
    assert_ne!(again.pack, images[1].ours.pack);
}

// SPDX-License-Identifier: GPL-2.0

//! Tasks that write to an image while others free it, write to it or wait for its memory.

use crate::actors::Memory;
use crate::actors::Remover;
use crate::actors::Writer;
use crate::common;
use crate::reserve;
use crate::schedules::every_schedule;
use crate::schedules::number_of_schedules;
use pack_core::Batch;
use pack_core::ChunkCount;
use pack_core::ChunkRange;
use pack_core::OpenBatch;
use pack_core::RangeState;
use pack_core::Taken;
use pack_core::WriteEnd;

/// One thread trims and finalizes an image while another reserves memory: the other may get the
/// tail, and the image stays whole.
#[test]
fn trimming_while_reserving() {
    let steps = [3, 1, 1];
    let count = every_schedule(&steps, &mut |order| {
        let mut pool = common::pool(1);
        let pack = pool.add(common::pack(8, 0)).unwrap();
        let mut mine: Option<ChunkRange> = None;
        let mut others = Vec::new();
        let mut step = 0;
        for thread in order {
            match (thread, step) {
                (0, 0) => mine = reserve(&mut pool, 6).ok().map(|it| it.range),
                (0, 1) => {
                    mine = mine.map(|range| {
                        let begun = pool.begin_image(pack, range.start(), ChunkCount::new(2));
                        begun.unwrap().0
                    });
                }
                (0, _) => {
                    mine.iter().for_each(|range| {
                        assert_eq!(pool.finalize(pack, *range), Ok(WriteEnd::Kept))
                    });
                }
                _ => others.extend(reserve(&mut pool, 4)),
            }
            step += usize::from(*thread == 0);
            pack_core::check_invariants(&pool).unwrap();
        }
        if let Some(range) = mine {
            assert_eq!(range.count().get(), 2);
            assert_eq!(
                pool.find(pack, range.start()),
                Some((RangeState::Live, range))
            );
        }
        assert!(mine.is_some() || !others.is_empty(), "{order:?}");
    });
    assert_eq!(count, number_of_schedules(&steps));
}

/// Releases everything that is retired. Returns whether all ranges that are left are live.
fn nothing_leaks(memory: &mut Memory, batch: Option<Batch>) -> bool {
    let mut rest = batch.or_else(|| memory.pool.begin_batch().map(OpenBatch::close));
    while let Some(batch) = rest {
        common::release(&mut memory.pool, batch);
        rest = memory.pool.begin_batch().map(OpenBatch::close);
    }
    let tallies = memory.pool.stats().tallies;
    common::total(&tallies) == tallies.live
}

/// One thread frees an image while another finalizes it, a third one synchronises the CPUs, and a
/// fourth one waits for memory and makes an image in it. That image stays whole, and in every order
/// the memory of the first image becomes free.
#[test]
fn an_image_that_is_being_finalized_is_not_handed_out_and_does_not_leak() {
    let steps = [Writer::STEPS, Remover::STEPS, 2, 2];
    let mut outcomes = std::collections::BTreeSet::new();
    let count = every_schedule(&steps, &mut |order| {
        let mut memory = Memory::reserved(2);
        let mut writer = Writer::new("writer", false);
        let mut remover = Remover::default();
        let mut batch = None;
        let mut third: Option<ChunkRange> = None;
        let mut third_is_live = false;
        for thread in order {
            match thread {
                0 => writer.step(&mut memory),
                1 => remover.step(&mut memory),
                2 => match batch.take() {
                    // This test has no CPUs: synchronising them does nothing.
                    Some(batch) => {
                        common::release(&mut memory.pool, batch);
                    }
                    None => batch = memory.pool.begin_batch().map(OpenBatch::close),
                },
                // The pool cannot tell a late finalize or free of the first image from one of the
                // new image at the same address. So this thread begins to write at once.
                _ if third.is_none() => {
                    let reserved = reserve(&mut memory.pool, 2).ok();
                    third = reserved.map(|reserved| reserved.range);
                    if let Some(range) = third {
                        memory.pool.begin_write(memory.pack, range).unwrap();
                        memory.fill(Some("third party"));
                    }
                }
                _ => {
                    let range = third.unwrap();
                    let end = memory.pool.finalize(memory.pack, range);
                    assert_eq!(end, Ok(WriteEnd::Kept), "{order:?}");
                    third_is_live = true;
                }
            }
            if third_is_live {
                memory.check(Some("third party"), order);
            } else if writer.done && memory.state() == Some(RangeState::Live) {
                memory.check(Some("writer"), order);
            }
        }
        assert_eq!(
            writer.doomed,
            matches!(remover.taken, Some(Taken::Doomed(_))),
            "{order:?}"
        );
        if third.is_some() == third_is_live {
            assert!(nothing_leaks(&mut memory, batch), "{order:?}");
        }
        outcomes.insert((writer.done, remover.outcome(), third_is_live));
    });
    assert_eq!(count, number_of_schedules(&steps));
    // Whether the image was finalized, how it was freed, and whether its memory was used again. No
    // order refuses the free.
    let wanted = [
        (false, "doomed", false),
        (false, "doomed", true),
        (false, "freed", false),
        (false, "freed", true),
        (true, "freed", false),
        (true, "freed", true),
    ];
    assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), wanted);
}

/// Two threads free an image while a third one writes to it, or before, or after. One of them frees
/// it, and the image is filled with traps and released once.
#[test]
fn of_two_that_free_an_image_that_is_being_written_one_does() {
    for fails in [false, true] {
        let steps = [Writer::STEPS, Remover::STEPS, Remover::STEPS];
        let mut outcomes = std::collections::BTreeSet::new();
        let count = every_schedule(&steps, &mut |order| {
            let mut memory = Memory::reserved(2);
            let mut writer = Writer::new("writer", fails);
            let mut removers = [Remover::default(); 2];
            for thread in order {
                match thread {
                    0 => writer.step(&mut memory),
                    _ => removers[*thread - 1].step(&mut memory),
                }
                pack_core::check_invariants(&memory.pool).unwrap();
            }
            memory.check(None, order);
            assert_eq!(memory.state(), Some(RangeState::Retired), "{order:?}");
            assert!(nothing_leaks(&mut memory, None), "{order:?}");
            assert!(common::is_all_free(&memory.pool));
            let mut done = removers.map(|remover| remover.outcome());
            done.sort();
            outcomes.insert((done, writer.done));
        });
        assert_eq!(count, number_of_schedules(&steps));
        let mut wanted = vec![
            (["doomed", "refused"], false),
            (["freed", "refused"], false),
            (["freed", "refused"], true),
        ];
        wanted.truncate(if fails { 2 } else { 3 });
        assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), wanted);
    }
}

/// Runs two writers of one image, and a remover if `frees`, in every order. Returns the outcomes:
/// which writer's image is or was live, and what the remover did.
fn two_writers(fails: bool, frees: bool) -> Vec<([bool; 2], &'static str)> {
    let frees = if frees { Remover::STEPS } else { 0 };
    let steps = [Writer::STEPS, Writer::STEPS, frees];
    let mut outcomes = std::collections::BTreeSet::new();
    let count = every_schedule(&steps, &mut |order| {
        let mut memory = Memory::reserved(2);
        let mut writers = [Writer::new("first", fails), Writer::new("second", false)];
        let mut remover = Remover::default();
        for thread in order {
            match thread {
                0 | 1 => writers[*thread].step(&mut memory),
                _ => remover.step(&mut memory),
            }
            let owner = writers.iter().find(|writer| writer.done);
            match memory.state() {
                Some(RangeState::Live) => memory.check(owner.map(|it| it.name), order),
                // The tail of a reserved image may be trimmed and become free, and a retired image
                // becomes free: both must be traps.
                Some(RangeState::Reserved | RangeState::Retired) => memory.check(None, order),
                _ => {}
            }
        }
        if remover.taken.is_some() {
            assert_eq!(memory.state(), Some(RangeState::Retired), "{order:?}");
        }
        let outcome = if frees == 0 { "" } else { remover.outcome() };
        outcomes.insert((writers.map(|writer| writer.done), outcome));
    });
    assert_eq!(count, number_of_schedules(&steps));
    outcomes.into_iter().collect()
}

#[test]
fn of_two_that_finalize_the_same_image_one_does() {
    let outcomes = two_writers(false, false);
    assert_eq!(outcomes, [([false, true], ""), ([true, false], "")]);
}

#[test]
fn of_two_that_finalize_and_one_that_frees() {
    let outcomes = two_writers(false, true);
    // The image is freed during a copy, before the first copy, or after one.
    let wanted = [
        ([false, false], "doomed"),
        ([false, false], "freed"),
        ([false, true], "freed"),
        ([true, false], "freed"),
    ];
    assert_eq!(outcomes, wanted);
}

#[test]
fn after_a_copy_that_failed_another_may_succeed() {
    // The second writer begins before the first one has failed, or after.
    let outcomes = two_writers(true, false);
    assert_eq!(outcomes, [([false, false], ""), ([false, true], "")]);
    let wanted = [
        ([false, false], "doomed"),
        ([false, false], "freed"),
        ([false, true], "freed"),
    ];
    assert_eq!(two_writers(true, true), wanted);
}

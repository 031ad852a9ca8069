// SPDX-License-Identifier: GPL-2.0

//! Tasks that find the packs full, and packs that are removed meanwhile.

use crate::common;
use crate::common::HostPack;
use crate::common::HostPool;
use crate::schedules::every_schedule;
use crate::schedules::number_of_schedules;
use pack_core::ChunkCount;
use pack_core::Error;
use pack_core::RangeState;
use pack_core::RankSet;
use pack_core::Reserved;

/// A thread that needs memory. It asks for it. If there is none, it makes a pack without the lock,
/// asks again, and adds the pack if there still is none.
#[derive(Default)]
struct Client {
    step: usize,
    made: Option<HostPack>,
    unused: Option<HostPack>,
    reserved: Option<Reserved>,
}

impl Client {
    fn step(&mut self, pool: &mut HostPool, size: usize) {
        match self.step {
            0 => self.ask(pool, size),
            1 if self.reserved.is_none() => self.made = Some(common::pack(8, 0)),
            2 if self.reserved.is_none() => {
                self.ask(pool, size);
                if self.reserved.is_some() {
                    self.unused = self.made.take();
                } else {
                    pool.add(self.made.take().unwrap()).unwrap();
                    self.ask(pool, size);
                }
            }
            _ => {}
        }
        self.step += 1;
    }

    fn ask(&mut self, pool: &mut HostPool, size: usize) {
        match pool.reserve(size, ChunkCount::ONE, RankSet::ALL) {
            Ok(reserved) => self.reserved = Some(reserved),
            Err(error) => assert_eq!(error, Error::NeedPack(ChunkCount::holding(size).unwrap())),
        }
    }
}

/// Runs clients with the given sizes in chunks. Returns the numbers of packs that were added in all
/// schedules.
fn supply(sizes: &[usize]) -> std::collections::BTreeSet<u64> {
    let mut packs = std::collections::BTreeSet::new();
    let steps = vec![3; sizes.len()];
    let count = every_schedule(&steps, &mut |order| {
        let mut pool = common::pool(4);
        let mut clients: Vec<Client> = sizes.iter().map(|_| Client::default()).collect();
        for thread in order {
            clients[*thread].step(&mut pool, sizes[*thread] * 64);
            pack_core::check_invariants(&pool).unwrap();
        }
        let ranges: Vec<Reserved> = clients
            .iter()
            .map(|client| client.reserved.unwrap())
            .collect();
        for (index, one) in ranges.iter().enumerate() {
            assert_eq!(one.range.count().as_usize(), sizes[index]);
            for other in &ranges[..index] {
                let apart = one.pack != other.pack
                    || common::end(one.range) <= common::start(other.range)
                    || common::end(other.range) <= common::start(one.range);
                assert!(apart, "{order:?}: {one:?} and {other:?}");
            }
        }
        let made = clients
            .iter()
            .filter(|client| client.unused.is_some())
            .count() as u64;
        assert!(pool.stats().packs + made <= sizes.len() as u64);
        packs.insert(pool.stats().packs);
    });
    assert_eq!(count, number_of_schedules(&steps));
    packs
}

#[test]
fn two_clients_that_fit_into_one_pack_get_one() {
    assert_eq!(supply(&[4, 4]).into_iter().collect::<Vec<_>>(), [1]);
}

#[test]
fn two_clients_that_do_not_fit_get_two() {
    assert_eq!(supply(&[5, 4]).into_iter().collect::<Vec<_>>(), [2]);
}

#[test]
fn three_clients() {
    assert_eq!(supply(&[2, 3, 3]).into_iter().collect::<Vec<_>>(), [1]);
    assert_eq!(supply(&[8, 8, 8]).into_iter().collect::<Vec<_>>(), [3]);
    // 5 + 3 share a pack, or 4 + 3 do: two packs in any case.
    assert_eq!(supply(&[5, 4, 3]).into_iter().collect::<Vec<_>>(), [2]);
}

/// One thread removes an empty pack while another reserves: that thread gets a range of a pack in
/// the pool, or has to add one.
#[test]
fn taking_an_empty_pack_out_while_reserving() {
    let steps = [3, 2, 2];
    let (mut kept, mut taken) = (0, 0);
    let count = every_schedule(&steps, &mut |order| {
        let mut pool = common::pool(1);
        let first = pool.add(common::pack(8, 0)).unwrap();
        let mut client = Client::default();
        let mut gone = Vec::new();
        for thread in order {
            match thread {
                0 => client.step(&mut pool, 128),
                _ => gone.extend(pool.take_empty(|_, _| true).map(|(id, _)| id)),
            }
            pack_core::check_invariants(&pool).unwrap();
            let reserved = client.reserved.map(|reserved| reserved.pack);
            assert!(
                reserved.is_none_or(|pack| !gone.contains(&pack)),
                "{order:?}"
            );
        }
        let Reserved { pack, range } = client.reserved.unwrap();
        assert_eq!(
            pool.find(pack, range.start()),
            Some((RangeState::Reserved, range))
        );
        for id in &gone {
            assert_eq!(pool.begin_retire(*id, range.start()), Err(Error::Stale));
        }
        match pack == first {
            true => kept += 1,
            false => taken += 1,
        }
    });
    assert_eq!(count, number_of_schedules(&steps));
    assert!(kept > 0 && taken > 0, "{kept}, {taken}");
}

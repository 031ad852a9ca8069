// SPDX-License-Identifier: GPL-2.0

//! All orders in which the steps of some threads can happen.

/// Calls `run` with every order of the steps of threads that have `steps` steps each. Returns how
/// many orders there are.
pub(crate) fn every_schedule(steps: &[usize], run: &mut impl FnMut(&[usize])) -> usize {
    fn extend(left: &mut [usize], order: &mut Vec<usize>, run: &mut impl FnMut(&[usize])) -> usize {
        if left.iter().all(|steps| *steps == 0) {
            run(order);
            return 1;
        }
        let mut schedules = 0;
        for thread in 0..left.len() {
            if left[thread] > 0 {
                left[thread] -= 1;
                order.push(thread);
                schedules += extend(left, order, run);
                order.pop();
                left[thread] += 1;
            }
        }
        schedules
    }
    extend(&mut steps.to_vec(), &mut Vec::new(), run)
}

/// The number of orders: (a + b + …)! / (a! b! …).
pub(crate) fn number_of_schedules(steps: &[usize]) -> usize {
    let mut total = 0;
    let mut number = 1;
    for steps in steps {
        for step in 1..=*steps {
            total += 1;
            number = number * total / step;
        }
    }
    number
}

#[test]
fn every_schedule_is_there() {
    let mut seen = std::collections::HashSet::new();
    let count = every_schedule(
        &[2, 2, 1],
        &mut |order| assert!(seen.insert(order.to_vec())),
    );
    assert_eq!((count, seen.len()), (30, 30));
    assert_eq!(number_of_schedules(&[2, 2, 1]), 30);
}

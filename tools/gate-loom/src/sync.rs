// SPDX-License-Identifier: GPL-2.0

//! The part of the kernel's `kernel::sync` that the gate uses, on loom's atomics.

/// As `kernel::sync::atomic`.
pub(crate) mod atomic {
    use loom::sync::atomic::AtomicI64;
    use loom::sync::atomic::AtomicPtr;
    use loom::sync::atomic::Ordering;
    use std::sync::OnceLock;

    /// The order of an operation.
    pub(crate) trait Order {
        const ORDER: Ordering;
    }

    macro_rules! orders {
        ($($name:ident: $order:ident)*) => {$(
            pub(crate) struct $name;
            impl Order for $name {
                const ORDER: Ordering = Ordering::$order;
            }
        )*};
    }
    orders!(Relaxed: Relaxed Acquire: Acquire Release: Release Full: SeqCst);

    /// What an atomic can hold.
    pub(crate) trait Value: Copy {
        type Cell;
        fn cell(self) -> Self::Cell;
        fn load(cell: &Self::Cell, order: Ordering) -> Self;
        fn store(cell: &Self::Cell, value: Self, order: Ordering);
    }

    impl Value for i64 {
        type Cell = AtomicI64;
        fn cell(self) -> AtomicI64 {
            AtomicI64::new(self)
        }
        fn load(cell: &AtomicI64, order: Ordering) -> Self {
            cell.load(order)
        }
        fn store(cell: &AtomicI64, value: Self, order: Ordering) {
            cell.store(value, order);
        }
    }

    impl<T> Value for *mut T {
        type Cell = AtomicPtr<T>;
        fn cell(self) -> AtomicPtr<T> {
            AtomicPtr::new(self)
        }
        fn load(cell: &AtomicPtr<T>, order: Ordering) -> Self {
            cell.load(order)
        }
        fn store(cell: &AtomicPtr<T>, value: Self, order: Ordering) {
            cell.store(value, order);
        }
    }

    /// An atomic. loom's own cannot be made in a `const fn`: this makes it at the first access,
    /// which a test leaves to its first task.
    pub(crate) struct Atomic<T: Value> {
        first: T,
        cell: OnceLock<T::Cell>,
    }

    // SAFETY: loom runs all tasks of a test on one thread, and its cells may be shared.
    unsafe impl<T: Value> Sync for Atomic<T> {}

    impl<T: Value> Atomic<T> {
        pub(crate) const fn new(first: T) -> Self {
            Self {
                first,
                cell: OnceLock::new(),
            }
        }

        fn cell(&self) -> &T::Cell {
            self.cell.get_or_init(|| self.first.cell())
        }

        pub(crate) fn load<O: Order>(&self, _: O) -> T {
            T::load(self.cell(), O::ORDER)
        }

        pub(crate) fn store<O: Order>(&self, value: T, _: O) {
            T::store(self.cell(), value, O::ORDER);
        }
    }

    impl Atomic<i64> {
        pub(crate) fn fetch_add<O: Order>(&self, value: i64, _: O) -> i64 {
            self.cell().fetch_add(value, O::ORDER)
        }

        pub(crate) fn fetch_sub<O: Order>(&self, value: i64, _: O) -> i64 {
            self.cell().fetch_sub(value, O::ORDER)
        }
    }
}

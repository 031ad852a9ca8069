// SPDX-License-Identifier: GPL-2.0

// Included beside a gate: that of the module, or a spoilt copy of it.

/// What calls use. loom reports whoever reads it while, or before it is certain that, somebody else
/// does not write it.
struct Target(loom::cell::UnsafeCell<u32>);

// SAFETY: loom looks at each access.
unsafe impl Sync for Target {}
// SAFETY: As above.
unsafe impl Send for Target {}

/// The content of a target that may be used.
const WHOLE: u32 = 0x600d;

impl Target {
    /// Makes a target that is never freed: what a test writes to it says whether it may be used.
    fn new(content: u32) -> &'static Self {
        Box::leak(Box::new(Self(loom::cell::UnsafeCell::new(content))))
    }

    fn write(&self, content: u32) {
        // SAFETY: loom fails the test if another task accesses it at the same time.
        self.0.with_mut(|place| unsafe { *place = content });
    }

    fn read(&self) -> u32 {
        // SAFETY: As in `write`.
        self.0.with(|place| unsafe { *place })
    }
}

/// Tries all executions of a test.
fn scenario(test: fn()) {
    let mut model = loom::model::Builder::new();
    // Waiting gives up its turn: nobody needs more steps than this unless a wait has no end.
    model.max_branches = 300;
    let executions = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = executions.clone();
    model.check(move || {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        test();
    });
    let executions = executions.load(std::sync::atomic::Ordering::Relaxed);
    println!("{executions} executions");
}

/// Makes a gate and accesses all of it once.
fn gate() -> &'static gate::Gate<Target> {
    let gate: &'static gate::Gate<Target> = Box::leak(Box::new(gate::Gate::new()));
    assert!(gate.enter().target().is_none());
    gate
}

/// Opens a gate.
fn open(gate: &'static gate::Gate<Target>, target: &'static Target) -> gate::Opened<Target> {
    // SAFETY: A target is never freed.
    unsafe { gate.open(target) }
}

/// One call.
fn call(gate: &'static gate::Gate<Target>) {
    let entered = gate.enter();
    if let Some(target) = entered.target() {
        assert_eq!(target.read(), WHOLE, "a call is in a target that is gone");
    }
}

/// Closes the gate while `callers` tasks call.
fn close_while(callers: usize) {
    let (gate, target) = (gate(), Target::new(WHOLE));
    let opened = open(gate, target);
    let tasks: Vec<_> = (0..callers)
        .map(|_| loom::thread::spawn(move || call(gate)))
        .collect();
    drop(opened);
    target.write(0);
    for task in tasks {
        task.join().unwrap();
    }
    gate.wait_for_calls();
}

fn calls_and_a_close() {
    close_while(1);
}

fn two_callers_and_a_close() {
    close_while(2);
}

fn a_late_call() {
    use loom::sync::atomic::AtomicBool;
    use loom::sync::atomic::Ordering;
    let (gate, target) = (gate(), Target::new(WHOLE));
    let opened = open(gate, target);
    let closed: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
    let task = loom::thread::spawn(move || {
        let late = closed.load(Ordering::Acquire);
        let finds = gate.enter().target().is_some();
        assert!(!(late && finds), "a late call finds a target");
    });
    drop(opened);
    closed.store(true, Ordering::Release);
    let finds = gate.enter().target().is_some();
    task.join().unwrap();
    assert!(!finds, "a late call finds a target");
}

fn a_call_while_the_gate_opens() {
    let (gate, target) = (gate(), Target::new(0));
    let task = loom::thread::spawn(move || call(gate));
    target.write(WHOLE);
    let opened = open(gate, target);
    task.join().unwrap();
    drop(opened);
}

fn calls_and_a_wait() {
    let gate = gate();
    let task = loom::thread::spawn(move || {
        call(gate);
        call(gate);
    });
    gate.wait_for_calls();
    task.join().unwrap();
    gate.wait_for_calls();
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The concurrency of rust/service/: tasks that make and free images, one that frees what
 * another is making, the background work, and CPUs that run images meanwhile. Each step
 * between two points at which others may come in between is one step here; a hold of the
 * lock of the books is one step. Names are those of the code.
 *
 * Instruction fetch is modelled by sets. `caches[r]` holds the values that a fetch from
 * range r can give, `may` those that a CPU may still execute there: what it can fetch now,
 * and what it fetched since it was last synchronised. tools/litmus/ shows that maintenance
 * and a context synchronisation event do what this takes them to do.
 *
 * -D WINDOW   images of one load share a synchronisation at its end, and loads of several
 *             tasks share one that began after their copies were visible (planned)
 * Every other -D leaves out a step; tools/protocol/run lists them, and what they break.
 */

#define CPUS 2
#define TASKS 2
#ifndef RANGES
#define RANGES 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifdef WINDOW
#define IMAGES(task) (2 - (task))	/* images of one load */
#else
#define IMAGES(task) 1
#endif
#define MOST 2				/* images of one load at most */
#define NOWHERE 255
#define WORKER TASKS			/* number of the background work, as one who synchronises */
#define NOBODY 255
#define CPU_OF(task) ((task) % CPUS)	/* where a task runs */

/* Values of memory, as bits of a set: a task's images differ from round to round. */
#define TRAP 1
#define IMAGE(task, round) (2 << ((task) * 2 + ((round) & 1)))

#define BIT(n) (1 << (n))
#define EACH(i, n) i : 0 .. ((n) - 1)

/* pack_core/state.rs */
mtype = { Free, Reserved, Writing, Live, Doomed, Retiring, Retired, Syncing };

/* --- what there is -------------------------------------------------------- */

mtype state[RANGES] = Free;	/* Pool */
byte images;			/* Books::images; while it is not 0, Books::lease holds the module */
bool under_way;			/* Pool::under_way */
bool synchronised;		/* Books::synchronised: the batch under way may be released */
bool mapped = true;		/* the pack has its region */

byte books = NOBODY;		/* Service::books, a mutex */
byte grow = NOBODY;		/* Service::grow, a mutex */
byte patch_lock = NOBODY;	/* the kernel's, a spinlock with interrupts off */

bool work;			/* Service::tidy is queued */
byte finished;			/* tasks that have ended */

/* --- memory and CPUs ------------------------------------------------------ */

byte caches[RANGES] = TRAP;
byte may[CPUS * RANGES] = TRAP;
byte pending[CPUS];		/* for whom an interrupt waits on a CPU: a set of tasks */
bool irqs_off[CPUS];		/* a task on this CPU has interrupts off */
byte inside[CPUS] = NOWHERE;	/* in which range a CPU runs */
byte pointer[TASKS * MOST] = NOWHERE;	/* through which CPUs enter a task's images */
byte expected[TASKS];		/* what these hold */

#define MAY(c, r) may[(c) * RANGES + (r)]
#define ENTRY(t, k) pointer[(t) * MOST + (k)]

/*
 * Mutex::lock() and the end of its guard. Where nothing between them waits, the whole hold
 * is one atomic step. Interrupts to other CPUs and writes need the lock to be free (I11).
 */
inline lock_books() { atomic { books == NOBODY -> books = _pid } }
inline unlock_books() { books = NOBODY }

/* A context synchronisation event on CPU c: what it had fetched is dropped. */
inline synchronise_context(c)
{
	for (EACH(r_, RANGES)) { MAY(c, r_) = caches[r_] }
	r_ = 0
}

/*
 * poke::synchronise_cpus(): on_each_cpu() with wait. `me` is who waits.
 */
inline synchronise_cpus(me)
{
	d_step {
		assert(books != _pid);
		for (EACH(c_, CPUS)) { pending[c_] = pending[c_] | BIT(me) }
		c_ = 0
	}
#ifndef NO_WAIT
	(!((pending[0] | pending[1]) & BIT(me)))
#endif
}

/* window.rs, copy() and fill(): one page, with interrupts off under the kernel's lock. */
inline through_window(me, r, value)
{
	irqs_off[CPU_OF(me)] = true;
	atomic { patch_lock == NOBODY -> patch_lock = _pid }
	d_step {
		assert(books != _pid);
		assert(mapped);
		/* Nobody runs where something is written. */
		for (EACH(c_, CPUS)) {
			assert(inside[c_] != r);
			MAY(c_, r) = MAY(c_, r) | value
		}
		c_ = 0;
		caches[r] = caches[r] | value
	}
#ifdef SYNC_IN_WINDOW
	synchronise_cpus(me);
#endif
	atomic { patch_lock = NOBODY; irqs_off[CPU_OF(me)] = false }
}

/* Region::make_fetchable(): from here on every fetch gives what was written last. */
inline make_fetchable(r, value) { caches[r] = value }

/* --- Pool ----------------------------------------------------------------- */

/* Pool::reserve(), and what must hold for memory that is handed out (I2, I4). */
inline place(r)
{
	d_step {
		r = NOWHERE;
		if
		:: mapped ->
			for (EACH(r_, RANGES)) {
				if
				:: r == NOWHERE && state[r_] == Free -> r = r_
				:: else
				fi
			}
			r_ = 0
		:: else
		fi;
		if
		:: r != NOWHERE ->
			assert(caches[r] == TRAP);
			for (EACH(c_, CPUS)) { assert(MAY(c_, r) == TRAP); assert(inside[c_] != r) }
			c_ = 0;
			state[r] = Reserved;
			images++
		:: else
		fi
	}
}

/* Pool::begin_batch(): Retired -> Syncing, unless a batch is under way. */
inline begin_batch(batch)
{
	d_step {
		batch = false;
		if
#ifndef TWO_BATCHES
		:: !under_way ->
#else
		:: true ->
#endif
			for (EACH(r_, RANGES)) {
				if
				:: state[r_] == Retired -> state[r_] = Syncing; batch = true
				:: else
				fi
			}
			r_ = 0;
			under_way = under_way | batch
		:: else
		fi
	}
}

/* Service::release_slice(), with slices of one range: Syncing -> Free. */
inline release_slice(more)
{
	atomic {
		lock_books();
		d_step {
			more = false;
			if
			:: synchronised ->
				n_ = 0;
				for (EACH(r_, RANGES)) {
					if
#ifdef RELEASES_RETIRED
					:: state[r_] == Syncing || state[r_] == Retired ->
#else
					:: state[r_] == Syncing ->
#endif
						if
						:: n_ == 0 -> state[r_] = Free
						:: else
						fi;
						n_++
					:: else
					fi
				}
				r_ = 0;
				more = n_ > 1;
				synchronised = more;
				under_way = more;
				n_ = 0
			:: else
			fi
		}
		unlock_books()
	}
}

/* --- Service, reclaim.rs -------------------------------------------------- */

/* Service::synchronise_for() with a batch that was begun before. */
inline synchronise_for(me, batch)
{
#ifdef RELEASED_BEFORE_SYNC
	atomic { lock_books(); synchronised = synchronised | batch; unlock_books() }
	synchronise_cpus(me)
#else
	synchronise_cpus(me);
	atomic {
		lock_books();
#ifdef BATCH_BEGUN_LATE
		begin_batch(batch);
#endif
		synchronised = synchronised | batch;
		batch = false;
		unlock_books()
	}
#endif
}

inline begin_batch_unlocked(batch)
{
#ifdef BATCH_BEGUN_LATE
	skip
#else
	atomic { lock_books(); begin_batch(batch); unlock_books() }
#endif
}

#ifdef WINDOW
/* Rounds: how many began and ended; `running` is the lock that is held during one. */
byte begun, ended;
bool running;
#endif

/* Rounds::run_one(). Without windows nobody shares a round, and they need no numbers. */
inline run_one(me, batch)
{
#ifdef WINDOW
	atomic { !running -> running = true; begun++ }
	synchronise_for(me, batch);
	atomic { ended = begun; running = false }
#else
	synchronise_for(me, batch)
#endif
}

/*
 * Service::synchronise(): for a load. If enough memory waits for it, whatever was retired
 * before becomes free by it; how much is enough does not matter here.
 */
inline synchronise(me, batch, more)
{
	if
	:: begin_batch_unlocked(batch);
		synchronise_for(me, batch);
		release_slice(more);
		if
		:: more -> work = true; more = false	/* Delayed::hurry() */
		:: else
		fi
	:: synchronise_cpus(me)
	fi
}

inline release_all(more)
{
	do
	:: release_slice(more);
		if
		:: more
		:: else -> break
		fi
	od
}

/* Service::reclaim() */
inline reclaim(me, batch, more)
{
	release_all(more);
	begin_batch_unlocked(batch);
#ifdef BATCH_BEGUN_LATE
	run_one(me, batch);
#else
	if
	:: batch -> run_one(me, batch)
	:: else
	fi;
#endif
	release_all(more)
}

/* Service::retire(): traps, maintenance, then Retired. The caller has made it Retiring. */
inline retire(me, r)
{
#ifdef RETIRED_BEFORE_TRAPS
	atomic { lock_books(); state[r] = Retired; images--; unlock_books() }
#endif
#ifndef NO_TRAPS
	through_window(me, r, TRAP);
#ifndef NO_MAINTENANCE_OF_TRAPS
	make_fetchable(r, TRAP);
#endif
#endif
#ifndef RETIRED_BEFORE_TRAPS
	atomic {
		lock_books();
		assert(state[r] == Retiring);
#ifdef FREE_AT_ONCE
		state[r] = Free;
#else
		state[r] = Retired;
#endif
		images--;
		unlock_books()
	}
#endif
#ifndef NO_TIDY
	work = true		/* Service::tidy_later() */
#endif
}

/* Service::free(), Pool::begin_retire(). `taken` says whether the caller has to fill it. */
inline begin_retire(r, taken)
{
	atomic {
		lock_books();
		d_step {
			taken = false;
			if
			:: state[r] == Live || state[r] == Reserved -> state[r] = Retiring; taken = true
#ifdef FREED_WHILE_WRITTEN
			:: state[r] == Writing -> state[r] = Retiring; taken = true
#else
			:: state[r] == Writing -> state[r] = Doomed
#endif
			:: else		/* EINVAL: it was freed already */
			fi
		}
		unlock_books()
	}
}

/* --- Service, grow.rs ----------------------------------------------------- */

/* Service::reserve(): finds room, makes room, or makes a pack. NOWHERE: the stock allocator serves. */
inline reserve(me, r, batch, more)
{
	atomic { lock_books(); place(r); unlock_books() }
	if
	:: r == NOWHERE ->
		reclaim(me, batch, more);
		atomic { lock_books(); place(r); unlock_books() }
	:: else
	fi;
	if
	:: r == NOWHERE ->
#ifdef GROW_UNDER_BOOKS
		lock_books();
		atomic { grow == NOBODY -> grow = _pid }
		unlock_books();
#else
		atomic { grow == NOBODY -> grow = _pid }
#endif
		atomic { lock_books(); place(r); unlock_books() }
		/* Service::make_pack(), with no lock of the books: mapped with traps, and sealed. */
		atomic {
			lock_books();
			if
			:: r == NOWHERE && !mapped -> mapped = true; place(r)
			:: else
			fi;
			unlock_books()
		}
		grow = NOBODY
	:: else
	fi
}

/* --- Service, write.rs ---------------------------------------------------- */

/* Books::claim_reserved(): Reserved -> Writing. Fails if somebody has freed it. */
inline claim_reserved(r, claimed)
{
	atomic {
		lock_books();
		claimed = (state[r] == Reserved);
		if
		:: claimed -> state[r] = Writing
		:: else
		fi;
		unlock_books()
	}
}

/* Books::finalize(): Writing -> Live, or Doomed -> Retiring if it was freed meanwhile. */
inline finalize(r, doomed)
{
	atomic {
		lock_books();
		doomed = false;
		if
		:: state[r] == Writing -> state[r] = Live
#ifndef DOOMED_FORGOTTEN
		:: state[r] == Doomed -> state[r] = Retiring; doomed = true
#endif
		:: else
		fi;
		unlock_books()
	}
}

/* Writable::copy() */
inline copy(me, r, value)
{
#ifdef MAINTENANCE_FIRST
	make_fetchable(r, TRAP);
#endif
	through_window(me, r, value);
#if !defined(NO_MAINTENANCE) && !defined(MAINTENANCE_FIRST) && !defined(SYNC_BEFORE_MAINTENANCE)
	make_fetchable(r, value)
#endif
}

#ifdef WINDOW
/*
 * Rounds::pass(): a load waits for a round that began after its last copy was visible, and
 * runs it unless somebody else does. `begun` may have passed `want`: a later one is as good.
 */
inline share_synchronisation(me, want, batch, more)
{
	if
	:: atomic { !running && ended >= want }
	:: atomic { !running && ended < want -> running = true; begun++ }
		if
		:: begin_batch_unlocked(batch);
			synchronise_for(me, batch);
			atomic { ended = begun; running = false }
			release_slice(more);
			if
			:: more -> work = true; more = false
			:: else
			fi
		:: synchronise_cpus(me);
			atomic { ended = begun; running = false }
		fi
	fi
}
#endif

/* --- who acts ------------------------------------------------------------- */

/* A task that loads a program of one or more images, lets it run and unloads it. */
proctype loader(byte me)
{
	byte r[MOST] = NOWHERE, k, round, r_, c_, n_;
	bool batch, more, ok, held;
#ifdef WINDOW
	byte want;
	bool abandoned;
#endif
	do
	:: round < ROUNDS ->
		held = true;	/* every image of the load is there */
		for (k : 0 .. (IMAGES(me) - 1)) {
			reserve(me, r[k], batch, more);
			if
			:: r[k] == NOWHERE -> held = false
			:: else ->
				claim_reserved(r[k], ok);
				if
				:: !ok -> held = false; r[k] = NOWHERE	/* freed by somebody else */
				:: else ->
#ifdef WINDOW_WANTED_EARLY
					want = begun + 1;
#endif
#ifdef SYNC_BEFORE_COPY
					synchronise(me, batch, more);
#endif
					copy(me, r[k], IMAGE(me, round));
#ifndef WINDOW
#if !defined(NO_SYNC) && !defined(SYNC_BEFORE_COPY)
					synchronise(me, batch, more);
#endif
#ifdef SYNC_BEFORE_MAINTENANCE
					make_fetchable(r[k], IMAGE(me, round));
#endif
					finalize(r[k], ok);
					if
					:: ok -> retire(me, r[k]); held = false; r[k] = NOWHERE
					:: else
					fi
#else
					/* The claim stays until the load ends: nobody can reuse the range. */
#ifdef WINDOW_ENTERED_INSIDE
					d_step { expected[me] = IMAGE(me, round); ENTRY(me, k) = r[k] }
					ENTRY(me, k) = NOWHERE;
#endif
					if
					:: !abandoned
					:: !abandoned -> abandoned = true	/* at any time, for whatever reason */
					:: abandoned
					fi;
					if
					:: abandoned ->
#ifndef ABANDONED_UNSYNCHRONISED
						want = begun + 1;
						share_synchronisation(me, want, batch, more)
#endif
					:: else
					fi
#endif
				fi
			fi
		}
		k = 0;
#ifdef WINDOW
		/* The load ends: one synchronisation for all its images, then they are live. */
		if
		:: !abandoned ->
#ifndef WINDOW_WANTED_EARLY
#ifdef JOINS_RUNNING
			atomic { want = (running -> begun : begun + 1) };
#else
			want = begun + 1;
#endif
#endif
#ifndef WINDOW_LEFT_OPEN
			share_synchronisation(me, want, batch, more)
#endif
		:: else
		fi;
		abandoned = false;
		for (k : 0 .. (IMAGES(me) - 1)) {
			if
			:: r[k] != NOWHERE ->
				finalize(r[k], ok);
				if
				:: ok -> retire(me, r[k]); held = false; r[k] = NOWHERE
				:: else
				fi
			:: else
			fi
		}
		k = 0;
#endif
		if
		:: held ->
			d_step {
				expected[me] = IMAGE(me, round);
				for (EACH(k, IMAGES(me))) { ENTRY(me, k) = r[k] }
				k = 0
			}
			/* CPUs enter now, or not. The program is unlinked; the kernel waits. */
			d_step {
				for (EACH(k, IMAGES(me))) { ENTRY(me, k) = NOWHERE }
				k = 0
			}
#ifndef NO_QUIESCENCE
			(inside[0] == NOWHERE || (inside[0] != r[0] && inside[0] != r[1]));
			(inside[1] == NOWHERE || (inside[1] != r[0] && inside[1] != r[1]));
#endif
		:: else
		fi;
		for (k : 0 .. (IMAGES(me) - 1)) {
			if
			:: r[k] != NOWHERE ->
				begin_retire(r[k], ok);
				if
				:: ok -> retire(me, r[k])
				:: else
				fi;
				r[k] = NOWHERE
			:: else
			fi
		}
		k = 0;
		round++
	:: else -> break
	od;
	finished++
}

/* Somebody who frees, once, an image that is being made: an owner that has given up. */
proctype freer()
{
	byte r, r_, c_, n_;
	bool ok;
	do
	:: r < RANGES - 1 -> r++
	:: break
	od;
	if
	:: atomic { (state[r] == Reserved || state[r] == Writing) && books == NOBODY -> lock_books();
		d_step {
			if
			:: state[r] == Reserved -> state[r] = Retiring; ok = true
#ifdef FREED_WHILE_WRITTEN
			:: state[r] == Writing -> state[r] = Retiring; ok = true
#else
			:: state[r] == Writing -> state[r] = Doomed
#endif
			fi
		}
		unlock_books() }
		if
		:: ok -> retire(WORKER, r)
		:: else
		fi
	:: finished == TASKS
	fi;
	finished++
}

/* Service::tidy_up(), by the workqueue. */
proctype tidy()
{
	byte r_, c_, n_, left;
	bool batch, more;
end:
	do
	:: work ->
		work = false;
		reclaim(WORKER, batch, more);
		/* Books::take_idle(), then the region is dropped; and Books::is_untidy(). */
		atomic {
			lock_books();
			d_step {
				left = 0;
				for (EACH(r_, RANGES)) {
					if
					:: state[r_] != Free -> left++;
						if
						:: state[r_] == Retiring || state[r_] == Retired || state[r_] == Syncing -> work = true
						:: else
						fi
					:: else
					fi
				}
				r_ = 0;
				if
#ifdef IDLE_WITH_RETIRED
				:: images == 0 -> mapped = false
#else
				:: left == 0 -> mapped = false
#endif
				:: else
				fi;
				if
				:: !mapped ->
					/* The region is freed: no CPU may hold anything of it. */
					for (EACH(r_, RANGES)) {
						assert(MAY(0, r_) == TRAP && MAY(1, r_) == TRAP)
					}
					r_ = 0
				:: else
				fi;
				left = 0
			}
			unlock_books()
		}
	od
}

/* A CPU: takes interrupts, and runs images that are published, as often as it likes. */
proctype cpu(byte c)
{
	byte r_;
	byte t, k;
end:
	do
	:: d_step { pending[c] && !irqs_off[c] -> synchronise_context(c); pending[c] = 0 }
	:: d_step { inside[c] == NOWHERE && ENTRY(0, 0) != NOWHERE ->
		inside[c] = ENTRY(0, 0); assert(mapped); assert(MAY(c, inside[c]) == expected[0]) }
#ifdef WINDOW
	:: d_step { inside[c] == NOWHERE && ENTRY(0, 1) != NOWHERE ->
		inside[c] = ENTRY(0, 1); assert(mapped); assert(MAY(c, inside[c]) == expected[0]) }
#endif
	:: d_step { inside[c] == NOWHERE && ENTRY(1, 0) != NOWHERE ->
		inside[c] = ENTRY(1, 0); assert(mapped); assert(MAY(c, inside[c]) == expected[1]) }
	:: inside[c] != NOWHERE -> inside[c] = NOWHERE
	od
}

/* When nothing can go on any more: everybody has ended, and nothing was lost. */
proctype last()
{
	byte r_;
end:
	timeout ->
#ifdef NO_FREER
	finished++;
#endif
	assert(finished == TASKS + 1);
	assert(books == NOBODY && grow == NOBODY && patch_lock == NOBODY);
	assert(images == 0 && !under_way && !synchronised);
	for (EACH(r_, RANGES)) { assert(state[r_] == Free) }
}

init {
	atomic {
		run cpu(0); run cpu(1);
		run loader(0); run loader(1);
#ifndef NO_FREER
		run freer();
#endif
		run tidy(); run last()
	}
}

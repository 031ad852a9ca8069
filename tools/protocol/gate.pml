/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Unloading against calls in flight: rust/lifetime.rs (ModuleRef, Delayed), rust/lifetime/gate.rs,
 * rust/hook.rs and the order in which the fields of BpfPack are dropped. Callers come through
 * ftrace, may sleep in the stock function with our text on their stack, and may make and free
 * an image; the background work comes through the gate as well.
 *
 * Every -D leaves out a step; tools/protocol/run lists them, and what they break. The order
 * of memory accesses in the gate is not part of this: tools/litmus/gate*.litmus.
 */

#define CALLERS 2
#define NOTHING 0
#define SERVICE 1

bool hooked = true;		/* the Redirects: ftrace leads calls to our text */
byte target = SERVICE;		/* Gate::target */
byte in_flight;			/* Gate::in_flight */
byte references;		/* of the module: Books::lease */
bool going;			/* the module is being removed: try_module_get() fails */
bool serving = true;		/* nobody may use the service once shut_down() has begun */
bool text = true;		/* the module's text is there */
bool queued;			/* Service::tidy */
bool stopped;			/* cancel_delayed_work_sync(): it is not queued again */
bool work_runs;
bool removed;

/* Tasks that have to pass a voluntary context switch before synchronize_rcu_tasks() returns. */
bool awaited[CALLERS + 1];
bool running[CALLERS + 1];	/* in a region that RCU tasks waits for */

/* ksym.rs, wait_for_tasks(): a sleeper has passed such a switch, wherever it sleeps. */
inline wait_for_tasks()
{
	d_step { awaited[0] = running[0]; awaited[1] = running[1]; awaited[2] = running[2] }
	(!awaited[0] && !awaited[1] && !awaited[2])
}

inline runs(t) { running[t] = true }
inline switches(t) { d_step { running[t] = false; awaited[t] = false } }

/* Gate::enter() and Entered::target() */
inline enter(found)
{
	assert(text);
#ifdef TARGET_BEFORE_COUNT
	found = target;
	in_flight++
#else
	in_flight++;
	found = target
#endif
}

/* Entered::drop() */
inline leave() { in_flight-- }

/* Gate::wait_for_calls() */
inline wait_for_calls()
{
#ifndef NO_WAIT_FOR_CALLS
	(in_flight == 0)
#else
	skip
#endif
}

/* A task that calls hooked functions: hook/entry.rs, pack_alloc() and pack_free(). */
proctype caller(byte t)
{
	byte found;
	bool image;
end:
	do
	:: hooked || image ->
		runs(t);
		if
		:: hooked ->
			assert(text);		/* redirected, and not counted yet */
			enter(found);
			if
			:: found == SERVICE ->
				assert(serving);
				if
				:: switches(t); runs(t); assert(text && serving)	/* sleeps on a mutex */
				:: true
				fi;
				if
				:: !image ->
					/* Books::reserve(): Refusal::Leaving while the module is being removed */
					if
#ifdef NO_LEASE
					:: image = true
#else
					:: atomic { !going -> references++ } image = true
#endif
					:: going
					fi
				:: image ->
					image = false;	/* Service::retire(), with Books::lease */
					queued = !stopped;
#ifndef NO_LEASE
					references--;
#endif
					assert(serving)
				:: true
				fi
			:: else ->
				assert(!image)		/* or it would be passed on to the stock allocator */
			fi;
			/* pass_on: the stock function may sleep */
			if
			:: switches(t); runs(t)
			:: true
			fi;
			assert(text);
			leave();
			assert(text)			/* the last instructions */
		:: !hooked -> assert(!image)
		fi;
		switches(t)
	:: removed && !image -> break
	od
}

/* The workqueue: service.rs, tidy(). */
proctype worker()
{
	byte found;
end:
	do
	:: atomic { queued && !stopped -> queued = false; work_runs = true }
		runs(CALLERS);
		enter(found);
		if
		:: found == SERVICE ->
			assert(serving);
			if
			:: switches(CALLERS); runs(CALLERS); assert(text && serving)	/* sleeps on a mutex */
			:: true
			fi;
			if
			:: queued = !stopped	/* Service::tidy_later() */
			:: true
			fi;
			assert(serving)
		:: else
		fi;
		leave();
		assert(text);
		switches(CALLERS);
		work_runs = false
	od
}

/* rmmod: the fields of BpfPack in the order of their drop. */
proctype rmmod()
{
	atomic { references == 0 -> going = true }
	/* Hooks::drop(): unregistering waits for tasks, too (kernel/trace/ftrace.c). */
#ifndef NO_UNHOOK
	hooked = false;
#endif
#ifndef NO_WAITS_OF_HOOKS
#ifndef NO_WAIT_BEFORE_CALLS
	wait_for_tasks();
#endif
	wait_for_calls();
#ifndef NO_WAIT_AFTER_CALLS
	wait_for_tasks();
#endif
#endif
	/* Opened::drop() */
#ifdef GATE_LEFT_OPEN
	skip;
#else
	target = NOTHING;
#endif
#ifndef NO_WAITS_OF_GATE
	wait_for_calls();
#ifndef NO_WAIT_AFTER_CALLS
	wait_for_tasks();
#endif
#endif
	/* Running::drop(): Service::shut_down(), then the service is dropped, Delayed first. */
	serving = false;
#ifndef NO_CANCEL
	atomic { stopped = true; queued = false }
	(!work_runs);
#endif
	text = false;
	removed = true
}

proctype last()
{
end:
	timeout ->
	assert(removed && in_flight == 0 && references == 0 && !work_runs)
}

init {
	atomic { run caller(0); run caller(1); run worker(); run rmmod(); run last() }
}

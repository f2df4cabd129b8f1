#include "common/base/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

enum { MAX_THREADS = 256 };

/* One loop at a time: `generation` tells the sleeping workers that a new one has begun. */
static struct {
	pthread_mutex_t lock;
	pthread_mutex_t one_loop;
	pthread_cond_t begun, finished;
	atomic_uint wanted; /* 0: not decided yet */
	unsigned running;   /* workers started, without the caller */
	unsigned busy;      /* workers that have not finished this loop */
	unsigned long generation;
	size_t n;
	void (*fn)(void *, size_t);
	void *ctx;
	atomic_size_t next;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER,
	.one_loop = PTHREAD_MUTEX_INITIALIZER,
	.begun = PTHREAD_COND_INITIALIZER,
	.finished = PTHREAD_COND_INITIALIZER };

/* this thread runs a loop's body: loops within are done in place */
static _Thread_local bool inside;

static unsigned default_threads(void)
{
	const char *text = getenv("VOXTRAIL_THREADS");
	cpu_set_t set;
	long n = text ? strtol(text, NULL, 10) : 0;

	if (n <= 0)
		n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
	if (n < 1)
		return 1;
	if (n > MAX_THREADS)
		return MAX_THREADS;
	return (unsigned)n;
}

void vt_parallel_set_threads(unsigned n)
{
	pthread_mutex_lock(&pool.one_loop);
	pool.wanted = n ? n : default_threads();
	if (pool.wanted > MAX_THREADS)
		pool.wanted = MAX_THREADS;
	pthread_mutex_unlock(&pool.one_loop);
}

unsigned vt_parallel_threads(void)
{
	return pool.wanted ? pool.wanted : default_threads();
}

static void work(void)
{
	size_t i;

	/* a body may call vt_parallel_for() again; the pool is taken */
	inside = true;
	while ((i = atomic_fetch_add(&pool.next, 1)) < pool.n)
		pool.fn(pool.ctx, i);
	inside = false;
}

static void *worker(void *arg)
{
	unsigned index = (unsigned)(size_t)arg;
	unsigned long seen = 0;

	for (;;) {
		bool mine;

		pthread_mutex_lock(&pool.lock);
		/* a generation is not missed: it stays until all were through, see busy */
		while (pool.generation == seen)
			pthread_cond_wait(&pool.begun, &pool.lock);
		seen = pool.generation;
		/* workers beyond `wanted` look on: it may have been lowered since they started */
		mine = index + 1 < pool.wanted;
		pthread_mutex_unlock(&pool.lock);
		if (mine)
			work();
		pthread_mutex_lock(&pool.lock);
		if (--pool.busy == 0)
			pthread_cond_signal(&pool.finished);
		pthread_mutex_unlock(&pool.lock);
	}
	return NULL;
}

/* A worker that cannot be started is done without: the loop is the same with fewer. */
static void start_workers(void)
{
	while (pool.running + 1 < pool.wanted) {
		pthread_attr_t attr;
		pthread_t id;
		int failed;

		pthread_attr_init(&attr);
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		pthread_attr_setstacksize(&attr, 4u << 20);
		failed = pthread_create(&id, &attr, worker, (void *)(size_t)pool.running);
		pthread_attr_destroy(&attr);
		if (failed)
			return;
		pool.running++;
	}
}

static void run_with_pool(size_t n, void (*fn)(void *, size_t), void *ctx)
{
	/* set while no worker runs: each waits for the next generation */
	pthread_mutex_lock(&pool.lock);
	pool.n = n;
	pool.fn = fn;
	pool.ctx = ctx;
	atomic_store(&pool.next, 0);
	start_workers();
	pool.busy = pool.running;
	pool.generation++;
	pthread_cond_broadcast(&pool.begun);
	pthread_mutex_unlock(&pool.lock);
	/* the caller takes part */
	work();
	pthread_mutex_lock(&pool.lock);
	while (pool.busy)
		pthread_cond_wait(&pool.finished, &pool.lock);
	pthread_mutex_unlock(&pool.lock);
}

void vt_parallel_alone(void)
{
	inside = true;
}

void vt_parallel_for(size_t n, void (*fn)(void *ctx, size_t i), void *ctx)
{
	if (inside || n <= 1 || vt_parallel_threads() == 1) {
		for (size_t i = 0; i < n; i++)
			fn(ctx, i);
		return;
	}
	pthread_mutex_lock(&pool.one_loop);
	if (!pool.wanted)
		pool.wanted = default_threads();
	run_with_pool(n, fn, ctx);
	pthread_mutex_unlock(&pool.one_loop);
}

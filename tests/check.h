/* check.h - the whole unit-test framework.
 *
 *      static void canonical_order(void) { CHECK(a < b); CHECK_EQ(n, 3); CHECK_STR(text, "x"); }
 *      int main(void) { RUN(canonical_order); return check_done(); }
 *
 * A test function is one counted check; the first failing line of it is printed and the rest of
 * it still runs. */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_failed, check_here;

#define CHECK_FAIL(...)                                                                            \
	(check_here++, printf("# %s:%d: ", __FILE__, __LINE__), printf(__VA_ARGS__), printf("\n"))
#define CHECK(c)                                                                                   \
	do {                                                                                       \
		if (!(c))                                                                          \
			CHECK_FAIL("%s", #c);                                                      \
	} while (0)
#define CHECK_EQ(a, b)                                                                             \
	do {                                                                                       \
		long long check_a = (long long)(a), check_b = (long long)(b);                      \
		if (check_a != check_b)                                                            \
			CHECK_FAIL("%s is %lld, want %lld", #a, check_a, check_b);                 \
	} while (0)
#define CHECK_STR(a, b)                                                                            \
	do {                                                                                       \
		const char *check_a = (a), *check_b = (b);                                         \
		if (!check_a || strcmp(check_a, check_b))                                          \
			CHECK_FAIL("%s is \"%s\", want \"%s\"", #a, check_a ? check_a : "(null)",  \
				check_b);                                                          \
	} while (0)
#define CHECK_NEAR(a, b, tol)                                                                      \
	do {                                                                                       \
		double check_a = (a), check_b = (b);                                               \
		if (!(fabs(check_a - check_b) <= (tol)))                                           \
			CHECK_FAIL("%s is %.17g, want %.17g +- %g", #a, check_a, check_b,          \
				(double)(tol));                                                    \
	} while (0)
/* RUN_ONLY in the environment: the names of the functions that are run. */
#define RUN(f)                                                                                     \
	do {                                                                                       \
		if (getenv("RUN_ONLY") && !strstr(getenv("RUN_ONLY"), #f))                         \
			break;                                                                     \
		check_here = 0;                                                                    \
		f();                                                                               \
		printf("%s - %s\n", check_here ? "not ok" : "ok", #f);                             \
		check_failed += !!check_here;                                                      \
		fflush(stdout);                                                                    \
	} while (0)
#define SKIP(what, why) printf("skip - %s: %s\n", what, why)

/* Prints a digest of n bytes where BITS is set, to compare two runs with each other. */
static inline void check_bits(const char *what, const void *p, size_t n)
{
	unsigned long long h = 14695981039346656037u;

	if (!getenv("BITS"))
		return;
	for (const unsigned char *q = p; n--; q++)
		h = (h ^ *q) * 1099511628211u;
	printf("# bits %s %016llx\n", what, h);
}

static inline int check_done(void)
{
	return check_failed ? 1 : 0;
}

#endif

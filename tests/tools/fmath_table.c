/* Prints "<function> <x> <value>" as hexadecimal floats over many x, for tests/oracle/fmath.py
 * to judge. */
#include <stdio.h>

#include "common/base/fmath.h"
#include "common/base/rng.h"

static const struct {
	const char *name;
	double (*f)(double);
	double lo, hi;
} row[] = {
	{ "exp", vt_exp, -745, 709.7 },
	{ "exp", vt_exp, -1, 1 },
	{ "log", vt_ln, 1e-300, 1e300 },
	{ "log", vt_ln, 0.5, 2 },
	{ "log", vt_ln, 0.999, 1.001 },
	{ "tanh", vt_tanh, -25, 25 },
	{ "tanh", vt_tanh, -0.5, 0.5 },
	{ "tanh", vt_tanh, -1e-5, 1e-5 },
	{ "erf", vt_erf, -6.5, 6.5 },
	{ "erf", vt_erf, -1, 1 },
	{ "sin", vt_sin, -7, 7 },
	{ "cos", vt_cos, -7, 7 },
	{ "sin", vt_sin, -1e5, 1e5 },
	{ "cos", vt_cos, -1e5, 1e5 },
};

int main(void)
{
	for (size_t r = 0; r < sizeof(row) / sizeof(row[0]); r++) {
		struct vt_rng g = vt_rng_stream(3, row[r].name, r, 0, 0);

		for (int i = 0; i < 400; i++) {
			double x = vt_rng_between(&g, row[r].lo, row[r].hi);

			printf("%s %a %a\n", row[r].name, x, row[r].f(x));
		}
	}
	for (int i = 0; i < 400; i++) {
		struct vt_rng g = vt_rng_stream(3, "pow", (uint64_t)i, 0, 0);
		double x = vt_rng_between(&g, 1e-3, 50), y = vt_rng_between(&g, -40, 40);

		printf("pow %a %a %a\n", x, y, vt_pow(x, y));
	}
	return 0;
}

/* standalone.c - a driver for fuzz targets where libFuzzer is not: gives a target every file of a
 * corpus as it is, then MUTANTS changed copies of each from a fixed seed. TARGET MUTANTS FILE... */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { MOST = 1 << 16 };

static uint64_t state = 0x9e3779b97f4a7c15u;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Header bytes are hit as often as all others together: that is where the decisions are. */
static size_t change(uint8_t *bytes, size_t n)
{
	static const uint8_t edge[] = { 0, 1, 0x7f, 0x80, 0xff, '"', '[', '{', '-', '9' };

	for (uint64_t k = next() % 6 + 1; k > 0 && n; k--) {
		size_t at = next() % (next() % 2 && n > 352 ? 352 : n), len = next() % 16;

		switch (next() % 6) {
		case 0: bytes[at] ^= (uint8_t)(1u << next() % 8); break;
		case 1: bytes[at] = edge[next() % sizeof(edge)]; break;
		case 2: bytes[at] = (uint8_t)next(); break;
		case 3: /* a piece twice */
			len = len > n - at ? n - at : len;
			if (n + len <= MOST) {
				memmove(bytes + at + len, bytes + at, n - at);
				n += len;
			}
			break;
		case 4: /* a piece less */
			len = len > n - at ? n - at : len;
			memmove(bytes + at, bytes + at + len, n - at - len);
			n -= len;
			break;
		default:
			if (next() % 8 == 0)
				n = at;
		}
	}
	return n;
}

int main(int argc, char **argv)
{
	static uint8_t seed[MOST], work[MOST];
	long mutants = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
	size_t runs = 0;

	if (argc < 3) {
		fprintf(stderr, "usage: %s TARGET MUTANTS FILE...\n", argv[0]);
		return 64;
	}
	argv++;
	LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 2; argv[i]; i++) {
		FILE *f = fopen(argv[i], "rb");
		size_t n;

		if (!f)
			return 66;
		n = fread(seed, 1, MOST, f);
		fclose(f);
		for (long k = 0; k <= mutants; k++, runs++) {
			memcpy(work, seed, n);
			LLVMFuzzerTestOneInput(work, k ? change(work, n) : n);
		}
	}
	printf("%zu inputs\n", runs);
	return 0;
}

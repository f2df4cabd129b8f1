/* standalone.c - a driver for fuzz targets where libFuzzer is not: runs every file of a corpus
 * as it is, then changed at random from a fixed seed until the time is up.
 *      TARGET SECONDS FILE... */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

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
	static const uint8_t edge[] = { 0, 1, 0x7f, 0x80, 0xff };
	for (uint64_t k = next() % 6 + 1; k > 0 && n; k--) {
		size_t at = next() % (next() % 2 && n > 352 ? 352 : n);
		switch (next() % 4) {
		case 0: bytes[at] ^= (uint8_t)(1u << next() % 8); break;
		case 1: bytes[at] = edge[next() % sizeof(edge)]; break;
		case 2: bytes[at] = (uint8_t)next(); break;
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
	time_t end = time(NULL) + (argc > 1 ? atol(argv[1]) : 1);
	size_t runs = 0;
	for (int round = 0; argc > 2 && (round == 0 || time(NULL) < end); round++)
		for (int i = 2; i < argc; i++) {
			FILE *f = fopen(argv[i], "rb");
			if (!f)
				return 2;
			size_t n = fread(seed, 1, MOST, f);
			fclose(f);
			for (int k = 0; k < (round ? 500 : 1); k++, runs++) {
				memcpy(work, seed, n);
				LLVMFuzzerTestOneInput(work, round ? change(work, n) : n);
			}
		}
	printf("%zu inputs\n", runs);
	return 0;
}

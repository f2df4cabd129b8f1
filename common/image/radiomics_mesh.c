/* radiomics_mesh.c - area and volume of a region's surface: marching cubes at half height between
 * voxel centers (Lorensen & Cline 1987).  A cell of 2x2x2 centers is one of 256 patterns, so cells
 * are counted, not computed: area is a sum over patterns, and volume needs of each pattern only
 * the sum of its cells' positions. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/image/radiomics_internal.h"
#include "common/image/vector.h"

enum { PATTERNS = 256 };

/* Corner k of a cell lies at z = k >> 2, y = k >> 1 & 1, x = k & 1.  Edges by their corners. */
static const unsigned char edge[12][2] = { { 0, 1 }, { 0, 2 }, { 0, 4 }, { 1, 3 }, { 1, 5 },
	{ 2, 3 }, { 2, 6 }, { 3, 7 }, { 4, 5 }, { 4, 6 }, { 5, 7 }, { 6, 7 } };

/* Triangles of each pattern (bit k: corner k is inside), three edges each, seen from outside
 * counter-clockwise.  Made by tests/oracle/image/golden/_make_mesh_table.py. */
/* clang-format off */
static const char *const triangles[PATTERNS] = {
	"", "021", "034", "132234",
	"165", "025526", "034165", "264463365",
	"357", "021357", "054457", "152274257",
	"163367", "023327726", "014467416", "264467",
	"289", "081189", "034289", "139938834",
	"165289", "085586689", "034165289", "345546649948",
	"289357", "081189357", "054457289", "159958854457",
	"163367289", "083367386689", "014467416289", "467486689",
	"4a8", "0214a8", "03883a", "1a22a813a",
	"1654a8", "0255264a8", "03883a165", "26883a863365",
	"3574a8", "0213574a8", "05885aa57", "15225885aa57",
	"1633674a8", "0233277264a8", "01881aa17716", "27887a267",
	"24994a", "0411a914a", "03223993a", "13993a",
	"16524994a", "04554664994a", "03223993a165", "3955963a9",
	"24994a357", "0411a914a357", "0522a925aa57", "1a915aa57",
	"16336724994a", "0730670960a904a", "0920a907a067016", "67997a",
	"69b", "0b11b602bb29", "03469b", "1b613bb29b42b34",
	"19559b", "0b502bb29", "0144534b549b419", "29449339559b",
	"39779b359956", "02332772bb29156", "09449779b059956", "15627429779b",
	"19339779b", "02332772bb29", "0144b741bb19", "27429779b",
	"28668b", "0b11b608b", "03223663bb38834", "13668b638834",
	"12558b528", "08558b", "01234558b548", "34558b548",
	"2366352833b738b", "0b33b708b156", "05225648778b", "15648778b",
	"12332772bb28", "0b33b708b", "01248778b", "48778b",
	"4688694a66ab", "04114664bb4a298", "0688690366ab63a", "1a66ab13a298",
	"14554bb4a194498", "0b504bb4a298", "0188193a55ab", "2983a55ab",
	"3544588599567ab", "0431562987ab", "0588599567ab", "1562987ab",
	"1933944987ab", "0432987ab", "0188197ab", "2987ab",
	"24664bb4a", "04114664bb4a", "0322b623bb3a", "1a66ab13a",
	"1255ab52aa24", "0b504bb4a", "0123a55ab", "3a55ab",
	"2466455437ab", "0431567ab", "0522567ab", "1567ab",
	"1233247ab", "0437ab", "0127ab", "7ab",
	"7ba", "0217ba", "0347ba", "1322347ba",
	"1657ba", "0255267ba", "0341657ba", "2644633657ba",
	"35aa5b", "02135aa5b", "0b44ba05b", "1522a425aa5b",
	"1a316aa6b", "0233ba32bb26", "01441aa1bb16", "26446aa6b",
	"2897ba", "0811897ba", "0342897ba", "1399388347ba",
	"1652897ba", "0855866897ba", "0341652897ba", "3455466499487ba",
	"28935aa5b", "08118935aa5b", "0b44ba05b289", "1499481544ba45b",
	"1a316aa6b289", "06336aa6b086689", "01441aa1bb16289", "46aa6b486689",
	"47887b", "02147887b", "0b803bb37", "1322b823bb37",
	"16547887b", "02552647887b", "0b803bb37165", "23883bb37263365",
	"35445885b", "02135445885b", "05885b", "15225885b",
	"16336446886b", "0233843b836b326", "0b801bb16", "26886b",
	"27997b247", "0411b914bb47", "03223993bb37", "13993bb37",
	"16527997b247", "09559604997b947", "03223993bb37165", "39559637997b",
	"24995b945543", "04114994bb45543", "0b22b905b", "15995b",
	"1b33b44b22b916b", "0436b9", "0b22b901bb16", "6b9",
	"69779a", "0610760a709a029", "0a409a069076037", "13663729449a",
	"1a55a719a", "02552772aa29", "01441aa19375", "29449a375",
	"39a359956", "02339a329156", "05449a459956", "15629449a",
	"19339a", "02339a329", "01441aa19", "29449a",
	"27628778a", "08117618778a", "03227623748a", "13663748a",
	"12552772aa28", "08558778a", "01237548a", "37548a",
	"28668558338a", "08338a156", "05225648a", "15648a",
	"1a312aa28", "08338a", "01248a", "48a",
	"468869476", "041146647298", "038839936637", "136637298",
	"195547594498", "045547298", "018819375", "298375",
	"354458859956", "043156298", "058859956", "156298",
	"193394498", "043298", "018819", "298",
	"246647", "041146647", "032276237", "136637",
	"125527724", "045547", "012375", "375",
	"246645543", "043156", "052256", "156",
	"123324", "043", "012", "",
};
/* clang-format on */

/* What one cell of a pattern adds at the origin, and what its area vector is. */
struct piece {
	double area, volume, vector[3];
};

static void middle(double out[3], char digit, const double spacing[3])
{
	int e = digit <= '9' ? digit - '0' : digit - 'a' + 10;

	for (int a = 0; a < 3; a++)
		out[a] = 0.5 * ((edge[e][0] >> (2 - a) & 1) + (edge[e][1] >> (2 - a) & 1)) *
			spacing[a];
}

static double dot(const double a[3], const double b[3])
{
	return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static void measure_piece(struct piece *out, const char *t, const double spacing[3])
{
	memset(out, 0, sizeof(*out));
	for (; *t; t += 3) {
		double p[3][3], u[3], v[3], n[3], c[3];

		for (int k = 0; k < 3; k++)
			middle(p[k], t[k], spacing);
		for (int a = 0; a < 3; a++) {
			u[a] = p[1][a] - p[0][a];
			v[a] = p[2][a] - p[0][a];
		}
		vt_cross(n, u, v);
		vt_cross(c, p[1], p[2]);
		out->area += sqrt(dot(n, n)) / 2;
		out->volume += dot(p[0], c) / 6;
		for (int a = 0; a < 3; a++)
			out->vector[a] += n[a] / 2;
	}
}

struct cells {
	uint64_t n[PATTERNS],
		at[PATTERNS][3]; /* cells of a pattern, and the sum of their z, y, x */
};

static void count_cells(struct cells *cells, const struct vt_roi *roi)
{
	size_t ny = roi->dim[1], nx = roi->dim[2];

	memset(cells, 0, sizeof(*cells));
	for (size_t z = 0; z + 1 < roi->dim[0]; z++)
		for (size_t y = 0; y + 1 < ny; y++) {
			const unsigned char *m = roi->mask + (z * ny + y) * nx;
			unsigned right = 0;

			for (size_t x = 0; x < nx; x++) {
				/* corners 0, 2, 4, 6 are those at x, the others lie at x + 1 */
				unsigned left = right >> 1 & 0x55, p;

				right = (unsigned)(m[x] << 1 | m[nx + x] << 3 |
					m[ny * nx + x] << 5 | m[ny * nx + nx + x] << 7);
				p = left | right;
				if (!x || !p || p == PATTERNS - 1)
					continue;
				cells->n[p]++;
				cells->at[p][0] += z;
				cells->at[p][1] += y;
				cells->at[p][2] += x - 1;
			}
		}
}

void vt_roi_surface(double *area, double *volume, const struct vt_roi *roi)
{
	struct cells *c = vt_xmalloc(sizeof(*c));

	*area = *volume = 0;
	count_cells(c, roi);
	for (int p = 1; p < PATTERNS - 1; p++) {
		struct piece piece;

		if (!c->n[p])
			continue;
		measure_piece(&piece, triangles[p], roi->spacing);
		*area += (double)c->n[p] * piece.area;
		*volume += (double)c->n[p] * piece.volume;
		for (int a = 0; a < 3; a++)
			*volume += (double)c->at[p][a] * roi->spacing[a] * piece.vector[a] / 3;
	}
	free(c);
}

/* unicode.h - one form for one text, so that names written on different systems can be compared.
 *
 *      char *form = vt_unicode_form("M\xc3\xbcller");
 *      ... the same bytes as of "Mu\xcc\x88ller" ...
 *      free(form);
 *
 * The form is NFD (Unicode Standard Annex 15): canonical decomposition, combining marks in order of
 * their class.  It is for comparing; what is stored keeps the bytes it came with. */
#ifndef COMMON_BASE_UNICODE_H
#define COMMON_BASE_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

/* Caller frees.  Bytes that are no UTF-8 are kept as they are. */
char *vt_unicode_form(const char *text);

/* Then it has one form only. */
bool vt_unicode_is_ascii(const char *text);

bool vt_unicode_equal(const char *a, const char *b);

/* The form with the letters A to Z small: equal for names that a file system may take for one, as
 * far as it folds those letters only.  Caller frees. */
char *vt_unicode_fold(const char *text);

#endif

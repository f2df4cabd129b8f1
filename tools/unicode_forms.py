#!/usr/bin/env python3
"""Writes common/base/unicode_table.h from Python's copy of the Unicode database: canonical decompositions and combining classes.

    python3 tools/unicode_forms.py >common/base/unicode_table.h && clang-format-14 -i common/base/unicode_table.h
"""
import unicodedata

pairs, classes = [], []
for c in range(0x110000):
    text = unicodedata.decomposition(chr(c))
    if text and not text.startswith("<"):
        parts = [int(x, 16) for x in text.split()] + [0]
        pairs.append((c, parts[0], parts[1]))
    k = unicodedata.combining(chr(c))
    if k and classes and classes[-1][1] == c - 1 and classes[-1][2] == k:
        classes[-1][1] = c
    elif k:
        classes.append([c, c, k])
print(f"""/* unicode_table.h - made by tools/unicode_forms.py from Unicode {unicodedata.unidata_version}; for unicode.c only. */
#ifndef COMMON_BASE_UNICODE_TABLE_H
#define COMMON_BASE_UNICODE_TABLE_H

#include <stdint.h>

/* A character, and the one or two it is decomposed into (0: one); ascending.  Hangul is computed. */
static const uint32_t decomposition[] = {{""")
print(",".join("%d,%d,%d" % p for p in pairs))
print("""};

/* First and last character of a range and its combining class; ascending.  All others have 0. */
static const uint32_t combining[] = {""")
print(",".join("%d,%d,%d" % tuple(p) for p in classes))
print("""};

#endif""")

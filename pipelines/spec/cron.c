#include "pipelines/spec/cron.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct times {
	/* bits: minute, hour, day of the month, month, day of the week */
	uint64_t field[5];
	/* whether * was given as day, as weekday: that one restricts nothing */
	bool any_day, any_weekday;
	double every; /* seconds; 0: by the fields */
};

static const struct {
	int from, to;
	const char *names;
	/* 0 and 7 are both Sunday */
} ranges[5] = {
	{ 0, 59, "" },
	{ 0, 23, "" },
	{ 1, 31, "" },
	{ 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec" },
	{ 0, 7, "sunmontuewedthufrisat" },
};

static bool number(const char **p, int field, int *out)
{
	/* the first three letters of each name, one behind the other */
	const char *names = ranges[field].names;
	if (isdigit((unsigned char)**p)) {
		char *end;
		long v = strtol(*p, &end, 10);
		*p = end;
		*out = (int)v;
		return v >= ranges[field].from && v <= ranges[field].to;
	}
	for (size_t i = 0; names[3 * i]; i++)
		if (!strncasecmp(*p, names + 3 * i, 3)) {
			*p += 3;
			*out = (int)i + ranges[field].from;
			return true;
		}
	return false;
}

/* One of a list: *, 5, 1-5, each with /step. */
static bool part(const char **p, int field, uint64_t *bits)
{
	int from = ranges[field].from, to = ranges[field].to, step = 1;
	bool star = **p == '*' || **p == '?';
	if (star) {
		(*p)++;
	} else {
		if (!number(p, field, &from))
			return false;
		to = from;
		if (**p == '-' && ((*p)++, !number(p, field, &to)))
			return false;
		/* "5/15": from 5 on to the end */
		if (**p == '/')
			to = to == from ? ranges[field].to : to;
	}
	if (**p == '/') {
		char *end;
		long by = strtol(*p + 1, &end, 10);
		/* a step past the range leaves the first value alone */
		step = by > 60 ? 60 : (int)by;
		*p = end;
	}
	if (step < 1 || to < from)
		return false;
	for (int v = from; v <= to; v += step)
		/* Sunday as 7 is bit 0 */
		*bits |= 1ull << (field == 4 && v == 7 ? 0 : v);
	return true;
}

/* 1h30m, 45s, 1.5h as the cluster's language writes spans. */
static bool span(const char *p, double *out)
{
	static const struct {
		const char *unit;
		double seconds;
		/* "ms" before "m", which begins it */
	} units[] = { { "h", 3600 }, { "ms", 0.001 }, { "m", 60 }, { "s", 1 } };
	*out = 0;
	while (*p) {
		char *end;
		size_t i = 0;
		double v = isdigit((unsigned char)*p) ? strtod(p, &end)
						      : (end = (char *)(uintptr_t)p, -1);
		while (i < 4 && strncmp(end, units[i].unit, strlen(units[i].unit)))
			i++;
		if (v < 0 || i == 4)
			return false;
		*out += v * units[i].seconds;
		p = end + strlen(units[i].unit);
	}
	return *out > 0;
}

static bool parse(struct times *times, const char *spec)
{
	static const char *const words[][2] = { { "@hourly", "0 * * * *" },
		{ "@daily", "0 0 * * *" }, { "@midnight", "0 0 * * *" }, { "@weekly", "0 0 * * 0" },
		{ "@monthly", "0 0 1 * *" }, { "@yearly", "0 0 1 1 *" },
		{ "@annually", "0 0 1 1 *" } };
	*times = (struct times){ { 0 }, false, false, 0 };
	if (!strncmp(spec, "@every ", 7))
		return span(spec + 7 + strspn(spec + 7, " "), &times->every);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (!strcmp(words[i][0], spec))
			spec = words[i][1];
	for (int f = 0; f < 5; f++) {
		spec += strspn(spec, " ");
		times->any_day |= f == 2 && *spec == '*';
		times->any_weekday |= f == 4 && *spec == '*';
		do {
			if (!part(&spec, f, &times->field[f]))
				return false;
		} while (*spec == ',' && *spec++);
		/* fields are parted by spaces, and nothing follows the last */
		if (*spec != (f < 4 ? ' ' : 0))
			return false;
	}
	return true;
}

bool vt_cron_valid(const char *spec)
{
	struct times t;
	return parse(&t, spec);
}

static bool matches(const struct times *times, time_t when)
{
	struct tm u;
	gmtime_r(&when, &u);
	bool day = times->field[2] >> u.tm_mday & 1, weekday = times->field[4] >> u.tm_wday & 1;
	/* Both days restricted: either will do. */
	bool on_day = times->any_day || times->any_weekday ? day && weekday : day || weekday;
	return (times->field[0] >> u.tm_min & 1) && (times->field[1] >> u.tm_hour & 1) &&
		(times->field[3] >> (u.tm_mon + 1) & 1) && on_day;
}

bool vt_cron_due(const char *spec, time_t last, time_t now)
{
	struct times t;
	const time_t year = 366 * 24 * 3600;
	if (!parse(&t, spec))
		return false;
	if (t.every > 0)
		return (double)now - (double)last >= t.every;
	/* once a year is the least that five fields can say, but for February 29th */
	if (last < now - year)
		last = now - year;
	/* the first whole minute after `last` */
	for (time_t m = last - last % 60 + 60; m <= now; m += 60)
		if (matches(&t, m))
			return true;
	return false;
}

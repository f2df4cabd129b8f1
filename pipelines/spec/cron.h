/* cron.h - the times of cron inputs and triggers: five fields (minute hour day month weekday,
 * UTC), @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @every 1h30m.  Fields hold *,
 * numbers, ranges, lists, steps and English names. */
#ifndef PIPELINES_SPEC_CRON_H
#define PIPELINES_SPEC_CRON_H

#include <stdbool.h>
#include <time.h>

bool vt_cron_valid(const char *spec);

/* Does a time of the spec lie in (last, now]?  For @every: has the span passed since last?
 * Looks back a year at most. */
bool vt_cron_due(const char *spec, time_t last, time_t now);

#endif

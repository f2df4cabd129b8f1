/* log.h - the only place in common/ and gpu/ that prints.
 *
 * One event is one line on stderr.  On a terminal: `12:04:31 info  train  epoch=3 loss=0.412`.
 *                                   Otherwise, or with
 * VT_LOG_JSON:
 * {"time":"...","level":"info","stage":"train","event":"epoch","epoch":3,"loss":0.412}.
 * Thread-safe; lines never interleave. stdout is for primary output only and is never written
 * here. */
#ifndef COMMON_BASE_LOG_H
#define COMMON_BASE_LOG_H

#include <stddef.h>

enum vt_log_level { VT_LOG_DEBUG = 1, VT_LOG_INFO, VT_LOG_WARN, VT_LOG_ERROR };
enum vt_log_form { VT_LOG_AUTO = 0, VT_LOG_TEXT, VT_LOG_JSON };

/* Of --log: "json" or "text"; NULL: by what standard error is. */
enum vt_log_form vt_log_form_of(const char *name);

/* Process-wide sink; call once from main.  `stage` is borrowed for the life of the process. */
void vt_log_open(const char *stage, enum vt_log_form form, enum vt_log_level least);

/* fmt yields space-separated key=value pairs; a value with spaces is written in double quotes.
 * Quotes and backslashes of what a %s puts in get a backslash, so that no name ends a value.
 *      vt_log(VT_LOG_INFO, "subject", "id=\"%s\" voxels=%zu note=\"already stripped\"", id, n); */
void vt_log(enum vt_log_level level, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Progress of a loop of `total` equal steps.  On a terminal a live line with rate and time left,
 * redrawn at most ten times a second; otherwise one JSON event a minute and one at the end.
 *      vt_progress_begin("train", "step", 4000);
 *      vt_progress_step(i + 1, "loss=%.4f", loss);
 *      vt_progress_end(); */
void vt_progress_begin(const char *what, const char *unit, size_t total);
void vt_progress_step(size_t done, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void vt_progress_end(void);

#endif

#include "common/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/text_out.h"

static const char *const level_name[] = { "", "debug", "info", "warn", "error" };

/* The one mutable global of the library: where events go. */
static struct {
	pthread_mutex_t lock;
	const char *stage;
	enum vt_log_form form;
	enum vt_log_level least;
	/* a progress line stands on the terminal and is to be wiped first */
	bool live;
	const char *what, *unit;
	size_t total;
	double began, drawn;
} sink = { .lock = PTHREAD_MUTEX_INITIALIZER, .stage = "voxtrail", .least = VT_LOG_INFO };

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum vt_log_form vt_log_form_of(const char *name)
{
	if (!name)
		return VT_LOG_AUTO;
	return strcmp(name, "json") ? VT_LOG_TEXT : VT_LOG_JSON;
}

void vt_log_open(const char *stage, enum vt_log_form form, enum vt_log_level least)
{
	sink.stage = stage;
	if (form != VT_LOG_AUTO)
		sink.form = form;
	else if (isatty(2))
		sink.form = VT_LOG_TEXT;
	else
		sink.form = VT_LOG_JSON;
	sink.least = least;
}

static enum vt_log_form form_now(void)
{
	if (sink.form == VT_LOG_AUTO)
		sink.form = isatty(2) ? VT_LOG_TEXT : VT_LOG_JSON;
	return sink.form;
}

/* A bare JSON number may stand unquoted; anything else becomes a string. */
static bool is_number(const char *s, size_t n)
{
	size_t i = n > 1 && s[0] == '-', digits = i;

	/* no leading zeros in JSON */
	if (i < n && s[i] == '0' && i + 1 < n && s[i + 1] != '.')
		return false;
	while (i < n && s[i] >= '0' && s[i] <= '9')
		i++;
	if (i == digits)
		return false;
	if (i < n && s[i] == '.') {
		digits = ++i;
		while (i < n && s[i] >= '0' && s[i] <= '9')
			i++;
		if (i == digits)
			return false;
	}
	return i == n;
}

/* Texts that a format puts in: quotes and backslashes are marked, so that none ends a value. */
static void mark_quotes(struct vt_buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			vt_buf_char(out, '\\');
		vt_buf_char(out, *text);
	}
}

static char *without_marks(const char *value, size_t n)
{
	struct vt_buf b = VT_BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		i += value[i] == '\\' && i + 1 < n;
		vt_buf_char(&b, value[i]);
	}
	return vt_buf_detach(&b);
}

static const char *closing_quote(const char *p)
{
	while (*p && *p != '"')
		p += 1 + (*p == '\\' && p[1]); /* a marked character is passed over */
	return *p ? p : NULL;
}

/* One value of key=value text: up to a space, or a double-quoted text without the quotes. */
static const char *take_value(const char *p, const char **value, size_t *n)
{
	if (*p == '"') {
		const char *end = closing_quote(p + 1);

		if (end) {
			*value = p + 1;
			*n = (size_t)(end - p - 1);
			return end + 1;
		}
	}
	*value = p;
	*n = strcspn(p, " ");
	return p + *n;
}

/* Turns `a=1 b="x y"` into `,"a":1,"b":"x y"`; words without '=' are left out. */
static void pairs_to_json(struct vt_buf *out, const char *p)
{
	while (*p) {
		size_t key = strcspn(p, "= "), n;
		const char *value;
		char *text;

		if (p[key] != '=') {
			p += key + (p[key] == ' ');
			continue;
		}
		vt_buf_printf(out, ",\"%.*s\":", (int)key, p);
		p = take_value(p + key + 1, &value, &n);
		text = without_marks(value, n);
		if (is_number(value, n))
			vt_buf_str(out, text);
		else
			vt_json_quote(out, text);
		free(text);
		while (*p == ' ')
			p++;
	}
}

static void write_line(const struct vt_buf *line)
{
	if (sink.live && form_now() == VT_LOG_TEXT)
		/* wipes the progress line; it is drawn again with the next step */
		fputs("\r\033[K", stderr);
	fwrite(line->data, 1, line->len, stderr);
	fflush(stderr);
}

static void write_event(enum vt_log_level level, const char *event, const char *pairs)
{
	struct vt_buf line = VT_BUF_INIT;
	struct timespec t;
	struct tm tm;
	char when[32];

	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &tm);
	if (form_now() == VT_LOG_TEXT) {
		strftime(when, sizeof(when), "%H:%M:%S", &tm);
		vt_buf_say(&line, "%s %-5s %s  %s  %s\n", when, level_name[level], sink.stage,
			event, pairs);
	} else {
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
		vt_buf_printf(&line, "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"stage\":", when,
			t.tv_nsec / 1000000, level_name[level]);
		vt_json_quote(&line, sink.stage);
		vt_buf_str(&line, ",\"event\":");
		vt_json_quote(&line, event);
		pairs_to_json(&line, pairs);
		vt_buf_str(&line, "}\n");
	}
	write_line(&line);
	vt_buf_release(&line);
}

void vt_log(enum vt_log_level level, const char *event, const char *fmt, ...)
{
	struct vt_buf pairs = VT_BUF_INIT;
	va_list ap;

	if (level < sink.least)
		return;
	va_start(ap, fmt);
	vt_buf_vsay_as(&pairs, mark_quotes, fmt, ap);
	va_end(ap);
	/* an empty format leaves a text, not NULL */
	vt_buf_str(&pairs, "");
	pthread_mutex_lock(&sink.lock);
	write_event(level, event, pairs.data);
	pthread_mutex_unlock(&sink.lock);
	vt_buf_release(&pairs);
}

void vt_progress_begin(const char *what, const char *unit, size_t total)
{
	pthread_mutex_lock(&sink.lock);
	sink.what = what;
	sink.unit = unit;
	sink.total = total;
	sink.began = seconds();
	sink.drawn = form_now() == VT_LOG_TEXT ? 0 : sink.began;
	pthread_mutex_unlock(&sink.lock);
}

static void draw(size_t done, const char *pairs, double now)
{
	double rate = (double)done / (now - sink.began + 1e-9);
	double left = rate > 0 && sink.total > done ? (double)(sink.total - done) / rate : 0;
	struct vt_buf text = VT_BUF_INIT;

	if (form_now() == VT_LOG_TEXT) {
		fprintf(stderr, "\r\033[K%s  %zu/%zu %s  %.2f/s  %d:%02d left  %s", sink.what, done,
			sink.total, sink.unit, rate, (int)left / 60, (int)left % 60, pairs);
		fflush(stderr);
		sink.live = true;
	} else {
		vt_buf_printf(&text, "what=%s unit=%s done=%zu total=%zu rate=%.3f left_s=%.0f %s",
			sink.what, sink.unit, done, sink.total, rate, left, pairs);
		write_event(VT_LOG_INFO, "progress", text.data);
	}
	vt_buf_release(&text);
	sink.drawn = now;
}

void vt_progress_step(size_t done, const char *fmt, ...)
{
	struct vt_buf pairs = VT_BUF_INIT;
	double now = seconds();
	va_list ap;

	pthread_mutex_lock(&sink.lock);
	/* s: often for a person, seldom for a log */
	if (now - sink.drawn >= (form_now() == VT_LOG_TEXT ? 0.1 : 60.0) || done == sink.total) {
		va_start(ap, fmt);
		vt_buf_vsay_as(&pairs, mark_quotes, fmt, ap);
		va_end(ap);
		vt_buf_str(&pairs, "");
		draw(done, pairs.data, now);
	}
	pthread_mutex_unlock(&sink.lock);
	vt_buf_release(&pairs);
}

void vt_progress_end(void)
{
	pthread_mutex_lock(&sink.lock);
	if (sink.live)
		fputs("\n", stderr);
	sink.live = false;
	pthread_mutex_unlock(&sink.lock);
}

/* err.h - one error value: a code and a complete sentence.
 *
 * Calling sequence
 *      struct vt_err err = VT_ERR_INIT;
 *      if (vt_volume_read(&v, path, &err))
 *              return vt_err_prefix(&err, "subject %s", id);
 *
 * Every function that can fail takes `struct vt_err *err` last and returns 0 or one of the codes
 * below, which is then err->code too.  The failing line states the fact with path and value;
 * callers put context in front; nobody rewrites.  err must not be NULL.  Nothing here allocates.
 *
 * One idiom
 *      *err is clear (code 0) when a function is entered and is untouched on success, so
 *      `return err->code` ends a function that was stopped or was not, and a sequence reads
 *              int rc = first(&x, err);
 *
 *              if (!rc)
 *                      rc = second(&x, err);
 *              release(&x);
 *              return rc;
 *      A loop over independent things tests !err->code in its condition instead.  What may fail
 *      without stopping the caller gets a `struct vt_err` of its own, and is logged or dropped
 *      there.  A programming error is an assert, not a code. */
#ifndef COMMON_BASE_ERR_H
#define COMMON_BASE_ERR_H

/* A code is also the exit status of the process that stops on it. */
enum vt_code {
	VT_OK = 0,
	/* the answer is no: verify found damage, audit found a leak, a job failed */
	VT_EFAIL = 1,
	/* the answer rests on records that nobody vouches for (trust.h), or a decision wants a
	 * second person (approval.h) */
	VT_ECLAIM = 3,
	VT_EUSAGE = 64,     /* the command line or a param is wrong */
	VT_EDATA = 65,      /* the input's content is wrong; trying again cannot help */
	VT_ENOINPUT = 66,   /* an input is missing or cannot be opened */
	VT_EBUG = 70,       /* our own invariant broke, or training met a non-finite value */
	VT_ENOMEM = 71,     /* not enough memory for what was asked */
	VT_ECANTCREAT = 73, /* an output cannot be created */
	VT_EIO = 74,        /* reading or writing failed */
	VT_EDEVICE = 75,    /* a device failed, a lock is held, a peer is silent; try again */
	VT_EINTEGRITY = 76, /* stored bytes are not what their digest says */
	VT_ECONFIG = 78,    /* the recipe and this binary do not fit together */
};

enum { VT_ERR_TEXT = 1024 };

struct vt_err {
	int code;
	char text[VT_ERR_TEXT];
};

#define VT_ERR_INIT                                                                                \
	{                                                                                          \
		0, ""                                                                              \
	}

/* Sets *err and returns code.  A text longer than the buffer is cut with "...". */
int vt_err_set(struct vt_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As vt_err_set with ": <strerror(errno)>" behind the text. */
int vt_err_errno(struct vt_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "<prefix>: " in front of the text that is there; returns err->code. */
int vt_err_prefix(struct vt_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The same text under another code, where only the caller knows what the fact means here; returns
 * the code. */
int vt_err_as(struct vt_err *err, int code);

/* Sets VT_ENOMEM with the number of bytes that could not be had; returns VT_ENOMEM. */
int vt_err_nomem(struct vt_err *err, unsigned long long nbytes);

#endif

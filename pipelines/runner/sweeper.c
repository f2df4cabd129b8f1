#include "pipelines/runner/sweeper.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fs.h"

void vt_sweeper_add(struct vt_sweeper *s, const char *dir)
{
	vt_strs_add(&s->dirs, dir);
}

/* What cannot be removed now is removed by the next run. */
static void remove_all(const struct vt_strs *dirs)
{
	for (size_t i = 0; i < dirs->n; i++) {
		struct vt_err ignored = VT_ERR_INIT;

		vt_fs_remove_tree(dirs->v[i], &ignored);
	}
}

void vt_sweeper_start(struct vt_sweeper *s)
{
	const pid_t parent = getpid();

	if (s->pid || !s->dirs.n)
		return;
	s->pid = fork();
	if (s->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			remove_all(&s->dirs);
		_exit(0);
	}
	if (s->pid < 0) {
		s->pid = 0;
		remove_all(&s->dirs);
	}
	vt_strs_release(&s->dirs);
}

bool vt_sweeper_reaped(struct vt_sweeper *s, pid_t pid)
{
	bool ours = s->pid && s->pid == pid;

	if (ours)
		s->pid = 0;
	return ours;
}

void vt_sweeper_end(struct vt_sweeper *s)
{
	while (s->pid && waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
	s->pid = 0;
	remove_all(&s->dirs);
	vt_strs_release(&s->dirs);
}

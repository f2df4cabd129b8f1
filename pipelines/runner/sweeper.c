#include "pipelines/runner/sweeper.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fs.h"

void vt_sweeper_add(struct vt_sweeper *sweeper, const char *dir)
{
	vt_strs_add(&sweeper->dirs, dir);
}

/* What cannot be removed now is removed by the next run. */
static void remove_all(const struct vt_strs *dirs)
{
	for (size_t i = 0; i < dirs->n; i++) {
		struct vt_err ignored = VT_ERR_INIT;

		vt_fs_remove_tree(dirs->v[i], &ignored);
	}
}

void vt_sweeper_start(struct vt_sweeper *sweeper)
{
	const pid_t parent = getpid();

	if (sweeper->pid || !sweeper->dirs.n)
		return;
	sweeper->pid = fork();
	if (sweeper->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			remove_all(&sweeper->dirs);
		_exit(0);
	}
	if (sweeper->pid < 0) {
		sweeper->pid = 0;
		remove_all(&sweeper->dirs);
	}
	vt_strs_release(&sweeper->dirs);
}

void vt_sweeper_look(struct vt_sweeper *sweeper)
{
	if (sweeper->pid && waitpid(sweeper->pid, NULL, WNOHANG) > 0)
		sweeper->pid = 0;
}

void vt_sweeper_end(struct vt_sweeper *sweeper)
{
	while (sweeper->pid && waitpid(sweeper->pid, NULL, 0) < 0 && errno == EINTR)
		;
	sweeper->pid = 0;
	remove_all(&sweeper->dirs);
	vt_strs_release(&sweeper->dirs);
}

/* voxtrail push REPO[@NAME] REMOTE: copies what the remote lacks, then moves its branches and
 * tags. */
#include "pipelines/tool/commands.h"
#include "pipelines/tool/transfer_command.h"

int vt_cmd_push(int argc, char **argv)
{
	return vt_transfer_command(0, argc, argv);
}

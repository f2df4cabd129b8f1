/* voxtrail pull REPO[@NAME] REMOTE: copies what is lacking here, then moves the branches and
 * tags here. */
#include "pipelines/tool/commands.h"
#include "pipelines/tool/transfer_command.h"

int vt_cmd_pull(int argc, char **argv)
{
	return vt_transfer_command(1, argc, argv);
}

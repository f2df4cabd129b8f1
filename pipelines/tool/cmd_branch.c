/* voxtrail branch REPO [NAME [REF]]: lists, makes, moves and removes branches. */
#include "pipelines/tool/commands.h"
#include "pipelines/tool/refs_command.h"

int vt_cmd_branch(int argc, char **argv)
{
	return vt_refs_command("heads", "branch", argc, argv);
}

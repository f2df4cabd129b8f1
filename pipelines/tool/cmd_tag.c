/* voxtrail tag REPO [NAME [REF]]: lists, makes, moves and removes tags. */
#include "pipelines/tool/commands.h"
#include "pipelines/tool/refs_command.h"

int vt_cmd_tag(int argc, char **argv)
{
	return vt_refs_command("tags", "tag", argc, argv);
}

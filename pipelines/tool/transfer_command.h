/* transfer_command.h - `voxtrail push` and `voxtrail pull` are one command in two directions. */
#ifndef PIPELINES_TOOL_TRANSFER_COMMAND_H
#define PIPELINES_TOOL_TRANSFER_COMMAND_H

int vt_transfer_command(int pull, int argc, char **argv);

#endif

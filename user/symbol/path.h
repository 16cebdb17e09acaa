/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HEAPTAP_PATH_H
#define HEAPTAP_PATH_H

/*
 * In place: no empty and no "." parts, and of "x/.." nothing is left. By the name alone, as debuggers
 * compare the names of sources: the file is on the machine that compiled it.
 */
void path_clean(char *path);

#endif

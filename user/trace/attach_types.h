/* SPDX-License-Identifier: GPL-2.0-or-later */
/* enum bpf_attach_type of newer kernels: libbpf 1.1 takes them by number. */
#ifndef HEAPTAP_ATTACH_TYPES_H
#define HEAPTAP_ATTACH_TYPES_H

#define ATTACH_UPROBE_MULTI   48 /* Linux 6.6 */
#define ATTACH_UPROBE_SESSION 57 /* Linux 6.13 */

#endif

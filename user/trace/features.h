/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel offers to this process, found by trying: versions say little (distributions port
 * features back) and nothing about privileges, seccomp filters or lockdown.
 */
#ifndef HEAPTAP_FEATURES_H
#define HEAPTAP_FEATURES_H

#include <stdbool.h>

/* How probes are attached, best first. */
enum link_kind {
	LINK_SESSION,	  /* entry and return in one program; Linux 6.13 to 6.19 */
	LINK_SESSION_CTX, /* the same, its cookie asked for with the context; Linux 7.0 */
	LINK_MULTI,	  /* one link for many entries, one for their returns; Linux 6.6 */
	LINK_PERF,	  /* a perf event and a link a probe; Linux 5.15, wants CAP_SYS_ADMIN */
	LINK_KINDS,
};

/* What the user asks for: one kind, or the best that there is. */
enum link_choice { LINK_AUTO, LINK_ONLY_SESSION, LINK_ONLY_MULTI, LINK_ONLY_PERF };
#define LINK_CHOICES "auto|session|multi|perf"

/* The word for --link, JSON and messages; both kinds of session are "session". */
const char *link_kind_name(enum link_kind kind);

/* Link kinds come first: features.all[LINK_MULTI] is a feature. */
enum feature_id {
	FEATURE_BTF = LINK_KINDS, /* the kernel's own types: without them nothing loads */
	FEATURE_PROGRAMS,	  /* loading a program that probes could run */
	FEATURE_RING_BUFFER,
	FEATURE_SIDE_BAND, /* new mappings and exec are told; without it they are looked for */
	FEATURES,
};

struct feature {
	const char *key;    /* for JSON: "session", "session_ctx", "btf" ... */
	const char *name;   /* for people */
	int error;	    /* 0: there; -EPERM, -EACCES: a privilege is missing; else -errno */
	const char *remedy; /* NULL when there is nothing to mend */
};

struct features {
	struct feature all[FEATURES];
};

/*
 * Tries each of them; takes some 20 ms, leaves nothing behind. Of the two kinds of session at most
 * one can be there: the other then has an error and no remedy.
 */
void features_probe(struct features *out);

/*
 * Tries one kind of link without its program: 0 or -errno, silently. Both kinds of session look
 * alike here; which of their programs fits, only the load shows.
 */
int features_try_link(enum link_kind kind);
/* What helps against an error of features_try_link(): never NULL. */
const char *features_link_remedy(enum link_kind kind, int error);

/*
 * Does a uprobe_multi link for a process see all of its threads? From Linux 6.6 until a correction
 * of 6.10 it sees the first one only. Tried on this program's own code; takes some 50 ms. False
 * also when it cannot be tried: a link for all processes is right in any case.
 */
bool features_multi_sees_threads(void);

/* The id of the kernel's uprobe PMU for perf_event_open(), or -errno. */
int features_uprobe_pmu(void);

#endif

// SPDX-License-Identifier: GPL-2.0-or-later
/* heaptap doctor: what tracing costs here, measured on a child of our own. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "../base/buffer.h"
#include "../base/clock.h"
#include "../base/err.h"
#include "../target/privilege.h"
#include "../trace/session.h"
#include "../trace/subject.h"
#include "doctor.h"

#define PAIRS_BARE     200000U
#define PAIRS_TRACED   4000U
#define BATCHES	       7 /* of which the fastest counts: the machine has other users */
#define BLOCK_BYTES    64
#define URETPROBE_CALL 335  /* x86-64; user-space headers do not have it yet */
#define BUDGET	       0.05 /* of a core */
#define SAMPLE_BYTES   65536

/* --- the child ------------------------------------------------------------------------------- */

static void run_pairs(uint32_t work, uint32_t pairs)
{
	(void)work;
	for (uint32_t i = 0; i < pairs; i++) {
		void *block = malloc(BLOCK_BYTES);

		/* Else the compiler drops a pair whose block nobody sees. */
		__asm__ volatile("" : "+r"(block) : : "memory");
		free(block);
	}
}

/*
 * A filter as container runtimes and service managers make them: it lists the calls that the program needs, and the
 * kernel's own uretprobe(2) is not among them.
 */
static int forbid_return_probes(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, URETPROBE_CALL, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_SIZE(code), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* --- tracing it ------------------------------------------------------------------------------ */

static int start(struct session **session, pid_t pid, enum link_choice link, bool sampled)
{
	const struct table_limits limits = TABLE_LIMITS_DEFAULT;
	const struct rules rules = { .sample = sampled,
		.sample_bytes = sampled ? SAMPLE_BYTES : 1 };
	int error = session_open(session, pid, HT_MODE_EXACT, 1 << HT_DOMAIN_HEAP);

	if (!error)
		error = session_set_rules(*session, &rules);
	if (!error)
		error = session_load(*session, &limits, link);
	if (!error)
		error = session_attach(*session);
	return error ? error : session_arm(*session);
}

/* Did the events arrive that the child has caused? Of sampled ones only some are counted. */
static int check_count(struct session *session)
{
	struct snapshot snapshot CLEANUP(snapshot_release) = { 0 };
	int error = session_read(session, 0, &snapshot);

	if (!error && !snapshot.sampled &&
		snapshot.totals.alloc_count < (uint64_t)BATCHES * PAIRS_TRACED)
		error = err(-EIO, "probes fired, but not all calls were counted");
	return error;
}

static int measure_traced(const struct subject *s, struct session *session, double *ns_per_pair)
{
	int error = subject_measure(s, 0, PAIRS_TRACED, BATCHES, ns_per_pair);

	session_disarm(session);
	if (!error)
		error = check_count(session);
	session_detach(session);
	return error;
}

static int trace(const struct subject *s, enum link_choice link, bool sampled, double *ns_per_pair)
{
	struct session *session = NULL;
	int error = start(&session, s->pid, link, sampled);

	if (!error)
		error = measure_traced(s, session, ns_per_pair);
	session_close(session);
	return error;
}

static void add_cost(struct checks *c, const char *mode, const char *link, double bare, double ns)
{
	checks_add(c, "cost", CHECK_OK, "pair, %s mode, %s links", mode, link);
	checks_ns(c, ns);
	checks_why(c, "malloc and free of %d bytes, %.0f times the bare pair", BLOCK_BYTES,
		ns / (bare > 0 ? bare : 1));
	checks_add(c, "cost", CHECK_OK, "pairs that fit %.0f %% of a core, %s mode, %s links",
		BUDGET * 100, mode, link);
	checks_rate(c, BUDGET * NS_PER_S / (ns - bare > 1 ? ns - bare : 1));
}

void doctor_add_message(struct checks *c, struct buffer *messages, int error)
{
	const char *text = buffer_string(messages), *remedy;
	int length = (int)strcspn(text, "\n");

	if (!text[0]) {
		checks_why(c, "%s", strerror(-error));
		return;
	}
	remedy = memmem(text, (size_t)length, PRIVILEGE_GRANT, strlen(PRIVILEGE_GRANT));
	if (remedy)
		checks_remedy(c, "%.*s", (int)(text + length - remedy) - 2, remedy + 2);
	checks_why(c, "%.*s", remedy ? (int)(remedy - text) : length, text);
}

/* Linux 6.11 to 6.13 return from probed functions by a system call, and filters saw it. */
void doctor_seccomp(struct checks *c)
{
	struct subject subject CLEANUP(subject_stop) = { 0 };
	struct buffer messages CLEANUP_BUFFER = { 0 };
	double ns;
	int error = subject_start(&subject, forbid_return_probes, run_pairs);

	/* Without seccomp the child has ended by then, and nobody else can have a filter either. */
	if (!error)
		error = subject_measure(&subject, 0, 1, BATCHES, &ns);
	if (error)
		return;
	log_capture(&messages);
	error = trace(&subject, LINK_AUTO, false, &ns);
	log_capture(NULL);
	if (error && error != -ESRCH) /* tracing does not work at all: said elsewhere */
		return;
	checks_add(c, "kernel", error ? CHECK_DEGRADED : CHECK_OK, "return probes under seccomp");
	if (!error)
		return;
	checks_value(c, "they kill");
	checks_why(c, "the kernel returns from probes by a system call that filters do not know");
	checks_remedy(c, "do not trace processes under a seccomp filter, or update the kernel");
}

static const struct {
	enum link_choice choice;
	enum link_kind kinds[2]; /* any of them */
} links[] = {
	{ LINK_ONLY_SESSION, { LINK_SESSION, LINK_SESSION_CTX } },
	{ LINK_ONLY_MULTI, { LINK_MULTI, LINK_MULTI } },
	{ LINK_ONLY_PERF, { LINK_PERF, LINK_PERF } },
};

/* One kind of link, or with LINK_AUTO why there is none. `modes`: exact, and the sampled one too. */
static int add_trial(struct checks *c, const struct subject *subject, enum link_choice choice,
	const char *link, int modes, double bare)
{
	struct buffer messages CLEANUP_BUFFER = { 0 };
	double ns = 0;
	int error = 0;

	for (int sampled = 0; !error && sampled < modes; sampled++) {
		log_capture(&messages);
		error = trace(subject, choice, sampled, &ns);
		log_capture(NULL);
		if (!error)
			add_cost(c, sampled ? "sample" : "exact", link, bare, ns);
	}
	if (!error)
		return 0;
	checks_add(c, "cost", CHECK_MISSING, "tracing a child of heaptap's own, %s links", link);
	doctor_add_message(c, &messages, error);
	return error;
}

int doctor_cost(struct checks *c, const struct features *f)
{
	struct subject subject CLEANUP(subject_stop) = { 0 };
	uint32_t working = 0;
	double bare = 0;
	int error = subject_start(&subject, NULL, run_pairs);

	if (!error)
		error = subject_measure(&subject, 0, PAIRS_BARE, BATCHES, &bare);
	if (error) {
		checks_add(c, "cost", CHECK_UNKNOWN, "pair, not traced");
		checks_why(c, "no child process: %s", strerror(-error));
		return error;
	}
	checks_add(c, "cost", CHECK_OK, "pair, not traced");
	checks_ns(c, bare);
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (!f->all[links[i].kinds[0]].error || !f->all[links[i].kinds[1]].error)
			/* Both modes of the one that is used. */
			working += !add_trial(c, &subject, links[i].choice,
				link_kind_name(links[i].kinds[0]), working ? 1 : 2, bare);
	return working ? 0 : add_trial(c, &subject, LINK_AUTO, "any", 1, bare);
}

/*
 * progress.c
 *		What people see of a verification: how far it is, and what it found.
 */
#include "verify/verification.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/log.h"
#include "lib/progress.h"

/* How far it is, the log says that often. */
#define TELL_MS 10000

static const char *const phase_names[] = {
	[VERIFY_NOT] = "",
	[VERIFY_SINK] = "in the sink",
	[VERIFY_STREAM] = "of the stream",
	[VERIFY_REPAIR] = "to repair",
};

void
verification_begin_phase(Verification *verification, VerifyPhase phase, int64_t total)
{
	verification->phase = phase;
	verification->phase_done = 0;
	verification->phase_total = total;
	verification->phase_begun_at = verification->told_at = monotonic_ms();
}

/* Append how far it is, and how long the rest of that will take */
void
verification_progress(const Verification *verification, Buffer *text)
{
	append_count(text, verification->phase_done);
	if (verification->phase_total >= verification->phase_done)
	{
		buffer_text(text, " of ");
		append_count(text, verification->phase_total);
	}
	buffer_printf(text, " items %s, ", phase_names[verification->phase]);
	append_count(text, verification->drift.total);
	buffer_text(text, " differ");
	append_time_left(text, verification->phase_done, verification->phase_total - verification->phase_done, verification->phase_begun_at);
}

/* Tell the log, if that is due */
void
verification_tell(Verification *verification)
{
	Buffer		text = {0};

	if (monotonic_ms() < verification->told_at + TELL_MS)
		return;
	verification->told_at = monotonic_ms();
	verification_progress(verification, &text);
	log_line(LOG_NOTE, "verify: %s", text.data);
	buffer_free(&text);
}

/* Print, as a table, what was found */
void
verification_print(const Verification *verification)
{
	const Drift *drift = &verification->drift;
	Buffer		text = {0};

	buffer_printf(&text, "%-8s %10s", "kind", "items");
	buffer_printf(&text, verification->settings->repair ? " %10s\n" : "\n", "repaired");
	for (int kind = DRIFT_NONE + 1; kind < DRIFT_KINDS; kind++)
	{
		if (kind == DRIFT_DIFFERS && !verification->settings->deep)
			continue;
		buffer_printf(&text, "%-8s %10" PRId64, drift_names[kind], drift->found[kind]);
		if (verification->settings->repair)
			buffer_printf(&text, " %10" PRId64, drift->repaired[kind]);
		buffer_text(&text, "\n");
	}
	append_count(&text, verification->items);
	buffer_text(&text, " items of the stream were compared, ");
	append_count(&text, drift->total);
	buffer_printf(&text, " differ; verification %s\n", verification->id);
	fputs(text.data, stdout);
	fflush(stdout);
	buffer_free(&text);
}

/*
 * confirmation.c
 *		Waits until all that queries have shown is delivered: by this process, or
 *		by the relay that reads the stream.
 */
#include "verify/verification.h"

#include "catalogue/slot.h"
#include "lib/log.h"
#include "lib/wait.h"

/* So often the slot is asked how far its relay is. */
#define ASK_MS 100

/* A relay that is started again, or has lost a connection, is back by then. */
#define PATIENCE_MS 15000

/* Where the WAL ends now, and that it goes on behind */
static ExitStatus
take_position(Verification *verification, uint64_t *position)
{
	Buffer		problem = {0};
	PGresult   *result = database_query(verification->catalogue->sql, &problem, "SELECT esgf_stac_internal.wal_end()", 0, NULL);

	if (result == NULL)
		return database_lost(&problem);
	lsn_parse(PQgetvalue(result, 0, 0), position);
	PQclear(result);
	return verification_write(verification);
}

/* Wait until the relay beside us has confirmed a position */
static ExitStatus
await_relay(const Catalogue *catalogue, uint64_t position)
{
	Wait		wait = wait_begin("the relay to confirm what is committed");
	int64_t		active_at = wait.since;

	for (;;)
	{
		bool		active;
		uint64_t	confirmed;
		ExitStatus	status = slot_confirmed(catalogue, &active, &confirmed);

		if (status == STATUS_RUNNING && stop_requested)
			status = STATUS_STOPPED;
		if (status != STATUS_RUNNING)
			return status;
		if (active && confirmed >= position)
			break;
		if (active)
			active_at = monotonic_ms();
		else if (monotonic_ms() > active_at + PATIENCE_MS)
		{
			log_line(LOG_WARNING, "verify: no relay reads the stream any more: it begins anew");
			return STATUS_DATABASE;
		}
		wait_on(&wait, -1, 0, ASK_MS);
	}
	wait_end(&wait);
	return STATUS_RUNNING;
}

/* What queries have shown was committed before the WAL's present end; wait until that is delivered */
ExitStatus
confirmation_await(Verification *verification)
{
	uint64_t	position;
	ExitStatus	status = take_position(verification, &position);

	if (status != STATUS_RUNNING)
		return status;
	if (verification->deliver != NULL)
		return verification->deliver(verification->owner, position);
	return await_relay(verification->catalogue, position);
}

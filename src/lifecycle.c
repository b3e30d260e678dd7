/*-------------------------------------------------------------------------
 *
 * lifecycle.c
 *	  Entry of the module: magic block and settings.
 *
 * The parts, from the top down (calls go downward only):
 *
 *	  ingest.c, object.c, deal.c	triggers on the four application tables
 *	  tick.c, api.c					what SQL calls
 *	  run.c							one run of the engine: rounds of work
 *	  rule.c, action.c				what a round sets off, and its writes
 *	  evaluate.c					atoms and segments of one contact
 *	  network.c						who depends on what, compiled at first use
 *	  atom.c, state.c				values of atoms; the packed row
 *	  model.c						the registry's cache
 *	  predicate.c, vocabulary.c		text to expression
 *	  query.c, security.c			SPI and roles
 *
 *-------------------------------------------------------------------------
 */
#include "lifecycle.h"

#include "fmgr.h"
#include "utils/guc.h"

#include "model.h"
#include "run.h"

PG_MODULE_MAGIC;

/*
 * While a maintenance function renames a stage, the engine's triggers must
 * not take the rewritten rows for moves.  Only the owner of a model can make
 * use of it (model_for_trigger).  Life time: until the transaction's end,
 * the setting is always SET LOCAL.
 */
bool		lifecycle_maintenance = false;

void		_PG_init(void);

/*
 * _PG_init: define the settings and the callbacks of this backend.
 *
 * Takes no lock, raises nothing of its own.
 */
void
_PG_init(void)
{
	DefineCustomBoolVariable("lifecycle.maintenance",
							 "Rows of application tables are rewritten without being taken for changes.",
							 "Used by functions that rename; has an effect for the model's owner only.",
							 &lifecycle_maintenance,
							 false,
							 PGC_USERSET,
							 GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE,
							 NULL, NULL, NULL);

	MarkGUCPrefixReserved("lifecycle");

	model_init();
	run_init();
}

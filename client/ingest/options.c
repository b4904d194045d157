/*
 * options.c
 *		The ingester's options: one table of them, and what makes sense together.
 */
#include "ingest/options.h"

#include <stdio.h>
#include <string.h>

#include "lib/database.h"

#define PREFIX "ESGF_STAC_INGEST_"

#define FIELD(name) offsetof(Options, name)

static const OptionRule rules[] = {
	RULE_DBNAME(FIELD(catalogue.dbname)),
	{"source", 0, OPTION_TEXT, FIELD(catalogue.source), false, 0, 0, "NAME", "the source whose events these are", NULL},
	{"from", 0, OPTION_TEXT, FIELD(source.name), false, 0, 0, "LOG", "where its events come from", NULL},
	{"source-option", 0, OPTION_OTHER, FIELD(source.options), true, 0, 0, "NAME=VALUE", "a setting of the log's own; may be repeated", &pairs_type},
	{"follow", 0, OPTION_FLAG, FIELD(source.follow), false, 0, 0, NULL, "wait for more at the end of a file", NULL},
	{"results", 0, OPTION_TEXT, FIELD(results.name), false, 0, 0, "RESULTS", "where outcomes go (default: nowhere)", NULL},
	{"results-option", 0, OPTION_OTHER, FIELD(results.options), true, 0, 0, "NAME=VALUE", "a setting of theirs; may be repeated", &pairs_type},
	{"batch", 0, OPTION_NUMBER, FIELD(catalogue.batch), true, 1, 1000, "EVENTS", "perform at most so many events in one transaction (default: 500)", NULL},
	RULE_METRICS_FILE(FIELD(watch.file)),
	RULE_LISTEN(FIELD(watch.address)),
	RULE_READY_LAG(FIELD(watch.ready_lag)),
	RULE_NO_LOOP(FIELD(no_loop)),
	RULE_SERVER_TIMEOUT(FIELD(server_timeout)),
	RULE_CONFIG(FIELD(config)),
	RULE_CHECK(FIELD(check)),
	RULE_LOG_FORMAT(FIELD(log_format)),
	RULE_VERBOSE(FIELD(verbose)),
};

/* Have no message show a secret of these options */
static void
hide_secrets(const void *read)
{
	const Options *options = read;

	pairs_hide_secrets(&options->source.options);
	pairs_hide_secrets(&options->results.options);
	if (options->catalogue.dbname != NULL)
		conninfo_hide_passwords(options->catalogue.dbname);
}

/* No password may stand where every user of the machine can read it */
static bool
check_command_line(const void *read)
{
	const Options *given = read;

	if ((given->catalogue.dbname != NULL && conninfo_names_password(given->catalogue.dbname)) ||
		pairs_name_secret(&given->source.options) || pairs_name_secret(&given->results.options))
		return password_error();
	return true;
}

/* What is wrong with a source or results, if that is a problem; false */
static bool
target_error(Buffer *problem, const char *name)
{
	usage_error(problem->data, name);
	buffer_free(problem);
	return false;
}

/* Is that a log, does it take what is said of it, could it be opened? */
static bool
check_source(Options *options)
{
	SourceSettings *source = &options->source;
	const SourceKind *kind = source_find(source->name, &source->target);
	Buffer		problem = {0};
	bool		good = true;

	if (kind == NULL)
		return scheme_error("no such source, --version lists those built in", source->name);
	if (source->options.count > 0 && !kind->takes_options)
		good = usage_error("the source takes no --source-option", kind->scheme);
	if (source->follow && (!kind->takes_follow || strcmp(source->target, "-") == 0))
		good = usage_error("only a file takes --follow", NULL);
	if (kind->check != NULL && !kind->check(source, &problem))
		good = target_error(&problem, "--from");
	if (good)
		options->source_kind = kind;
	return good;
}

static bool
check_results(Options *options)
{
	ResultsSettings *results = &options->results;
	const ResultsKind *kind = results_find(results->name, &results->target);
	Buffer		problem = {0};
	bool		good = true;

	if (kind == NULL)
		return scheme_error("no such results, --version lists those built in", results->name);
	if (results->options.count > 0 && !kind->takes_options)
		good = usage_error("the results take no --results-option", kind->scheme);
	if (!kind->check(results, &problem))
		good = target_error(&problem, "--results");
	if (good)
		options->results_kind = kind;
	return good;
}

static bool
check_options(void *read)
{
	Options    *options = read;
	bool		good = true;

	if (options->catalogue.source == NULL)
		good = usage_error("no source specified", "use --source");
	if (options->source.name == NULL)
		good = usage_error("nothing specified to read from", "use --from");
	else
		good = check_source(options) && good;
	if (options->results.name == NULL && options->results.options.count > 0)
		good = usage_error("--results-option goes with --results", NULL);
	if (options->results.name != NULL)
		good = check_results(options) && good;
	if (options->catalogue.dbname != NULL && !conninfo_valid(options->catalogue.dbname))
		good = usage_error("invalid connection string for option --dbname", NULL);
	return watch_settings_good(&options->watch) && good;
}

static void
set_defaults(void *read)
{
	Options    *options = read;

	options->catalogue.batch = 500;
	options->server_timeout = SERVER_TIMEOUT;
}

/* What --help says behind the list of options */
static void
print_more_help(void)
{
	printf("\nSources:\n"
		   "  ndjson:-, ndjson:PATH       one event a line, from stdin or a file\n");
#ifdef WITH_KAFKA
	printf("  kafka:BROKERS/TOPIC         messages of a Kafka topic\n");
#endif
	printf("\nResults, where {outcome} becomes success or error:\n"
		   "  ndjson:-, ndjson:PATH       one event a line, to stdout or appended to a file\n");
#ifdef WITH_KAFKA
	printf("  kafka:BROKERS/TOPIC         messages of a Kafka topic\n");
#endif
	printf("\nEvery option can stand in the environment too, as %sSOURCE.\n", PREFIX);
	printf("Exit status: 0 stopped as asked or at the end of a file, 1 internal, 2 usage, 3 database,\n"
		   "4 source, catalogue or version, 5 log or results.\n");
}

static void
print_more_version(void)
{
#ifdef WITH_KAFKA
	printf("sources: ndjson kafka\nresults: ndjson kafka\n");
#else
	printf("sources: ndjson\nresults: ndjson\n");
#endif
}

const OptionTable ingest_options = {
	.rules = rules,
	.rule_count = sizeof(rules) / sizeof(rules[0]),
	.size = sizeof(Options),
	.prefix = PREFIX,
	.about = "esgf_stac_ingest has an esgf_stac catalogue perform the events of a transaction API.\n\n"
	"Usage:\n  esgf_stac_ingest --dbname CONNSTR --source NAME --from LOG [--results RESULTS] [OPTION]...\n",
	.print_more_help = print_more_help,
	.print_more_version = print_more_version,
	.set_defaults = set_defaults,
	.check_command_line = check_command_line,
	.hide_secrets = hide_secrets,
	.check = check_options,
};

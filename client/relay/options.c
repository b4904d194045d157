/*
 * options.c
 *		The relay's options: one table of them, and what makes sense together.
 */
#include "relay/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/database.h"
#include "lib/log.h"
#include "lib/options.h"
#include "lib/passwords.h"
#include "sinks/reader.h"

#define PREFIX "ESGF_STAC_RELAY_"

static bool
parse_format(void *field, const char *value)
{
	return format_find(value, (Format *) field);
}

static bool
same_format(const void *one, const void *other)
{
	return *(const Format *) one == *(const Format *) other;
}

static const OptionType format_type = {.size = sizeof(Format),.parse = parse_format,.same = same_format};

#define FIELD(name) offsetof(Options, name)

static const OptionRule rules[] = {
	RULE_DBNAME(FIELD(catalogue.dbname)),
	{"stream", 0, OPTION_TEXT, FIELD(catalogue.stream), false, 0, 0, "NAME", "the stream to read", NULL},
	{"sink", 0, OPTION_TEXT, FIELD(delivery.sink.name), false, 0, 0, "SINK", "where its events go", NULL},
	{"format", 0, OPTION_OTHER, FIELD(delivery.sink.format), false, 0, 0, "FORMAT", "event (default), document or esgf: what the sink gets of an event", &format_type},
	{"document-id", 0, OPTION_TEXT, FIELD(delivery.sink.document_id), false, 0, 0, "TEMPLATE", "the id of an item in an index (default: {item_id})", NULL},
	{"tombstones", 0, OPTION_FLAG, FIELD(delivery.sink.tombstones), false, 0, 0, NULL, "follow a deletion by a null value, for compacted topics", NULL},
	{"sink-option", 0, OPTION_OTHER, FIELD(delivery.sink.options), true, 0, 0, "NAME=VALUE", "a setting of the sink's own; may be repeated", &pairs_type},
	{"create", 0, OPTION_FLAG, FIELD(catalogue.create), false, 0, 0, NULL, "make the replication slot; without --sink that is all", NULL},
	{"if-not-exists", 0, OPTION_FLAG, FIELD(catalogue.if_not_exists), false, 0, 0, NULL, "do not fail if the slot exists when making it", NULL},
	{"snapshot", 0, OPTION_FLAG, FIELD(catalogue.snapshot), false, 0, 0, NULL, "once: send every published item first, as item.seeded", NULL},
	{"from-beginning", 0, OPTION_FLAG, FIELD(catalogue.from_beginning), false, 0, 0, NULL, "once: send every event that the outbox keeps first", NULL},
	{"verify", 0, OPTION_FLAG, FIELD(verify.wanted), false, 0, 0, NULL, "compare what the sink holds with the catalogue, and end", NULL},
	{"deep", 0, OPTION_FLAG, FIELD(verify.deep), false, 0, 0, NULL, "with --verify: compare documents, too", NULL},
	{"repair", 0, OPTION_FLAG, FIELD(verify.repair), false, 0, 0, NULL, "with --verify: heal what differs", NULL},
	{"batch", 0, OPTION_NUMBER, FIELD(delivery.batch), true, 1, 100000, "EVENTS", "hand at most so many events at once to the sink (default: 500)", NULL},
	{"max-attempts", 0, OPTION_NUMBER, FIELD(delivery.max_attempts), true, 1, 1000000, "COUNT", "refuse an event for good after so many failures (default: 10)", NULL},
	{"iteration-target", 0, OPTION_TEXT, FIELD(iteration.allowed), false, 0, 0, "GLOB", "run iteration jobs with such targets, too: topics, indices, tables or paths", NULL},
	{"iterations-only", 0, OPTION_FLAG, FIELD(iteration.only), false, 0, 0, NULL, "run these jobs alone: neither slot nor REPLICATION is needed", NULL},
	RULE_METRICS_FILE(FIELD(watch.file)),
	RULE_LISTEN(FIELD(watch.address)),
	RULE_READY_LAG(FIELD(watch.ready_lag)),
	{"endpos", 'E', OPTION_LSN, FIELD(stream.endpos), false, 0, 0, "LSN", "stop after the last transaction that ends by this position", NULL},
	RULE_NO_LOOP(FIELD(catalogue.no_loop)),
	{"status-interval", 's', OPTION_NUMBER, FIELD(stream.status_interval), true, 1, 3600, "SECONDS", "time between status packets sent to the server (default: 10)", NULL},
	RULE_SERVER_TIMEOUT(FIELD(stream.server_timeout)),
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
	const char *sink = options->delivery.sink.name;

	pairs_hide_secrets(&options->delivery.sink.options);
	if (options->catalogue.dbname != NULL)
		conninfo_hide_passwords(options->catalogue.dbname);
	if (sink != NULL)
	{
		char	   *conninfo = copy_string(strchr(sink, ':') != NULL ? strchr(sink, ':') + 1 : sink);

		passwords_hide(sink);
		if (strrchr(conninfo, '#') != NULL)
			*strrchr(conninfo, '#') = '\0';
		conninfo_hide_passwords(conninfo);
		free(conninfo);
	}
}

/* No password may stand where every user of the machine can read it */
static bool
check_command_line(const void *read)
{
	const Options *given = read;
	const char *target;
	const SinkKind *kind = given->delivery.sink.name != NULL ? sink_find(given->delivery.sink.name, &target) : NULL;

	if ((given->catalogue.dbname != NULL && conninfo_names_password(given->catalogue.dbname)) || pairs_name_secret(&given->delivery.sink.options) ||
		(kind != NULL && kind->names_password != NULL && kind->names_password(target)))
		return password_error();
	return true;
}

/* A name that create_stream() would refuse cannot be a stream */
static bool
valid_stream(const char *name)
{
	size_t		length = strlen(name);

	return length >= 1 && length <= 50 &&
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length;
}

/* Is that a sink, does it take what is said of it, could it be opened? */
static bool
check_sink(Options *options)
{
	SinkSettings *sink = &options->delivery.sink;
	const SinkKind *kind = sink_find(sink->name, &sink->target);
	Buffer		problem = {0};
	bool		good = true;

	if (kind == NULL)
		return scheme_error("no such sink, --version lists those built in", sink->name);
	if (sink->format != FORMAT_EVENT && !kind->takes_format)
		good = usage_error("the sink takes no --format", kind->scheme);
	if (sink->format == FORMAT_ESGF && sink->tombstones)
		good = usage_error("--tombstones does not go with --format", "esgf");
	if (sink->document_id != NULL && !kind->takes_document_id)
		good = usage_error("the sink takes no --document-id", kind->scheme);
	if (sink->tombstones && !kind->takes_tombstones)
		good = usage_error("the sink takes no --tombstones", kind->scheme);
	if (sink->options.count > 0 && !kind->takes_options)
		good = usage_error("the sink takes no --sink-option", kind->scheme);
	if (options->iteration.allowed != NULL && kind->place == NULL)
		good = usage_error("the sink takes no --iteration-target", kind->scheme);
	if (kind->check != NULL && !kind->check(sink, &problem))
	{
		good = usage_error(problem.data, kind->syntax);
		buffer_free(&problem);
	}
	if (good)
		options->delivery.sink_kind = kind;
	return good;
}

/* Is that a comparison that can be made? */
static bool
check_verify(const Options *options)
{
	const SinkSettings *sink = &options->delivery.sink;
	const SinkKind *kind = options->delivery.sink_kind;
	const ReaderKind *reader = kind != NULL ? kind->reader : NULL;
	Buffer		problem = {0};
	bool		good = true;

	if (!options->verify.wanted && (options->verify.deep || options->verify.repair))
		good = usage_error("--deep and --repair go with --verify", NULL);
	if (!options->verify.wanted)
		return good;
	if (sink->name == NULL)
		good = usage_error("--verify needs a --sink", NULL);
	else if (kind != NULL && reader == NULL)
		good = usage_error("what such a sink holds cannot be compared", kind->scheme);
	else if (reader != NULL && reader->check != NULL && !reader->check(sink, &problem))
	{
		good = usage_error(problem.data, kind->scheme);
		buffer_free(&problem);
	}
	if (options->catalogue.create || options->catalogue.snapshot || options->catalogue.from_beginning || options->stream.endpos != 0)
		good = usage_error("--verify excludes --create, --snapshot, --from-beginning and --endpos", NULL);
	if (options->check)
		good = usage_error("--verify excludes --check", NULL);
	return good;
}

/* Which stream, and where does it begin? */
static bool
check_catalogue(Options *options)
{
	CatalogueSettings *catalogue = &options->catalogue;
	bool		good = true;

	if (catalogue->stream == NULL)
		good = usage_error("no stream specified", "use --stream");
	else if (!valid_stream(catalogue->stream))
		good = usage_error("no name for a stream", catalogue->stream);
	if (catalogue->if_not_exists && !catalogue->create)
		good = usage_error("--if-not-exists goes with --create", NULL);
	if (catalogue->snapshot && catalogue->from_beginning)
		good = usage_error("--snapshot and --from-beginning exclude each other", NULL);
	if (catalogue->dbname != NULL && !conninfo_valid(catalogue->dbname))
		good = usage_error("invalid connection string for option --dbname", NULL);
	return good;
}

static bool
check_options(void *read)
{
	Options    *options = read;
	bool		has_sink = options->delivery.sink.name != NULL;
	bool		good = check_catalogue(options);

	/* Without that nothing can be asked of the database. */
	if (good)
		snprintf(options->catalogue.slot, sizeof(options->catalogue.slot), "esgf_stac_%s", options->catalogue.stream);
	if (!has_sink && !options->catalogue.create)
		good = usage_error("no sink specified", "use --sink");
	if (!has_sink && (options->catalogue.snapshot || options->catalogue.from_beginning))
		good = usage_error("--snapshot and --from-beginning need a --sink", NULL);
	if (has_sink)
		good = check_sink(options) && good;
	good = check_verify(options) && good;
	if (options->iteration.only && options->iteration.allowed == NULL)
		good = usage_error("--iterations-only goes with --iteration-target", NULL);
	if (options->iteration.allowed != NULL && !has_sink)
		good = usage_error("--iteration-target needs a --sink", NULL);
	options->catalogue.has_sink = has_sink;
	options->catalogue.cures = options->verify.deep && options->verify.repair;
	return watch_settings_good(&options->watch) && good;
}

static void
set_defaults(void *read)
{
	Options    *options = read;

	options->delivery.batch = 500;
	options->delivery.max_attempts = 10;
	options->stream.status_interval = 10;
	options->stream.server_timeout = SERVER_TIMEOUT;
}

/* What --help says behind the list of options */
static void
print_more_help(void)
{
	sink_help();
	printf("\nEvery option can stand in the environment too, as %sSTREAM.\n", PREFIX);
	printf("Exit status: 0 stopped as asked, 1 internal, 2 usage, 3 database, 4 slot, publication or version, 5 sink, 6 drift.\n");
}

const OptionTable relay_options = {
	.rules = rules,
	.rule_count = sizeof(rules) / sizeof(rules[0]),
	.size = sizeof(Options),
	.prefix = PREFIX,
	.about = "esgf_stac_relay streams the events of an esgf_stac catalogue to an index.\n\n"
	"Usage:\n  esgf_stac_relay --dbname CONNSTR --stream NAME --sink SINK [OPTION]...\n",
	.print_more_help = print_more_help,
	.print_more_version = sink_list,
	.set_defaults = set_defaults,
	.check_command_line = check_command_line,
	.hide_secrets = hide_secrets,
	.check = check_options,
};

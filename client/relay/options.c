/*
 * options.c
 *		Reads the options. One table tells all of them; each has three places
 *		where it may be given, of which the first wins: --status-interval on the
 *		command line, ESGF_STAC_RELAY_STATUS_INTERVAL in the environment,
 *		"status-interval = 10" in the file that --config names. That file may be
 *		read again while the relay runs.
 */
#include "relay/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/database.h"
#include "lib/log.h"
#include "lib/program.h"

#define ENVIRONMENT_PREFIX "ESGF_STAC_RELAY_"

typedef enum OptionKind
{
	OPTION_TEXT,
	OPTION_FLAG,
	OPTION_NUMBER,
	OPTION_LSN,
	OPTION_FORMAT,
	OPTION_PAIR,				/* NAME=VALUE, as often as wanted */
} OptionKind;

typedef struct OptionRule
{
	const char *name;
	char		letter;			/* 0: none */
	OptionKind	kind;
	size_t		field;
	bool		may_change;		/* while the relay runs */
	int64_t		least;			/* of a number */
	int64_t		most;
	const char *argument;
	const char *help;
} OptionRule;

#define FIELD(name) offsetof(Options, name)

static const OptionRule rules[] = {
	{"dbname", 'd', OPTION_TEXT, FIELD(dbname), true, 0, 0, "CONNSTR", "database name or connection string, without a password"},
	{"stream", 0, OPTION_TEXT, FIELD(stream), false, 0, 0, "NAME", "the stream to read"},
	{"sink", 0, OPTION_TEXT, FIELD(sink.name), false, 0, 0, "SINK", "where its events go"},
	{"format", 0, OPTION_FORMAT, FIELD(sink.format), false, 0, 0, "FORMAT", "event (default), document or esgf: what the sink gets of an event"},
	{"document-id", 0, OPTION_TEXT, FIELD(sink.document_id), false, 0, 0, "TEMPLATE", "the id of an item in an index (default: {item_id})"},
	{"tombstones", 0, OPTION_FLAG, FIELD(sink.tombstones), false, 0, 0, NULL, "follow a deletion by a null value, for compacted topics"},
	{"sink-option", 0, OPTION_PAIR, FIELD(sink.options), true, 0, 0, "NAME=VALUE", "a setting of the sink's own; may be repeated"},
	{"create", 0, OPTION_FLAG, FIELD(create), false, 0, 0, NULL, "make the replication slot; without --sink that is all"},
	{"if-not-exists", 0, OPTION_FLAG, FIELD(if_not_exists), false, 0, 0, NULL, "do not fail if the slot exists when making it"},
	{"snapshot", 0, OPTION_FLAG, FIELD(snapshot), false, 0, 0, NULL, "once: send every published item first, as item.seeded"},
	{"from-beginning", 0, OPTION_FLAG, FIELD(from_beginning), false, 0, 0, NULL, "once: send every event that the outbox keeps first"},
	{"batch", 0, OPTION_NUMBER, FIELD(batch), true, 1, 100000, "EVENTS", "hand at most so many events at once to the sink (default: 500)"},
	{"max-attempts", 0, OPTION_NUMBER, FIELD(max_attempts), true, 1, 1000000, "COUNT", "refuse an event for good after so many failures (default: 10)"},
	{"metrics-file", 0, OPTION_TEXT, FIELD(metrics_file), true, 0, 0, "FILE", "write metrics there, in Prometheus' text format"},
	{"endpos", 'E', OPTION_LSN, FIELD(endpos), false, 0, 0, "LSN", "stop after the last transaction that ends by this position"},
	{"no-loop", 'n', OPTION_FLAG, FIELD(no_loop), false, 0, 0, NULL, "end instead of trying again when a connection is lost"},
	{"status-interval", 's', OPTION_NUMBER, FIELD(status_interval), true, 1, 3600, "SECONDS", "time between status packets sent to the server (default: 10)"},
	{"config", 0, OPTION_TEXT, FIELD(config), false, 0, 0, "FILE", "read options from a file of lines \"name = value\""},
	{"verbose", 'v', OPTION_FLAG, FIELD(verbose), true, 0, 0, NULL, "log more"},
};

#define RULE_COUNT (sizeof(rules) / sizeof(rules[0]))

/* What getopt_long returns for an option without a letter. */
#define LONG_ONLY 256

/* What was read last; to read it again the command line is kept. */
static Options last_read;
static int	argument_count;
static char **arguments;
static bool running = false;

static ExitStatus
usage_error(const char *message, const char *detail)
{
	const char *colon = detail != NULL ? ": " : "";
	Buffer		text = {0};

	if (detail == NULL)
		detail = "";
	if (running)
		log_line(LOG_ERROR, "configuration: %s%s%s", message, colon, detail);
	else
	{
		log_text(&text, message, "");
		buffer_text(&text, colon);
		log_text(&text, detail, "");
		fprintf(stderr, "%s: error: %s\n%s: hint: Try \"%s --help\" for more information.\n", program_name, text.data, program_name, program_name);
	}
	buffer_free(&text);
	return STATUS_USAGE;
}

static void
print_help(void)
{
	printf("%s streams the events of an esgf_stac catalogue to an index.\n\n", program_name);
	printf("Usage:\n  %s --dbname CONNSTR --stream NAME --sink SINK [OPTION]...\n\nOptions:\n", program_name);
	for (size_t i = 0; i < RULE_COUNT; i++)
	{
		const OptionRule *rule = &rules[i];
		char		left[64];

		snprintf(left, sizeof(left), "%s%s%s", rule->name, rule->argument ? "=" : "",
				 rule->argument ? rule->argument : "");
		if (rule->letter)
			printf("  -%c, --%-26s %s\n", rule->letter, left, rule->help);
		else
			printf("      --%-26s %s\n", left, rule->help);
	}
	printf("  -V, --%-26s %s\n", "version", "print the version and exit");
	printf("  -?, --%-26s %s\n", "help", "print this and exit");
	sink_help();
	printf("\nEvery option can stand in the environment too, as %sSTREAM.\n", ENVIRONMENT_PREFIX);
	printf("Exit status: 0 stopped as asked, 1 internal, 2 usage, 3 database, 4 slot, publication or version, 5 sink.\n");
}

static bool
parse_flag(const char *value, bool *flag)
{
	*flag = strcmp(value, "on") == 0 || strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
	return *flag || strcmp(value, "off") == 0 || strcmp(value, "false") == 0 || strcmp(value, "0") == 0;
}

static bool
parse_number(const char *value, const OptionRule *rule, int64_t *number)
{
	char	   *end;

	errno = 0;
	*number = strtoll(value, &end, 10);
	return errno == 0 && isdigit((unsigned char) *value) && *end == '\0' && *number >= rule->least && *number <= rule->most;
}

/* A position of the WAL; there is none before the first */
static bool
parse_position(const char *value, uint64_t *position)
{
	return strspn(value, "0123456789abcdefABCDEF/") == strlen(value) && lsn_parse(value, position) && *position != 0;
}

/* Add a line NAME=VALUE; in the environment several stand in one text */
static bool
add_sink_options(SinkSettings *sink, const char *text)
{
	if (*text == '\0')
		return false;
	while (*text != '\0')
	{
		size_t		length = strcspn(text, "\n");
		char	   *line = copy_string(text);
		char	   *equals;

		line[length] = '\0';
		equals = strchr(line, '=');
		if (equals == NULL || equals == line)
			return false;
		*equals = '\0';
		sink->options = reallocate(sink->options, (size_t) (sink->option_count + 1) * sizeof(SinkOption));
		sink->options[sink->option_count++] = (SinkOption)
		{
			.name = line,.value = equals + 1
		};
		text += length + (text[length] == '\n');
	}
	return true;
}

/* Say what is wrong with a value. One that may be a secret is not shown */
static ExitStatus
value_error(const OptionRule *rule, const char *value)
{
	Buffer		message = {0};
	ExitStatus	status;

	if (*value == '\0')
		buffer_printf(&message, "option --%s is empty", rule->name);
	else
		buffer_printf(&message, "invalid value for option --%s", rule->name);
	if (rule->kind == OPTION_NUMBER)
		buffer_printf(&message, " (a number from %d to %d)", (int) rule->least, (int) rule->most);
	if (rule->kind == OPTION_PAIR)
		buffer_printf(&message, " (it is %s)", rule->argument);
	status = usage_error(message.data, rule->kind == OPTION_PAIR || *value == '\0' ? NULL : value);
	buffer_free(&message);
	return status;
}

/* Set one option to a value that is given as text, and that stays */
static ExitStatus
set_option(Options *options, const OptionRule *rule, const char *value)
{
	char	   *field = (char *) options + rule->field;
	bool		good = *value != '\0';

	switch (rule->kind)
	{
		case OPTION_TEXT:
			*(const char **) field = value;
			break;
		case OPTION_FLAG:
			good = parse_flag(value, (bool *) field);
			break;
		case OPTION_NUMBER:
			good = parse_number(value, rule, (int64_t *) field);
			break;
		case OPTION_LSN:
			good = parse_position(value, (uint64_t *) field);
			break;
		case OPTION_FORMAT:
			good = format_find(value, (Format *) field);
			break;
		case OPTION_PAIR:
			good = add_sink_options(&options->sink, value);
			break;
	}
	return good ? STATUS_RUNNING : value_error(rule, value);
}

/* Set every option that the environment names */
static ExitStatus
read_environment(Options *options)
{
	ExitStatus	status = STATUS_RUNNING;

	for (size_t i = 0; i < RULE_COUNT && status == STATUS_RUNNING; i++)
	{
		char		name[64] = ENVIRONMENT_PREFIX;
		char	   *next = name + strlen(name);
		const char *value;

		for (const char *letter = rules[i].name; *letter != '\0'; letter++)
			*next++ = *letter == '-' ? '_' : (char) toupper((unsigned char) *letter);
		value = getenv(name);
		if (value != NULL && *value != '\0')	/* how an environment leaves out */
			status = set_option(options, &rules[i], value);
	}
	return status;
}

/* Cut the blanks off both ends, in place */
static char *
trim(char *text)
{
	char	   *end = text + strlen(text);

	while (end > text && isspace((unsigned char) end[-1]))
		*--end = '\0';
	while (isspace((unsigned char) *text))
		text++;
	return text;
}

static const OptionRule *
find_rule(const char *name)
{
	for (size_t i = 0; i < RULE_COUNT; i++)
		if (strcmp(rules[i].name, name) == 0)
			return &rules[i];
	return NULL;
}

/* What is wrong with a line of the configuration file, which may hold a secret */
static ExitStatus
line_error(const char *message, int number, const char *path)
{
	Buffer		text = {0};
	ExitStatus	status;

	buffer_printf(&text, "line %d of the configuration file %s", number, message);
	status = usage_error(text.data, path);
	buffer_free(&text);
	return status;
}

/* Set what a line of the configuration file says */
static ExitStatus
read_line(Options *options, char *line, int number, const char *path)
{
	static const char mark[] = "\xef\xbb\xbf";	/* some editors begin a file so */
	bool		marked = number == 1 && strncmp(line, mark, strlen(mark)) == 0;
	char	   *name = trim(marked ? line + strlen(mark) : line);
	char	   *equals = strchr(name, '=');
	const OptionRule *rule;

	if (*name == '\0' || *name == '#')
		return STATUS_RUNNING;
	if (equals == NULL)
		return line_error("is not \"name = value\"", number, path);
	*equals = '\0';
	rule = find_rule(trim(name));
	if (rule == NULL || strcmp(rule->name, "config") == 0)
		return line_error("names no option", number, path);
	return set_option(options, rule, rule->kind == OPTION_TEXT ? copy_string(trim(equals + 1)) : trim(equals + 1));
}

/* Set every option that the configuration file names */
static ExitStatus
read_file(Options *options, const char *path)
{
	FILE	   *file = fopen(path, "r");
	char	   *line = NULL;
	size_t		space = 0;
	int			number = 0;
	ExitStatus	status = STATUS_RUNNING;

	if (file == NULL)
		return usage_error("could not read the configuration file", path);
	while (status == STATUS_RUNNING && getline(&line, &space, file) > 0)
		status = read_line(options, line, ++number, path);
	if (status == STATUS_RUNNING && ferror(file))
		status = usage_error("could not read the configuration file", path);
	free(line);
	fclose(file);
	return status;
}

/* What is wrong with an argument; behind its name could be a secret */
static ExitStatus
argument_error(int found, char **argv)
{
	char		letter[] = {'-', (char) optopt, '\0'};
	bool		is_long = optopt == 0 || optopt >= LONG_ONLY;
	char	   *name = copy_string(is_long ? argv[optind - 1] : letter);
	ExitStatus	status;

	name[strcspn(name, "=")] = '\0';
	status = usage_error(found == ':' ? "option needs a value" : "unknown option, or one that takes no value", name);
	free(name);
	return status;
}

/* Set every option that the command line names */
static ExitStatus
read_command_line(Options *options, int argc, char **argv)
{
	struct option longs[RULE_COUNT + 1] = {0};
	char		letters[2 * RULE_COUNT + 2] = ":";
	size_t		used = 1;
	int			found;
	ExitStatus	status = STATUS_RUNNING;

	for (size_t i = 0; i < RULE_COUNT; i++)
	{
		longs[i].name = rules[i].name;
		longs[i].has_arg = rules[i].kind == OPTION_FLAG ? no_argument : required_argument;
		longs[i].val = LONG_ONLY + (int) i;
		if (rules[i].letter)
			letters[used++] = rules[i].letter;
		if (rules[i].letter && rules[i].kind != OPTION_FLAG)
			letters[used++] = ':';
	}

	optind = 1;
	opterr = 0;
	while (status == STATUS_RUNNING && (found = getopt_long(argc, argv, letters, longs, NULL)) != -1)
	{
		const OptionRule *rule = found >= LONG_ONLY ? &rules[found - LONG_ONLY] : NULL;

		for (size_t i = 0; i < RULE_COUNT && rule == NULL; i++)
			if (rules[i].letter == found)
				rule = &rules[i];
		if (rule == NULL)
			return argument_error(found, argv);
		status = set_option(options, rule, optarg != NULL ? optarg : "on");
	}
	if (status == STATUS_RUNNING && optind < argc)
		return usage_error("too many command-line arguments (is a value with blanks in quotes?)", NULL);
	return status;
}

/* --help and --version end the program wherever they stand */
static bool
print_and_stop(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
	{
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-?") == 0)
		{
			print_help();
			return true;
		}
		if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0)
		{
			printf("%s %s\n", program_name, ESGF_STAC_VERSION);
			sink_list();
			return true;
		}
	}
	return false;
}

static bool
ends_with(const char *text, const char *end)
{
	size_t		length = strlen(text);

	return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

/* Is a setting of the sink's own secret, by its name? */
static bool
is_secret(const SinkOption *option)
{
	static const char *const ends[] = {"password", "secret", "-key", ".key.pem", "oauthbearer.config"};

	for (size_t j = 0; j < sizeof(ends) / sizeof(ends[0]); j++)
		if (ends_with(option->name, ends[j]))
			return true;
	return false;
}

static bool
names_secret(const SinkSettings *sink)
{
	for (int i = 0; i < sink->option_count; i++)
		if (is_secret(&sink->options[i]))
			return true;
	return false;
}

/* The password in a URL, which is USER:PASSWORD@HOST, whatever its scheme */
static void
hide_url_password(const char *url)
{
	const char *authority = strstr(url, "://");
	const char *end;
	char	   *user;
	char	   *password;

	if (authority == NULL)
		return;
	user = copy_string(authority + 3);
	end = strrchr(user, '@');
	password = strchr(user, ':');
	if (end != NULL && password != NULL && password < end)
	{
		user[end - user] = '\0';
		log_secret(password + 1);
	}
	free(user);
}

/* Have no message show a secret of these options */
static void
hide_secrets(const Options *options)
{
	const char *sink = options->sink.name;

	for (int i = 0; i < options->sink.option_count; i++)
		if (is_secret(&options->sink.options[i]))
			log_secret(options->sink.options[i].value);
	if (options->dbname != NULL)
		conninfo_hide_passwords(options->dbname);
	if (sink != NULL)
	{
		char	   *conninfo = copy_string(strchr(sink, ':') != NULL ? strchr(sink, ':') + 1 : sink);

		hide_url_password(sink);
		if (strrchr(conninfo, '#') != NULL)
			*strrchr(conninfo, '#') = '\0';
		conninfo_hide_passwords(conninfo);
		free(conninfo);
	}
}

/* Warn if everybody of the machine may read secrets in the configuration file */
static void
check_file_mode(const char *path)
{
	struct stat status;

	if (stat(path, &status) == 0 && (status.st_mode & S_IRWXO) != 0 && log_has_secrets())
		log_line(LOG_WARNING, "every user can read the secrets in the configuration file \"%s\"", path);
}

/* No password may stand where every user of the machine can read it */
static ExitStatus
check_passwords(const Options *given)
{
	const char *target;
	const SinkKind *kind = given->sink.name != NULL ? sink_find(given->sink.name, &target) : NULL;

	if ((given->dbname != NULL && conninfo_names_password(given->dbname)) || names_secret(&given->sink) ||
		(kind != NULL && kind->names_password != NULL && kind->names_password(target)))
		return usage_error("a password on the command line is visible to everyone",
						   "give it in the environment, a password file or the configuration file");
	return STATUS_RUNNING;
}

/* A name that create_stream() would refuse cannot be a stream */
static bool
valid_stream(const char *name)
{
	size_t		length = strlen(name);

	return length >= 1 && length <= 50 &&
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length;
}

/* Behind the scheme could be a secret; without a scheme it is one, or none */
static ExitStatus
no_such_sink(const char *name)
{
	char	   *scheme = copy_string(name);
	ExitStatus	status;

	scheme[strcspn(scheme, ":")] = '\0';
	status = usage_error("no such sink, --version lists those built in", strchr(name, ':') != NULL ? scheme : NULL);
	free(scheme);
	return status;
}

/* Is that a sink, does it take what is said of it, could it be opened? */
static ExitStatus
check_sink(Options *options)
{
	SinkSettings *sink = &options->sink;
	const SinkKind *kind = sink_find(sink->name, &sink->target);
	Buffer		problem = {0};

	if (kind == NULL)
		return no_such_sink(sink->name);
	if (sink->format != FORMAT_EVENT && !kind->takes_format)
		return usage_error("the sink takes no --format", kind->scheme);
	if (sink->format == FORMAT_ESGF && sink->tombstones)
		return usage_error("--tombstones does not go with --format", "esgf");
	if (sink->document_id != NULL && !kind->takes_document_id)
		return usage_error("the sink takes no --document-id", kind->scheme);
	if (sink->tombstones && !kind->takes_tombstones)
		return usage_error("the sink takes no --tombstones", kind->scheme);
	if (sink->option_count > 0 && !kind->takes_options)
		return usage_error("the sink takes no --sink-option", kind->scheme);
	if (kind->check != NULL && !kind->check(sink, &problem))
	{
		usage_error(problem.data, kind->syntax);
		buffer_free(&problem);
		return STATUS_USAGE;
	}
	options->sink_kind = kind;
	return STATUS_RUNNING;
}

static ExitStatus
check_options(Options *options)
{
	ExitStatus	status = STATUS_RUNNING;

	if (options->stream == NULL)
		return usage_error("no stream specified", "use --stream");
	if (!valid_stream(options->stream))
		return usage_error("no name for a stream", options->stream);
	if (options->if_not_exists && !options->create)
		return usage_error("--if-not-exists goes with --create", NULL);
	if (options->snapshot && options->from_beginning)
		return usage_error("--snapshot and --from-beginning exclude each other", NULL);
	if (options->sink.name == NULL && !options->create)
		return usage_error("no sink specified", "use --sink");
	if (options->sink.name == NULL && (options->snapshot || options->from_beginning))
		return usage_error("--snapshot and --from-beginning need a --sink", NULL);
	if (options->sink.name != NULL)
		status = check_sink(options);
	if (status != STATUS_RUNNING)
		return status;
	if (options->dbname != NULL && !conninfo_valid(options->dbname))
		return usage_error("invalid connection string for option --dbname", NULL);
	snprintf(options->slot, sizeof(options->slot), "esgf_stac_%s", options->stream);
	return STATUS_RUNNING;
}

/* Read all options, from everywhere */
static ExitStatus
read_all(Options *options)
{
	Options		given = {0};
	const char *config;
	ExitStatus	status;

	memset(options, 0, sizeof(*options));
	options->batch = 500;
	options->max_attempts = 10;
	options->status_interval = 10;

	status = read_command_line(&given, argument_count, arguments);
	hide_secrets(&given);
	if (status == STATUS_RUNNING)
		status = check_passwords(&given);
	config = given.config != NULL ? given.config : getenv(ENVIRONMENT_PREFIX "CONFIG");
	if (status == STATUS_RUNNING && config != NULL && *config != '\0')
	{
		status = read_file(options, config);
		hide_secrets(options);
		check_file_mode(config);
	}
	if (status == STATUS_RUNNING)
		status = read_environment(options);
	if (status == STATUS_RUNNING)
		status = read_command_line(options, argument_count, arguments);
	hide_secrets(options);
	if (status == STATUS_RUNNING)
		status = check_options(options);
	return status;
}

/* Read all options; STATUS_RUNNING if there is something to do */
ExitStatus
options_read(Options *options, int argc, char **argv)
{
	ExitStatus	status;

	argument_count = argc;
	arguments = argv;
	if (print_and_stop(argc, argv))
		return STATUS_STOPPED;
	status = read_all(options);
	last_read = *options;
	running = true;
	return status;
}

static bool
same_text(const char *one, const char *other)
{
	return one == NULL || other == NULL ? one == other : strcmp(one, other) == 0;
}

static bool
same_sink_options(const SinkSettings *one, const SinkSettings *other)
{
	bool		same = one->option_count == other->option_count;

	for (int i = 0; same && i < one->option_count; i++)
		same = same_text(one->options[i].name, other->options[i].name) &&
			same_text(one->options[i].value, other->options[i].value);
	return same;
}

static bool
same_value(const OptionRule *rule, const Options *one, const Options *other)
{
	const char *fields[] = {(const char *) one + rule->field, (const char *) other + rule->field};

	switch (rule->kind)
	{
		case OPTION_TEXT:
			return same_text(*(const char *const *) fields[0], *(const char *const *) fields[1]);
		case OPTION_FLAG:
			return *(const bool *) fields[0] == *(const bool *) fields[1];
		case OPTION_NUMBER:
		case OPTION_LSN:
			return *(const int64_t *) fields[0] == *(const int64_t *) fields[1];
		case OPTION_FORMAT:
			return *(const Format *) fields[0] == *(const Format *) fields[1];
		case OPTION_PAIR:
			return same_sink_options(&one->sink, &other->sink);
	}
	return true;
}

/* Take the value of an option that may change */
static void
take_value(const OptionRule *rule, Options *options, const Options *fresh)
{
	char	   *to = (char *) options + rule->field;
	const char *from = (const char *) fresh + rule->field;

	if (rule->kind == OPTION_TEXT)
		*(const char **) to = *(const char *const *) from;
	else if (rule->kind == OPTION_FLAG)
		*(bool *) to = *(const bool *) from;
	else if (rule->kind == OPTION_NUMBER)
		*(int64_t *) to = *(const int64_t *) from;
	else if (rule->kind == OPTION_PAIR)
	{
		options->sink.options = fresh->sink.options;
		options->sink.option_count = fresh->sink.option_count;
	}
}

/* Read the options again, and take what may change; if one is wrong, none */
void
options_reload(Options *options)
{
	Options		fresh;

	if (read_all(&fresh) != STATUS_RUNNING)
	{
		log_line(LOG_ERROR, "configuration: nothing of it is taken");
		return;
	}
	for (size_t i = 0; i < RULE_COUNT; i++)
	{
		const OptionRule *rule = &rules[i];

		if (same_value(rule, &last_read, &fresh))
			continue;
		if (rule->may_change)
			take_value(rule, options, &fresh);
		log_line(rule->may_change ? LOG_NOTE : LOG_WARNING, rule->may_change ? "configuration: --%s has changed" :
				 "configuration: --%s cannot change before the relay is started again", rule->name);
	}
	last_read = fresh;
}

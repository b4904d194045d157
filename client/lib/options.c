/*
 * options.c
 *		Reads the options. A table tells all of them; each has three places where
 *		it may be given, of which the first wins: --status-interval on the command
 *		line, PREFIX_STATUS_INTERVAL in the environment, "status-interval = 10" in
 *		the file that --config names.
 */
#include "lib/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/database.h"
#include "lib/log.h"
#include "lib/program.h"

/* What getopt_long returns for an option without a letter. */
#define LONG_ONLY 256

/* What was read last; to read it again the command line is kept. */
static void *last_read;
static int	argument_count;
static char **arguments;
static bool running = false;

/* What is wrong with the options of a program that begins: told when all are read. */
static char **faults;
static int	fault_count;

static bool
same_text(const char *one, const char *other)
{
	return one == NULL || other == NULL ? one == other : strcmp(one, other) == 0;
}

/* Say what is wrong with the options; false */
bool
usage_error(const char *message, const char *detail)
{
	Buffer		text = {0};
	bool		known = false;

	buffer_printf(&text, "%s%s%s", message, detail != NULL ? ": " : "", detail != NULL ? detail : "");
	for (int i = 0; i < fault_count; i++)
		known = known || same_text(faults[i], text.data);	/* the command line is
															 * read twice */
	if (running)
		log_line(LOG_ERROR, "configuration: %s", text.data);
	else if (!known)
	{
		faults = reallocate(faults, (size_t) (fault_count + 1) * sizeof(char *));
		faults[fault_count++] = copy_string(text.data);
	}
	buffer_free(&text);
	return false;
}

/* Tell a person, or what reads the log, all that is wrong */
static void
tell_faults(void)
{
	for (int i = 0; i < fault_count; i++)
	{
		Buffer		text = {0};

		if (log_format() == LOG_JSON)
		{
			log_line(LOG_ERROR, "configuration: %s", faults[i]);
			continue;
		}
		log_text(&text, faults[i], "");
		fprintf(stderr, "%s: error: %s\n", program_name, text.data);
		buffer_free(&text);
	}
	if (log_format() != LOG_JSON)
		fprintf(stderr, "%s: hint: Try \"%s --help\" for more information.\n", program_name, program_name);
}

/* Is a value scheme:target, of that scheme? Where its target begins */
bool
scheme_is(const char *name, const char *scheme, const char **target)
{
	size_t		length = strlen(scheme);

	if (strncmp(name, scheme, length) != 0 || name[length] != ':' || name[length + 1] == '\0')
		return false;
	*target = name + length + 1;
	return true;
}

/* No scheme is that of the value. Behind one could be a secret; without one it is one, or none. False */
bool
scheme_error(const char *message, const char *name)
{
	char	   *scheme = copy_string(name);

	scheme[strcspn(scheme, ":")] = '\0';
	usage_error(message, strchr(name, ':') != NULL ? scheme : NULL);
	free(scheme);
	return false;
}

/* What was given may stand in the list of processes; false */
bool
password_error(void)
{
	return usage_error("a password on the command line is visible to everyone",
					   "give it in the environment, a password file or the configuration file");
}

static bool
parse_log_format(void *field, const char *value)
{
	LogFormat  *format = field;

	*format = strcmp(value, "json") == 0 ? LOG_JSON : LOG_LOGFMT;
	return *format == LOG_JSON || strcmp(value, "logfmt") == 0;
}

static bool
same_log_format(const void *one, const void *other)
{
	return *(const LogFormat *) one == *(const LogFormat *) other;
}

const OptionType log_format_type = {.size = sizeof(LogFormat),.parse = parse_log_format,.same = same_log_format};

static void
print_help(const OptionTable *table)
{
	printf("%s\nOptions:\n", table->about);
	for (size_t i = 0; i < table->rule_count; i++)
	{
		const OptionRule *rule = &table->rules[i];
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
	table->print_more_help();
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
	long long	parsed;

	errno = 0;
	parsed = strtoll(value, &end, 10);
	if (errno != 0 || !isdigit((unsigned char) *value) || *end != '\0' || parsed < rule->least || parsed > rule->most)
		return false;
	*number = parsed;
	return true;
}

/* A position of the WAL; there is none before the first */
static bool
parse_position(const char *value, uint64_t *position)
{
	return strspn(value, "0123456789abcdefABCDEF/") == strlen(value) && lsn_parse(value, position) && *position != 0;
}

/* Say what is wrong with a value, but not one that may be a secret; false */
static bool
value_error(const OptionRule *rule, const char *value)
{
	Buffer		message = {0};
	bool		hidden = rule->type != NULL && rule->type->secret;

	if (*value == '\0')
		buffer_printf(&message, "option --%s is empty", rule->name);
	else
		buffer_printf(&message, "invalid value for option --%s", rule->name);
	if (rule->kind == OPTION_NUMBER)
		buffer_printf(&message, " (a number from %d to %d)", (int) rule->least, (int) rule->most);
	if (hidden)
		buffer_printf(&message, " (it is %s)", rule->argument);
	usage_error(message.data, hidden || *value == '\0' ? NULL : value);
	buffer_free(&message);
	return false;
}

/* Set one option to a value that is given as text, and that stays */
static bool
set_option(void *options, const OptionRule *rule, const char *value)
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
		case OPTION_OTHER:
			good = good && rule->type->parse(field, value);
			break;
	}
	return good || value_error(rule, value);
}

/* Set every option that the environment names */
static bool
read_environment(const OptionTable *table, void *options)
{
	bool		good = true;

	for (size_t i = 0; i < table->rule_count; i++)
	{
		Buffer		name = {0};
		const char *value;

		buffer_text(&name, table->prefix);
		for (const char *letter = table->rules[i].name; *letter != '\0'; letter++)
		{
			char		upper = *letter == '-' ? '_' : (char) toupper((unsigned char) *letter);

			buffer_append(&name, &upper, 1);
		}
		value = getenv(name.data);
		if (value != NULL && *value != '\0')	/* how an environment leaves
												 * out */
			good = set_option(options, &table->rules[i], value) && good;
		buffer_free(&name);
	}
	return good;
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
find_rule(const OptionTable *table, const char *name)
{
	for (size_t i = 0; i < table->rule_count; i++)
		if (strcmp(table->rules[i].name, name) == 0)
			return &table->rules[i];
	return NULL;
}

/* What is wrong with a line of the configuration file, which may hold a secret; false */
static bool
line_error(const char *message, int number, const char *path)
{
	Buffer		text = {0};

	buffer_printf(&text, "line %d of the configuration file %s", number, message);
	usage_error(text.data, path);
	buffer_free(&text);
	return false;
}

/* Set what a line of the configuration file says */
static bool
read_line(const OptionTable *table, void *options, char *line, int number, const char *path)
{
	static const char mark[] = "\xef\xbb\xbf";	/* some editors begin a file
												 * so */
	bool		marked = number == 1 && strncmp(line, mark, strlen(mark)) == 0;
	char	   *name = trim(marked ? line + strlen(mark) : line);
	char	   *equals = strchr(name, '=');
	const OptionRule *rule;

	if (*name == '\0' || *name == '#')
		return true;
	if (equals == NULL)
		return line_error("is not \"name = value\"", number, path);
	*equals = '\0';
	rule = find_rule(table, trim(name));
	if (rule == NULL || strcmp(rule->name, "config") == 0)
		return line_error("names no option", number, path);
	return set_option(options, rule, rule->kind == OPTION_TEXT ? copy_string(trim(equals + 1)) : trim(equals + 1));
}

/* Set every option that the configuration file names */
static bool
read_file(const OptionTable *table, void *options, const char *path)
{
	FILE	   *file = fopen(path, "r");
	char	   *line = NULL;
	size_t		space = 0;
	int			number = 0;
	bool		good = true;

	if (file == NULL)
		return usage_error("could not read the configuration file", path);
	while (getline(&line, &space, file) > 0)
		good = read_line(table, options, line, ++number, path) && good;
	if (ferror(file))
		good = usage_error("could not read the configuration file", path);
	free(line);
	fclose(file);
	return good;
}

/* What is wrong with an argument; behind its name could be a secret */
static bool
argument_error(int found, char **argv)
{
	char		letter[] = {'-', (char) optopt, '\0'};
	bool		is_long = optopt == 0 || optopt >= LONG_ONLY;
	char	   *name = copy_string(is_long ? argv[optind - 1] : letter);

	name[strcspn(name, "=")] = '\0';
	usage_error(found == ':' ? "option needs a value" : "unknown option, or one that takes no value", name);
	free(name);
	return false;
}

/* Set every option that the command line names */
static bool
read_command_line(const OptionTable *table, void *options)
{
	struct option *longs = allocate((table->rule_count + 1) * sizeof(struct option));
	Buffer		letters = {0};
	int			found;
	bool		good = true;

	buffer_text(&letters, ":");
	for (size_t i = 0; i < table->rule_count; i++)
	{
		const OptionRule *rule = &table->rules[i];
		bool		is_flag = rule->kind == OPTION_FLAG;

		longs[i].name = rule->name;
		longs[i].has_arg = is_flag ? no_argument : required_argument;
		longs[i].val = LONG_ONLY + (int) i;
		if (rule->letter)
			buffer_printf(&letters, is_flag ? "%c" : "%c:", rule->letter);
	}

	optind = 1;
	opterr = 0;
	while ((found = getopt_long(argument_count, arguments, letters.data, longs, NULL)) != -1)
	{
		const OptionRule *rule = found >= LONG_ONLY ? &table->rules[found - LONG_ONLY] : NULL;

		for (size_t i = 0; i < table->rule_count && rule == NULL; i++)
			if (table->rules[i].letter == found)
				rule = &table->rules[i];
		good = (rule != NULL ? set_option(options, rule, optarg != NULL ? optarg : "on") : argument_error(found, arguments)) && good;
	}
	free(longs);
	buffer_free(&letters);
	if (good && optind < argument_count)
		return usage_error("too many command-line arguments (is a value with blanks in quotes?)", NULL);
	return good;
}

/* --help and --version end the program wherever they stand */
static bool
print_and_stop(const OptionTable *table)
{
	for (int i = 1; i < argument_count; i++)
	{
		if (strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-?") == 0)
		{
			print_help(table);
			return true;
		}
		if (strcmp(arguments[i], "--version") == 0 || strcmp(arguments[i], "-V") == 0)
		{
			printf("%s %s\n", program_name, ESGF_STAC_VERSION);
			table->print_more_version();
			return true;
		}
	}
	return false;
}

/* Warn if everybody of the machine may read secrets in the configuration file */
static void
check_file_mode(const char *path)
{
	struct stat status;

	if (stat(path, &status) == 0 && (status.st_mode & S_IRWXO) != 0 && log_has_secrets())
		log_line(LOG_WARNING, "every user can read the secrets in the configuration file \"%s\"", path);
}

/* The configuration file that the command line names, or else the environment; NULL: none */
static const char *
config_file(const OptionTable *table, const void *given)
{
	const char *path = *(const char *const *) ((const char *) given + find_rule(table, "config")->field);

	if (path == NULL)
	{
		Buffer		name = {0};

		buffer_printf(&name, "%sCONFIG", table->prefix);
		path = getenv(name.data);
		buffer_free(&name);
	}
	return path != NULL && *path != '\0' ? path : NULL;
}

static LogFormat
format_of(const OptionTable *table, const void *options)
{
	return *(const LogFormat *) ((const char *) options + find_rule(table, "log-format")->field);
}

/* Read all options, from everywhere: what is wrong with one keeps no other from being read */
static bool
read_all(const OptionTable *table, void *options)
{
	void	   *given = allocate(table->size);
	bool		good = read_command_line(table, given);
	const char *config = config_file(table, given);

	memset(options, 0, table->size);
	table->set_defaults(options);
	table->hide_secrets(given);
	good = table->check_command_line(given) && good;
	free(given);
	if (config != NULL)
		good = read_file(table, options, config) && good;
	good = read_environment(table, options) && good;
	good = read_command_line(table, options) && good;
	table->hide_secrets(options);
	if (!running)
		log_in_format(format_of(table, options));
	if (config != NULL)
		check_file_mode(config);

	/* What was not understood may be what another option lacks. */
	if (good || *(const bool *) ((const char *) options + find_rule(table, "check")->field))
		good = table->check(options) && good;
	return good;
}

/* Read all options of a program that begins */
OptionsOutcome
options_read(const OptionTable *table, void *options, int argc, char **argv)
{
	bool		good;

	argument_count = argc;
	arguments = argv;
	if (print_and_stop(table))
		return OPTIONS_ANSWERED;
	good = read_all(table, options);
	last_read = allocate(table->size);
	memcpy(last_read, options, table->size);
	running = true;
	if (!good)
		tell_faults();
	return good ? OPTIONS_GOOD : OPTIONS_WRONG;
}

static bool
same_value(const OptionRule *rule, const void *one, const void *other)
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
		case OPTION_OTHER:
			return rule->type->same(fields[0], fields[1]);
	}
	return true;
}

static void
take_value(const OptionRule *rule, void *options, const void *fresh)
{
	static const size_t sizes[] = {
		[OPTION_TEXT] = sizeof(char *),
		[OPTION_FLAG] = sizeof(bool),
		[OPTION_NUMBER] = sizeof(int64_t),
		[OPTION_LSN] = sizeof(uint64_t),
	};

	memcpy((char *) options + rule->field, (const char *) fresh + rule->field,
		   rule->kind == OPTION_OTHER ? rule->type->size : sizes[rule->kind]);
}

/* Read the options again, and take what may change; if one is wrong, none */
void
options_reload(const OptionTable *table, void *options)
{
	void	   *fresh = allocate(table->size);

	log_anew();
	if (!read_all(table, fresh))
	{
		log_line(LOG_ERROR, "configuration: nothing of it is taken");
		free(fresh);
		return;
	}
	for (size_t i = 0; i < table->rule_count; i++)
	{
		const OptionRule *rule = &table->rules[i];

		if (same_value(rule, last_read, fresh))
			continue;
		if (rule->may_change)
		{
			take_value(rule, options, fresh);
			log_line(LOG_NOTE, "configuration: --%s has changed", rule->name);
		}
		else
			log_line(LOG_WARNING, "configuration: --%s cannot change before the %s is started again", rule->name, program_noun);
	}
	free(last_read);
	last_read = fresh;
	log_in_format(format_of(table, options));
}

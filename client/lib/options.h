/*
 * options.h
 *		What the operator wants: from the command line, else the environment,
 *		else the configuration file, which may be read again while the program
 *		runs. A program fills an OptionTable that tells all of its options.
 */
#ifndef LIB_OPTIONS_H
#define LIB_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum OptionKind
{
	OPTION_TEXT,
	OPTION_FLAG,
	OPTION_NUMBER,
	OPTION_LSN,
	OPTION_OTHER,				/* as its type says */
} OptionKind;

/* How a program reads an option of its own kind. */
typedef struct OptionType
{
	size_t		size;			/* of the field */
	bool		(*parse) (void *field, const char *value);
	bool		(*same) (const void *one, const void *other);
	bool		secret;			/* a wrong value is not shown */
} OptionType;

typedef struct OptionRule
{
	const char *name;
	char		letter;			/* 0: none */
	OptionKind	kind;
	size_t		field;			/* in the program's struct */
	bool		may_change;		/* while the program runs */
	int64_t		least;			/* of a number */
	int64_t		most;
	const char *argument;
	const char *help;
	const OptionType *type;
} OptionRule;

extern const OptionType log_format_type;

/* The rules of what means the same in every program, which says where its fields are. */
#define RULE_DBNAME(field) \
	{"dbname", 'd', OPTION_TEXT, field, true, 0, 0, "CONNSTR", "database name or connection string, without a password", NULL}
#define RULE_METRICS_FILE(field) \
	{"metrics-file", 0, OPTION_TEXT, field, true, 0, 0, "FILE", "write metrics there, in Prometheus' text format", NULL}
#define RULE_LISTEN(field) \
	{"listen", 0, OPTION_TEXT, field, false, 0, 0, "[HOST:]PORT", "answer /, /metrics, /healthz and /readyz there by HTTP (default host: 127.0.0.1)", NULL}
#define RULE_READY_LAG(field) \
	{"ready-lag", 0, OPTION_NUMBER, field, true, 1, 31536000, "SECONDS", "with --listen: not ready while the lag is longer", NULL}
#define RULE_NO_LOOP(field) \
	{"no-loop", 'n', OPTION_FLAG, field, false, 0, 0, NULL, "end instead of trying again when a connection is lost", NULL}
#define RULE_SERVER_TIMEOUT(field) \
	{"server-timeout", 0, OPTION_NUMBER, field, true, 1, 86400, "SECONDS", "leave a server that says nothing for so long (default: 60)", NULL}
#define SERVER_TIMEOUT 60
#define RULE_CONFIG(field) \
	{"config", 0, OPTION_TEXT, field, false, 0, 0, "FILE", "read options from a file of lines \"name = value\"", NULL}
#define RULE_LOG_FORMAT(field) \
	{"log-format", 0, OPTION_OTHER, field, true, 0, 0, "FORMAT", "how the log is written: logfmt (default) or json", &log_format_type}
#define RULE_CHECK(field) \
	{"check", 0, OPTION_FLAG, field, false, 0, 0, NULL, "try what a run needs, tell all that is wrong, and end", NULL}
#define RULE_VERBOSE(field) \
	{"verbose", 'v', OPTION_FLAG, field, true, 0, 0, NULL, "log more", NULL}

typedef struct OptionTable
{
	const OptionRule *rules;	/* some are called "config", "log-format" and
								 * "check" */
	size_t		rule_count;
	size_t		size;			/* of the program's struct */
	const char *prefix;			/* of a variable in the environment */

	/* --help says before and behind the list, and --version adds. */
	const char *about;
	void		(*print_more_help) (void);
	void		(*print_more_version) (void);

	void		(*set_defaults) (void *options);

	/* May that stand where every user of the machine can read it? */
	bool		(*check_command_line) (const void *given);

	/* Have no message show a secret of these. */
	void		(*hide_secrets) (const void *options);

	/* Do they make sense together? */
	bool		(*check) (void *options);
} OptionTable;

typedef enum OptionsOutcome
{
	OPTIONS_GOOD,
	OPTIONS_ANSWERED,			/* help or the version was asked for */
	OPTIONS_WRONG,				/* all that is wrong was told */
} OptionsOutcome;

extern OptionsOutcome options_read(const OptionTable *table, void *options, int argc, char **argv);
extern void options_reload(const OptionTable *table, void *options);
extern bool scheme_is(const char *name, const char *scheme, const char **target);
extern bool scheme_error(const char *message, const char *name);
extern bool password_error(void);
extern bool usage_error(const char *message, const char *detail);

#endif							/* LIB_OPTIONS_H */

# esgf_stac: the server's side. The programs stand in client/relay/ and client/ingest/
# with makefiles of their own, because PGXS cannot build a module and a program in one.
#
#   make            the extension; needs the server's headers alone
#   make relay      esgf_stac_relay; needs libpq
#   make ingest     esgf_stac_ingest; needs libpq
#   make installcheck   pgTAP, isolation and TAP tests against what is installed
#   make dist       the zip for PGXN, of the commit

EXTENSION = esgf_stac
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" esgf_stac.control)

MODULE_big = esgf_stac
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*/*.c)))
PARTS = $(sort $(wildcard sql/install/*.sql)) catalogue.sql
EXTRA_CLEAN = catalogue.sql
DATA_built = esgf_stac--$(EXTVERSION).sql $(patsubst sql/upgrade/%,esgf_stac--%,$(wildcard sql/upgrade/*.sql))

PG_CPPFLAGS = -Isrc -DESGF_STAC_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers -fvisibility=hidden

REGRESS = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --outputdir=. --dbname=esgf_stac_regress --encoding=UTF8
ISOLATION = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=. --dbname=esgf_stac_isolation

# The programs: built by "make relay" and "make ingest", installed where they were built.
PROGRAMS = relay ingest
BUILT = $(foreach program,$(PROGRAMS),$(if $(wildcard client/$(program)/esgf_stac_$(program)),$(program)))

# TAP tests run them.
ifeq ($(BUILT),$(PROGRAMS))
TAP_TESTS = 1
endif
PROVE_TESTS = test/t/*.pl

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Every object depends on every header: there are few, and a stale one lies.
$(OBJS): $(wildcard src/*/*.h) esgf_stac.control

esgf_stac--$(EXTVERSION).sql: $(PARTS) esgf_stac.control
	cat $(filter %.sql,$^) > $@

# The DDL of a catalogue, as functions that create_catalogue() and upgrade_catalogue() call.
catalogue.sql: sql/catalogue/functions.awk $(sort $(wildcard sql/catalogue/*.sql sql/catalogue/steps/*.sql))
	awk -f $^ > $@

# An update does what its file says, and then makes every function anew.
esgf_stac--%--$(EXTVERSION).sql: sql/upgrade/%--$(EXTVERSION).sql $(PARTS)
	{ cat $< && sed -e '/^CREATE TYPE/,/^);/d' -e 's/^CREATE FUNCTION/CREATE OR REPLACE FUNCTION/' $(filter-out %/00_schemas.sql %/02_new_roles.sql,$(PARTS)); } > $@

.PHONY: $(PROGRAMS) dist tell-what-is-skipped
dist:
	git archive --format=zip --prefix=$(EXTENSION)-$(EXTVERSION)/ --output=$(EXTENSION)-$(EXTVERSION).zip HEAD
installcheck: $(if $(TAP_TESTS),,tell-what-is-skipped)
tell-what-is-skipped:
	@echo "SKIPPED: the TAP tests, test/t: 'make relay ingest' builds the programs that they run"
$(PROGRAMS):
	$(MAKE) -C client/$@ all PG_CONFIG=$(PG_CONFIG)
install: $(addprefix install-,$(BUILT)) $(addprefix install-beside-,$(BUILT))
uninstall: $(addprefix uninstall-,$(PROGRAMS)) $(addprefix uninstall-beside-,$(PROGRAMS))
clean: $(addprefix clean-,$(PROGRAMS))

# Of both: WHAT-PROGRAM makes WHAT there.
define in_program
install-$(1) uninstall-$(1) clean-$(1):
	$$(MAKE) -C client/$(1) $$(patsubst %-$(1),%,$$@) PG_CONFIG=$$(PG_CONFIG)
endef
$(foreach program,$(PROGRAMS),$(eval $(call in_program,$(program))))

include service/install.mk

# What the makefiles of the programs share. Each is a makefile of its own, because
# PGXS cannot build a module and a program in one; it says what PROGRAM is, and which
# of these LIBRARIES its files use, and then includes this one.

EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" ../../esgf_stac.control)

OBJS = $(patsubst %.c,%.o,$(sort $(wildcard *.c */*.c))) $(patsubst ../lib/%.c,lib-%.o,$(sort $(wildcard ../lib/*.c)))

# What needs a library is built where pkg-config finds it.
FOUND := $(foreach library,$(LIBRARIES),$(shell pkg-config --exists $(library) 2>/dev/null && echo $(library)))
ifneq ($(filter rdkafka,$(FOUND)),)
FOUND_FLAGS += -DWITH_KAFKA
LINKED += rdkafka
else
OBJS := $(filter-out %kafka.o %producer.o,$(OBJS))
endif
ifeq ($(filter libcurl zlib jansson libcrypto,$(FOUND)),libcurl zlib jansson libcrypto)
FOUND_FLAGS += -DWITH_CURL
LINKED += libcurl zlib jansson libcrypto
else
OBJS := $(filter-out %http.o %requests.o %opensearch.o %opensearch_reader.o,$(OBJS))
endif
ifneq ($(filter libmicrohttpd,$(FOUND)),)
FOUND_FLAGS += -DWITH_MICROHTTPD
LINKED += libmicrohttpd
else
OBJS := $(filter-out %listener.o,$(OBJS))
endif
ifneq ($(LINKED),)
# Their headers are not ours to warn about.
FOUND_FLAGS += $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(LINKED)))
FOUND_LIBS := $(shell pkg-config --libs $(LINKED))
endif

PG_CPPFLAGS = -I. -I.. -I$(libpq_srcdir) -DESGF_STAC_VERSION='"$(EXTVERSION)"' $(FOUND_FLAGS)
PG_CFLAGS = -pthread -Wall -Wextra -Werror
PG_LIBS = -pthread $(libpq) $(FOUND_LIBS) -lm

EXTRA_CLEAN = .libraries

# Its files of dependencies have no folders: those of two http.c would be one. And
# no server compiles a program as it runs.
override autodepend = no
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# The libraries of the server are none of ours.
LIBS :=

# Each program has objects of its own of what it shares, so that both can be made at once.
lib-%.o: ../lib/%.c
	$(COMPILE.c) -o $@ $<

# Every object depends on every header and on the libraries found: there are
# few, and a stale one lies.
$(shell echo '$(LINKED)' | cmp -s - .libraries || echo '$(LINKED)' >.libraries)
$(OBJS): $(wildcard ../lib/*.h *.h */*.h) ../../esgf_stac.control .libraries

# Puts beside an installed program what a system wants to have of it: manual page, unit
# of systemd and its user, rotation of its files, completion: below system_prefix, and a
# package builder sets DESTDIR. A prefix is PGXS's, which from PostgreSQL 18 on takes the
# extension there.
#
#	make install [system_prefix=/usr] [sysconfdir=/etc] [DESTDIR=...]

system_prefix = /usr/local
sysconfdir = /etc
mandir = $(system_prefix)/share/man
unitdir = $(system_prefix)/lib/systemd/system
sysusersdir = $(system_prefix)/lib/sysusers.d
completionsdir = $(system_prefix)/share/bash-completion/completions
logrotatedir = $(sysconfdir)/logrotate.d

description_relay = Relay of an esgf_stac catalogue
description_ingest = Ingester of an esgf_stac catalogue

# Each of these has the program's name in it.
beside = $(mandir)/man1/esgf_stac_$(1).1 $(unitdir)/esgf_stac_$(1)@.service $(sysusersdir)/esgf_stac_$(1).conf \
	$(logrotatedir)/esgf_stac_$(1) $(completionsdir)/esgf_stac_$(1)

# A file for a program: $(call lay,PROGRAM,FILE,TARGET)
lay = sed -e 's|@program@|esgf_stac_$(1)|g' -e 's|@description@|$(description_$(1))|g' -e 's|@bindir@|$(bindir)|g' -e 's|@version@|$(EXTVERSION)|g' $(2) >'$(DESTDIR)$(3)' && \
	chmod 644 '$(DESTDIR)$(3)'

install-beside-%:
	$(MKDIR_P) $(foreach file,$(call beside,$*),'$(DESTDIR)$(dir $(file))') '$(DESTDIR)$(sysconfdir)/esgf_stac'
	$(call lay,$*,man/esgf_stac_$*.1,$(word 1,$(call beside,$*)))
	$(call lay,$*,service/program@.service,$(word 2,$(call beside,$*)))
	$(call lay,$*,service/program.sysusers,$(word 3,$(call beside,$*)))
	$(call lay,$*,service/program.logrotate,$(word 4,$(call beside,$*)))
	$(call lay,$*,service/completion.bash,$(word 5,$(call beside,$*)))

uninstall-beside-%:
	rm -f $(foreach file,$(call beside,$*),'$(DESTDIR)$(file)')

# shellcheck shell=bash
# lib.sh
#	What the programs of bench/ share that compare two servers, "now" from this
#	checkout and "before" from an older commit: both servers, the clock, and the
#	way to write a ratio.
#
#	lay_trees [COMMIT]			builds both; 0.1.0 unless said
#	start SERVER [SETTING=VALUE...]		starts one of them, with generator and catalogue
#	query SERVER ...			psql there
#	processor_time SERVER STATEMENTS	what they take of a backend's processor
#
# Processor time is what other work on the machine disturbs little; the load
# stands beside it all the same.
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

export PGOPTIONS='-c client_min_messages=warning'
git=(git -c "safe.directory=*" -C "$checkout")
declare -A trees=()

# The last commit of 0.1.0, or the one that a word names.
find_commit() {
	local last
	last=$("${git[@]}" log --format=%H -S"default_version = '0.1.0'" -- esgf_stac.control | head -n 1)
	"${git[@]}" rev-parse --verify --quiet "${1:-$last^}^{commit}" || die "there is no such commit here: ${1:-of 0.1.0}"
}

# Build this checkout and an older commit, and lay a tree of each.
lay_trees() {
	local commit before=$temp/before source=$temp/source
	commit=$(find_commit "${1:-}")
	install_packages demo
	say "building this checkout and $("${git[@]}" log -1 --format='%h, %s' "$commit")"
	build
	lay_tree
	cp -r "$tree" "$before"
	mkdir "$source"
	"${git[@]}" archive "$commit" | tar -C "$source" -xf -
	rm -f "$before/usr/lib/postgresql/$major"/lib/esgf_stac* "$before/usr/share/postgresql/$major"/extension/esgf_stac*
	run_quietly make -s -C "$source" "-j$(nproc)" with_llvm=no PG_CONFIG="$before/usr/lib/postgresql/$major/bin/pg_config" install ||
		die "$commit cannot be built: see above"
	trees=([now]=$tree [before]=$before)
}

# Start a server, and lay generator, catalogue and collection in it.
start() {
	local name=$1 programs=${trees[$1]}/usr/lib/postgresql/$major/bin setting
	"${as_worker[@]}" mkdir "$temp/$name.socket"
	run_quietly "${as_worker[@]}" "$programs/initdb" --no-sync -D "$temp/$name.data" -U postgres -A trust -E UTF8 --locale=C.UTF-8
	for setting in listen_addresses= "unix_socket_directories=$temp/$name.socket" wal_level=logical timezone=UTC fsync=off jit=off autovacuum=off \
		shared_buffers=1GB max_wal_size=8GB checkpoint_timeout=1h "${@:2}"; do
		echo "${setting%%=*} = '${setting#*=}'"
	done >>"$temp/$name.data/postgresql.conf"
	run_quietly "${as_worker[@]}" "$programs/pg_ctl" start -s -w -D "$temp/$name.data" -l "$temp/$name.log" || die "no server of $name: $(tail "$temp/$name.log")"
	lay_catalogue "$name"
}

lay_catalogue() { # SERVER [psql's options]
	query "$@" <"$checkout/scripts/generate_items.sql"
	query "$@" >/dev/null <<-'SQL'
		CREATE EXTENSION esgf_stac;
		SELECT esgf_stac.create_catalogue();
		SELECT esgf_stac.create_collection(generator.collection());
		CREATE FUNCTION nanoseconds() RETURNS bigint LANGUAGE sql VOLATILE RETURN split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint;
	SQL
}

query() { psql -h "$temp/$1.socket" -U postgres -d postgres -X -q -A -t -v ON_ERROR_STOP=1 "${@:2}"; }

# The milliseconds of a backend's processor that statements take, which are
# undone; what comes third is done before, and not counted.
processor_time() {
	query "$1" <<-SQL | tail -n 1
		BEGIN;
		${3:-SELECT};
		SELECT nanoseconds() AS began \gset
		\o /dev/null
		$2;
		\o
		SELECT (nanoseconds() - :began) / 1000000.0;
		ROLLBACK;
	SQL
}

# Of numbers, one a line: the one in the middle, and "MIDDLE  (LEAST to GREATEST)".
median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
spread() { sort -g | awk '{ v[NR] = $1 } END { if (NR) printf "%.2f  (%.2f to %.2f)", v[int((NR + 1) / 2)], v[1], v[NR]; else printf "-" }'; }
load() { cut -d ' ' -f 1 /proc/loadavg; }

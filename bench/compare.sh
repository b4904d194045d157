# shellcheck shell=bash
# compare.sh
#	What the programs of bench/ share that compare two servers, "now" from this
#	checkout and "before" from an older commit: both servers, the clock, and the
#	way to write a ratio.
#
#	lay_trees [COMMIT]			builds both; 0.1.0 unless said
#	start SERVER [SETTING=VALUE...]		starts one of them, with generator and catalogue
#	query SERVER ...			psql there; the database is $database, where it is set
#	processor_time SERVER STATEMENTS	what they take of a backend's processor
#	compare LABEL GOAL ...			two ways on each server, as a line of ratios
#
# Processor time is what other work on the machine disturbs little; the load
# stands beside it all the same.
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

export PGOPTIONS='-c client_min_messages=warning'
git=(git -c "safe.directory=*" -C "$checkout")
declare -A trees=()

# ---------------------------------------------------------------- arguments

# What a program takes, by its usage: see bench/items. It may define own_option for
# what it takes besides.
before='' quick='' rounds=9 servers=(before now) settings=() words=()
# shellcheck disable=SC2034 # quick is for the program
read_arguments() { # USAGE ARGUMENT...
	local usage=$1
	shift
	while [ $# -gt 0 ]; do
		case $1 in

			--quick) quick=1 rounds=3 ;;
			--before) before=${2:?which commit}; shift ;;
			--now) servers=(now) ;;
			-*) own_option "$1" || { say "usage: bench/${0##*/} $usage"; exit 2; } ;;
			[a-z]*=*) settings+=("$1") ;;
			*) words+=("$1") ;;
		esac
		shift
	done
}
own_option() { false; }

# ---------------------------------------------------------------- servers

# The last commit of 0.1.0, or the one that a word names.
find_commit() {
	local last
	last=$("${git[@]}" log --format=%H -S"default_version = '0.1.0'" -- esgf_stac.control | head -n 1)
	"${git[@]}" rev-parse --verify --quiet "${1:-$last^}^{commit}" || die "there is no such commit here: ${1:-of 0.1.0}"
}

# Build this checkout and an older commit, and lay a tree of each.
lay_trees() {
	local commit before=$temp/before source=$temp/source
	install_packages demo
	say "building this checkout"
	build
	lay_tree
	trees[now]=$tree
	[ "${servers[*]}" != now ] || return 0
	commit=$(find_commit "${1:-}")
	say "building $("${git[@]}" log -1 --format='%h, %s' "$commit")"
	cp -r "$tree" "$before"
	mkdir "$source"
	"${git[@]}" archive "$commit" | tar -C "$source" -xf -
	rm -f "$before/usr/lib/postgresql/$major"/lib/esgf_stac* "$before/usr/share/postgresql/$major"/extension/esgf_stac*
	run_quietly make -s -C "$source" "-j$(nproc)" with_llvm=no PG_CONFIG="$before/usr/lib/postgresql/$major/bin/pg_config" install ||
		die "$commit cannot be built: see above"
	trees[before]=$before
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

lay_catalogue() {
	query "$1" <"$checkout/scripts/generate_items.sql"
	query "$1" >/dev/null <<-'SQL'
		CREATE EXTENSION esgf_stac;
		SELECT esgf_stac.create_catalogue();
		SELECT esgf_stac.create_collection(generator.collection());
		CREATE FUNCTION nanoseconds() RETURNS bigint LANGUAGE sql VOLATILE RETURN split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint;
	SQL
}

query() { psql -h "$temp/$1.socket" -U postgres -d "${database:-postgres}" -X -q -A -t -v ON_ERROR_STOP=1 "${@:2}"; }

# ---------------------------------------------------------------- figures

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

# Of numbers, one a line, the one in the middle, and "MIDDLE  (LEAST to GREATEST)"; of none, "-".
median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) printf "%.0f", v[int((NR + 1) / 2)]; else printf "-" }'; }
spread() { sort -g | awk '{ v[NR] = $1 } END { if (NR) printf "%.2f  (%.2f to %.2f)", v[int((NR + 1) / 2)], v[1], v[NR]; else printf "-" }'; }
load() { cut -d ' ' -f 1 /proc/loadavg; }

wanted() {
	local word
	for word in "${words[@]}"; do
		[[ $1 != *"$word"* ]] || return 0
	done
	[ ${#words[@]} -eq 0 ]
}

# Measure ours and theirs on each server in rounds that alternate, each from the
# same state, and print a line for each clock. A measure is called with a server and
# a way, and prints lines of a clock and the microseconds of a change. The ratio is
# theirs / ours.
compare() { # LABEL GOAL STATE MEASURE OURS THEIRS
	local label=$1 goal=$2 round server way clock cost
	local -A ways=([ours]=$5 [theirs]=$6)
	wanted "$label" || return 0
	rm -f "$temp"/costs.*
	for ((round = 1; round <= rounds; round++)); do
		say "$label: round $round of $rounds, load $(load)"
		for server in "${servers[@]}"; do
			for way in theirs ours; do
				# shellcheck disable=SC2086 # a state has arguments
				set_state "$server" $3
				$4 "$server" "${ways[$way]}" >"$temp/measured"
				while read -r clock cost; do
					echo "$cost" >>"$temp/costs.$clock.$server.$way"
				done <"$temp/measured"
			done
		done
	done
	for clock in wall processor; do
		[ ! -e "$temp/costs.$clock.now.ours" ] || summarise "$label" "$goal" "$clock"
	done
}

set_state() { "$2" "$1" "${@:3}"; }

costs() { cat "$temp/costs.$1.$2.$3" 2>/dev/null || true; } # CLOCK SERVER WAY
ratios() { paste <(costs "$@" theirs) <(costs "$@" ours) | awk '{ print $1 / $2 }' | spread; }

heading() { # WHAT THEIRS
	printf '%-72s %-22s  %-22s %5s   %8s %8s %8s %5s\n' "$1" "0.1.0" now goal "us, now" "$2" 0.1.0 load
}

summarise() { # LABEL GOAL CLOCK
	printf '%-72s %-22s  %-22s %5s   %8s %8s %8s %5s\n' "$1$([ ! -e "$temp/costs.wall.now.ours" ] || echo ", $3")" \
		"$(ratios "$3" before)" "$(ratios "$3" now)" "$2" "$(costs "$3" now ours | median)" "$(costs "$3" now theirs | median)" "$(costs "$3" before ours | median)" "$(load)"
}

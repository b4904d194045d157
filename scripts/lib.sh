# shellcheck shell=bash
# lib.sh
#	What scripts/demo, scripts/test and the programs of bench/ share: the
#	packages, the build, and a private server that leaves nothing behind.
#
#	checkout	where this repository stands: built in place, otherwise untouched
#	temp		everything of one run; gone at its end, with whatever runs from it
#	tree		in temp: the server's installation, with our files added to it
#	worker		who runs servers and tests: postgres when root calls, else the caller
#
# A program sources this file and then calls, in this order,
#	install_packages LIST..., build, lay_tree, start_server [SETTING=VALUE...]
# Messages go to standard error, results to standard output.

set -euo pipefail
export LANG=C.UTF-8 LC_ALL=C.UTF-8 PATH="$PATH:/usr/sbin:/sbin"
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
tree='' bin='' job='' keep='' cluster_snippet=''
major=${PG_MAJOR:-}

ulimit -S -c 0
# A PGHOST or PGOPTIONS of the caller's belongs to another server; and his Python may
# write at once what that of a reader of our pages does not.
for name in "${!PG@}" "${!MAKE@}" PERL5LIB PYTHONUNBUFFERED TESTDIR; do
	unset "$name"
done

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }
become() { setpriv --reuid "$1" --regid "$(id -g "$1")" --init-groups -- "${@:2}"; }
is_root() { [ "$EUID" -eq 0 ]; }

# ---------------------------------------------------------------- clean end

# Send a signal to each process whose program lies in temp and ends in the
# given name; true if there was one. Of Java and Python the working folder counts.
signal_processes() {
	local process exe found=1
	for process in /proc/[0-9]*; do
		exe=$(readlink "$process/exe" 2>/dev/null)
		[[ $exe != */bin/java && $exe != */bin/python3* ]] || exe=$(readlink "$process/cwd" 2>/dev/null)/${exe##*/}
		if [[ $exe == "$temp"/*"${2:-}" ]]; then
			kill "-$1" "${process#/proc/}" 2>/dev/null && found=0
		fi
	done
	return $found
}

# Stop all that runs from temp, servers by immediate shutdown, and remove it.
remove_temp() {
	local i file shared_memory
	# Interrupted, initdb would remove the file that names its shared memory.
	signal_processes KILL /initdb
	signal_processes KILL /java
	[ -z "$job" ] || kill -TERM -- "-$job" 2>/dev/null
	for i in {1..50}; do
		signal_processes QUIT || break
		[ "$i" -lt 50 ] || signal_processes KILL
		sleep 0.1
	done
	find "$temp" -name postmaster.pid | while IFS= read -r file; do
		read -r _ shared_memory < <(sed -n 7p "$file") && ipcrm -m "$shared_memory" 2>/dev/null
	done
	cd /
	rm -rf "$temp"
}

cleanup() {
	local status=$?
	set +e
	trap '' INT TERM HUP
	trap - EXIT
	[ -z "$cluster_snippet" ] || allow_clusters
	[ -n "$keep" ] || remove_temp
	exit "$status"
}
temp=$(mktemp -d -t esgf_stac.XXXXXX)
trap cleanup EXIT
for name in HUP INT TERM; do
	# shellcheck disable=SC2064 # the name of now
	trap "say; say 'stopped by SIG$name: clearing up'; exit $((128 + $(kill -l $name)))" "$name"
done

# Run a long command in a process group of its own, so that a signal to us is
# obeyed at once and ends the whole group.
run() {
	local status=0
	set -m
	"$@" </dev/null &
	job=$!
	set +m
	wait "$job" || status=$?
	job=''
	return "$status"
}

# Run a command whose output matters only if it fails.
run_quietly() {
	local status=0
	run "$@" >"$temp/log" 2>&1 || status=$?
	[ "$status" -eq 0 ] || cat "$temp/log" >&2
	return "$status"
}

# ---------------------------------------------------------------- packages

as_root() {
	if is_root; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "this needs root, and there is no sudo: $*"
	fi
}

# The newest server here that we support, else the one that the system offers.
find_major() {
	local installed
	for installed in 18 17 16 15; do
		[ -n "$major" ] || [ ! -x "/usr/lib/postgresql/$installed/bin/postgres" ] || major=$installed
	done
	[ -n "$major" ] || major=$(offered_major)
	if [ -z "$major" ]; then
		update_package_lists
		major=$(offered_major)
	fi
	case $major in
		15 | 16 | 17 | 18) ;;
		'') die "apt knows no package postgresql; set PG_MAJOR to an installed version, 15 to 18" ;;
		*) die "PostgreSQL $major is not supported; set PG_MAJOR to one of 15 to 18 that apt can install" ;;
	esac
	pg_config=/usr/lib/postgresql/$major/bin/pg_config
}

offered_major() {
	apt-cache depends postgresql 2>/dev/null | sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1
}

package_lists_are_fresh=''
update_package_lists() {
	[ -z "$package_lists_are_fresh" ] || return 0
	say "apt-get update"
	as_root apt-get -qq update || die "apt-get update failed: see above"
	package_lists_are_fresh=1
}

# What scripts/demo needs beside the base system, and what scripts/test adds.
demo_packages() { echo "postgresql-$major" "postgresql-server-dev-$major" libpq-dev gcc libc6-dev make pkgconf libmicrohttpd-dev; }
test_packages() {
	echo "postgresql-$major-pgtap" libtap-parser-sourcehandler-pgtap-perl libipc-run-perl perl clang shellcheck
	echo codespell cppcheck perltidy # for scripts/checks
	apt-cache pkgnames pg-bsd-indent # as well, where there is one
	echo gcovr # for what scripts/test says of lines
	echo libclang-rt-dev # for scripts/fuzz
	apt-cache pkgnames "postgresql-$major-plpgsql-check" # as well, where there is one
	echo strace # for what the relay's file sink syncs
	echo systemd groff-base logrotate # for what a system runs the programs by
	echo g++ nlohmann-json3-dev # for what test/oracle compares with
	kafka_packages
	echo python3-psycopg # for examples/publisher and examples/site
}
# What reading and writing Kafka takes.
kafka_packages() { echo librdkafka-dev kcat; }
# What the relay's sink for OpenSearch, and asking it, takes.
index_packages() { echo pkgconf libcurl4-openssl-dev zlib1g-dev libjansson-dev libssl-dev curl; }
# What draws the figures of bench/plot.
plot_packages() { echo gnuplot-nox; }
# What scripts/server runs on; a JDK later than 21 is too new for OpenSearch.
servers_packages() {
	local jdk
	jdk=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 'openjdk-*-jdk-headless' 2>/dev/null |
		sed -nE 's/^installed (openjdk-(17|21)-.*)/\1/p' | tail -n 1)
	[ -n "$jdk" ] || jdk=$(offered_jdk)
	if [ -z "$jdk" ]; then
		update_package_lists
		jdk=$(offered_jdk)
	fi
	echo git maven "$jdk" python3-pip
}
offered_jdk() { apt-cache pkgnames openjdk- | grep -xE 'openjdk-(17|21)-jdk-headless' | sort | tail -n 1 || true; }

# Debian makes and starts a cluster when its server is installed; not for us.
forbid_clusters() {
	cluster_snippet=/etc/postgresql-common/createcluster.d/esgf_stac.conf
	as_root mkdir -p "${cluster_snippet%/*}"
	echo 'create_main_cluster = false' | as_root tee "$cluster_snippet" >/dev/null
}

allow_clusters() {
	as_root rm -f "$cluster_snippet"
	as_root rmdir --ignore-fail-on-non-empty "${cluster_snippet%/*}"
	cluster_snippet=''
}

# What is not installed of the packages in some lists.
missing_packages() {
	local list package
	for list; do
		for package in $("${list}_packages"); do
			[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
		done
	done
}

# Install what is missing of the lists demo and test; nothing is done otherwise.
install_packages() {
	local missing
	find_major
	mapfile -t missing < <(missing_packages "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	update_package_lists
	# Some packages are asked for where apt knows them: it may only now.
	mapfile -t missing < <(missing_packages "$@")
	# A JDK is set up by Java, which would leave a folder in /tmp.
	local install=(env DEBIAN_FRONTEND=noninteractive JAVA_TOOL_OPTIONS=-XX:-UsePerfData apt-get -qq -y --no-install-recommends install "${missing[@]}")
	say "installing ${missing[*]}"
	as_root "${install[@]}" --download-only >&2 || die "the packages cannot be had: see above"
	# An interrupt may stop the download, but not leave packages half installed.
	forbid_clusters
	(
		trap '' INT
		as_root dpkg --configure -a
		as_root "${install[@]}" -o Dpkg::Use-Pty=0
	) >"$temp/log" 2>&1 </dev/null || {
		cat "$temp/log" >&2
		die "the installation failed: see above"
	}
	allow_clusters
}

# ---------------------------------------------------------------- build

# Build in the checkout, as its owner; make does nothing where nothing changed.
# It was built for one server: for another one all is made anew.
build() {
	local owner builder=() make made_for=$checkout/.made_for server
	owner=$(stat -c %U "$checkout")
	if is_root && [ "$owner" != root ] && id "$owner" >/dev/null 2>&1; then
		builder=(become "$owner")
	elif [ ! -w "$checkout" ]; then
		die "$checkout is not writable for you, and it is built in place: make a copy of your own (git clone) and start there"
	fi
	make=("${builder[@]}" make -s --no-print-directory -C "$checkout" "-j$(nproc)" with_llvm=no "PG_CONFIG=$pg_config")
	server=$("$pg_config" --version)
	if [ "$(cat "$made_for" 2>/dev/null)" != "$server" ]; then
		run_quietly "${make[@]}" clean || return 1
		echo "$server" | "${builder[@]}" tee "$made_for" >/dev/null
	fi
	if ! run_quietly "${make[@]}" all || ! run_quietly "${make[@]}" relay ingest; then
		say "the build failed: see above"
		return 1
	fi
}

# ---------------------------------------------------------------- server

# Find out who works in temp, and give it to him. What is downloaded is kept in
# the caller's cache; not in root's, where the worker may not go.
choose_worker() {
	local cache=${XDG_CACHE_HOME:-$HOME/.cache}/esgf_stac
	worker=$(id -un)
	as_worker=(env HOME="$temp" TMPDIR="$temp/tmp")
	if is_root; then
		worker=postgres cache=$temp/cache
		# No function: programs such as setsid run it, too.
		as_worker=(setpriv --reuid postgres --regid "$(id -g postgres)" --init-groups -- "${as_worker[@]}")
		chown postgres "$temp"
	fi
	export ESGF_STAC_CACHE=${ESGF_STAC_CACHE:-$cache}
	cd "$temp"
	"${as_worker[@]}" mkdir -m 700 tmp socket
}

# A copy of the server's programs with our files added: it finds its share and
# lib folders beside its program, so the system's installation stays as it is.
lay_tree() {
	local home=/usr/lib/postgresql/$major share=/usr/share/postgresql/$major
	tree=$temp/tree
	bin=$tree$home/bin
	choose_worker
	mkdir -p "$tree$home/lib" "$tree$share/extension" "$tree/usr/include"
	cp -r "$home/bin" "$tree$home/"
	ln -s "$home"/lib/* "$tree$home/lib/"
	ln -s "$share"/* "$tree$share/" 2>/dev/null || true
	ln -s "$share"/extension/* "$tree$share/extension/"
	ln -s /usr/include/postgresql "$tree/usr/include/"
	rm -f "$tree$home"/lib/esgf_stac* "$tree$share"/extension/esgf_stac*
	run_quietly make -s --no-print-directory -C "$checkout" with_llvm=no PG_CONFIG="$bin/pg_config" "system_prefix=$tree/usr" "sysconfdir=$tree/etc" install
	export PATH="$bin:$PATH"
	"${as_worker[@]}" "$bin/postgres" --version >/dev/null ||
		die "user $worker cannot run programs under $temp: set TMPDIR to a folder where it can"
}

# Start a server on a socket in temp, with the given settings ("name=value")
# beside what we need, and point the environment to it.
start_server() {
	local setting
	run_quietly "${as_worker[@]}" "$bin/initdb" --no-sync -D "$temp/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8
	for setting in listen_addresses= "unix_socket_directories=$temp/socket" wal_level=logical \
		max_wal_senders=20 max_replication_slots=20 timezone=UTC log_timezone=UTC "$@"; do
		echo "${setting%%=*} = '${setting#*=}'"
	done >>"$temp/data/postgresql.conf"
	run_quietly "${as_worker[@]}" "$bin/pg_ctl" start -s -w -D "$temp/data" -l "$temp/server.log" || {
		tail -n 20 "$temp/server.log" >&2
		die "the private server did not start: see above"
	}
	export PGHOST=$temp/socket PGUSER=postgres PGDATABASE=postgres
}

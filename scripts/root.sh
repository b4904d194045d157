# shellcheck shell=bash disable=SC2034,SC2154 # variables of lib.sh, and of who sources this file
# root.sh
#	What scripts/fresh-machine and scripts/packages share: a root of a Debian
#	release, made by the mirror and the apt settings of this machine.
#
#	root	its folder, which make_root SUITE... fills
#	home	the home folder of who works in it
#
# A program sources this file after lib.sh, as root. Roots as debootstrap makes them
# are kept for a week in the cache folder (XDG_CACHE_HOME or ~/.cache)/esgf_stac.

root=$temp/root home=/root

# ---------------------------------------------------------------- the machine's apt

# Where this machine gets Debian from: "URI suite component", one a line.
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
targets() {
	# shellcheck disable=SC2016 # these are apt's variables
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u
}

# The machine's own suite and those that go with it, under the name of another.
sources() {
	local suite=$1 uri name component
	targets | while read -r uri name component; do
		case $name in
			"$codename" | "$codename"-updates | "$codename"-security) name=$suite${name#"$codename"} ;;
			*) continue ;;
		esac
		if [ "$name" = "$suite" ] || wget -q --spider "${uri%/}/dists/$name/InRelease"; then
			echo "deb $uri $name $component"
		fi
	done
}

apt_settings() {
	apt-config dump | grep '^Acquire::' | grep -Ev '^Acquire::(IndexTargets|Changelogs|CompressionTypes|cdrom)'
}

# debootstrap and wget take a proxy from the environment only.
eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
export http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}"

# ---------------------------------------------------------------- the root

# Make the root of a suite; what is installed there may come from other suites, too.
make_root() {
	local suite=$1 cache=${XDG_CACHE_HOME:-$HOME/.cache}/esgf_stac archive mirror name script=()
	archive=$cache/$suite-$(dpkg --print-architecture).tar.gz
	mkdir "$root"
	if [ -z "$(find "$archive" -mtime -7 2>/dev/null)" ]; then
		mirror=$(targets | awk -v suite="$codename" '$2 == suite { print $1; exit }')
		[ -n "$mirror" ] || die "no mirror of $codename among this machine's apt sources"
		[ -e "/usr/share/debootstrap/scripts/$suite" ] || script=(/usr/share/debootstrap/scripts/sid)
		run_quietly debootstrap --variant=minbase "$suite" "$root" "$mirror" "${script[@]}" ||
			die "debootstrap failed: see above"
		rm -rf "$root"/var/cache/apt/archives/*.deb
		mkdir -p "$cache"
		run tar -C "$root" -czf "$temp/archive" .
		mv "$temp/archive" "$archive"
	else
		run tar -C "$root" -xzf "$archive"
	fi
	for name; do sources "$name"; done >"$root/etc/apt/sources.list"
	apt_settings >"$root/etc/apt/apt.conf.d/99machine"
	echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io" # what is thrown away need not be synced
	cp -L /etc/hosts /etc/resolv.conf "$root/etc/"
	[ ! -d /usr/local/share/ca-certificates ] || cp -r /usr/local/share/ca-certificates "$root/usr/local/share/"
	if grep -q https: "$root/etc/apt/sources.list"; then
		mkdir -p "$root/etc/ssl/certs"
		cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
	fi
}

# Copy what git tracks of the checkout, and what is not committed yet, to a folder.
copy_sources() {
	git -c "safe.directory=*" -C "$checkout" ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
		[ ! -e "$checkout/$file" ] || printf '%s\0' "$file"
	done >"$temp/files"
	mkdir -p "$1"
	tar -C "$checkout" --null -T "$temp/files" -cf - | tar -C "$1" --no-same-owner -xf -
}

# A mount and process space of our own: whatever happens, the kernel clears it.
inside() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	unshare --mount --pid --ipc --fork --kill-child bash -c '
		set -e
		mount --bind "$1" "$1" # a mount of its own: Java looks for the one it stands on
		mount -t proc proc "$1/proc"
		mount -t tmpfs -o mode=755 tmpfs "$1/dev"
		for device in null zero full random urandom tty; do
			touch "$1/dev/$device"
			mount --bind "/dev/$device" "$1/dev/$device"
		done
		mkdir "$1/dev/pts" "$1/dev/shm"
		mount -t devpts -o newinstance,ptmxmode=666 devpts "$1/dev/pts"
		mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
		ln -s pts/ptmx "$1/dev/ptmx"
		ln -s /proc/self/fd "$1/dev/fd"
		ln -s fd/0 "$1/dev/stdin"
		ln -s fd/1 "$1/dev/stdout"
		ln -s fd/2 "$1/dev/stderr"
		exec chroot "$@"' bash "$root" env -i TERM="${TERM:-dumb}" HOME="$home" http_proxy="$http_proxy" \
		https_proxy="$https_proxy" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# Sourced by the scripts of lab/: the cache, Debian's packages unpacked into a root of their own, and programs run in it.
#
#   $lab_cache/apt       apt's lists and downloads, apart from the machine's
#   $lab_cache/trixie    the packages, unpacked: QEMU, AMD's tools, a compiler, a kernel
# shellcheck shell=bash

lab_here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lab_cache=${BENNU_LAB_CACHE:-$lab_here/target/lab}
# shellcheck disable=SC2034
lab_release=${CARGO_TARGET_DIR:-$lab_here/target}/release
lab_root=$lab_cache/trixie

# QEMU has vfio-user since 10.1; the kernel and XRT of the release itself are too old as well, so these come from its backports.
lab_suite=trixie
lab_packages=(
    base-files bash coreutils
    qemu-system-x86 qemu-system-common seabios
    libxrt2 libxrt-npu2 libxrt-utils libxrt-utils-npu libxrt-dev uuid-dev g++
    busybox-static kmod cpio
)

# refuse CAUSE REMEDY: the end of a script that cannot do its work.
refuse() {
    printf 'error: %s\n  remedy: %s\n' "$1" "$2" >&2
    exit 2
}

say() { printf '%s\n' "$*" >&2; }

# lab_lock NAME: one at a time, for as long as this script or what it started lives.
lab_lock() {
    mkdir -p "$lab_cache"
    local lock
    exec {lock}>"$lab_cache/$1.lock"
    flock --nonblock "$lock" || { say "waiting for another one that has $lab_cache/$1.lock" && flock "$lock"; }
}

# The machine's own lists of packages.
lab_update() {
    [ "$EUID" = 0 ] || refuse "apt's lists are missing" "apt-get update, as root"
    apt-get -q update >"$lab_cache/update.log" 2>&1 || refuse "apt-get update fails ($(tail -n 1 "$lab_cache/update.log"))" "let apt-get reach a Debian mirror"
}

# lab_install WHAT PACKAGE...: where this is a Debian and we are root.
lab_install() {
    local what=$1
    shift
    command -v apt-get >/dev/null || refuse "$what is missing, and there is no apt-get to install it" "install $what, or use Debian or one of its relatives"
    [ "$EUID" = 0 ] || refuse "$what is missing" "apt-get install $*, as root"
    say "installing $*"
    { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install "$@"; } >"$lab_cache/install.log" 2>&1 ||
        refuse "$what is missing, and apt-get cannot install $* ($(tail -n 1 "$lab_cache/install.log"))" "let apt-get reach a Debian mirror; $lab_cache/install.log has all it said"
}

# need COMMAND PACKAGE...: what the machine lacks.
need() { command -v "$1" >/dev/null || lab_install "$@"; }

# The mirror that this machine's own apt takes Debian from; Debian's standard name on other systems.
lab_mirror() {
    local mirror
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 2>/dev/null | sed -n 's/^Debian Debian //p' | head -n 1) || true
    printf '%s\n' "${mirror:-http://deb.debian.org/debian/}"
}

# apt with state of its own: an empty machine to which everything would have to be added.
lab_apt_setup() {
    local apt=$lab_cache/apt keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    need apt-get apt
    need dpkg-deb dpkg
    [ -r "$keyring" ] || lab_install "$keyring" debian-archive-keyring
    [ -r "$keyring" ] || refuse "Debian's keys are missing ($keyring)" "apt-get install debian-archive-keyring"
    mkdir -p "$apt"/{lists/partial,archives/partial,etc/apt.conf.d,etc/preferences.d}
    : >"$apt/status"
    local mirror
    mirror=$(lab_mirror)
    printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$lab_suite" "$keyring" "$mirror" "$lab_suite-backports" >"$apt/etc/sources.list"
    cat >"$apt/apt.conf" <<CONF
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Dir::Etc "$apt/etc";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Default-Release "$lab_suite-backports";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
CONF
    apt-config dump | grep '^Acquire::.*Proxy' >>"$apt/apt.conf" || true
}

lab_apt() { APT_CONFIG=$lab_cache/apt/apt.conf "$@"; }

# lab_fetch LOG COMMAND...: apt in the private root; its last words are the cause where it fails.
lab_fetch() {
    local log=$lab_cache/apt/$1.log
    shift
    lab_apt "$@" >"$log" 2>&1 ||
        refuse "Debian's packages cannot be had: $(grep -m 1 '^E:' "$log" || tail -n 1 "$log")" "let this machine reach $(lab_mirror) ($lab_suite and $lab_suite-backports); $log has all that apt said"
}

# The newest kernel of the backports, as its packages spell it: 7.3.4+deb13-amd64.
lab_kernel_version() {
    lab_apt apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: linux-image-\([0-9].*\)$/\1/p' | head -n 1
}

lab_unpack() {
    local deb
    for deb in "$@"; do
        dpkg-deb -x "$deb" "$lab_root.new" || refuse "$deb cannot be unpacked" "remove $lab_cache and run this again"
    done
}

# What a root was made from; another list makes it anew.
lab_stamp() { printf '%s\n' "$lab_suite" "${lab_packages[@]}" "linux" | sha256sum | cut -d ' ' -f 1; }

# Makes $lab_root, once.
lab_root() {
    (lab_lock root && lab_make_root)
    in_root /usr/bin/true || refuse "programs of $lab_root cannot be run" "run this as root, or let users have namespaces (kernel.unprivileged_userns_clone=1)"
}

lab_make_root() {
    [ "$(cat "$lab_root/.stamp" 2>/dev/null)" = "$(lab_stamp)" ] && return
    case $(uname -m) in x86_64) ;; *) refuse "this is a $(uname -m), and the packages are for amd64" "use an x86-64 machine" ;; esac
    lab_apt_setup
    say "fetching Debian's packages into $lab_cache (about 300 MB, once)"
    rm -rf "$lab_root" "$lab_root.new"
    lab_fetch update apt-get -q update
    local version archives=$lab_cache/apt/archives
    version=$(lab_kernel_version)
    [ -n "$version" ] || refuse "$lab_suite-backports has no linux-image-amd64" "wait until the mirror is complete again"
    lab_fetch install apt-get -qy --download-only install "${lab_packages[@]}"
    (cd "$archives" && lab_fetch kernel apt-get -q download "linux-binary-$version" "linux-modules-$version")
    say "unpacking"
    mkdir -p "$lab_root.new"
    # base-files first: its links /bin, /lib and so on decide where the files of others go.
    lab_unpack "$archives"/base-files_*.deb "$archives"/*.deb
    mkdir -p "$lab_root.new"/{dev,proc,sys,tmp,work}
    if [ "$EUID" = 0 ]; then mknod -m 666 "$lab_root.new/dev/null" c 1 3; else : >"$lab_root.new/dev/null"; fi
    printf '%s\n' "$version" >"$lab_root.new/.kernel"
    lab_stamp >"$lab_root.new/.stamp"
    rm -rf "$archives" "$lab_cache"/apt/*.bin "$lab_cache/apt/lists"
    mv "$lab_root.new" "$lab_root"
}

# in_root COMMAND...: runs a program of the unpacked packages, with them as its root. Files go in and out through $lab_root/work.
in_root() {
    if [ "$EUID" = 0 ]; then
        chroot "$lab_root" "$@"
    else
        # Who is not root cannot make a device; this machine's own stands in for it.
        # shellcheck disable=SC2016
        unshare --map-root-user --mount /bin/sh -c 'mount --bind /dev/null "$0/dev/null" && exec chroot "$0" "$@"' "$lab_root" "$@"
    fi
}

# beside_root SECONDS PROGRAM ARG...: runs one with its own loader and libraries, but with this machine's files, for a limited time: QEMU's way.
beside_root() {
    local lib=$lab_root/usr/lib/x86_64-linux-gnu seconds=$1 program=$2
    shift 2
    QEMU_MODULE_DIR=$lib/qemu exec timeout --signal=KILL "$seconds" "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$lab_root/usr/bin/$program" "$@"
}

# bennu as released, and its developers' tool.
lab_programs() {
    command -v cargo >/dev/null || refuse "cargo is not on PATH" "install Rust 1.95 or newer"
    { cargo build --quiet --release --locked -p bennu -p bennu-lab && cargo build --quiet --release --locked -p amdxdna --examples; } || refuse "bennu cannot be built" "cargo says why, above"
}

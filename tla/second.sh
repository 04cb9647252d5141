#!/usr/bin/env bash
# Lets a second model checker, which shares no code with TLC, check the specification: the crate tla-checker.
# It has to find the states, edges and depths of manifest.json, and to refute the weakened variants.
#
#   tla/second.sh quick     the small models and the variants: half a minute
#   tla/second.sh deep      also those of CI and of three callers: what ./check deep runs, some 15 minutes on two cores
#   tla/second.sh program   prints the path of the checker's program
#
# It is built with cargo the first time (a recent Rust; two minutes), at the pinned version, with the versions of
# its own lock file, and kept in ${SURESTART_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/surestart}.
set -euo pipefail

tla=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${SURESTART_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/surestart}

crate=tla-checker
version=0.24.11
crate_sha256=b8818344833b33648a9dc6d205bac705da77d3b9ea1bfbcf347262a874196c9a
program=$cache/second/$crate-$version-${crate_sha256:0:12}/bin/tla

say() { printf 'second: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
usage() { sed -n '2,/^set -e/{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}" >&2; exit 2; }
sha256() { if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1; }

install() {
	local root log got
	command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
	command -v cargo >/dev/null || die "cargo is needed on PATH, to build $crate: install Rust, for example with rustup"
	mkdir -p "$cache/second"
	root=$(mktemp -d "$cache/second/build.XXXXXX")
	log=$root/log
	say "building $crate $version with cargo (about two minutes)"
	CARGO_TARGET_DIR=$root/target cargo install "$crate" --version "=$version" --locked --root "$root/out" --bin tla >"$log" 2>&1 </dev/null || {
		tail -n 20 "$log" >&2
		rm -rf "$root"
		die "cargo could not build $crate $version"
	}
	got=$(for file in "${CARGO_HOME:-$HOME/.cargo}"/registry/cache/*/"$crate-$version.crate"; do sha256 "$file"; done | sort -u) || true
	[ "$got" = "$crate_sha256" ] || { rm -rf "$root"; die "checksum: $crate $version is not the file that was pinned (sha256 $crate_sha256, got $got)"; }
	mkdir -p "${program%/bin/tla}"
	rm -rf "${program%/tla}"
	mv "$root/out/bin" "${program%/tla}"
	rm -rf "$root"
}

case ${1:-}:$# in
quick:1 | deep:1 | program:1) ;;
*) usage ;;
esac
if [ ! -x "$program" ] || [ "$("$program" --version 2>/dev/null | tr -dc '0-9.')" != "$version" ]; then install; fi
if [ "$1" = program ]; then echo "$program"; exit; fi

command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
compare=$(mktemp -d)
trap 'rm -rf "$compare"' EXIT
(cd "$tla/.." && go build -o "$compare/second" ./tla/second)
SURESTART_TLA=$tla SURESTART_SECOND=$program "$compare/second" "$1"

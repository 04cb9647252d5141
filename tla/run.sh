#!/usr/bin/env bash
# Runs TLC on the models of this folder.
#
#   tla/run.sh dump quick|ci DIR   writes the whole state graph to DIR/quick.dot or DIR/ci.dot
#
# TLC is $TLC_JAR, or what .ci/tools.sh fetches.
set -euo pipefail

tla=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

say() { printf 'tla: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
usage() { sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }

tlc() { # $1: configuration, $2: module, the rest: options of TLC
	local cfg=$1 module=$2
	shift 2
	(cd "$tla" && java -XX:+UseParallelGC -cp "$TLC_JAR" tlc2.TLC -metadir "$scratch/meta" -config "$cfg" "$@" "$module")
}

dump() { # $1: quick or ci, $2: directory
	local model=$1 cfg
	case $model in quick) cfg=Quick.cfg ;; ci) cfg=CI.cfg ;; *) usage ;; esac
	mkdir -p "$2"
	# The graph alone: nothing is checked here, so that the dump takes no longer than it must.
	awk '/^(INVARIANT|PROPERT)/ {exit} {print}' "$tla/$cfg" >"$scratch/$cfg"
	say "dumping the graph of the $model model"
	tlc "$scratch/$cfg" MC -fp 0 -workers 1 -dump dot,actionlabels "$(cd "$2" && pwd)/$model" >"$scratch/log" ||
		{ cat "$scratch/log" >&2; die "TLC failed on $cfg"; }
	say "$(grep 'distinct states found' "$scratch/log" | tail -1)"
}

if [ -z "${TLC_JAR:-}" ]; then TLC_JAR=$("$tla/../.ci/tools.sh" tlc); fi
case ${1:-} in
dump) [ $# = 3 ] || usage; dump "$2" "$3" ;;
*) usage ;;
esac

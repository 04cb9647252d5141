#!/usr/bin/env bash
# Lets TLC check the specification and compares what it finds with manifest.json.
#
#   tla/run.sh quick            the smallest models, in seconds
#   tla/run.sh ci               all models but the largest, and all of weak and reach
#   tla/run.sh deep             ci, and the models that take many minutes
#   tla/run.sh weak             each weakened variant is refuted, by the name of its guarantee
#   tla/run.sh reach            no guarantee holds for want of an occasion
#   tla/run.sh dump MODEL DIR   writes the whole state graph of quick, ci or abstract to DIR/MODEL.dot
#   tla/run.sh pin MODEL        writes what TLC finds of a model, or a variant (weak-NAME), into manifest.json
#   tla/run.sh pictures         draws machine.svg and one-caller.svg (needs Graphviz)
#
# TLC is $TLC_JAR, or what .ci/tools.sh fetches.
set -euo pipefail

tla=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
usage() { sed -n '2,/^# TLC is/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }

case ${1:-}:$# in
quick:1 | ci:1 | deep:1 | weak:1 | reach:1 | pictures:1 | pin:2 | dump:3) ;;
*) usage ;;
esac
command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
if [ -z "${TLC_JAR:-}" ]; then TLC_JAR=$("$tla/../.ci/tools.sh" tlc); fi
export TLC_JAR SURESTART_TLA=$tla

# The program is built in the module's folder and runs in the caller's.
program=$(mktemp -d)
trap 'rm -rf "$program"' EXIT
(cd "$tla/.." && go build -o "$program/run" ./tla/run)
"$program/run" "$@"

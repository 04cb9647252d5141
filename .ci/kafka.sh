#!/usr/bin/env bash
# A real Apache Kafka for the tests: one node (broker and controller, KRaft), on the loopback only.
#
#   .ci/kafka.sh start [-port N] [-dir D]     formats and starts it, waits until it answers; prints host:port
#   .ci/kafka.sh stop [-dir D]                kills it and removes its directory
#   .ci/kafka.sh status [-dir D]              prints host:port; exit 1 if it does not run
#   .ci/kafka.sh topic NAME PARTITIONS [-dir D]
#   .ci/kafka.sh consume TOPIC N [-dir D]     prints N messages, with Kafka's own console consumer
#   .ci/kafka.sh ends TOPIC [-dir D]          prints topic:partition:end offset, with Kafka's own tool
#
# start on a running one prints its address; on one that was killed it starts it again, on the same
# port with the same data (about 8 s). Without -port a free one is chosen. The directory D
# (${SURESTART_CACHE:-...}/broker if not given) holds pid, address, server.properties, kafka.log, data/.
# Real faults are signals to the process:
#
#   kill -STOP $(cat D/pid)    the broker hangs: connections stay open, nothing answers   (-CONT ends it)
#   kill -KILL $(cat D/pid)    the broker dies: connections are reset, new ones refused   (start brings it back)
#
# Topics are never created automatically. Needs Java; .ci/tools.sh fetches the jars.
set -euo pipefail

ci_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${SURESTART_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/surestart}
host=127.0.0.1

say() { printf 'kafka: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
usage() { sed -n '2,/^set -e/{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}" >&2; exit 2; }

# --- arguments -----------------------------------------------------------------------------------

[ $# -gt 0 ] || usage
cmd=$1
shift
dir=$cache/broker port= args=()
while [ $# -gt 0 ]; do
	case $1 in
	-dir) dir=${2:?-dir needs a directory}; shift 2 ;;
	-port) port=${2:?-port needs a number}; shift 2 ;;
	-*) usage ;;
	*) args+=("$1"); shift ;;
	esac
done
case $dir in /*) ;; *) dir=$PWD/$dir ;; esac

# --- java ----------------------------------------------------------------------------------------

need_jars() { # KAFKA_LIB is what tools.sh printed: verified then
	[ -n "${KAFKA_LIB:-}" ] || KAFKA_LIB=$("$ci_dir/tools.sh" kafka)
}

# Start-up speed matters more than peak speed here.
java_options=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true)

kafka_tool() { # CLASS ARG...: one of Kafka's own command line tools
	need_jars
	java -Xmx256m "${java_options[@]}" -Dlog4j2.configurationFile="$ci_dir/kafka/log4j2-tools.xml" -cp "$KAFKA_LIB/*" "$@"
}

# --- the process ---------------------------------------------------------------------------------

pid_is_ours() { # $1: a pid; is it the broker of this directory, and not a later process of that number?
	local command
	if [ -r "/proc/$1/cmdline" ]; then
		command=$(tr '\0' ' ' <"/proc/$1/cmdline")
	else
		command=$(ps -ww -p "$1" -o command= 2>/dev/null) || return 1
	fi
	case $command in *"-Dsurestart.dir=$dir "*) return 0 ;; *) return 1 ;; esac
}
running() { [ -s "$dir/pid" ] && kill -0 "$(cat "$dir/pid")" 2>/dev/null && pid_is_ours "$(cat "$dir/pid")"; }

port_free() { ! (exec 3<>"/dev/tcp/$host/$1") 2>/dev/null; }
free_port() { # below the usual ephemeral range, so that no outgoing connection takes it meanwhile
	local p try
	for try in $(seq 100); do
		p=$((10000 + (RANDOM * 32768 + RANDOM) % 20000))
		if port_free $p; then echo $p; return; fi
	done
	die "no free port found"
}

# ready asks the broker, over a connection of its own, for Metadata (version 0) and succeeds when the
# answer lists a broker: it is registered, unfenced and serves. No JVM: this is asked ten times a second.
ready() {
	local answer
	exec 3<>"/dev/tcp/$host/$1" || return 1
	#        size 14          Metadata v0      correlation id   no client  no topics named
	printf '\x00\x00\x00\x0e\x00\x03\x00\x00\x00\x00\x00\x07\xff\xff\x00\x00\x00\x00' >&3
	answer=$(timeout 5 head -c 12 <&3 | od -An -v -tu1 | tr -s ' \n' ' ')
	exec 3>&- 3<&-
	set -- $answer # size (4), correlation id (4), number of brokers (4)
	[ $# = 12 ] && [ "$8" = 7 ] && [ "${12}" -ge 1 ]
}

# --- server.properties ---------------------------------------------------------------------------

# Listeners are collected first, so that another one (SASL, TLS) is one more `listener` line and its own
# properties; PLAIN stays, because readiness, inter-broker traffic and the tools above use it.
listeners= advertised= protocols= extra=
listener() { # NAME PORT PROTOCOL [advertise]
	listeners+=${listeners:+,}$1://$host:$2
	protocols+=${protocols:+,}$1:$3
	if [ -n "${4:-}" ]; then advertised+=${advertised:+,}$1://$host:$2; fi
}

write_properties() { # $1: port, $2: controller's port
	listener PLAIN "$1" PLAINTEXT advertise
	listener CONTROLLER "$2" PLAINTEXT
	cat >"$dir/server.properties" <<-END
		process.roles=broker,controller
		node.id=1
		controller.quorum.voters=1@$host:$2
		controller.listener.names=CONTROLLER
		inter.broker.listener.name=PLAIN
		listeners=$listeners
		advertised.listeners=$advertised
		listener.security.protocol.map=$protocols
		log.dirs=$dir/data
		auto.create.topics.enable=false
		num.partitions=1
		# one node: every internal topic has one replica, and few partitions to start fast
		default.replication.factor=1
		offsets.topic.replication.factor=1
		offsets.topic.num.partitions=1
		transaction.state.log.replication.factor=1
		transaction.state.log.min.isr=1
		transaction.state.log.num.partitions=1
		share.coordinator.state.topic.replication.factor=1
		share.coordinator.state.topic.min.isr=1
		share.coordinator.state.topic.num.partitions=1
		group.initial.rebalance.delay.ms=0
		# after SIGKILL the new process is let in only when the old one's session has ended: so not the 9 s
		# that are usual, but long enough that a busy machine does not fence its only broker
		broker.session.timeout.ms=5000
		broker.heartbeat.interval.ms=500
		num.network.threads=2
		num.io.threads=4
		log.cleaner.enable=false
		$extra
	END
}

# --- the commands --------------------------------------------------------------------------------

boot() { # $1: port; starts the process and waits until it serves; 1 if its port was taken meanwhile
	local pid deadline
	: >"$dir/kafka.log"
	# A process group of its own: an interrupt meant for the tests does not reach the broker.
	set -m
	java -Xms128m -Xmx512m "${java_options[@]}" "-Dsurestart.dir=$dir" -Dlog4j2.configurationFile="$ci_dir/kafka/log4j2.xml" \
		-Dkafka.logs.dir="$dir" -cp "$KAFKA_LIB/*" kafka.Kafka "$dir/server.properties" >"$dir/out" 2>&1 </dev/null 9>&- &
	pid=$!
	set +m
	disown "$pid"
	echo "$pid" >"$dir/pid"
	deadline=$((SECONDS + 120))
	until grep -q 'Kafka Server started' "$dir/kafka.log" && ready "$1" 2>/dev/null; do
		if ! kill -0 "$pid" 2>/dev/null; then
			if grep -q 'Address already in use' "$dir/kafka.log" "$dir/out"; then return 1; fi
			tail -n 30 "$dir/out" "$dir/kafka.log" >&2
			die "the broker ended while starting; the end of its log is above"
		fi
		if [ $SECONDS -ge $deadline ]; then
			tail -n 30 "$dir/kafka.log" >&2
			kill -KILL "$pid"
			die "the broker did not answer within 120 s; the end of its log is above"
		fi
		sleep 0.1
	done
	echo "$host:$1" >"$dir/address"
}

start() {
	if running; then
		[ -z "$port" ] || [ "$(cat "$dir/address")" = "$host:$port" ] || die "$dir already runs on $(cat "$dir/address")"
		cat "$dir/address"
		return
	fi
	need_jars
	local try began=$SECONDS p
	if [ -s "$dir/address" ]; then # it was killed: the same port, the same data
		p=$(cat "$dir/address")
		p=${p##*:}
		[ -z "$port" ] || [ "$port" = "$p" ] || die "$dir belongs to a broker on port $p; stop it first"
		boot "$p" || die "port $p is taken"
		say "started again on $host:$p (pid $(cat "$dir/pid"), $((SECONDS - began)) s)"
		cat "$dir/address"
		return
	fi
	for try in 1 2 3; do
		p=${port:-$(free_port)}
		listeners= advertised= protocols=
		write_properties "$p" "$(free_port)"
		rm -rf "$dir/data"
		kafka_tool kafka.tools.StorageTool format -t "$(kafka_tool kafka.tools.StorageTool random-uuid)" \
			-c "$dir/server.properties" >"$dir/out" 2>&1 || { cat "$dir/out" >&2; die "formatting the storage failed"; }
		if boot "$p"; then
			say "Apache Kafka on $host:$p (pid $(cat "$dir/pid"), $((SECONDS - began)) s, directory $dir)"
			cat "$dir/address"
			return
		fi
		[ -z "$port" ] || die "port $port is taken"
	done
	die "no port stayed free in $try tries"
}

stop() {
	local pid
	if running; then
		pid=$(cat "$dir/pid")
		kill -KILL "$pid" # its data is removed anyway, and a stopped process hears nothing else
		while kill -0 "$pid" 2>/dev/null && [ "$(sed 's/.*) \(.\).*/\1/' "/proc/$pid/stat" 2>/dev/null)" != Z ]; do sleep 0.05; done
	fi
	rm -rf "$dir/data" "$dir"/{pid,address,server.properties,kafka.log,out,lock}
	rmdir "$dir" 2>/dev/null || [ ! -d "$dir" ] || say "$dir holds files that are not ours; left there"
}

locked() { # two starts of one directory at once: the second finds the first one's broker
	mkdir -p "$dir"
	if command -v flock >/dev/null; then
		exec 9>"$dir/lock"
		flock 9
	fi
	"$@"
}
address() {
	running || die "no broker runs in $dir (start one: .ci/kafka.sh start -dir $dir)"
	cat "$dir/address"
}

case $cmd in
start) locked start ;;
stop) [ ! -d "$dir" ] || locked stop ;;
status) address ;;
topic)
	[ ${#args[@]} = 2 ] || usage
	at=$(address)
	kafka_tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$at" \
		--create --topic "${args[0]}" --partitions "${args[1]}" --replication-factor 1 >&2
	;;
consume)
	[ ${#args[@]} = 2 ] || usage
	at=$(address)
	kafka_tool org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$at" \
		--topic "${args[0]}" --from-beginning --max-messages "${args[1]}" --timeout-ms 30000
	;;
ends)
	[ ${#args[@]} = 1 ] || usage
	at=$(address)
	kafka_tool org.apache.kafka.tools.GetOffsetShell --bootstrap-server "$at" --topic "${args[0]}"
	;;
*) usage ;;
esac

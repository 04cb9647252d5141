#!/usr/bin/env bash
# A real Apache Kafka for the tests: one node or several (KRaft, the first is the controller), on the loopback only.
#
#   .ci/kafka.sh start [-nodes N] [-port P] [-set KEY=VALUE]... [-dir D]
#                                             formats and starts it, waits until all of it serves; prints host:port,...
#   .ci/kafka.sh stop [-dir D]                kills it and removes its directory
#   .ci/kafka.sh status [-dir D]              prints host:port,... of all its nodes; exit 1 if none runs
#   .ci/kafka.sh start -node I [-dir D]       starts one that is down again: same port, same data
#   .ci/kafka.sh stop -node I [-dir D]        shuts one down in good order: its leaders move first; its data stay
#   .ci/kafka.sh topic NAME PARTITIONS [-dir D]
#   .ci/kafka.sh lead TOPIC I [-dir D]        makes node I the leader of every partition
#   .ci/kafka.sh produce TOPIC [-dir D]       sends the lines key<TAB>value of standard input, with Kafka's own console producer
#   .ci/kafka.sh consume TOPIC N [-all] [-dir D]
#                                             prints the values of N messages, with Kafka's own console consumer; -all: also
#                                             time, partition, headers and key
#   .ci/kafka.sh ends TOPIC [-dir D]          prints topic:partition:end offset, with Kafka's own tool
#
# start on a running one prints its address; nodes that were killed it starts again, on the same ports with
# the same data (about 8 s). Without -port free ones are chosen; with it, node I gets P + I - 1. With three nodes a topic
# has three replicas, of which two must be in sync (min.insync.replicas) for an acknowledgement. -set adds
# to every node's server.properties. The directory D (${SURESTART_CACHE:-...}/broker if not given) holds address, sasl,
# and for each node I/pid, I/address, I/server.properties, I/kafka.log, I/data/. Real faults are signals to a process:
#
#   kill -STOP $(cat D/1/pid)    the node hangs: connections stay open, nothing answers   (-CONT ends it)
#   kill -KILL $(cat D/1/pid)    the node dies: connections are reset, new ones refused   (start brings it back)
#
# D/sasl has the addresses of a second listener, which wants SASL (PLAIN or SCRAM-SHA-512) from the users alice, password
# alice-secret, and bob, bob-secret. Who comes without (D/address) may do everything; alice and bob what no ACL denies them.
# Settings (-set) of listener.name.tls. make a third listener, which wants TLS; its addresses are in D/tls.
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
dir=$cache/broker port= nodes= node= all= extra= args=()
while [ $# -gt 0 ]; do
	case $1 in
	-dir) dir=${2:?-dir needs a directory}; shift 2 ;;
	-port) port=${2:?-port needs a number}; shift 2 ;;
	-nodes) nodes=${2:?-nodes needs a number}; shift 2 ;;
	-node) node=${2:?-node needs a number}; shift 2 ;;
	-set) extra+=${2:?-set needs KEY=VALUE}$'\n'; shift 2 ;;
	-all) all=1; shift ;;
	-*) usage ;;
	*) args+=("$1"); shift ;;
	esac
done
case $dir in /*) ;; *) dir=$PWD/$dir ;; esac

# --- java ----------------------------------------------------------------------------------------

case $cmd in
start | topic | lead | produce | consume | ends) # KAFKA_LIB is what tools.sh printed: verified then
	[ -n "${KAFKA_LIB:-}" ] || KAFKA_LIB=$("$ci_dir/tools.sh" kafka)
	;;
esac

# Start-up speed matters more than peak speed here. An archive of the classes as the JVM lays them out halves the work of
# a start; one that does not suit the JVM or the jars is ignored by it.
java_options=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djava.awt.headless=true)
archive=$cache/kafka-$(cksum <<<"${KAFKA_LIB:-} $(command -v java)" | tr -d ' ').jsa
use_archive=("-XX:SharedArchiveFile=$archive" -Xlog:disable -Xlog:all=error:stderr)
if [ -n "${KAFKA_TRAIN:-}" ]; then
	java_options+=("-XX:ArchiveClassesAtExit=$KAFKA_TRAIN")
elif [ -s "$archive" ]; then
	java_options+=("${use_archive[@]}")
fi

train() { # makes the archive, from a broker that starts and stops, once on a machine; without it all goes on, slower
	[ -z "${KAFKA_TRAIN:-}" ] && [ ! -s "$archive" ] && mkdir -p "$cache" || return 0
	local at
	at=$(mktemp -d "$cache/training.XXXXXX")
	trap '"${BASH_SOURCE[0]}" stop -dir "'"$at"'/broker"; rm -rf "'"$at"'"' EXIT
	say "preparing an archive of Kafka's classes, once (about 15 s)"
	if (
		exec 9>&-
		export KAFKA_TRAIN=$at/classes.jsa
		"${BASH_SOURCE[0]}" start -dir "$at/broker" && "${BASH_SOURCE[0]}" stop -node 1 -dir "$at/broker"
	) >"$at/out" 2>&1 && [ -s "$at/classes.jsa" ]; then
		mv -f "$at/classes.jsa" "$archive"
		java_options+=("${use_archive[@]}")
	else
		say "no archive: $(tail -n 1 "$at/out")"
	fi
	"${BASH_SOURCE[0]}" stop -dir "$at/broker"
	rm -rf "$at"
	trap - EXIT
}

kafka_tool() { # CLASS ARG...: one of Kafka's own command line tools
	java -Xmx256m "${java_options[@]}" -Dlog4j2.configurationFile="$ci_dir/kafka/log4j2-tools.xml" -cp "$KAFKA_LIB/*" "$@"
}

# --- the processes -------------------------------------------------------------------------------

all_nodes() { cat "$dir/nodes"; } # their numbers, from 1
node_port() { local a; a=$(cat "$dir/$1/address"); echo "${a##*:}"; }

pid_is_ours() { # $1: a pid, $2: a node; is it that node's, and not a later process of that number?
	local command
	if [ -r "/proc/$1/cmdline" ]; then
		command=$(tr '\0' ' ' <"/proc/$1/cmdline")
	else
		command=$(ps -ww -p "$1" -o command= 2>/dev/null) || return 1
	fi
	case $command in *"-Dsurestart.dir=$dir/$2 "*) return 0 ;; *) return 1 ;; esac
}
running() { # $1: a node
	local pid
	[ -s "$dir/$1/pid" ] || return 1
	pid=$(cat "$dir/$1/pid")
	kill -0 "$pid" 2>/dev/null && pid_is_ours "$pid" "$1"
}
any_running() {
	local i
	[ -s "$dir/nodes" ] || return 1
	for i in $(all_nodes); do if running "$i"; then return 0; fi; done
	return 1
}
gone() { # $1: a pid; waits until it has ended
	while kill -0 "$1" 2>/dev/null && [ "$(sed 's/.*) \(.\).*/\1/' "/proc/$1/stat" 2>/dev/null)" != Z ]; do sleep 0.05; done
}
kill_all() {
	local i
	for i in $(all_nodes); do
		running "$i" || continue
		kill -KILL "$(cat "$dir/$i/pid")" # its data are removed anyway, and a stopped process hears nothing else
		gone "$(cat "$dir/$i/pid")"
	done
}

port_free() { ! (exec 3<>"/dev/tcp/$host/$1") 2>/dev/null; }
free_port() { # below the usual ephemeral range, so that no outgoing connection takes it meanwhile
	local p try
	for try in $(seq 100); do
		p=$((10000 + (RANDOM * 32768 + RANDOM) % 20000))
		if port_free $p; then echo $p; return; fi
	done
	die "no free port found"
}

# ready asks a node, over a connection of its own, for Metadata (version 0) and succeeds when the answer
# lists at least $2 brokers: those are registered, unfenced and serve. No JVM: this is asked ten times a second.
ready() {
	local answer
	exec 3<>"/dev/tcp/$host/$1" || return 1
	#        size 14          Metadata v0      correlation id   no client  no topics named
	printf '\x00\x00\x00\x0e\x00\x03\x00\x00\x00\x00\x00\x07\xff\xff\x00\x00\x00\x00' >&3
	answer=$(timeout 5 head -c 12 <&3 | od -An -v -tu1 | tr -s ' \n' ' ')
	exec 3>&- 3<&-
	set -- "$2" $answer # wanted, size (4), correlation id (4), number of brokers (4)
	[ $# = 13 ] && [ "$9" = 7 ] && [ "${13}" -ge "$1" ]
}

# --- server.properties ---------------------------------------------------------------------------

# Listeners are collected first, so that another one is one more `listener` line and its own properties; PLAIN
# stays, because readiness, traffic between the nodes and the tools above use it.
listener() { # NAME PORT PROTOCOL [advertise]
	listeners+=${listeners:+,}$1://$host:$2
	if [ -n "${4:-}" ]; then advertised+=${advertised:+,}$1://$host:$2; fi
}

write_properties() { # NODE PORT SASL_PORT CONTROLLER_PORT TLS_PORT
	local listeners= advertised= roles=broker replicas=1 in_sync=1
	listener PLAIN "$2" PLAINTEXT advertise
	listener SASL "$3" SASL_PLAINTEXT advertise
	[ -z "$5" ] || listener TLS "$5" SSL advertise
	if [ "$1" = 1 ]; then
		roles=broker,controller
		listener CONTROLLER "$4" PLAINTEXT
	fi
	if [ "$nodes" -ge 3 ]; then replicas=3 in_sync=2; fi
	cat >"$dir/$1/server.properties" <<-END
		process.roles=$roles
		node.id=$1
		controller.quorum.voters=1@$host:$4
		controller.listener.names=CONTROLLER
		inter.broker.listener.name=PLAIN
		listeners=$listeners
		advertised.listeners=$advertised
		listener.security.protocol.map=PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL,CONTROLLER:PLAINTEXT
		listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
		listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="alice-secret" user_bob="bob-secret";
		listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
		authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
		super.users=User:ANONYMOUS
		allow.everyone.if.no.acl.found=true
		log.dirs=$dir/$1/data
		auto.create.topics.enable=false
		num.partitions=1
		default.replication.factor=$replicas
		min.insync.replicas=$in_sync
		# the internal topics: few partitions to start fast
		offsets.topic.replication.factor=$replicas
		offsets.topic.num.partitions=1
		transaction.state.log.replication.factor=$replicas
		transaction.state.log.min.isr=$in_sync
		transaction.state.log.num.partitions=1
		share.coordinator.state.topic.replication.factor=$replicas
		share.coordinator.state.topic.min.isr=$in_sync
		share.coordinator.state.topic.num.partitions=1
		group.initial.rebalance.delay.ms=0
		# after SIGKILL the new process is let in only when the old one's session has ended: so not the 9 s
		# that are usual, but long enough that a busy machine does not fence its only broker
		broker.session.timeout.ms=5000
		broker.heartbeat.interval.ms=500
		# leaders stay where the tests put them
		auto.leader.rebalance.enable=false
		num.network.threads=2
		num.io.threads=4
		log.cleaner.enable=false
		$extra
	END
}

# --- the commands --------------------------------------------------------------------------------

launch() { # NODE: starts the process
	local heap=512m
	[ "$(all_nodes | wc -l)" -le 1 ] || heap=256m
	: >"$dir/$1/kafka.log"
	# A process group of its own: an interrupt meant for the tests does not reach the broker.
	set -m
	java -Xms96m -Xmx$heap "${java_options[@]}" "-Dsurestart.dir=$dir/$1" -Dlog4j2.configurationFile="$ci_dir/kafka/log4j2.xml" \
		-Dkafka.logs.dir="$dir/$1" -cp "$KAFKA_LIB/*" kafka.Kafka "$dir/$1/server.properties" >"$dir/$1/out" 2>&1 </dev/null 9>&- &
	echo "$!" >"$dir/$1/pid"
	set +m
	disown "$!"
}

serves() { # NODE BROKERS: waits until it serves and knows so many brokers; 1 if its port was taken meanwhile
	local pid deadline at=$dir/$1
	pid=$(cat "$at/pid")
	deadline=$((SECONDS + 120))
	until grep -q 'Kafka Server started' "$at/kafka.log" && ready "$(node_port "$1")" "$2" 2>/dev/null; do
		if ! kill -0 "$pid" 2>/dev/null; then
			if grep -q 'Address already in use' "$at/kafka.log" "$at/out"; then return 1; fi
			tail -n 30 "$at/out" "$at/kafka.log" >&2
			die "node $1 ended while starting; the end of its log is above"
		fi
		if [ $SECONDS -ge $deadline ]; then
			tail -n 30 "$at/kafka.log" >&2
			kill -KILL "$pid"
			die "node $1 did not answer within 120 s; the end of its log is above"
		fi
		sleep 0.1
	done
}

cluster_id() { # what Kafka calls a random UUID: 22 characters, the first no dash
	printf 's%s' "$(head -c 16 /dev/urandom | base64 | tr '+/' '_-' | head -c 20)A"
}

format() { # NODE CLUSTER_ID
	kafka_tool kafka.tools.StorageTool format -t "$2" -c "$dir/$1/server.properties" \
		--add-scram 'SCRAM-SHA-512=[name=alice,password=alice-secret]' \
		--add-scram 'SCRAM-SHA-512=[name=bob,password=bob-secret]' >"$dir/$1/out" 2>&1
}

create() { # a new one, of $nodes nodes, formatted and started; 1 if a port was taken meanwhile
	local i p sasl controller tls id formats=() addresses= sasls= tlss=
	seq "$nodes" >"$dir/nodes"
	controller=$(free_port)
	for i in $(all_nodes); do
		rm -rf "${dir:?}/$i"
		mkdir "$dir/$i"
		p=$(free_port) sasl=$(free_port) tls=
		case $extra in *listener.name.tls.*) tls=$(free_port) ;; esac
		[ -z "$port" ] || p=$((port + i - 1))
		write_properties "$i" "$p" "$sasl" "$controller" "$tls"
		echo "$host:$p" >"$dir/$i/address"
		addresses+=${addresses:+,}$host:$p sasls+=${sasls:+,}$host:$sasl tlss+=${tlss:+,}${tls:+$host:$tls}
	done
	id=$(cluster_id)
	for i in $(all_nodes); do
		format "$i" "$id" &
		formats+=($!)
	done
	for i in $(all_nodes); do
		wait "${formats[i - 1]}" || { cat "$dir/$i/out" >&2; die "formatting the storage of node $i failed"; }
	done
	for i in $(all_nodes); do launch "$i"; done
	for i in $(all_nodes); do
		serves "$i" "$nodes" || { kill_all; return 1; }
	done
	echo "$sasls" >"$dir/sasl"
	echo "$tlss" >"$dir/tls"
	echo "$addresses" >"$dir/address" # last: with it the cluster is complete
}

again() { # NODE...: those that are down: the same ports, the same data
	local i began=$SECONDS down=()
	for i in "$@"; do running "$i" || down+=("$i"); done
	for i in ${down[@]+"${down[@]}"}; do launch "$i"; done
	for i in ${down[@]+"${down[@]}"}; do
		serves "$i" 1 || die "port $(node_port "$i") is taken"
		say "node $i started again on $(cat "$dir/$i/address") (pid $(cat "$dir/$i/pid"), $((SECONDS - began)) s)"
	done
}

start() {
	local try began=$SECONDS
	if [ -s "$dir/address" ]; then
		[ -z "$nodes" ] || [ "$nodes" = "$(all_nodes | wc -l | tr -d ' ')" ] || die "$dir has $(all_nodes | wc -l) node(s); stop it first"
		[ -z "$port" ] || [ "$port" = "$(node_port 1)" ] || die "$dir belongs to a broker on port $(node_port 1); stop it first"
		again ${node:-$(all_nodes)}
		if [ -n "$node" ]; then cat "$dir/$node/address"; else cat "$dir/address"; fi
		return
	fi
	[ -z "$node" ] || die "no broker belongs to $dir"
	nodes=${nodes:-1}
	train
	for try in 1 2 3; do
		if create; then
			say "Apache Kafka, $nodes node(s), on $(cat "$dir/address") ($((SECONDS - began)) s, directory $dir)"
			cat "$dir/address"
			return
		fi
		[ -z "$port" ] || die "port $port is taken"
	done
	die "no port stayed free in $try tries"
}

stop() {
	local i
	if [ -n "$node" ]; then
		running "$node" || return 0
		kill -TERM "$(cat "$dir/$node/pid")"
		gone "$(cat "$dir/$node/pid")"
		return
	fi
	if [ -s "$dir/nodes" ]; then
		kill_all
		for i in $(all_nodes); do rm -rf "${dir:?}/$i"; done
	fi
	rm -f "$dir"/{nodes,address,sasl,tls,lock}
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
	any_running || die "no broker runs in $dir (start one: .ci/kafka.sh start -dir $dir)"
	cat "$dir/address"
}

lead() { # TOPIC NODE: it comes first among the replicas, and the first is elected
	local at plan partitions i others separator=
	at=$(address)
	partitions=$(kafka_tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$at" --describe --topic "$1" |
		sed -n 's/.*PartitionCount: \([0-9]*\).*/\1/p')
	others=$(all_nodes | grep -vx "$2" | sed 's/^/,/' | tr -d '\n')
	plan=$(mktemp)
	{
		printf '{"version":1,"partitions":['
		for i in $(seq 0 $((partitions - 1))); do
			printf '%s{"topic":"%s","partition":%d,"replicas":[%s%s]}' "$separator" "$1" "$i" "$2" "$others"
			separator=,
		done
		printf ']}'
	} >"$plan"
	kafka_tool org.apache.kafka.tools.reassign.ReassignPartitionsCommand --bootstrap-server "$at" --reassignment-json-file "$plan" --execute >&2
	rm -f "$plan"
	for i in $(seq 0 $((partitions - 1))); do
		kafka_tool org.apache.kafka.tools.LeaderElectionCommand --bootstrap-server "$at" --election-type preferred --topic "$1" --partition "$i" >&2
	done
}

case $cmd in
start) locked start ;;
stop) [ ! -d "$dir" ] || locked stop ;;
status) address ;;
topic)
	[ ${#args[@]} = 2 ] || usage
	at=$(address)
	kafka_tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$at" \
		--create --topic "${args[0]}" --partitions "${args[1]}" >&2
	;;
lead)
	[ ${#args[@]} = 2 ] || usage
	lead "${args[@]}"
	;;
produce)
	[ ${#args[@]} = 1 ] || usage
	at=$(address)
	kafka_tool org.apache.kafka.tools.ConsoleProducer --bootstrap-server "$at" --topic "${args[0]}" \
		--property parse.key=true --property "key.separator=	" >&2
	;;
consume)
	[ ${#args[@]} = 2 ] || usage
	at=$(address)
	show=()
	if [ -n "$all" ]; then
		for i in timestamp partition headers key; do show+=(--property "print.$i=true"); done
	fi
	kafka_tool org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$at" --topic "${args[0]}" \
		--from-beginning --max-messages "${args[1]}" --timeout-ms 30000 ${show[@]+"${show[@]}"}
	;;
ends)
	[ ${#args[@]} = 1 ] || usage
	at=$(address)
	kafka_tool org.apache.kafka.tools.GetOffsetShell --bootstrap-server "$at" --topic "${args[0]}"
	;;
*) usage ;;
esac

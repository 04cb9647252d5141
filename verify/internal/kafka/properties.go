package kafka

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
)

// errPort is returned, wrapped, when another process has a port.
var errPort = errors.New("the port is taken")

// addresses are the addresses of the nodes' listeners.
type addresses struct{ plain, sasl, tls []string }

// configure chooses the ports, and writes each node's address and server.properties.
func (c *Cluster) configure(nodes []int, o Options) (all addresses, err error) {
	var held ports // until all are chosen, so that they differ
	defer held.release()
	tls := strings.Contains(strings.Join(o.Settings, "\n"), "listener.name.tls.")
	choose := func(to *[]string) (at string, err error) {
		if at, err = held.free(); err == nil {
			*to = append(*to, at)
		}
		return at, err
	}
	controller, err := held.free()
	if err != nil {
		return all, err
	}
	for i, n := range nodes {
		p := node{number: n, dir: c.file(strconv.Itoa(n)), controller: controller, settings: o.Settings, nodes: len(nodes)}
		if o.Port == 0 {
			p.plain, err = choose(&all.plain)
		} else {
			p.plain = net.JoinHostPort(host, strconv.Itoa(o.Port+i))
			all.plain = append(all.plain, p.plain)
			err = held.take(p.plain)
		}
		if err != nil {
			return all, err
		}
		if p.sasl, err = choose(&all.sasl); err != nil {
			return all, err
		}
		if tls {
			if p.tls, err = choose(&all.tls); err != nil {
				return all, err
			}
		}
		if err := os.RemoveAll(p.dir); err != nil {
			return all, err
		}
		if err := os.Mkdir(p.dir, 0o777); err != nil {
			return all, err
		}
		if err := errors.Join(c.write(p.properties(), strconv.Itoa(n), "server.properties"), c.write(p.plain+"\n", strconv.Itoa(n), "address")); err != nil {
			return all, err
		}
	}
	return all, nil
}

// ports holds ports by listening on them.
type ports []net.Listener

func (p *ports) release() {
	for _, l := range *p {
		l.Close()
	}
}

func (p *ports) take(at string) error {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return fmt.Errorf("%w: %w", errPort, err)
	}
	*p = append(*p, l)
	return nil
}

// free takes a port below the usual ephemeral range, where no outgoing connection can take it
// meanwhile.
func (p *ports) free() (at string, err error) {
	for range 100 {
		at = net.JoinHostPort(host, strconv.Itoa(10000+mathrand.IntN(20000)))
		if err = p.take(at); err == nil {
			return at, nil
		}
	}
	return "", fmt.Errorf("no free port found: %w", err)
}

// A node has the values that its server.properties needs.
type node struct {
	number, nodes                int
	dir                          string
	plain, sasl, tls, controller string
	settings                     []string
}

func (n node) properties() string {
	listeners := []string{"PLAIN://" + n.plain, "SASL://" + n.sasl}
	if n.tls != "" {
		listeners = append(listeners, "TLS://"+n.tls)
	}
	advertised, roles := strings.Join(listeners, ","), "broker"
	if n.number == 1 {
		roles = "broker,controller"
		listeners = append(listeners, "CONTROLLER://"+n.controller)
	}
	replicas, inSync := 1, 1
	if n.nodes >= 3 {
		replicas, inSync = 3, 2
	}
	return fmt.Sprintf(`process.roles=%s
node.id=%d
controller.quorum.voters=1@%s
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listeners=%s
advertised.listeners=%s
listener.security.protocol.map=PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL,CONTROLLER:PLAINTEXT
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="alice-secret" user_bob="bob-secret";
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
log.dirs=%s/data
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=%[7]d
min.insync.replicas=%[8]d
# the internal topics: few partitions to start fast
offsets.topic.replication.factor=%[7]d
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=%[7]d
transaction.state.log.min.isr=%[8]d
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=%[7]d
share.coordinator.state.topic.min.isr=%[8]d
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
# After SIGKILL the new process is let in only when the old one's session has ended: so not the usual 9 s,
# and long enough that a busy machine does not fence its only broker.
broker.session.timeout.ms=5000
broker.heartbeat.interval.ms=500
# leaders stay where the tests put them
auto.leader.rebalance.enable=false
num.network.threads=2
num.io.threads=4
log.cleaner.enable=false
%[9]s
`, roles, n.number, n.controller, strings.Join(listeners, ","), advertised, n.dir, replicas, inSync, strings.Join(n.settings, "\n"))
}

// clusterID returns what Kafka calls a random UUID. Its first character is never a dash, because a
// command line would read it as a flag.
func clusterID() string {
	var id [16]byte
	rand.Read(id[:]) // it never fails
	id[0] &= 0x7f
	return base64.RawURLEncoding.EncodeToString(id[:])
}

package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// The oldest Apache Kafka that the producer supports, 2.1, is one node and ZooKeeper, which is node
// 0. Its cluster has the file oldest, and neither SCRAM nor TLS. Kafka's own tools are not
// available for it.

const zookeeper = 0

// oldest reports whether the cluster runs the oldest Kafka.
func (c *Cluster) oldest() bool { return c.read("oldest") != "" }

// createOldest is create for the oldest Kafka.
func (c *Cluster) createOldest(ctx context.Context, j *java, o Options) (addresses string, err error) {
	if err := errors.Join(c.write("oldest\n", "oldest"), c.write("0\n1\n", "nodes"), c.write(serverLogText, serverLog)); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.kill(context.WithoutCancel(ctx), []int{zookeeper, 1}))
		}
	}()
	var held ports
	defer held.release()
	var at [3]string // ZooKeeper's, plain, sasl
	for i := range at {
		if i == 1 && o.Port != 0 {
			at[i] = net.JoinHostPort(host, strconv.Itoa(o.Port))
			err = held.take(at[i])
		} else {
			at[i], err = held.free()
		}
		if err != nil {
			return "", err
		}
	}
	for n, text := range []string{zookeeperProperties(c.file("0"), at[0]), oldestProperties(c.file("1"), at[0], at[1], at[2], o.Settings)} {
		dir := strconv.Itoa(n)
		if err := os.RemoveAll(c.file(dir)); err != nil {
			return "", err
		}
		if err := os.Mkdir(c.file(dir), 0o777); err != nil {
			return "", err
		}
		if err := errors.Join(c.write(text, dir, "server.properties"), c.write(at[n]+"\n", dir, "address")); err != nil {
			return "", err
		}
	}
	held.release()
	held = nil
	if err := c.launch(ctx, j, []int{zookeeper, 1}, 1); err != nil {
		return "", err
	}
	return at[1], errors.Join(c.write(at[2]+"\n", "sasl"), c.write("", "tls"), c.write(at[1]+"\n", "address")) // last
}

func zookeeperProperties(dir, at string) string {
	address, port, _ := net.SplitHostPort(at)
	return fmt.Sprintf(`dataDir=%s/data
clientPortAddress=%s
clientPort=%s
maxClientCnxns=0
admin.enableServer=false
`, dir, address, port)
}

func oldestProperties(dir, zookeeper, plain, sasl string, settings []string) string {
	listeners := "PLAIN://" + plain + ",SASL://" + sasl
	text := fmt.Sprintf(`broker.id=1
zookeeper.connect=%s
zookeeper.connection.timeout.ms=60000
inter.broker.listener.name=PLAIN
listeners=%s
listener.security.protocol.map=PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="alice-secret" user_bob="bob-secret";
authorizer.class.name=kafka.security.auth.SimpleAclAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
log.dirs=%s/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
log.cleaner.enable=false
`, zookeeper, listeners, dir)
	for _, s := range settings {
		text += s + "\n"
	}
	return text
}

// listens reports whether something accepts connections there.
func listens(ctx context.Context, at string) bool {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", at)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

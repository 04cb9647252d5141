// Package kafka runs a real Apache Kafka for the tests: one node or several (KRaft, the first is
// the controller), on the loopback only.
//
// A fast start matters more here than peak speed. Topics are never created automatically. With
// three nodes a topic has three replicas, of which two must be in sync for an acknowledgement.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed3893aba4/surestart/verify/internal/filelock"
	"github.com/seed3893aba4/surestart/verify/internal/tools"
)

const host = "127.0.0.1"

// A Cluster is described by the files of its directory. The files address, sasl and tls have the
// addresses of its listeners. Each node I has I/pid, I/address, I/server.properties, I/kafka.log
// and I/data/. A node may be killed or stopped by signals to its process; Start starts it again.
//
// The listener in address needs no password, and permits everything. The listener in sasl needs
// SASL (PLAIN or SCRAM-SHA-512). Its users are alice, password alice-secret, and bob, bob-secret;
// they may do what no ACL denies. The listener in tls exists if there are settings of
// listener.name.tls.
type Cluster struct {
	dir string    // absolute
	log io.Writer // what a person who waits wants to know

	training string // the archive that this cluster is started for; see archive
}

// Open returns the cluster of a directory, whether or not it runs or exists. The empty string
// stands for the directory broker in the cache.
func Open(dir string, log io.Writer) (*Cluster, error) {
	if dir == "" {
		cache, err := tools.Cache()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(cache, "broker")
	}
	dir, err := filepath.Abs(dir)
	return &Cluster{dir: dir, log: log}, err
}

// Options are the properties of a new cluster.
type Options struct {
	Nodes    int      // zero: one
	Port     int      // of the first node, the others have the following ones; zero: free ones
	Settings []string // lines KEY=VALUE for each node's server.properties
	Oldest   bool     // the oldest Kafka that the producer supports, one node
}

func (c *Cluster) say(format string, args ...any) { fmt.Fprintf(c.log, "kafka: "+format+"\n", args...) }

// locked calls f while no other start or stop of this directory runs.
func (c *Cluster) locked(ctx context.Context, f func() error) error {
	if err := os.MkdirAll(c.dir, 0o777); err != nil {
		return err
	}
	unlock, err := filelock.Lock(ctx, c.file("lock"), nil)
	if err != nil {
		return err
	}
	defer unlock()
	return f()
}

// Start creates and starts the cluster, or starts those of its nodes that are down, on the same
// ports with the same data. When the nodes serve, it returns host:port,... of all.
func (c *Cluster) Start(ctx context.Context, o Options) (addresses string, err error) {
	err = c.locked(ctx, func() error {
		began := time.Now()
		nodes, err := c.nodes()
		if err != nil {
			return err
		}
		if addresses = c.read("address"); addresses != "" {
			switch first, err := c.port(1); {
			case err != nil:
				return err
			case o.Nodes != 0 && o.Nodes != len(nodes):
				return fmt.Errorf("%s has %d node(s), not %d: stop it first", c.dir, len(nodes), o.Nodes)
			case o.Port != 0 && o.Port != first:
				return fmt.Errorf("%s belongs to a broker on port %d, not %d: stop it first", c.dir, first, o.Port)
			case o.Settings != nil:
				return fmt.Errorf("%s exists and keeps its settings: stop it first", c.dir)
			}
			return c.again(ctx, nodes)
		}
		if o.Oldest && o.Nodes > 1 {
			return errors.New("the oldest Kafka has one node")
		}
		if err := c.kill(ctx, nodes); err != nil { // a start that was cut off left them
			return err
		}
		if o.Nodes == 0 {
			o.Nodes = 1
		}
		create := c.create
		if o.Oldest {
			create = c.createOldest
		}
		j, err := c.java(ctx, o.Oldest)
		if err != nil {
			return err
		}
		const tries = 3
		for range tries {
			addresses, err = create(ctx, j, o)
			if err == nil {
				c.say("Apache Kafka, %d node(s), on %s (%.0f s, directory %s)", o.Nodes, addresses, time.Since(began).Seconds(), c.dir)
				return nil
			}
			if !errors.Is(err, errPort) || o.Port != 0 {
				return err
			}
		}
		return fmt.Errorf("no port stayed free in %d tries: %w", tries, err)
	})
	return addresses, err
}

// StartNode starts a node that is down, on the same port with the same data.
func (c *Cluster) StartNode(ctx context.Context, node int) (address string, err error) {
	err = c.locked(ctx, func() error {
		if err := c.has(node); err != nil {
			return err
		}
		address = c.read(strconv.Itoa(node), "address")
		return c.again(ctx, []int{node})
	})
	return address, err
}

// Status returns host:port,... of all nodes, if any of them runs.
func (c *Cluster) Status() (addresses string, err error) {
	nodes, err := c.nodes()
	if err != nil {
		return "", err
	}
	for _, n := range nodes {
		if _, runs := c.running(n); runs {
			return c.read("address"), nil
		}
	}
	return "", fmt.Errorf("no broker runs in %s: start one with kafka start -dir %[1]s", c.dir)
}

// Stop kills the cluster and removes its files. It returns nil if there is none.
func (c *Cluster) Stop(ctx context.Context) error {
	if _, err := os.Stat(c.dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return c.locked(ctx, func() error {
		nodes, err := c.nodes()
		if err != nil {
			return err
		}
		if err := c.kill(ctx, nodes); err != nil {
			return err
		}
		for _, n := range nodes {
			if err := os.RemoveAll(c.file(strconv.Itoa(n))); err != nil {
				return err
			}
		}
		for _, name := range []string{"oldest", "nodes", "address", "sasl", "tls", serverLog, toolsLog, "lock"} {
			if err := os.Remove(c.file(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		if os.Remove(c.dir) != nil {
			c.say("%s holds files that are not ours: left there", c.dir)
		}
		return nil
	})
}

// StopNode shuts a node down cleanly: its leaders move first, and its data stay.
func (c *Cluster) StopNode(ctx context.Context, node int) error {
	return c.locked(ctx, func() error {
		if err := c.has(node); err != nil {
			return err
		}
		return c.terminate(ctx, node)
	})
}

// create makes a new cluster. It is complete once the file address exists. The error is errPort if
// another process took a port.
func (c *Cluster) create(ctx context.Context, j *java, o Options) (addresses string, err error) {
	nodes := make([]int, o.Nodes)
	var numbers strings.Builder
	for i := range nodes {
		nodes[i] = i + 1
		fmt.Fprintln(&numbers, nodes[i])
	}
	if err := c.write(numbers.String(), "nodes"); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.kill(context.WithoutCancel(ctx), nodes))
		}
	}()
	for name, text := range map[string]string{serverLog: serverLogText, toolsLog: toolsLogText} {
		if err := c.write(text, name); err != nil {
			return "", err
		}
	}

	all, err := c.configure(nodes, o)
	if err != nil {
		return "", err
	}
	if err := c.format(ctx, j, nodes); err != nil {
		return "", err
	}
	if err := c.launch(ctx, j, nodes, len(nodes)); err != nil {
		return "", err
	}
	addresses = strings.Join(all.plain, ",")
	return addresses, errors.Join(
		c.write(strings.Join(all.sasl, ",")+"\n", "sasl"),
		c.write(strings.Join(all.tls, ",")+"\n", "tls"),
		c.write(addresses+"\n", "address")) // last
}

// again starts those of the nodes that are down.
func (c *Cluster) again(ctx context.Context, nodes []int) error {
	began := time.Now()
	var down []int
	for _, n := range nodes {
		if _, runs := c.running(n); !runs {
			down = append(down, n)
		}
	}
	if down == nil {
		return nil
	}
	j, err := c.java(ctx, c.oldest())
	if err != nil {
		return err
	}
	if err := c.launch(ctx, j, down, 1); err != nil {
		return err
	}
	for _, n := range down {
		node := strconv.Itoa(n)
		c.say("node %s started again on %s (pid %s, %.0f s)", node, c.read(node, "address"), c.read(node, "pid"), time.Since(began).Seconds())
	}
	return nil
}

// format prepares the storage of the nodes, with the two users.
func (c *Cluster) format(ctx context.Context, j *java, nodes []int) error {
	id := clusterID()
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		cmd := c.tool(ctx, j, "kafka.tools.StorageTool", "format", "-t", id, "-c", c.file(strconv.Itoa(n), "server.properties"),
			"--add-scram", "SCRAM-SHA-512=[name=alice,password=alice-secret]",
			"--add-scram", "SCRAM-SHA-512=[name=bob,password=bob-secret]")
		wg.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				errs[i] = fmt.Errorf("formatting the storage of node %d: %w: %s", n, err, out)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// file returns a path in the cluster's directory.
func (c *Cluster) file(names ...string) string {
	return filepath.Join(append([]string{c.dir}, names...)...)
}

// read returns a file's text without the last newline, or "" if there is no such file.
func (c *Cluster) read(names ...string) string {
	text, err := os.ReadFile(c.file(names...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func (c *Cluster) write(text string, names ...string) error {
	return os.WriteFile(c.file(names...), []byte(text), 0o666)
}

// nodes returns the numbers of the nodes: from 1, and 0 for ZooKeeper. It returns none if there is
// no cluster.
func (c *Cluster) nodes() (nodes []int, err error) {
	for _, field := range strings.Fields(c.read("nodes")) {
		n, err := strconv.Atoi(field)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%s: %q is no node's number", c.file("nodes"), field)
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// has returns an error unless the cluster is complete and has the node.
func (c *Cluster) has(node int) error {
	nodes, err := c.nodes()
	switch {
	case err != nil:
		return err
	case c.read("address") == "":
		return fmt.Errorf("no broker belongs to %s: start it without -node first", c.dir)
	case node < 1 || node > len(nodes):
		return fmt.Errorf("%s has no node %d: its nodes are 1 to %d", c.dir, node, len(nodes))
	}
	return nil
}

// port returns the port on which a node serves.
func (c *Cluster) port(node int) (int, error) {
	_, port, _ := strings.Cut(c.read(strconv.Itoa(node), "address"), ":")
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0, fmt.Errorf("%s: want host:port: %w", c.file(strconv.Itoa(node), "address"), err)
	}
	return n, nil
}

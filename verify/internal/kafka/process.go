package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	poll      = 100 * time.Millisecond
	startTime = 2 * time.Minute // for a node to serve
	stopTime  = 2 * time.Minute // for a node to end
)

// marker returns the argument that identifies a node's process.
func (c *Cluster) marker(node int) string {
	return "-Dsurestart.dir=" + c.file(strconv.Itoa(node))
}

// launch starts the processes of the nodes, and returns when each serves and knows that number of
// brokers. The error is errPort if another process took a port meanwhile.
func (c *Cluster) launch(ctx context.Context, j *java, nodes []int, brokers int) error {
	ended := make([]chan struct{}, len(nodes))
	for i, n := range nodes {
		var err error
		if ended[i], err = c.process(j, n); err != nil {
			return err
		}
	}
	for i, n := range nodes {
		if err := c.serves(ctx, n, brokers, ended[i]); err != nil {
			return err
		}
	}
	return nil
}

// process starts a node's process, which outlives this one. The channel is closed when the process
// ends.
func (c *Cluster) process(j *java, n int) (ended chan struct{}, err error) {
	all, err := c.nodes()
	if err != nil {
		return nil, err
	}
	heap := "-Xmx512m"
	if len(all) > 1 {
		heap = "-Xmx256m"
	}
	class := "kafka.Kafka"
	if n == zookeeper {
		class = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
	}
	dir := c.file(strconv.Itoa(n))
	if err := c.write("", strconv.Itoa(n), "kafka.log"); err != nil {
		return nil, err
	}
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	args := append([]string{"-Xms96m", heap}, j.options...)
	args = append(args, c.marker(n), "-Dzookeeper.jmx.log4j.disable=true", "-Dlog4j2.configurationFile="+c.file(serverLog), "-Dkafka.logs.dir="+dir,
		"-cp", j.classpath, class, filepath.Join(dir, "server.properties"))
	cmd := exec.Command(j.command, args...)
	cmd.Stdout, cmd.Stderr = out, out
	ownGroup(cmd) // an interrupt meant for the tests does not reach the broker
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	return ended, c.write(fmt.Sprintln(cmd.Process.Pid), strconv.Itoa(n), "pid")
}

// serves waits until a node serves and knows that number of brokers.
func (c *Cluster) serves(ctx context.Context, n, brokers int, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTime, fmt.Errorf("node %d did not answer within %v", n, startTime))
	defer cancel()
	name := strconv.Itoa(n)
	at := c.read(name, "address")
	for {
		switch {
		case n == zookeeper:
			if listens(ctx, at) {
				return nil
			}
		case (c.oldest() || strings.Contains(c.read(name, "kafka.log"), "Kafka Server started")) && ready(ctx, at, brokers):
			return nil
		}
		var err error
		select {
		case <-ended:
			err = fmt.Errorf("node %d ended while starting", n)
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-time.After(poll):
			continue
		}
		said := c.read(name, "out") + "\n" + c.read(name, "kafka.log")
		if strings.Contains(said, "Address already in use") {
			err = fmt.Errorf("%w: %s, or another one of node %d", errPort, at, n)
		}
		lines := strings.Split(said, "\n")
		return fmt.Errorf("%w; the end of its log:\n%s", err, strings.Join(lines[max(0, len(lines)-30):], "\n"))
	}
}

// ready asks a node for Metadata (version 0), and reports whether it knows at least that number of
// brokers: registered, not fenced, and serving. It needs no JVM, because it is called ten times a
// second.
func ready(ctx context.Context, at string, brokers int) bool {
	const id = 7
	request := []byte{0, 0, 0, 14, // the size
		0, 3, 0, 0, 0, 0, 0, id, // Metadata, version 0, and the correlation id
		0xff, 0xff, 0, 0, 0, 0} // no client's name, no topics named
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", at)
	if err != nil {
		return false
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if _, err := conn.Write(request); err != nil {
		return false
	}
	var answer [12]byte // the size, the correlation id and the number of brokers
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return false
	}
	return binary.BigEndian.Uint32(answer[4:]) == id && int(binary.BigEndian.Uint32(answer[8:])) >= brokers
}

// running returns a node's process, if it runs. A later process with the same number does not
// count.
func (c *Cluster) running(n int) (*os.Process, bool) {
	pid, err := strconv.Atoi(c.read(strconv.Itoa(n), "pid"))
	if err != nil {
		return nil, false
	}
	arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	arguments = bytes.ReplaceAll(arguments, []byte{0}, []byte{' '})
	if err != nil { // a system without /proc
		if arguments, err = exec.Command("ps", "-ww", "-p", strconv.Itoa(pid), "-o", "command=").Output(); err != nil {
			return nil, false
		}
	}
	if !bytes.Contains(arguments, []byte(c.marker(n)+" ")) {
		return nil, false
	}
	p, err := os.FindProcess(pid)
	return p, err == nil
}

// kill kills those of the nodes that run, and waits for their end. Their data are removed anyway,
// and SIGKILL is the only signal that ends a process stopped by SIGSTOP.
func (c *Cluster) kill(ctx context.Context, nodes []int) error {
	var errs []error
	for _, n := range nodes {
		if p, runs := c.running(n); runs {
			errs = append(errs, c.end(ctx, n, p, p.Kill))
		}
	}
	return errors.Join(errs...)
}

// terminate shuts a node down cleanly, if it runs.
func (c *Cluster) terminate(ctx context.Context, n int) error {
	p, runs := c.running(n)
	if !runs {
		return nil
	}
	return c.end(ctx, n, p, func() error { return terminate(p) })
}

// end sends a signal to a node's process, and waits until it has ended.
func (c *Cluster) end(ctx context.Context, n int, p *os.Process, signal func() error) error {
	if err := signal(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("node %d: %w", n, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, stopTime, fmt.Errorf("node %d (pid %d) did not end within %v: is its process stopped?", n, p.Pid, stopTime))
	defer cancel()
	for {
		// A process that has ended, or is a zombie without a waiting parent, has no arguments.
		if _, runs := c.running(n); !runs {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(poll / 2):
		}
	}
}

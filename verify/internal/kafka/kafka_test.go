package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// run is the command on the cluster of a directory.
func run(t *testing.T, dir, input string, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	err := command(t.Context(), append(args, "-dir", dir), strings.NewReader(input), &out, t.Output())
	return strings.TrimSuffix(out.String(), "\n"), err
}

// A real node: it takes messages, is killed, stopped and started again, and keeps them.
func TestRealNode(t *testing.T) {
	if os.Getenv("KAFKA_LIB") == "" {
		if os.Getenv("SURESTART_NO_SKIP") == "1" {
			t.Fatal("missing, and SURESTART_NO_SKIP is set: KAFKA_LIB, as tools env prints it")
		}
		t.Skip("missing: KAFKA_LIB, as tools env prints it")
	}
	dir := filepath.Join(t.TempDir(), "broker")
	must := func(input string, args ...string) string {
		t.Helper()
		text, err := run(t, dir, input, args...)
		if err != nil {
			t.Fatalf("kafka %s: %v", strings.Join(args, " "), err)
		}
		return text
	}
	process := func() *os.Process {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, "1", "pid"))
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		p, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	t.Cleanup(func() {
		if err := command(context.Background(), []string{"stop", "-dir", dir}, nil, io.Discard, t.Output()); err != nil {
			t.Error(err)
		}
	})

	at := must("", "start", "-set", "message.max.bytes=100000")
	sasl, err := os.ReadFile(filepath.Join(dir, "sasl"))
	if _, _, bad := net.SplitHostPort(strings.TrimSpace(string(sasl))); err != nil || bad != nil {
		t.Errorf("sasl has %q, %v, %v", sasl, err, bad)
	}
	must("", "topic", "orders", "1")
	must("k\ta\nk\tb\n", "produce", "orders")
	if got := must("", "consume", "orders", "2"); got != "a\nb" {
		t.Errorf("consumed %q, want a and b", got)
	}

	first := process()
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.end(t.Context(), 1, first, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got, err := run(t, dir, "", "status"); err == nil {
		t.Errorf("the status of a killed node is %s", got)
	}
	if got := must("", "start"); got != at {
		t.Errorf("started again on %s, want %s", got, at)
	}
	if process().Pid == first.Pid {
		t.Error("start has started no process")
	}
	must("k\tc\n", "produce", "orders")

	must("", "stop", "-node", "1")
	if got, err := run(t, dir, "", "status"); err == nil {
		t.Errorf("the status of a stopped node is %s", got)
	}
	if got := must("", "start", "-node", "1"); got != at {
		t.Errorf("the node started again on %s, want %s", got, at)
	}
	running := process().Pid
	if got := must("", "start"); got != at || process().Pid != running {
		t.Errorf("start of what runs = %s and process %d, want %s and %d", got, process().Pid, at, running)
	}
	if got := must("", "consume", "orders", "3", "-all"); !strings.Contains(got, "\tPartition:0\tNO_HEADERS\tk\tc") {
		t.Errorf("consumed with all: %q", got)
	}
	if got := must("", "ends", "orders"); got != "orders:0:3" {
		t.Errorf("ends = %q, want orders:0:3", got)
	}
	must("", "lead", "orders", "1")
	for _, args := range [][]string{{"start", "-nodes", "3"}, {"start", "-port", "1"}, {"start", "-set", "a=b"}, {"start", "-node", "2"}, {"lead", "orders", "2"}} {
		if got, err := run(t, dir, "", args...); err == nil {
			t.Errorf("%s = %q, want an error", strings.Join(args, " "), got)
		}
	}

	must("", "stop", "-at-end")
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stop leaves the directory: %v", err)
	}
	must("", "stop") // nothing is wrong with nothing
}

func TestArguments(t *testing.T) {
	for _, args := range []string{"", "begin", "start 1", "start -nodes x", "stop -nodes 3", "topic orders", "topic orders x",
		"topic orders 0", "consume orders", "produce", "ends a b", "start -node 1 -nodes 3", "stop -node 1 -at-end", "status -all"} {
		if err := command(t.Context(), strings.Fields(args), nil, io.Discard, io.Discard); !errors.Is(err, errUsage) {
			t.Errorf("kafka %s = %v, want errUsage", args, err)
		}
	}
	for _, args := range []string{"-h", "start -h"} {
		if err := command(t.Context(), strings.Fields(args), nil, io.Discard, io.Discard); !errors.Is(err, flag.ErrHelp) {
			t.Errorf("kafka %s = %v, want flag.ErrHelp", args, err)
		}
	}
	dir := t.TempDir()
	for args, want := range map[string]string{
		"status":         "no broker runs in " + dir + ": start one with kafka start -dir " + dir,
		"produce orders": "no broker runs in",
		"start -node 1":  "no broker belongs to",
		"stop -node 1":   "no broker belongs to",
	} {
		if _, err := run(t, dir, "", strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("kafka %s where there is none: %v, want %q", args, err, want)
		}
	}
}

// A process that has a dead node's number by chance is not that node.
func TestOtherProcess(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "1"), 0o777); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"nodes": "1\n", "address": "127.0.0.1:1\n", "1/pid": strconv.Itoa(os.Getpid())} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := run(t, dir, "", "status"); err == nil {
		t.Errorf("status = %s: this test was taken for a node", got)
	}
	if _, err := run(t, dir, "", "stop"); err != nil { // and this test lives on
		t.Error(err)
	}
}

func TestReady(t *testing.T) {
	answer := func(id, brokers uint32) []byte {
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, id), brokers)
	}
	for _, c := range []struct {
		name   string
		answer []byte
		want   bool
	}{
		{"one broker", answer(7, 1), false},
		{"two brokers", answer(7, 2), true},
		{"three brokers", answer(7, 3), true},
		{"another answer", answer(8, 2), false},
		{"half an answer", answer(7, 2)[:11], false},
		{"none", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			asked := make(chan []byte, 1)
			go func() {
				defer close(asked)
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				request := make([]byte, 18)
				if _, err := io.ReadFull(conn, request); err == nil {
					asked <- request
					conn.Write(c.answer)
				}
			}()
			if got := ready(t.Context(), l.Addr().String(), 2); got != c.want {
				t.Errorf("ready = %v, want %v", got, c.want)
			}
			if request := <-asked; !bytes.Equal(request[:8], []byte{0, 0, 0, 14, 0, 3, 0, 0}) {
				t.Errorf("asked % x, want Metadata, version 0", request)
			}
		})
	}
}

func TestProperties(t *testing.T) {
	lines := func(n node) map[string]string {
		found := make(map[string]string)
		for line := range strings.Lines(n.properties()) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
				found[key] = value
			}
			if strings.Contains(line, "%!") {
				t.Errorf("a verb without its value: %s", line)
			}
		}
		return found
	}
	n := node{number: 1, nodes: 1, dir: "/d/1", plain: "h:1", sasl: "h:2", controller: "h:3", settings: []string{"a=b", "min.insync.replicas=7"}}
	got := lines(n)
	for key, want := range map[string]string{"process.roles": "broker,controller", "listeners": "PLAIN://h:1,SASL://h:2,CONTROLLER://h:3",
		"advertised.listeners": "PLAIN://h:1,SASL://h:2", "log.dirs": "/d/1/data", "default.replication.factor": "1", "a": "b",
		"min.insync.replicas": "7", "controller.quorum.voters": "1@h:3"} {
		if got[key] != want {
			t.Errorf("one node: %s=%s, want %s", key, got[key], want)
		}
	}
	n = node{number: 2, nodes: 3, dir: "/d/2", plain: "h:1", sasl: "h:2", tls: "h:4", controller: "h:3"}
	got = lines(n)
	for key, want := range map[string]string{"process.roles": "broker", "listeners": "PLAIN://h:1,SASL://h:2,TLS://h:4",
		"advertised.listeners": "PLAIN://h:1,SASL://h:2,TLS://h:4", "default.replication.factor": "3", "min.insync.replicas": "2",
		"transaction.state.log.replication.factor": "3", "transaction.state.log.min.isr": "2"} {
		if got[key] != want {
			t.Errorf("the second of three nodes: %s=%s, want %s", key, got[key], want)
		}
	}
}

func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := &Cluster{dir: t.TempDir(), log: t.Output()}
	_, err = c.configure([]int{1}, Options{Port: l.Addr().(*net.TCPAddr).Port})
	if !errors.Is(err, errPort) {
		t.Errorf("configure on a port that is taken = %v, want errPort", err)
	}
}

func TestClusterID(t *testing.T) {
	for range 1000 {
		if id := clusterID(); len(id) != 22 || id[0] == '-' {
			t.Fatalf("%q: want 22 characters, the first no dash", id)
		}
	}
}

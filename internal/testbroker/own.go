//go:build unix

package testbroker

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An OwnBroker is a real Apache Kafka of one test, which may damage it. Its nodes are
// numbered from 1, which is also the controller. Methods that take nodes apply to all nodes
// if none is given.
type OwnBroker struct {
	*Broker
	// SASL has the addresses that require a password: alice-secret for alice, bob-secret for
	// bob.
	SASL []string
	// TLS has the addresses that require TLS, with settings of listener.name.tls only.
	TLS []string

	dir   string
	nodes []int
}

// Own starts a cluster of n nodes for the test alone if Env is set; otherwise it skips the
// test. One node takes about 3 s, three nodes about 9 s. Settings are lines of
// server.properties. With three nodes a topic has three replicas, two of which must be in
// sync.
func Own(t testing.TB, n int, settings ...string) *OwnBroker {
	t.Helper()
	args := []string{"start", "-nodes", strconv.Itoa(n)}
	for _, s := range settings {
		args = append(args, "-set", s)
	}
	return own(t, n, args)
}

// OwnOldest is Own for the oldest Kafka that the producer supports: one node, without SCRAM,
// TLS and Run.
func OwnOldest(t testing.TB) *OwnBroker { t.Helper(); return own(t, 1, []string{"start", "-oldest"}) }

func own(t testing.TB, n int, args []string) *OwnBroker {
	t.Helper()
	Real(t)
	o := &OwnBroker{dir: filepath.Join(t.TempDir(), "broker")}
	for i := range n {
		o.nodes = append(o.nodes, i+1)
	}
	o.stopInTheEnd(t)
	o.Broker = &Broker{Name: "kafka", Addrs: strings.Split(o.Run(t, "", args...), ",")}
	for name, to := range map[string]*[]string{"sasl": &o.SASL, "tls": &o.TLS} {
		addresses, err := os.ReadFile(filepath.Join(o.dir, name))
		if err != nil {
			t.Fatalf("testbroker: %v", err)
		}
		*to = strings.FieldsFunc(string(addresses), func(r rune) bool { return r == ',' || r == '\n' })
	}
	o.Broker.Others = slices.Concat(o.SASL, o.TLS)
	return o
}

// stopInTheEnd stops the cluster at the end of the test or of this process: a process that
// panics or is killed leaves no broker running.
func (o *OwnBroker) stopInTheEnd(t testing.TB) {
	t.Helper()
	cmd := o.command(t, "stop", "-at-end")
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	end, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("testbroker: %v", err)
	}
	t.Cleanup(func() {
		end.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("testbroker: %v: %v\n%s", cmd, err, said.String())
		}
	})
}

// command returns KafkaCommand for the cluster.
func (o *OwnBroker) command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd, err := KafkaCommand(context.Background(), append(args, "-dir", o.dir)...)
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

// Run runs KafkaCommand for the cluster, and returns its output.
func (o *OwnBroker) Run(t testing.TB, input string, args ...string) string {
	t.Helper()
	cmd := o.command(t, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("testbroker: %v: %v\n%s", cmd, err, errs.String())
	}
	return strings.TrimRight(out.String(), "\n")
}

// Freeze stops the processes: connections stay open, and no request is answered. It returns
// when every thread of the processes has stopped: on a busy machine they may answer between
// the signal and its effect.
func (o *OwnBroker) Freeze(t testing.TB, nodes ...int) {
	t.Helper()
	for _, pid := range o.signal(t, syscall.SIGSTOP, nodes) {
		for !stopped(pid) {
			time.Sleep(time.Millisecond)
		}
	}
}

// stopped reports whether each thread of the process is stopped, as /proc shows it. Without
// /proc it returns true.
func stopped(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			continue // the thread has ended
		}
		// proc_pid_stat(5): pid (comm) state ...
		if i := bytes.LastIndexByte(stat, ')'); !bytes.HasPrefix(stat[i+1:], []byte(" T")) {
			return false
		}
	}
	return true
}

// Thaw continues the processes.
func (o *OwnBroker) Thaw(t testing.TB, nodes ...int) { t.Helper(); o.signal(t, syscall.SIGCONT, nodes) }

// Kill ends the processes without a warning.
func (o *OwnBroker) Kill(t testing.TB, nodes ...int) { t.Helper(); o.signal(t, syscall.SIGKILL, nodes) }

// ShutDown ends a node in order: the partitions that it leads get other leaders first.
func (o *OwnBroker) ShutDown(t testing.TB, node int) {
	t.Helper()
	o.Run(t, "", "stop", "-node", strconv.Itoa(node))
}

// Restart starts nodes again, at the same address with the same data, and returns when they
// accept requests.
func (o *OwnBroker) Restart(t testing.TB, nodes ...int) {
	t.Helper()
	if len(nodes) == 0 {
		o.Run(t, "", "start")
	}
	for _, n := range nodes {
		o.Run(t, "", "start", "-node", strconv.Itoa(n))
	}
}

// signal sends sig to the processes of the nodes, and returns their ids.
func (o *OwnBroker) signal(t testing.TB, sig syscall.Signal, nodes []int) (pids []int) {
	t.Helper()
	if len(nodes) == 0 {
		nodes = o.nodes
	}
	for _, n := range nodes {
		text, err := os.ReadFile(filepath.Join(o.dir, fmt.Sprint(n), "pid"))
		if err != nil {
			t.Fatalf("testbroker: %v", err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err == nil {
			err = syscall.Kill(pid, sig)
		}
		if err != nil {
			t.Fatalf("testbroker: signal %v to node %d: %v", sig, n, err)
		}
		pids = append(pids, pid)
	}
	return pids
}

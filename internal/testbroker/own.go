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

// An OwnBroker is a real Apache Kafka of one test, which may do it harm. Its
// nodes are numbered from 1, which is the controller too; a method that takes
// nodes means all of them if none is named.
type OwnBroker struct {
	*Broker
	// SASL is where it wants a password: alice's is alice-secret, bob's bob-secret.
	SASL []string
	// TLS is where it wants that, if it has settings of listener.name.tls.
	TLS []string

	dir   string
	nodes []int
}

// Own starts a cluster of n nodes for the test alone, if Env says that there is
// what it takes; else it skips the test. One node takes about 3 s, three about 9.
// Settings are lines of server.properties. With three nodes a topic has three
// replicas, two of which must be in sync.
func Own(t testing.TB, n int, settings ...string) *OwnBroker {
	t.Helper()
	args := []string{"start", "-nodes", strconv.Itoa(n)}
	for _, s := range settings {
		args = append(args, "-set", s)
	}
	return own(t, n, args)
}

// OwnOldest is Own for the oldest Kafka that the producer supports: one node, which knows no SCRAM
// and no TLS, and of Run nothing.
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

// stopInTheEnd stops the cluster when the test ends, or this process does: one that
// panics or is killed leaves no broker behind.
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

// command is KafkaCommand on the cluster.
func (o *OwnBroker) command(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd, err := KafkaCommand(context.Background(), append(args, "-dir", o.dir)...)
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

// Run runs KafkaCommand on the cluster, and returns what it prints.
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

// Freeze stops the processes: connections stay open, nothing answers. It returns when
// every thread of theirs stands still: the signal is sent before it takes effect, and
// a busy machine lets them answer once more.
func (o *OwnBroker) Freeze(t testing.TB, nodes ...int) {
	t.Helper()
	for _, pid := range o.signal(t, syscall.SIGSTOP, nodes) {
		for !stopped(pid) {
			time.Sleep(time.Millisecond)
		}
	}
}

// stopped says whether each thread of the process is, as far as /proc tells: where
// there is none, nothing does.
func stopped(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		// proc_pid_stat(5): pid (comm) state ...
		if i := bytes.LastIndexByte(stat, ')'); !bytes.HasPrefix(stat[i+1:], []byte(" T")) {
			return false
		}
	}
	return true
}

// Thaw lets them go on.
func (o *OwnBroker) Thaw(t testing.TB, nodes ...int) { t.Helper(); o.signal(t, syscall.SIGCONT, nodes) }

// Kill ends them without warning.
func (o *OwnBroker) Kill(t testing.TB, nodes ...int) { t.Helper(); o.signal(t, syscall.SIGKILL, nodes) }

// ShutDown ends a node in good order: its leaders move first.
func (o *OwnBroker) ShutDown(t testing.TB, node int) {
	t.Helper()
	o.Run(t, "", "stop", "-node", strconv.Itoa(node))
}

// Restart brings nodes back, at the same address with the same data, and returns
// when they serve.
func (o *OwnBroker) Restart(t testing.TB, nodes ...int) {
	t.Helper()
	if len(nodes) == 0 {
		o.Run(t, "", "start")
	}
	for _, n := range nodes {
		o.Run(t, "", "start", "-node", strconv.Itoa(n))
	}
}

// signal sends it to the processes of the nodes, and returns their numbers.
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

//go:build unix

package testbroker

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// An OwnBroker is a real Apache Kafka of one test, which may do it harm.
type OwnBroker struct {
	*Broker
	script, dir string
}

// Own starts a broker for the test alone, in about 10 s, if Env says that there is
// what it takes; else it skips the test.
func Own(t testing.TB) *OwnBroker {
	t.Helper()
	Real(t)
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatalf("testbroker: go list: %v", err)
	}
	o := &OwnBroker{
		script: filepath.Join(strings.TrimSpace(string(root)), ".ci", "kafka.sh"),
		dir:    filepath.Join(t.TempDir(), "broker"),
	}
	o.Broker = &Broker{Name: "kafka", Addrs: []string{o.run(t, "start")}}
	t.Cleanup(func() { o.run(t, "stop") })
	return o
}

func (o *OwnBroker) run(t testing.TB, command string) string {
	t.Helper()
	cmd := exec.Command(o.script, command, "-dir", o.dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("testbroker: %s %s: %v\n%s", o.script, command, err, errs.String())
	}
	return strings.TrimSpace(out.String())
}

// Freeze stops the process: connections stay open, nothing answers.
func (o *OwnBroker) Freeze(t testing.TB) { t.Helper(); o.signal(t, syscall.SIGSTOP) }

// Thaw lets it go on.
func (o *OwnBroker) Thaw(t testing.TB) { t.Helper(); o.signal(t, syscall.SIGCONT) }

// Kill ends it without warning.
func (o *OwnBroker) Kill(t testing.TB) { t.Helper(); o.signal(t, syscall.SIGKILL) }

// Restart brings it back after Kill, at the same address with the same data.
func (o *OwnBroker) Restart(t testing.TB) { t.Helper(); o.run(t, "start") }

func (o *OwnBroker) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(o.dir, "pid"))
	if err != nil {
		t.Fatalf("testbroker: %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil {
		err = syscall.Kill(pid, sig)
	}
	if err != nil {
		t.Fatalf("testbroker: signal %v: %v", sig, err)
	}
}

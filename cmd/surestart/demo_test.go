package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Each of these is a process of its own, one after the other: they count
// goroutines, and hold the producer to its two seconds.

func runProcess(t *testing.T, args ...string) result {
	t.Helper()
	cmd := process(t, args...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	failure := cmd.Run()
	if _, exited := failure.(*exec.ExitError); failure != nil && !exited {
		t.Fatal(failure)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), err.String()}
}

func TestDemoPasses(t *testing.T) {
	r := runProcess(t, "demo", "-callers", "50", "-messages", "2000")
	if r.status != 0 || r.err != "" {
		t.Fatalf("status %d, standard error %q, standard output:\n%s", r.status, r.err, r.out)
	}
	for _, text := range []string{"Idle → Starting", "Starting → Started", "Stopping → Closed", "a naive flag     surestart", "2,000 of 2,000"} {
		if !strings.Contains(r.out, text) {
			t.Errorf("%q is missing from:\n%s", text, r.out)
		}
	}
	if strings.ContainsAny(r.out, "\r\x1b") {
		t.Error("the output is not plain though there is no terminal")
	}
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "PASS") {
		t.Errorf("the last line is %q", last)
	}
	checkPicture(t, r.out)
}

// A promise that is broken on purpose is noticed, by its name, and no other is blamed.
func TestDemoNoticesWhatIsBroken(t *testing.T) {
	for b, guarantee := range map[string]string{
		"start-once": "G1 SingleFlight",
		"lose":       "G9 DrainFirst",
		"leak":       "G7 NoLeak",
		"twice":      "D3 Once",
	} {
		t.Run(b, func(t *testing.T) {
			r := runProcess(t, "demo", "-callers", "50", "-messages", "2000", "-break", b)
			lines := strings.Split(strings.TrimSpace(r.out), "\n")
			if last := lines[len(lines)-1]; r.status != 1 || !strings.HasPrefix(last, "FAIL: "+guarantee+" (") {
				t.Errorf("status %d, the last line is %q; want %s alone:\n%s", r.status, last, guarantee, r.out)
			}
			if strings.Contains(r.out, "a naive flag") {
				t.Error("the naive flag ran too")
			}
		})
	}
}

func TestDemoOnApacheKafka(t *testing.T) {
	brokers := kafkaOrSkip(t)
	r := runProcess(t, "demo", "-callers", "50", "-messages", "2000", "-brokers", brokers)
	if r.status != 0 || !strings.Contains(r.out, "reads back 2,000 of 2,000: 0 lost, 0 twice") || !strings.Contains(r.out, "a naive flag") {
		t.Fatalf("status %d: %s%s", r.status, r.out, r.err)
	}
}

// kafkaOrSkip returns the address of a real Apache Kafka.
func kafkaOrSkip(t *testing.T) string {
	t.Helper()
	brokers := os.Getenv("SURESTART_KAFKA")
	if brokers == "" {
		const missing = "SURESTART_KAFKA is not set: the host:port of an Apache Kafka (./check kafka start prints one)"
		if os.Getenv("SURESTART_NO_SKIP") != "" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	return brokers
}

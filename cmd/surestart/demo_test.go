package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/seed3893aba4/surestart/cmd/surestart/internal/demo"
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
}

// A promise that is broken on purpose is noticed, by its name, and no other is blamed.
func TestDemoNoticesWhatIsBroken(t *testing.T) {
	for b, guarantee := range map[demo.Break]string{
		demo.BreakStartOnce: "G1 SingleFlight",
		demo.BreakLose:      "G9 DrainFirst",
		demo.BreakLeak:      "G7 NoLeak",
		demo.BreakTwice:     "D3 Once",
	} {
		t.Run(string(b), func(t *testing.T) {
			r := runProcess(t, "demo", "-callers", "50", "-messages", "2000", "-json", "-break", string(b))
			res := parse(t, r)
			if r.status != 1 || res.Pass || len(res.Failures) == 0 || res.Naive != nil {
				t.Fatalf("status %d, %+v; want 1 and a failure", r.status, res)
			}
			for _, f := range res.Failures {
				if f.Guarantee != guarantee {
					t.Errorf("blamed: %s (%s); want %s alone", f.Guarantee, f.What, guarantee)
				}
			}
		})
	}
	r := runProcess(t, "demo", "-callers", "50", "-messages", "2000", "-break", "lose")
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if last := lines[len(lines)-1]; r.status != 1 || !strings.HasPrefix(last, "FAIL: G9 DrainFirst") {
		t.Errorf("status %d, the last line is %q", r.status, last)
	}
}

func parse(t *testing.T, r result) demo.Result {
	t.Helper()
	var res demo.Result
	d := json.NewDecoder(strings.NewReader(r.out))
	d.DisallowUnknownFields()
	if err := d.Decode(&res); err != nil {
		t.Fatalf("the output is not the JSON of a result: %v: %q %q", err, r.out, r.err)
	}
	if d.More() {
		t.Errorf("there is more than JSON: %q", r.out)
	}
	return res
}

func TestDemoOnApacheKafka(t *testing.T) {
	brokers := kafkaOrSkip(t)
	r := runProcess(t, "demo", "-callers", "50", "-messages", "2000", "-json", "-brokers", brokers)
	res := parse(t, r)
	if r.status != 0 || !res.Pass || res.Naive == nil {
		t.Fatalf("status %d: %s%s", r.status, r.out, r.err)
	}
	if s := res.Surestart; s.Opens != 1 || s.Found != 2000 || s.Lost != 0 || s.Conns != 0 {
		t.Errorf("%+v", s)
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

package main

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/cmd/surestart/internal/reader"
)

// What consume -json prints produce -json reads: keys, values, bytes, tombstones, headers and times.
func TestJSONThereAndBack(t *testing.T) {
	at := broker(t, "lines", kfake.SeedTopics(1, "copy"))
	in := `{"key":"k","value":"v","headers":[{"key":"h","value":"x"},{"key":"h","value64":"/w=="},{"key":"none"}],"time":"2026-01-02T03:04:05Z"}
{"key64":"gA==","value64":"/wA="}
{"key":"","value":""}
{"value":null}
{"key":"\ufffd","value":"\ud83d\ude00 \\ud800","headers":[{"key64":"aP8=","value":"x"}]}
`
	if r := call(t, in, "produce", "-brokers", at, "-topic", "lines", "-json"); r.status != exitOK {
		t.Fatalf("%+v", r)
	}
	first := call(t, "", "consume", "-brokers", at, "-topic", "lines", "-json")
	for _, text := range []string{
		`"key":"k","value":"v","headers":[{"key":"h","value":"x"},{"key":"h","value64":"/w=="},{"key":"none"}],"time":"2026-01-02T03:04:05Z","topic":"lines","partition":0,"offset":0}`,
		`{"key64":"gA==","value":null,"value64":"/wA=",`, `{"key":"","value":"",`, `{"value":null,`,
		`{"key":"�","value":"😀 \\ud800","headers":[{"key64":"aP8=","value":"x"}],`,
	} {
		if !strings.Contains(first.out, text) {
			t.Errorf("no %s in\n%s", text, first.out)
		}
	}
	if r := call(t, first.out, "produce", "-brokers", at, "-topic", "copy", "-json"); r.status != exitOK {
		t.Fatalf("%+v", r)
	}
	second := call(t, "", "consume", "-brokers", at, "-topic", "copy", "-json")
	if strings.ReplaceAll(second.out, `"copy"`, `"lines"`) != first.out {
		t.Errorf("the copy is\n%s\nand not\n%s", second.out, first.out)
	}
	for _, bad := range []string{`{"key":"a","key64":"YQ=="}`, `{"value":"v"} x`, `{"valeu":"v"}`, `["v"]`, `null`,
		"{\"value\":\"a\xffb\"}", "{\"value\":\"v\",\"headers\":[{\"key\":\"\xff\"}]}", `{"value":"\ud800"}`, `{"value":"\udc00\ud800"}`, `{"key":"\ud83d\u0041"}`, `{"key":"\ud83d\\ude00"}`} {
		if r := call(t, bad+"\n", "produce", "-brokers", at, "-topic", "copy", "-json"); r.status != exitFail || !strings.Contains(r.err, "standard input:1: ") {
			t.Errorf("%s: %+v", bad, r)
		}
	}
}

// The flags of produce arrive, and consume prints lines, the last ones, of one partition, so many.
func TestProduceFlagsAndConsume(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "lines"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	at := c.ListenAddrs()[0]
	in := "k\tone\nk\ttwo\x1b[2J\nk\tthree\n"
	for _, compression := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		args := []string{"produce", "-brokers", at, "-topic", "lines", "-key-separator", `\t`, "-partition", "2", "-header", "a=1", "-header", "b=x=y", "-compression", compression}
		if r := call(t, in, args...); r.status != exitOK {
			t.Fatalf("%s: %+v", compression, r)
		}
	}
	consume := func(args ...string) []string {
		t.Helper()
		r := call(t, "", append([]string{"consume", "-brokers", at, "-topic", "lines"}, args...)...)
		if r.status != exitOK || r.err != "" {
			t.Fatalf("%q: %+v", args, r)
		}
		return strings.Split(strings.TrimSuffix(r.out, "\n"), "\n")
	}
	all := consume()
	if len(all) != 15 || !strings.HasPrefix(all[0], "2/0\t") || !strings.HasSuffix(all[13], "\tk\ttwo\\x1b[2J\ta=1\tb=x=y") {
		t.Errorf("all: %q", all)
	}
	if lines := consume("-last", "2"); len(lines) != 2 || lines[1] != all[14] {
		t.Errorf("the last two: %q", lines)
	}
	if lines := consume("-n", "1", "-partition", "2"); len(lines) != 1 || lines[0] != all[0] {
		t.Errorf("one: %q", lines)
	}
	if lines := consume("-partition", "0"); len(lines) != 1 || lines[0] != "" {
		t.Errorf("another partition: %q", lines)
	}
	if r := call(t, "x\n", "produce", "-brokers", at, "-topic", "lines", "-partition", "3"); r.status != exitFail || !strings.Contains(r.err, "partition") {
		t.Errorf("a partition that does not exist: %+v", r)
	}
}

// A time that the reader cannot read is not replaced by another.
func TestConsumeOfDistantTime(t *testing.T) {
	at := broker(t, "lines")
	in := `{"value":"v","time":"9999-12-31T23:59:59Z"}` + "\n"
	if r := call(t, in, "produce", "-brokers", at, "-topic", "lines", "-json"); r.status != exitOK {
		t.Fatalf("%+v", r)
	}
	if r := call(t, "", "consume", "-brokers", at, "-topic", "lines"); r.out != "0/0\ttime out of range\tnull\tv\n" {
		t.Errorf("%+v", r)
	}
	if r := call(t, "", "consume", "-brokers", at, "-topic", "lines", "-json"); strings.Contains(r.out, "time") || !strings.Contains(r.out, `"v"`) {
		t.Errorf("%+v", r)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// What cannot be printed is a failure, and ends it.
func TestConsumeOutputCannotBeWritten(t *testing.T) {
	at := broker(t, "lines")
	if r := call(t, "a\nb\n", "produce", "-brokers", at, "-topic", "lines"); r.status != exitOK {
		t.Fatalf("%+v", r)
	}
	for _, args := range [][]string{nil, {"-follow"}} {
		var errs strings.Builder
		w := &world{in: strings.NewReader(""), out: full{}, err: &errs, getenv: func(string) string { return "" }, signals: noSignals}
		status := run(append([]string{"consume", "-brokers", at, "-topic", "lines"}, args...), w)
		if status != exitFail || !strings.Contains(errs.String(), "no space left") {
			t.Errorf("%q: status %d: %s", args, status, &errs)
		}
	}
}

// A leader that does not answer makes it fail after a while.
func TestConsumeOfHangingBroker(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "lines"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	at := c.ListenAddrs()[0]
	if r := call(t, "a\nb\n", "produce", "-brokers", at, "-topic", "lines"); r.status != exitOK {
		t.Fatalf("%+v", r)
	}
	c.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return nil, io.EOF, true // it closes the connection
	})
	defer func(before time.Duration) { reader.Patience = before }(reader.Patience)
	reader.Patience = time.Second
	r := call(t, "", "consume", "-brokers", at, "-topic", "lines")
	if r.status != exitFail || !strings.Contains(r.err, "no message for 1s from partition 0 (it is at 0 of 2)") {
		t.Errorf("%+v", r)
	}
	for _, bad := range []string{"-2", "1"} {
		if r := call(t, "", "consume", "-brokers", at, "-topic", "lines", "-partition", bad); r.status != exitUsage {
			t.Errorf("-partition %s: %+v", bad, r)
		}
	}
}

// consume logs in, and goes on with -follow until Ctrl-C.
func TestConsumeFollows(t *testing.T) {
	at := broker(t, "lines", kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "u", "pw"))
	login := []string{"-brokers", at, "-topic", "lines", "-sasl", "scram-sha-512", "-user", "u", "-password-file", file(t, "password", "pw")}
	out, interrupt := running(t, append([]string{"consume", "-follow"}, login...)...)
	for _, text := range []string{"first", "second"} {
		if r := call(t, text+"\n", append([]string{"produce"}, login...)...); r.status != exitOK {
			t.Fatalf("%+v", r)
		}
		out.until(t, text)
	}
	interrupt()
}

// While nothing is acknowledged, produce says for how long, and what the brokers answer.
func TestProduceSaysThatItIsStalled(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "lines"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cmd := process(t, "produce", "-brokers", c.ListenAddrs()[0], "-topic", "lines")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	errPipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(in, "a\n")
	wantMessages(t, readBack(t, c.ListenAddrs()[0], "lines", 1), []string{"=a"})
	c.Close()
	io.WriteString(in, "b\n")
	errs := &pipe{r: errPipe}
	errs.until(t, "1 acknowledged, stalled ")
	errs.until(t, "connection refused")
	cmd.Process.Signal(os.Interrupt)
	errs.until(t, "interrupted")
	cmd.Process.Signal(os.Interrupt)
	errs.rest()
	cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != exitFail {
		t.Errorf("status %d", status)
	}
}

// The scripts have every command and flag, and each shell that is here reads its script.
func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := call(t, "", "completion", shell).out
		for _, c := range commands {
			eachFlag(c, func(name, _, _ string) {
				if !strings.Contains(script, c.name) || !strings.Contains(script, "-"+name) && !strings.Contains(script, "-o "+name+" ") {
					t.Errorf("%s: no %s -%s", shell, c.name, name)
				}
			})
		}
		program, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not here: its script is only searched for the flags", shell)
			continue
		}
		if out, err := exec.Command(program, "-n", file(t, shell, script)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", shell, err, out)
		}
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		return
	}
	script := call(t, "", "completion", "bash").out
	for words, want := range map[string]string{
		"surestart con":                      "consume",
		"surestart doctor -to":               "-topic",
		"surestart produce -tls-c":           "-tls-ca -tls-cert",
		"surestart produce -topic -":         "", // a value
		"surestart produce x":                "", // a file
		"surestart help d":                   "demo doctor",
		"surestart consume -brokers a:1 -fo": "-follow",
		"surestart frobnicate -x":            "",
	} {
		fields := strings.Fields(words)
		ask := script + "COMP_WORDS=(" + words + "); COMP_CWORD=" + string(rune('0'+len(fields)-1)) + "; _surestart; echo ${COMPREPLY[*]}"
		began := time.Now()
		out, err := exec.Command(bash, "--norc", "-c", ask).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%q completes to %q (%v, %v), want %q", words, got, err, time.Since(began), want)
		}
	}
}

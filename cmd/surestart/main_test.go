package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// asCommand makes the test binary be surestart: tests that need a process of
// their own, for signals or to count goroutines, start it again with this set.
const asCommand = "SURESTART_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	switch os.Getenv(asCommand) {
	case "":
	case "hang":
		commands = []command{{name: "hang", prepare: func(*flag.FlagSet) func(*world, []string) error { return hang }}}
		fallthrough
	default:
		main()
	}
	os.Exit(m.Run())
}

// hang is a command that never ends by itself. With the argument "interruptible" it learns of the
// first signal.
func hang(w *world, args []string) error {
	ctx := context.Background()
	if len(args) > 0 {
		c, cancel := w.interruptible()
		defer cancel()
		ctx = c
	}
	fmt.Fprintln(w.out, "ready")
	<-ctx.Done()
	fmt.Fprintln(w.out, context.Cause(ctx))
	time.Sleep(time.Hour)
	return nil
}

// Ctrl-C ends a command that does not wait for it, such as replay of a file that has no end. A
// second one ends a command that hangs although it was interrupted.
func TestInterruptEndsTheProcess(t *testing.T) {
	for _, test := range []struct{ args, says []string }{
		{nil, []string{"ready"}},
		{[]string{"interruptible"}, []string{"ready", "interrupted"}},
	} {
		cmd := process(t, append([]string{"hang"}, test.args...)...)
		cmd.Env = append(os.Environ(), asCommand+"=hang")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		p := &pipe{r: out}
		for _, said := range test.says {
			p.until(t, said)
			cmd.Process.Signal(os.Interrupt)
		}
		if cmd.Wait(); cmd.ProcessState.String() != "signal: interrupt" {
			t.Errorf("%v: it ended with %v", cmd.Args[1:], cmd.ProcessState)
		}
	}
}

// process is surestart with these arguments, not yet started. It is killed if it outlives the limit
// that guards against a hang.
func process(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	return cmd
}

// result is the result of a run of the program.
type result struct {
	status   int
	out, err string
}

// call runs the program in this process.
func call(t *testing.T, in string, args ...string) result {
	t.Helper()
	return callWith(t, in, nil, args...)
}

func noSignals() <-chan os.Signal { return nil }

func callWith(t *testing.T, in string, env map[string]string, args ...string) result {
	t.Helper()
	var out, err bytes.Buffer
	status := run(args, &world{
		in: strings.NewReader(in), out: &out, err: &err,
		getenv: func(name string) string { return env[name] }, signals: noSignals,
	})
	return result{status, out.String(), err.String()}
}

// broker runs an embedded broker with a topic of one partition.
func broker(t *testing.T, topic string, opts ...kfake.Opt) string {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(1, topic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

// readBack returns the first n messages of a topic as key=value, by franz-go.
func readBack(t *testing.T, address, topic string, n int, opts ...kgo.Opt) []string {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(address), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	for len(got) < n && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			got = append(got, string(r.Key)+"="+string(r.Value))
		})
	}
	return got
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A command line or an environment that cannot work ends in one line on standard error that says
// what is wrong. The exit status says whether the command line or something else was wrong.
func TestBadInputs(t *testing.T) {
	at := broker(t, "lines")
	noPEM := file(t, "no.pem", "hello")
	password := file(t, "password", "secret-of-the-test\n")
	for name, c := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"unknown command":    {[]string{"frobnicate"}, 2, `"frobnicate": want demo, produce,`},
		"help for unknown":   {[]string{"help", "frobnicate"}, 2, `"frobnicate"`},
		"unknown flag":       {[]string{"demo", "-frobnicate"}, 2, "-frobnicate"},
		"callers":            {[]string{"demo", "-callers", "3"}, 2, "3 callers"},
		"callers no number":  {[]string{"demo", "-callers", "many"}, 2, `"many"`},
		"messages":           {[]string{"demo", "-messages", "-1"}, 2, "-1 messages"},
		"break":              {[]string{"demo", "-break", "it"}, 2, `"it"`},
		"demo argument":      {[]string{"demo", "now"}, 2, `"now"`},
		"demo brokers":       {[]string{"demo", "-brokers", "nowhere"}, 2, `"nowhere"`},
		"demo no brokers":    {[]string{"demo", "-brokers", ","}, 2, "-brokers"},
		"demo unreachable":   {[]string{"demo", "-brokers", "127.0.0.1:1"}, 1, "127.0.0.1:1: connect: connection refused"},
		"broker port":        {[]string{"broker", "-port", "70000"}, 2, "70000"},
		"broker partitions":  {[]string{"broker", "-partitions", "0"}, 2, "-partitions 0"},
		"broker topic":       {[]string{"broker", "-port", "0", "-topic", "a,b c"}, 2, `"b c"`},
		"no brokers":         {[]string{"produce", "-topic", "lines"}, 2, "surestart broker"},
		"brokers":            {[]string{"produce", "-brokers", "a:b:c", "-topic", "lines"}, 2, `"a:b:c"`},
		"port":               {[]string{"produce", "-brokers", "localhost:70000", "-topic", "lines"}, 2, "70000"},
		"no topic":           {[]string{"produce", "-brokers", at}, 2, "-topic"},
		"topic's name":       {[]string{"produce", "-brokers", at, "-topic", "a b"}, 2, "a b"},
		"acks":               {[]string{"produce", "-brokers", at, "-topic", "lines", "-acks", "some"}, 2, `"some"`},
		"linger":             {[]string{"produce", "-brokers", at, "-topic", "lines", "-linger", "-1s"}, 2, "Linger"},
		"compression":        {[]string{"produce", "-brokers", at, "-topic", "lines", "-compression", "rar"}, 2, "snappy"},
		"partition":          {[]string{"produce", "-brokers", at, "-topic", "lines", "-partition", "-2"}, 2, "-partition -2"},
		"header":             {[]string{"produce", "-brokers", at, "-topic", "lines", "-header", "x"}, 2, "want name=value"},
		"escape":             {[]string{"produce", "-brokers", at, "-topic", "lines", "-key-separator", `\q`}, 2, "escapes"},
		"two formats":        {[]string{"produce", "-brokers", at, "-topic", "lines", "-key-separator", ":", "-json"}, 2, "exclude each other"},
		"consume no topic":   {[]string{"consume", "-brokers", at}, 2, "-topic"},
		"consume unknown":    {[]string{"consume", "-brokers", at, "-topic", "absent"}, 1, "absent"},
		"consume last":       {[]string{"consume", "-brokers", at, "-topic", "lines", "-last", "-1"}, 2, "-last -1"},
		"consume partition":  {[]string{"consume", "-brokers", at, "-topic", "lines", "-partition", "7"}, 2, "has 1 partitions"},
		"consume far":        {[]string{"consume", "-brokers", at, "-topic", "lines", "-partition", "4294967296"}, 2, "has 1 partitions"},
		"flag after a file":  {[]string{"produce", "-topic", "lines", noPEM, "-brokers", at}, 2, "-brokers comes after an argument"},
		"flag after replay":  {[]string{"replay", noPEM, "-check"}, 2, "-check comes after an argument"},
		"consume in clear":   {[]string{"consume", "-brokers", "192.0.2.1:9092", "-topic", "lines", "-sasl", "plain", "-user", "u", "-password-file", password}, 2, "PLAIN"},
		"doctor argument":    {[]string{"doctor", "now"}, 2, `"now"`},
		"doctor no brokers":  {[]string{"doctor"}, 2, "-brokers"},
		"completion":         {[]string{"completion", "ksh"}, 2, "bash, zsh or fish"},
		"unknown topic":      {[]string{"produce", "-brokers", at, "-topic", "absent"}, 1, "absent"},
		"unreachable":        {[]string{"produce", "-brokers", "127.0.0.1:1", "-topic", "lines"}, 1, "127.0.0.1:1"},
		"verify bound":       {[]string{"verify", "-bound", "far"}, 2, "quick, ci or deep"},
		"verify elsewhere":   {[]string{"verify", "-dir", t.TempDir()}, 2, "clone it"},
		"verify argument":    {[]string{"verify", "ci"}, 2, `"ci"`},
		"missing file":       {[]string{"produce", "-brokers", at, "-topic", "lines", "/no/such/file"}, 1, "/no/such/file"},
		"directory":          {[]string{"produce", "-brokers", at, "-topic", "lines", t.TempDir()}, 1, "directory"},
		"key without cert":   {[]string{"produce", "-brokers", at, "-topic", "lines", "-tls-key", noPEM}, 2, "-tls-cert"},
		"ca missing":         {[]string{"produce", "-brokers", at, "-topic", "lines", "-tls-ca", "/no/such/ca"}, 1, "/no/such/ca"},
		"ca no PEM":          {[]string{"produce", "-brokers", at, "-topic", "lines", "-tls-ca", noPEM}, 1, "no certificate"},
		"cert no PEM":        {[]string{"produce", "-brokers", at, "-topic", "lines", "-tls-cert", noPEM, "-tls-key", noPEM}, 1, "-tls-cert"},
		"sasl":               {[]string{"produce", "-brokers", at, "-topic", "lines", "-sasl", "magic"}, 2, `"magic"`},
		"sasl no user":       {[]string{"produce", "-brokers", at, "-topic", "lines", "-sasl", "plain"}, 2, "-user"},
		"sasl no password":   {[]string{"produce", "-brokers", at, "-topic", "lines", "-sasl", "plain", "-user", "u"}, 2, "SURESTART_PASSWORD"},
		"user without sasl":  {[]string{"produce", "-brokers", at, "-topic", "lines", "-user", "u"}, 2, "-sasl"},
		"password file":      {[]string{"produce", "-brokers", at, "-topic", "lines", "-sasl", "plain", "-user", "u", "-password-file", "/no/such/pw"}, 1, "/no/such/pw"},
		"password in clear":  {[]string{"produce", "-brokers", "192.0.2.1:9092", "-topic", "lines", "-sasl", "plain", "-user", "u", "-password-file", password}, 2, "PLAIN"},
		"password is a flag": {[]string{"produce", "-password", "x"}, 2, "-password"},
	} {
		t.Run(name, func(t *testing.T) {
			r := call(t, "a\n", c.args...)
			if r.status != c.status {
				t.Errorf("status %d, want %d", r.status, c.status)
			}
			if strings.Count(r.err, "\n") != 1 || !strings.HasPrefix(r.err, "surestart") || !strings.Contains(r.err, c.says) {
				t.Errorf("standard error: %q; want one line, with %q", r.err, c.says)
			}
			if r.out != "" {
				t.Errorf("standard output: %q; want nothing", r.out)
			}
			if strings.Contains(r.err, "secret-of-the-test") {
				t.Error("the password was printed")
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	if r := call(t, ""); r.status != 2 || !strings.Contains(r.err, "surestart demo") {
		t.Errorf("no arguments: %+v", r)
	}
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}, {"help", "demo"}, {"demo", "-h"}, {"help", "produce"}, {"help", "broker"}, {"help", "verify"}, {"version"}, {"help", "naive"}} {
		if r := call(t, "", args...); r.status != 0 || r.err != "" || !strings.Contains(r.out, "surestart") && args[len(args)-1] != "naive" || r.out == "" {
			t.Errorf("%q: %+v", args, r)
		}
	}
	if r := call(t, "", "help", "naive"); !strings.Contains(r.out, "p.started.Store(true)") {
		t.Errorf("help naive shows %q", r.out)
	}
	// Each flag of each command is in its help, with a description.
	for _, c := range commands {
		for line := range strings.Lines(call(t, "", "help", c.name).out) {
			if strings.HasPrefix(line, "  -") && len(strings.Fields(line)) > 3 {
				t.Errorf("%s: %q", c.name, line)
			}
		}
	}
}

// After "--" an argument may begin as flags do, and "-" is standard input.
func TestArgumentsThatLookLikeFlags(t *testing.T) {
	at := broker(t, "lines")
	for text, args := range map[string][]string{
		"open -x: no such file":  {"--", "-x"},
		"1 of 1 lines":           {"-"},
		"open -2x: no such file": {"--", "-", "-2x"},
	} {
		if r := call(t, "a\n", append([]string{"produce", "-brokers", at, "-topic", "lines"}, args...)...); !strings.Contains(r.out+r.err, text) {
			t.Errorf("%q: %+v; want %q", args, r, text)
		}
	}
}

// What cannot be printed is a failure of each command that prints something.
func TestOutputCannotBeWritten(t *testing.T) {
	at := broker(t, "lines")
	recording := file(t, "recording.json", `{"recording":1,"dropped":0,"transitions":[]}`)
	for _, args := range [][]string{
		{"version"}, {"help"}, {"help", "demo"}, {"help", "naive"}, {"demo", "-h"}, {"graph"}, {"completion", "fish"}, {"replay", "-check", recording},
		{"doctor", "-brokers", at}, {"doctor", "-brokers", "127.0.0.1:1"}, {"produce", "-brokers", at, "-topic", "lines"}, {"consume", "-brokers", at, "-topic", "lines"},
	} {
		var errs strings.Builder
		w := &world{in: strings.NewReader("a\n"), out: full{}, err: &errs, getenv: func(string) string { return "" }, signals: noSignals}
		if status := run(args, w); status != exitFail || strings.Count(errs.String(), "no space left") != 1 {
			t.Errorf("%q: status %d: %s", args, status, &errs)
		}
	}
}

// pipe is a process's standard output or error that a test waits for words in.
type pipe struct {
	r    io.Reader
	seen bytes.Buffer
}

// until reads until text has been seen.
func (p *pipe) until(t *testing.T, text string) {
	t.Helper()
	b := make([]byte, 4096)
	for !strings.Contains(p.seen.String(), text) {
		n, err := p.r.Read(b)
		p.seen.Write(b[:n])
		if err != nil {
			t.Fatalf("%q was never said, only %q", text, p.seen.String())
		}
	}
}

// rest reads to the end.
func (p *pipe) rest() string {
	io.Copy(&p.seen, p.r)
	return p.seen.String()
}

// running starts the program. It returns the standard output, and a Ctrl-C that must end it in order.
func running(t *testing.T, args ...string) (out *pipe, interrupt func()) {
	t.Helper()
	cmd := process(t, args...)
	r, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out = &pipe{r: r}
	return out, func() {
		t.Helper()
		cmd.Process.Signal(os.Interrupt)
		out.rest()
		if err := cmd.Wait(); err != nil {
			t.Errorf("ended by Ctrl-C: %v", err)
		}
	}
}

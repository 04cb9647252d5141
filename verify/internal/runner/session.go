package runner

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed3893aba4/surestart/verify/internal/kafka"
	"github.com/seed3893aba4/surestart/verify/internal/testlog"
	"github.com/seed3893aba4/surestart/verify/internal/tools"
)

// session is what the layers of one run share.
type session struct {
	Options
	*screen
	*provided
	report *Report
	red    func() // something has failed

	bound string       // SURESTART_BOUND of the layer that runs: the models whose graphs are walked
	log   io.Writer    // of the layer that runs
	seen  *testlog.Log // what that layer printed
}

// provided is what the layers need and what is fetched or started once, by the first layer that
// needs it. Layers may run at the same time.
type provided struct {
	getting sync.Mutex
	env     map[string]string // what the layers' programs get beside our own environment
	cluster *kafka.Cluster    // the broker that we started
	said    *os.File          // by the cluster, to whichever layer

	building sync.Mutex // held during a build of surestart
}

// set sets an environment variable for the programs that start from now on.
func (p *provided) set(name, value string) {
	p.getting.Lock()
	defer p.getting.Unlock()
	p.env[name] = value
}

// ours are the variables that the layers set. Their values outside the run do not apply to its
// layers. Two may be given: a broker (SURESTART_KAFKA), except in quick, and a directory for TLC's
// dumps (SURESTART_DUMPS), so that each dump is made once.
var ours = []string{"SURESTART_NO_SKIP", "SURESTART_BOUND", "SURESTART_SCHEDULES", "SURESTART_PROOF_REPORT", "SURESTART_SOAK", "TLC_JAR", "KAFKA_LIB"}

func (s *session) run(ctx context.Context, l layer) (done Layer) {
	done = Layer{Name: l.name, About: l.about, Result: Held}
	began := time.Now()
	s.bound, s.seen = "", testlog.New()
	log, err := os.Create(filepath.Join(s.Dir, "logs", l.name+".log"))
	if err == nil {
		s.log = log
		err = l.run(ctx, s)
		s.log = io.Discard
		log.Close()
	}
	done.Seconds = time.Since(began).Seconds()
	done.Figures = s.seen.Figures()
	done.log = s.seen
	done.Passed, done.Failed, done.Skipped = len(s.seen.Passed), len(s.seen.Failed), s.seen.Skipped
	switch {
	case ctx.Err() != nil && context.Cause(ctx) != errLeft:
		done.Result = Interrupted
	case errors.Is(err, errNotChecked):
		done.Result, done.About = NotChecked, err.Error()
	case err != nil:
		s.red()
		done.Result = Failed
		done.Failures = append(slices.Clone(s.seen.Failed), strings.Split(strings.TrimSpace(err.Error()), "\n")...)
		s.line("    FAILED: %v (all that it said: %s)", err, filepath.Join(s.Dir, "logs", l.name+".log"))
	}
	return done
}

// runAll runs layers at the same time, each in a session of its own.
func (s *session) runAll(ctx context.Context, layers []layer) []Layer {
	done := make([]Layer, len(layers))
	var wg sync.WaitGroup
	for i, l := range layers {
		own := *s
		wg.Go(func() { done[i] = own.run(ctx, l) })
	}
	wg.Wait()
	return done
}

// say reports progress of the running layer. A CHECKED line is one of its figures.
func (s *session) say(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	fmt.Fprintln(s.log, text)
	if s.Verbose || !strings.HasPrefix(text, "CHECKED ") { // its end is not progress
		s.progress(text)
	}
	_, err := s.seen.Line(text)
	return err
}

// command runs a program that checks by itself. Its exit status is the verdict.
func (s *session) command(ctx context.Context, argv ...string) error {
	var said error
	var tail []string
	err := s.stream(ctx, argv, func(line string) {
		if err := s.say("%s", line); err != nil {
			said = errors.Join(said, err)
		}
		if tail = append(tail, line); len(tail) > 40 {
			tail = tail[1:]
		}
	})
	if err != nil && ctx.Err() == nil {
		s.line("%s", strings.Join(tail, "\n"))
	}
	return errors.Join(err, said)
}

// test runs go test and reads the results from its events.
func (s *session) test(ctx context.Context, args ...string) error { return s.testIn(ctx, ".", args...) }

// testIn is test in another module of the checkout.
func (s *session) testIn(ctx context.Context, dir string, args ...string) error {
	return s.testAtOnce(ctx, goTest{dir, args})
}

// goTest is a run of go test in a module of the checkout.
type goTest struct {
	dir  string
	args []string
}

// testAtOnce runs several of them at the same time.
func (s *session) testAtOnce(ctx context.Context, runs ...goTest) error {
	timeout := "15m"
	if s.Bound == Deep {
		timeout = "120m"
	}
	var bad error
	said := make(map[string][]string) // of each test that still runs
	var mu sync.Mutex
	each := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		e, err := s.seen.Line(line)
		bad = errors.Join(bad, err)
		id := e.Package + "." + e.Test
		switch e.Action {
		case "output", "build-output":
			text := strings.TrimRight(e.Output, "\n")
			said[id] = append(said[id], text)
			fmt.Fprintln(s.log, text)
			s.progress(fmt.Sprintf("%d tests passed, %d failed: %s", len(s.seen.Passed), len(s.seen.Failed), strings.TrimSpace(text)))
		case "fail":
			s.red()
			s.tell(said[id])
			delete(said, id)
		case "pass", "skip":
			delete(said, id)
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, len(runs))
	for i, run := range runs {
		argv := append([]string{"go", "-C", run.dir, "test", "-json", "-vet=off", "-timeout=" + timeout}, run.args...) // the layer vet does more
		wg.Go(func() { errs[i] = s.stream(ctx, argv, each) })
	}
	wg.Wait()
	err := errors.Join(errs...)
	if context.Cause(ctx) == errLeft {
		running := slices.DeleteFunc(slices.Sorted(maps.Keys(said)), func(id string) bool { return strings.HasSuffix(id, ".") })
		return errors.Join(bad, fmt.Errorf("%w; what had not ended: %s", errLeft, strings.Join(running, ", ")))
	}
	if verdict := s.seen.Verdict(s.Bound != Quick); verdict != nil || err != nil {
		if len(s.seen.Failed) == 0 && err != nil { // it did not come to tests
			for _, lines := range said {
				s.tell(lines)
			}
		}
		bad = errors.Join(bad, verdict)
		if verdict == nil {
			bad = errors.Join(bad, err)
		}
	}
	return bad
}

// tell shows the output of a failed test, or its end if it is long.
func (s *session) tell(lines []string) {
	const most = 100
	if n := len(lines) - most; n > 0 {
		s.line("... (%d lines more in the log)", n)
		lines = lines[n:]
	}
	s.line("%s", strings.Join(lines, "\n"))
}

// stream runs a program at the top of the checkout and calls each with every line that it prints.
func (s *session) stream(ctx context.Context, argv []string, each func(line string)) error {
	cmd := s.program(ctx, argv...)
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = in, in
	if err := cmd.Start(); err != nil {
		in.Close()
		return err
	}
	in.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			if line != "" {
				each(strings.TrimRight(line, "\r\n"))
			}
			if err != nil {
				return
			}
		}
	}()
	err = cmd.Wait()
	select { // what the program left behind may hold the pipe
	case <-read:
	case <-time.After(5 * time.Second):
		out.Close()
		<-read
	}
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Join(argv[:min(4, len(argv))], " "), err)
	}
	return nil
}

// output runs a program and returns its standard output.
func (s *session) output(ctx context.Context, argv ...string) (string, error) {
	cmd := s.program(ctx, argv...)
	var out, bad strings.Builder
	cmd.Stdout, cmd.Stderr = &out, io.MultiWriter(&bad, s.log)
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(bad.String()))
	}
	return out.String(), nil
}

func (s *session) program(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = s.Root
	cmd.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains(ours, name) || name == "SURESTART_KAFKA" && s.Bound == Quick
	})
	s.getting.Lock()
	for name, value := range s.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	s.getting.Unlock()
	cmd.Env = append(cmd.Env, "SURESTART_SCHEDULES="+s.Dir)
	if s.bound != "" {
		cmd.Env = append(cmd.Env, "SURESTART_BOUND="+s.bound)
	}
	ownGroup(cmd) // so that what it started ends with it
	cmd.WaitDelay = 15 * time.Second
	return cmd
}

// needTools installs the Java programs. From then on, a missing tool is a failure instead of a
// skip.
func (s *session) needTools(ctx context.Context) error {
	s.getting.Lock()
	defer s.getting.Unlock()
	return s.needToolsLocked(ctx)
}

func (s *session) needToolsLocked(ctx context.Context) error {
	if s.env["TLC_JAR"] != "" {
		return nil
	}
	s.progress("fetching what is not there yet: a C compiler, Java, TLC, Apache Kafka")
	if _, err := tools.CC.Get(ctx, s.log); err != nil {
		return err
	}
	jar, err := tools.TLC.Get(ctx, s.log)
	if err != nil {
		return err
	}
	lib, err := tools.Kafka.Get(ctx, s.log)
	if err != nil {
		return err
	}
	dumps := os.Getenv("SURESTART_DUMPS")
	if dumps == "" {
		dumps = filepath.Join(s.Dir, "dumps")
	}
	if err := os.MkdirAll(dumps, 0o777); err != nil {
		return err
	}
	maps.Copy(s.env, map[string]string{"TLC_JAR": jar, "KAFKA_LIB": lib, "SURESTART_NO_SKIP": "1",
		"SURESTART_DUMPS": dumps, "SURESTART_PROOF_REPORT": s.proofReport()})
	return nil
}

func (s *session) proofReport() string { return filepath.Join(s.Dir, "logs", "proof.json") }

// needKafka starts a real Apache Kafka, if none was given with SURESTART_KAFKA.
func (s *session) needKafka(ctx context.Context) error {
	s.getting.Lock()
	defer s.getting.Unlock()
	if err := s.needToolsLocked(ctx); err != nil {
		return err
	}
	if os.Getenv("SURESTART_KAFKA") != "" || s.env["SURESTART_KAFKA"] != "" {
		return nil
	}
	s.progress("starting Apache Kafka")
	said, err := os.Create(filepath.Join(s.Dir, "logs", "kafka.log")) // it outlives the layer
	if err != nil {
		return err
	}
	cluster, err := kafka.Open(filepath.Join(s.Dir, "broker"), said)
	if err != nil {
		return errors.Join(err, said.Close())
	}
	s.cluster, s.said = cluster, said
	s.env["SURESTART_KAFKA"], err = cluster.Start(ctx, kafka.Options{})
	return err
}

// broker returns the address of the broker of needKafka.
func (s *session) broker() string {
	if given := os.Getenv("SURESTART_KAFKA"); given != "" {
		return given
	}
	s.getting.Lock()
	defer s.getting.Unlock()
	return s.env["SURESTART_KAFKA"]
}

// needChromium installs a browser for the tests that look at pages.
func (s *session) needChromium(ctx context.Context) error {
	if err := s.needTools(ctx); err != nil {
		return err
	}
	name, err := tools.Chromium.Get(ctx, s.log)
	s.set("SURESTART_CHROMIUM", name)
	return err
}

// close stops what was started, and removes what only the layers needed.
func (s *session) close() {
	if s.cluster != nil { // also when the run was interrupted: it kills, which takes no time
		if err := s.cluster.Stop(context.Background()); err != nil {
			s.line("Apache Kafka could not be stopped: %v", err)
		}
		s.said.Close()
	}
	os.RemoveAll(filepath.Join(s.Dir, "dumps"))
}

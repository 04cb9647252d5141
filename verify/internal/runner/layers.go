package runner

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/seed3893aba4/surestart/verify/internal/faults"
	"github.com/seed3893aba4/surestart/verify/internal/mutation"
	"github.com/seed3893aba4/surestart/verify/internal/tools"
)

// layer is one way to compare the code, its model and its specification with each other.
type layer struct {
	name  string
	about string
	in    []string // the bounds at which it runs without being asked for
	run   func(ctx context.Context, s *session) error
}

var (
	always = []string{Quick, CI, Deep}
	withCI = []string{CI, Deep} // needs more than Go
)

// layers are in the order in which they run. A layer that finds most in the least time comes first.
var layers = []layer{
	{"format", "gofmt has nothing to change", always, format},
	{"build", "every package of every module builds (in quick: all except examples/adapters)", always, eachModule("build", "./...")},
	{"vet", "go vet", always, eachModule("vet", "./...")},
	{"lint", "staticcheck", withCI, eachModule("run", staticcheck, "./...")},
	{"tidy", "go mod tidy changes nothing", withCI, eachModule("mod", "tidy", "-diff")},
	{"generate", "go generate ./spec changes nothing", withCI, generate},
	{"graph", "every state, edge and refusal of the model's graph, in the shipped code", always, graph},
	{"core", "every state, edge and refusal of delivery's model, in the core of a partition", always, core},
	{"lives", "random lives of a producer's cores beyond the graph's bound, judged by the logs", always, lives},
	{"traces", "traces of the shipped producer, on kfake and Apache Kafka, are behaviours of delivery's model", always, traces},
	{"schedules", "random schedules beyond the graph's bound, step by step against the model", always, schedules},
	{"day", "a day of virtual time with 10,000 faults of a cluster: nothing lost, nothing left open", withCI, day},
	{"suite", "conformance.Test passes right lifecycles, and finds the faults of wrong ones", always, suite},
	{"threads", "traces of free-running goroutines are behaviours of the model", always, lifecycle("^TestThreads", true)},
	{"histories", "calls and returns are linearizable against the contract", always, lifecycle("^TestHistories", true)},
	{"tests", "the tests of each guarantee, the examples and all others; in ci with -race, on kfake and Apache Kafka, without a skip", always, tests},
	{"model", "the executable models equal the graphs that TLC dumps", withCI, model},
	{"tlc", "TLC on the specification, and on each of its weakened variants", withCI, script("./check", "tlc")},
	{"proof", "inductive invariants, by TLC and Z3, for any number of callers and of messages", withCI, script("./check", "proof")},
	{"second", "another model checker finds TLC's counts", []string{Deep}, script("./check", "second")},
	{"faults", "every seeded fault is caught, by the name of the guarantee that it breaks", withCI, seeded},
	{"mutants", "every mutant of fsm, of its table, of the core of a partition and of the encoder of batches is killed: a sample; in deep, or with -mutants, all", withCI, mutants},
	{"adapters", "the examples with other libraries: each starts after a failure, drains, is cut off, and leaves nothing", withCI, adapters},
	{"observe", "the collectors of Prometheus and OpenTelemetry, on kfake and Apache Kafka; the dashboard on a real Prometheus", withCI, observe},
	{"others", "the findings about other libraries, by plain tests", withCI, others},
	{"bench", "no guarded ratio to other libraries has clearly become worse", []string{Deep}, bench},
	{"demo", "surestart demo on the embedded broker, and on Apache Kafka", withCI, demo},
	{"produce", "surestart doctor, produce and consume on Apache Kafka, read back with Kafka's console consumer too", withCI, produce},
	{"govulncheck", "no known vulnerability is reached", withCI, vulnerable},
	{"repeat", "the concurrent packages' tests ten times over, with -race", []string{Deep}, repeat},
	{"breaks", "surestart demo -break: each broken promise is noticed", []string{Deep}, breaks},
}

// atOnce are layers that run at the same time, because each leaves a processor idle for much of its
// time.
var atOnce = [][]string{
	{"core", "lives", "traces"}, {"schedules", "day"}, {"suite", "threads", "histories", "tests"},
	{"adapters", "observe", "others", "demo", "produce"},
}

// The layers of the walk. The scheduler lets one goroutine run at a time. So its walks run without
// the race detector, ten times as fast. Tests whose goroutines run freely use the detector.

func tests(ctx context.Context, s *session) error {
	product, err := s.packages(ctx, ".", "conformance")
	if err != nil {
		return err
	}
	// The producer's tests wait for brokers much of their time. The others run meanwhile.
	if i := slices.IndexFunc(product, func(p string) bool { return path.Base(p) == "producer" }); i >= 0 {
		first := product[i]
		product = slices.Insert(slices.Delete(product, i, i+1), 0, first)
	}
	own := []string{"internal/lifecycle", "internal/lifecycle/scheduler", "internal/delivery/partition", "internal/delivery/trace"} // layers of their own
	if s.Bound != Quick {
		own = append(own, mutationPackage)
		own = append(own, modelPackages...)
	}
	tools, err := s.packages(ctx, "verify", own...)
	if err != nil {
		return err
	}
	if s.Bound == Quick {
		return s.testAtOnce(ctx, goTest{".", append([]string{"-short"}, product...)}, goTest{"verify", append([]string{"-short"}, tools...)})
	}
	if err := s.needKafka(ctx); err != nil {
		return err
	}
	if err := s.needChromium(ctx); err != nil {
		return err
	}
	if s.Bound == Deep { // a long soak on Apache Kafka
		s.set("SURESTART_SOAK", "1000000")
	}
	// A test with brokers of its own waits for minutes until they stop and start.
	slow := "^(TestThreeBrokers|TestApacheKafka.*)$"
	return s.testAtOnce(ctx,
		goTest{".", append([]string{"-race", "-count=1", "-skip=" + slow}, product...)},
		goTest{".", []string{"-race", "-count=1", "-run=" + slow, "./producer"}},
		goTest{"verify", append([]string{"-race", "-count=1"}, tools...)})
}

// packages lists the packages of a module, except for those in but.
func (s *session) packages(ctx context.Context, dir string, but ...string) ([]string, error) {
	text, err := s.output(ctx, "go", "-C", dir, "list", "./...")
	return slices.DeleteFunc(strings.Fields(text), func(p string) bool {
		return slices.ContainsFunc(but, func(name string) bool { return strings.HasSuffix(p, "/"+name) })
	}), err
}

// day runs the producer's day of faults, without the race detector. The layer tests runs a part of
// it with the detector.
func day(ctx context.Context, s *session) error {
	return s.test(ctx, "-v", "-count=1", "-run=^TestDayOfFaults$", "./producer", "-day.cycles=10000")
}

// modelPackages are the packages of verify that need TLC. They use one goroutine for many seconds,
// which the race detector would make a minute.
var modelPackages = []string{"internal/lifecycle/model", "internal/delivery/model", "internal/tlc", "internal/lifecycle/contract"}

const mutationPackage = "internal/mutation"

func model(ctx context.Context, s *session) error {
	if err := s.needTools(ctx); err != nil {
		return err
	}
	if s.Bound == Deep {
		s.bound = Deep
	}
	args := []string{"-count=1"}
	for _, p := range modelPackages {
		args = append(args, "./"+p)
	}
	return s.testIn(ctx, "verify", args...)
}

func graph(ctx context.Context, s *session) error {
	s.bound = map[string]string{Quick: "quick restart-quick", CI: "quick stoppers restart ci", Deep: "quick stoppers restart ci/2 deep"}[s.Bound]
	run := "^TestGraph"
	if s.Bound != Quick {
		run = "^Test(Graph|Sections)"
	}
	return lifecycle(run, false)(ctx, s)
}

// core walks the models of delivery that the commands of the bound check.
func core(ctx context.Context, s *session) error {
	s.bound = s.Bound
	return s.testIn(ctx, "verify", "-v", "-count=1", "./internal/delivery/partition")
}

// traces runs lives of the producer. Most take a few milliseconds; those on Apache Kafka take a
// second, most of it waiting.
func traces(ctx context.Context, s *session) error {
	args := []string{"-tags=traces", "-v", "-count=1", "-parallel=8"}
	if s.Bound == Quick {
		return s.testIn(ctx, "verify", append(args, "-short", "./internal/delivery/trace", "-traces.lives=100")...)
	}
	if err := s.needKafka(ctx); err != nil {
		return err
	}
	n, onKafka := "1200", "64"
	if s.Bound == Deep {
		n, onKafka = "100000", "2000"
	}
	return s.testIn(ctx, "verify", append(args, "./internal/delivery/trace", "-traces.lives="+n, "-traces.kafka="+onKafka)...)
}

func lives(ctx context.Context, s *session) error {
	n := map[string]string{Quick: "500", CI: "5000", Deep: "200000"}[s.Bound]
	return s.test(ctx, "-v", "-count=1", "-run=^TestRandomLives$", "./internal/core", "-rapid.checks="+n)
}

// schedules runs all tests of the walk that belong to no other layer: those of the random
// schedules, their coverage, shrinking and corpus, and of the scheduler itself.
func schedules(ctx context.Context, s *session) error {
	args := []string{"-skip=^Test(Graph|Threads|Histories)", "-count=1", "./internal/lifecycle", "./internal/lifecycle/scheduler"}
	switch s.Bound {
	case Quick:
		args = append(args, "-short")
	case Deep:
		args = append(args, "-rapid.checks=1000000")
	}
	return s.testIn(ctx, "verify", args...)
}

func lifecycle(run string, race bool) func(context.Context, *session) error {
	return func(ctx context.Context, s *session) error {
		args := []string{"-v", "-count=1", "-run=" + run}
		switch {
		case s.Bound == Quick:
			args = append(args, "-short")
		default:
			if err := s.needTools(ctx); err != nil {
				return err
			}
			if race {
				args = append(args, "-race")
			}
		}
		return s.testIn(ctx, "verify", append(args, "./internal/lifecycle")...)
	}
}

// suite runs the public suite's own tests, without the race detector, since the suite runs one
// goroutine at a time.
func suite(ctx context.Context, s *session) error {
	args := []string{"-count=1", "./conformance"}
	if s.Bound == Quick {
		args = append(args, "-short")
	}
	return s.test(ctx, args...)
}

// script runs a program that checks by itself. The program receives the bound.
func script(argv ...string) func(context.Context, *session) error {
	return func(ctx context.Context, s *session) error {
		if err := s.needTools(ctx); err != nil {
			return err
		}
		return s.command(ctx, append(argv, s.Bound)...)
	}
}

// seeded runs the seeded faults: in deep every layer on every fault, otherwise each fault until the
// first layer that names its guarantee.
func seeded(ctx context.Context, s *session) error {
	all, err := faults.All(s.Machines)
	if err != nil {
		return err
	}
	caught, guarantees := 0, make(map[string]bool)
	var missed []string
	err = faults.Run(ctx, s.Root, all, s.Bound != Deep, func(r faults.Result) {
		s.report.Faults = append(s.report.Faults, r)
		by := "NOT CAUGHT BY NAME"
		if r.Caught {
			caught++
			guarantees[r.Guarantee] = true
			by = fmt.Sprintf("%.1f s", r.Seconds)
		} else {
			missed = append(missed, r.Name)
		}
		s.say("%d/%d %s %s: %s %s", len(s.report.Faults), len(all), r.Guarantee, r.Name, by, caughtBy(r.Catches))
	})
	if err != nil {
		return err
	}
	s.say("CHECKED faults seeded=%d caught-by-name=%d guarantees=%d", len(all), caught, len(guarantees))
	if missed != nil {
		return fmt.Errorf("not caught by the name of the guarantee: %s", strings.Join(missed, ", "))
	}
	return nil
}

// sampled is the number of mutants to try unless all are asked for. The sample is drawn anew when
// the mutated code changes, from all operators alike.
const sampled = 12

func mutants(ctx context.Context, s *session) error {
	if err := s.testIn(ctx, "verify", "-count=1", "./"+mutationPackage); err != nil {
		return err
	}
	all, err := mutation.All(s.Root, s.Machines)
	if err != nil {
		return err
	}
	some := all
	if !s.Mutants && s.Bound != Deep {
		some = mutation.Sample(all, sampled, mutation.Seed(all))
	}
	var count mutation.Count
	if err := mutation.Run(ctx, s.Root, some, func(r mutation.Result) {
		s.report.Mutants = append(s.report.Mutants, r)
		count.Add(r)
		s.say("%d/%d %v", count.Tried, len(some), r)
	}); err != nil {
		return err
	}
	s.say("CHECKED mutants generated=%d %v", len(all), &count)
	if count.Bad != nil {
		return fmt.Errorf("not killed: %s", strings.Join(count.Bad, ", "))
	}
	return nil
}

// adapters runs the examples with other libraries, which are a module of their own. It uses
// PostgreSQL if Debian's can be installed.
func adapters(ctx context.Context, s *session) error {
	if err := s.needKafka(ctx); err != nil {
		return err
	}
	_, err := tools.Postgres.Get(ctx, s.log)
	if err != nil && !errors.Is(err, tools.ErrMissing) {
		return err
	}
	args := []string{"-race", "-count=1", "./..."}
	if err != nil {
		s.say("there is no PostgreSQL here and no way to install it: TestPostgreSQL is left out")
		args = append([]string{"-skip=^TestPostgreSQL$"}, args...)
	}
	return s.testIn(ctx, "examples/adapters", args...)
}

// observe tests the two modules of collectors. Only their importers depend on Prometheus or
// OpenTelemetry.
func observe(ctx context.Context, s *session) error {
	if err := s.needKafka(ctx); err != nil {
		return err
	}
	prometheus, err := tools.Prometheus.Get(ctx, s.log)
	if err != nil {
		return err
	}
	s.set("SURESTART_PROMETHEUS", prometheus)
	for _, dir := range []string{"observe/prometheus", "observe/otel"} {
		if err := s.testIn(ctx, dir, "-race", "-count=1", "./..."); err != nil {
			return err
		}
	}
	return nil
}

// others tests what docs/figures/comparison.md shows, by plain tests, in a module of its own. In
// deep the suite finds it again.
func others(ctx context.Context, s *session) error {
	if err := s.testIn(ctx, "verify/others", "-count=1", "-race", "-run=Plain", "./..."); err != nil || s.Bound != Deep {
		return err
	}
	return s.testIn(ctx, "verify/others", "-count=1", "-run=TestComparison", ".")
}

// bench runs the benchmark's own tests, and the few ratios that are guarded. It is a module of its
// own.
func bench(ctx context.Context, s *session) error {
	if err := s.command(ctx, "go", "-C", "bench", "test", "./..."); err != nil {
		return err
	}
	return s.command(ctx, "go", "-C", "bench", "run", ".", "-guard")
}

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

// layer is one way in which the code, its model and its specification are held
// against each other.
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

// layers are in the order in which they run: what tells most in the least time first.
var layers = []layer{
	{"format", "gofmt has nothing to change", always, format},
	{"build", "every package of every module builds (in quick: but examples/adapters)", always, eachModule("build", "./...")},
	{"vet", "go vet", always, eachModule("vet", "./...")},
	{"lint", "staticcheck", withCI, eachModule("run", staticcheck, "./...")},
	{"tidy", "go.mod and go.sum are as go mod tidy writes them", withCI, eachModule("mod", "tidy", "-diff")},
	{"generate", "go generate ./spec changes nothing", withCI, generate},
	{"graph", "every state, edge and refusal of the model's graph, in the shipped code", always, graph},
	{"core", "every state, edge and refusal of delivery's model, in the core of a partition", always, core},
	{"lives", "random lives of a producer's cores beyond the graph's bound, judged by what is in the logs", always, lives},
	{"traces", "traces of the shipped producer, on kfake and Apache Kafka, are behaviours of delivery's model", always, traces},
	{"schedules", "random schedules beyond the graph's bound, step by step against the model", always, schedules},
	{"day", "24 hours of a producer whose cluster breaks 10,000 times, in virtual time: nothing lost, nothing left", withCI, day},
	{"suite", "conformance.Test passes right lifecycles, and tells what is wrong with wrong ones", always, suite},
	{"threads", "traces of free-running goroutines are behaviours of the model", always, lifecycle("^TestThreads", true)},
	{"histories", "calls and returns are linearizable against the contract", always, lifecycle("^TestHistories", true)},
	{"tests", "each guarantee's tests, the examples and everything else; in ci with -race, on kfake and Apache Kafka, and no skip", always, tests},
	{"model", "the executable models equal the graphs that TLC dumps", withCI, model},
	{"tlc", "TLC on the specification, and on each of its weakened variants", withCI, script("./check", "tlc")},
	{"proof", "the inductive invariant, by TLC and Z3, for any number of callers", withCI, script("./check", "proof")},
	{"second", "another model checker finds TLC's counts", []string{Deep}, script("./check", "second")},
	{"faults", "every seeded fault is caught, by the name of the guarantee that it breaks", withCI, seeded},
	{"mutants", "every mutant of fsm, of its table and of the core of a partition is killed: a sample; in deep, or with -mutants, all", withCI, mutants},
	{"adapters", "the examples with other libraries: each starts after a failure, drains, is cut off, and leaves nothing", withCI, adapters},
	{"observe", "the collectors of Prometheus and OpenTelemetry, on kfake and Apache Kafka; the dashboard on a real Prometheus", withCI, observe},
	{"others", "what other libraries do, shown by plain tests of a dozen lines each", withCI, others},
	{"bench", "no ratio to what one would pick instead has clearly become worse", []string{Deep}, bench},
	{"demo", "surestart demo on the embedded broker, and on Apache Kafka", withCI, demo},
	{"produce", "surestart produce on Apache Kafka, read back with Kafka's console consumer", withCI, produce},
	{"govulncheck", "no known vulnerability is reached", withCI, vulnerable},
	{"repeat", "the concurrent packages' tests ten times over, with -race", []string{Deep}, repeat},
	{"breaks", "surestart demo -break: each broken promise is noticed", []string{Deep}, breaks},
}

// atOnce are layers that are run at the same time: each leaves a processor idle for much of its own.
var atOnce = [][]string{{"schedules", "day"}, {"threads", "histories"}, {"adapters", "observe"}}

// The layers of the walk. The scheduler lets one goroutine run at a
// time, so that its walks go without the race detector, ten times as fast; what
// runs freely goes with it.

func tests(ctx context.Context, s *session) error {
	product, err := s.packages(ctx, ".", "conformance")
	if err != nil {
		return err
	}
	// The producer's tests wait for brokers much of their time: the others run meanwhile.
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
	// Brokers of a test's own take minutes to go and to come back, in which nothing else happens.
	slow := "^(TestThreeBrokers|TestApacheKafka.*)$"
	return s.testAtOnce(ctx,
		goTest{".", append([]string{"-race", "-count=1", "-skip=" + slow}, product...)},
		goTest{".", []string{"-race", "-count=1", "-run=" + slow, "./producer"}},
		goTest{"verify", append([]string{"-race", "-count=1"}, tools...)})
}

// packages lists those of a module, but for some.
func (s *session) packages(ctx context.Context, dir string, but ...string) ([]string, error) {
	text, err := s.output(ctx, "go", "-C", dir, "list", "./...")
	return slices.DeleteFunc(strings.Fields(text), func(p string) bool {
		return slices.ContainsFunc(but, func(name string) bool { return strings.HasSuffix(p, "/"+name) })
	}), err
}

// day is the producer's; without the race detector, with which the tests run a part of it.
func day(ctx context.Context, s *session) error {
	return s.test(ctx, "-v", "-count=1", "-run=^TestDayOfFaults$", "./producer", "-day.cycles=10000")
}

// Of verify: the packages that need TLC, and one goroutine for many seconds, which the race detector would make a minute.
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
	return lifecycle("^TestGraph", false)(ctx, s)
}

// core walks the models of delivery that the bound's commands check.
func core(ctx context.Context, s *session) error {
	s.bound = s.Bound
	return s.testIn(ctx, "verify", "-v", "-count=1", "./internal/delivery/partition")
}

// traces are of lives of the producer: most take a few milliseconds, those on Apache Kafka a second, in which they wait.
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

// schedules has all tests of the walk that are no other layer's: it is what the random schedules, their coverage,
// shrinking and corpus are tested by, and the scheduler itself.
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

// suite is the public suite's own tests: without the race detector, since the suite runs one goroutine at a time.
func suite(ctx context.Context, s *session) error {
	args := []string{"-count=1", "./conformance"}
	if s.Bound == Quick {
		args = append(args, "-short")
	}
	return s.test(ctx, args...)
}

// script is for what does its own checking, in a program of its own, which is told the bound.
func script(argv ...string) func(context.Context, *session) error {
	return func(ctx context.Context, s *session) error {
		if err := s.needTools(ctx); err != nil {
			return err
		}
		return s.command(ctx, append(argv, s.Bound)...)
	}
}

// seeded: at deep, every layer on every fault; else each until the first that names it.
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

// sampled is how many mutants are tried unless all are asked for: drawn anew when the code that is mutated changes, of all operators alike.
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

// adapters is a module of its own, so that its dependencies are nobody else's. It has
// PostgreSQL where Debian's can be had.
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

// observe is two modules, so that only who imports one pays for it.
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

// others is a module of its own: what docs/comparison.md shows, by plain tests; in deep
// the suite finds it again.
func others(ctx context.Context, s *session) error {
	if err := s.testIn(ctx, "verify/others", "-count=1", "-race", "-run=Plain", "./..."); err != nil || s.Bound != Deep {
		return err
	}
	return s.testIn(ctx, "verify/others", "-count=1", "-run=TestComparison", ".")
}

// bench is a module of its own: its tests, and the few ratios that are watched.
func bench(ctx context.Context, s *session) error {
	if err := s.command(ctx, "go", "-C", "bench", "test", "./..."); err != nil {
		return err
	}
	return s.command(ctx, "go", "-C", "bench", "run", ".", "-guard")
}

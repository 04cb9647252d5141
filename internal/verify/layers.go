package verify

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/seed3893aba4/surestart/internal/faults"
	"github.com/seed3893aba4/surestart/internal/mutation"
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
	{"graph", "every state, edge and refusal of the model's graph, in the shipped code", always, graph},
	{"schedules", "random schedules beyond the graph's bound, step by step against the model", always, schedules},
	{"scenarios", "bugs that happened elsewhere", always, conformance("^TestR[0-9]", true)},
	{"threads", "traces of free-running goroutines are behaviours of the model", always, conformance("^TestThreads", true)},
	{"histories", "calls and returns are linearizable against the contract", always, conformance("^TestHistories", true)},
	{"tests", "each guarantee's tests, the examples and everything else; in ci with -race, on kfake and Apache Kafka, and no skip", always, tests},
	{"day", "24 hours of a producer whose cluster breaks 10,000 times, in virtual time: nothing lost, nothing left", withCI, day},
	{"model", "the executable models equal the graphs that TLC dumps", withCI, model},
	{"tlc", "TLC on the specification, and on each of its weakened variants", withCI, script("tla/run.sh")},
	{"proof", "the inductive invariant, by TLC and Z3, for any number of callers", withCI, proof},
	{"second", "another model checker finds TLC's counts", []string{Deep}, script("tla/second.sh")},
	{"faults", "every seeded fault is caught, by the name of the guarantee that it breaks", withCI, seeded},
	{"mutants", "every mutant of fsm and of its table is killed: a sample, or all with -mutants", withCI, mutants},
	{"adapters", "the examples with other libraries: each starts after a failure, drains, is cut off, and leaves nothing", withCI, adapters},
	{"observe", "the collectors of Prometheus and OpenTelemetry, on kfake and Apache Kafka; the dashboard on a real Prometheus", withCI, observe},
	{"others", "what other libraries do, shown by plain tests of a dozen lines each", withCI, others},
	{"bench", "no ratio to what one would pick instead has clearly become worse", []string{Deep}, bench},
}

// The layers of package conformance. The scheduler lets one goroutine run at a
// time, so that its walks go without the race detector, ten times as fast; what
// runs freely goes with it.

func tests(ctx context.Context, s *session) error {
	packages, err := s.output(ctx, "go", "list", "./...")
	if err != nil {
		return err
	}
	here := slices.DeleteFunc(strings.Fields(packages), func(p string) bool { return s.elsewhere(p) })
	// The producer's tests wait for brokers much of their time: the others run meanwhile.
	if i := slices.IndexFunc(here, func(p string) bool { return path.Base(p) == "producer" }); i >= 0 {
		first := here[i]
		here = slices.Insert(slices.Delete(here, i, i+1), 0, first)
	}
	if s.Bound == Quick {
		return s.test(ctx, append([]string{"-short"}, here...)...)
	}
	if err := s.needKafka(ctx); err != nil {
		return err
	}
	if err := s.needChromium(ctx); err != nil {
		return err
	}
	if s.Bound == Deep { // a long soak on Apache Kafka
		s.env["SURESTART_SOAK"] = "1000000"
	}
	// Brokers of a test's own take minutes to go and to come back, in which nothing else happens.
	slow := "^(TestThreeBrokers|TestApacheKafka.*)$"
	return s.testAtOnce(ctx, ".",
		append([]string{"-race", "-count=1", "-skip=" + slow}, here...),
		[]string{"-race", "-count=1", "-run=" + slow, "./producer"})
}

// day is the producer's; without the race detector, with which the tests run a part of it.
func day(ctx context.Context, s *session) error {
	return s.test(ctx, "-v", "-count=1", "-run=^TestDayOfFaults$", "./producer", "-day.cycles=10000")
}

// elsewhere reports whether a layer of its own runs a package's tests.
func (s *session) elsewhere(pkg string) bool {
	name := strings.TrimPrefix(pkg, "github.com/seed3893aba4/surestart/")
	return name == "conformance" || s.Bound != Quick && (name == mutationPackage || slices.Contains(modelPackages, name))
}

var modelPackages = []string{"spec", "internal/tlc", "internal/abstract", "internal/supervisor"}

const mutationPackage = "internal/mutation" // one goroutine for many seconds, which the race detector would make a minute

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
	return s.test(ctx, args...)
}

func graph(ctx context.Context, s *session) error {
	s.bound = map[string]string{Quick: "quick", CI: "stoppers ci", Deep: "stoppers ci deep"}[s.Bound]
	return conformance("^TestGraph", false)(ctx, s)
}

// schedules has all of conformance's tests that are no other layer's: it is what
// the random schedules, their coverage, shrinking and corpus are tested by.
func schedules(ctx context.Context, s *session) error {
	args := []string{"-skip=^Test(Graph|Threads|Histories|R[0-9])", "-count=1", "./conformance"}
	switch s.Bound {
	case Quick:
		args = append(args, "-short")
	case Deep:
		args = append(args, "-rapid.checks=1000000")
	}
	return s.test(ctx, args...)
}

func conformance(run string, race bool) func(context.Context, *session) error {
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
		return s.test(ctx, append(args, "./conformance")...)
	}
}

// script is for what does its own checking, in a program of its own.
func script(name string) func(context.Context, *session) error {
	return func(ctx context.Context, s *session) error {
		if err := s.needTools(ctx); err != nil {
			return err
		}
		return s.command(ctx, "bash", name, s.Bound)
	}
}

func proof(ctx context.Context, s *session) error {
	if err := s.needTools(ctx); err != nil {
		return err
	}
	if _, err := s.output(ctx, "bash", ".ci/tools.sh", "python"); err != nil {
		return err
	}
	return script("proof/run.sh")(ctx, s)
}

// seeded: at deep, every layer on every fault; else each until the first that names it.
func seeded(ctx context.Context, s *session) error {
	all, err := faults.All()
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

// sampled is how many mutants are tried unless all are asked for: drawn anew for each commit.
const sampled = 20

func mutants(ctx context.Context, s *session) error {
	if err := s.test(ctx, "-count=1", "./"+mutationPackage); err != nil {
		return err
	}
	all, err := mutation.All(s.Root)
	if err != nil {
		return err
	}
	some := all
	if !s.Mutants {
		seed, err := mutation.Seed(ctx, s.Root)
		if err != nil {
			return err
		}
		some = mutation.Sample(all, sampled, seed)
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
	postgres, err := s.output(ctx, "bash", ".ci/tools.sh", "postgres")
	if err != nil {
		return err
	}
	args := []string{"-race", "-count=1", "./..."}
	if strings.TrimSpace(postgres) == "" {
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
	prometheus, err := s.output(ctx, "bash", ".ci/tools.sh", "prometheus")
	if err != nil {
		return err
	}
	s.env["SURESTART_PROMETHEUS"] = strings.TrimSpace(prometheus)
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
	if err := s.testIn(ctx, "conformance/others", "-count=1", "-race", "-run=Plain", "./..."); err != nil || s.Bound != Deep {
		return err
	}
	return s.testIn(ctx, "conformance/others", "-count=1", "-run=TestComparison", ".")
}

// bench is a module of its own: its tests, and the few ratios that are watched.
func bench(ctx context.Context, s *session) error {
	if err := s.command(ctx, "go", "-C", "bench", "test", "./..."); err != nil {
		return err
	}
	return s.command(ctx, "go", "-C", "bench", "run", ".", "-guard")
}

// Command bench measures surestart beside the alternatives, in one run, and reports which budgets
// hold.
//
//	go -C bench run .                      everything, in less than eight minutes
//	go -C bench run . -quick               everything, coarsely, in about two
//	go -C bench run . -only started,cold   some parts; -only lifecycle, -only producer: those of one kind
//	go -C bench run . -write ../docs/figures/performance.md   puts the tables between the marks of the file
//	go -C bench run . -guard               the few ratios that ./check layer bench watches
//
// -tags librdkafka adds Confluent's client, which is C. The parts of kind producer need Java.
//
// The exit status is 1 if a budget does not hold. Other programs slow all contenders down alike,
// because the contenders run in turns. The budgets limit the ratios within one round.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A part is a section of the report.
type part struct {
	name, kind, title string
	run               func(*bench, *section) error
}

var parts = []part{
	{"started", "lifecycle", "When started", always((*bench).started)},
	{"use", "lifecycle", "Holding it open", always((*bench).use)},
	{"curve", "lifecycle", "With more callers", always((*bench).curve)},
	{"life", "lifecycle", "A whole life", always((*bench).life)},
	{"cold", "lifecycle", "Many callers, not open yet", always((*bench).cold)},
	{"leave", "lifecycle", "Callers that give up", always((*bench).leave)},
	{"memory", "lifecycle", "Memory", always((*bench).memory)},
	{"many", "lifecycle", "A hundred thousand", always((*bench).many)},
	{"clients", "producer", "Clients", (*bench).clients},
	{"writer", "producer", "Over kafka-go's Writer", (*bench).overWriter},
	{"franz", "producer", "Over franz-go", (*bench).overFranz},
	{"lone", "producer", "Lone writes over franz-go", (*bench).loneOverFranz},
	{"partitions", "producer", "One message a call, more partitions", (*bench).overPartitions},
	{"far", "producer", "Five milliseconds away", (*bench).far},
	{"codecs", "producer", "Compression", (*bench).compression},
	{"firsts", "producer", "The first write", (*bench).firsts},
	{"tuning", "producer", "The defaults", (*bench).tuning},
	{"checks", "checks", "The checks", (*bench).checks},
}

func always(run func(*bench, *section)) func(*bench, *section) error {
	return func(b *bench, s *section) error { run(b, s); return nil }
}

// bench is one run.
type bench struct {
	quick     bool
	rounds    int           // of what takes nanoseconds
	slice     time.Duration // how long a contender is measured in a round
	profiles  string        // the directory for profiles of duels
	overlap   series        // processors that goroutines had which were to run at once
	budgets   []budget
	apache    *cluster // nil until it is needed
	blackHole *cluster // likewise
	atEnd     []func()
	once      sync.Once // end
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	b := &bench{rounds: 31, slice: 3 * time.Millisecond}
	flag.BoolVar(&b.quick, "quick", false, "coarsely: fewer rounds")
	only := flag.String("only", "", "the `parts` to run, separated by commas: "+partNames())
	write := flag.String("write", "", "put the tables between the marks of this `file`")
	guard := flag.Bool("guard", false, "only the ratios that surestart verify -layer bench watches: seconds")
	repeat := flag.Int("repeat", 0, "with -guard: this `often`, and how near it came to its limits")
	flag.StringVar(&b.profiles, "profile", "", "put the processor profiles of duels into this `directory`, a file for each topic; see go tool pprof -tagfocus client=NAME")
	asChild := flag.String("child", "", "what this `process` does for another one")
	flag.Parse()
	if *asChild != "" {
		return beChild(*asChild)
	}
	defer b.end()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		b.end()
		os.Exit(130)
	}()
	switch {
	case *guard && *repeat > 0:
		return b.repeat(*repeat)
	case *guard:
		return b.guard()
	}
	if b.quick {
		b.rounds, b.slice = 9, time.Millisecond
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	if *write != "" {
		if err := marked(*write, chosen); err != nil {
			return err
		}
	}
	var sections []*section
	for _, p := range chosen {
		began := time.Now()
		fmt.Fprintf(os.Stderr, "bench: %s ...", p.name)
		s := &section{name: p.name}
		before := len(b.budgets)
		if err := p.run(b, s); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if mine := b.budgets[before:]; len(mine) > 0 {
			s.show(budgets(mine))
		}
		s.say("`go -C bench run . -only %s`; %s", p.name, machine())
		sections = append(sections, s)
		fmt.Fprintf(os.Stderr, " %.0f s\n", time.Since(began).Seconds())
		fmt.Printf("## %s\n\n%s", p.title, &s.text)
		debug.FreeOSMemory()
	}
	if *write != "" {
		if err := record(*write, sections); err != nil {
			return err
		}
	}
	broken := 0
	for _, x := range b.budgets {
		if !x.holds() {
			broken++
			fmt.Printf("does not hold: %s: %s%s, %s\n", x.what, number(x.measured), x.unit, x.bound())
		}
	}
	fmt.Printf("%d budgets, %d hold\n", len(b.budgets), len(b.budgets)-broken)
	if broken > 0 {
		return fmt.Errorf("%d of %d budgets do not hold", broken, len(b.budgets))
	}
	return nil
}

// end stops what was started.
func (b *bench) end() {
	b.once.Do(func() {
		for _, f := range b.atEnd {
			f()
		}
	})
}

func partNames() string {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	return "lifecycle, producer, checks; " + strings.Join(names, ", ")
}

// choose returns the parts with these names, or of these kinds, or all if none is named.
func choose(names string) ([]part, error) {
	if names == "" {
		return parts, nil
	}
	var chosen []part
	wanted := strings.Split(names, ",")
	for _, p := range parts {
		if slices.Contains(wanted, p.name) || slices.Contains(wanted, p.kind) {
			chosen = append(chosen, p)
		}
	}
	for _, name := range wanted {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name || p.kind == name }) {
			return nil, fmt.Errorf("no part is called %q: %s", name, partNames())
		}
	}
	return chosen, nil
}

// machine describes the machine of the figures.
func machine() string {
	return fmt.Sprintf("%s, %s/%s, %d CPUs, load %s.", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), load())
}

// load returns how busy the machine was in the last minute. It is unknown on systems other than
// Linux.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(text))[0]
}

// Package demo is the storm behind "surestart demo": a broker that is down, hangs
// and works, a crowd of callers that start one producer, writers that are stopped
// in the middle, and a count of what became of it all. A producer that people
// would write, with a "started" flag, goes through the same.
//
// What is counted is counted from outside the producers: by the gate, which is
// the broker's listening socket (gate.go), by the kernel's socket table
// (sockets.go), by franz-go as an independent reader (readback.go).
//
// Files: demo.go runs it; acts.go is the story, storm.go its state, callers.go and
// load.go who calls; system.go what is called; cluster.go and gate.go the broker;
// report.go the table and the verdict; screen.go what is shown meanwhile.
package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/producer"
)

// Config is what to run.
type Config struct {
	Callers  int      // at least 10
	Messages int      // at least 1,000
	Brokers  []string // empty: the embedded broker
	Topic    string   // empty: on a real cluster one is created, and removed again
	Break    Break
}

// Validate says what of a Config makes no sense.
func (c Config) Validate() error {
	switch {
	case c.Callers < 10 || c.Callers > 20_000:
		return fmt.Errorf("%d callers: want 10 to 20000", c.Callers)
	case c.Messages < 1000 || c.Messages > 100_000_000:
		return fmt.Errorf("%d messages: want 1000 to 100000000", c.Messages)
	}
	switch c.Break {
	case BreakNothing, BreakStartOnce, BreakLose, BreakLeak, BreakTwice:
		return nil
	}
	return fmt.Errorf("cannot break %q: want one of %q", c.Break, Breaks())
}

// Result is what came of it.
type Result struct {
	Pass      bool      `json:"pass"`
	Failures  []Failure `json:"failures"` // of surestart's column
	Where     string    `json:"where"`
	Run       string    `json:"run"`
	Callers   int       `json:"callers"`
	Break     Break     `json:"break,omitempty"`
	Naive     *Column   `json:"naive"` // nil with Break: it is not run
	Surestart Column    `json:"surestart"`
	Seconds   float64   `json:"seconds"`
}

// Run runs the demo. An error is that it could not be run to its end; a promise
// that was not kept is in the Result.
func Run(ctx context.Context, cfg Config, screen *Screen) (Result, error) {
	began := time.Now()
	if err := cfg.Validate(); err != nil {
		return Result{}, err
	}
	run := newRun()
	cl, err := newCluster(ctx, cfg, run)
	if err != nil {
		return Result{}, err
	}
	res, err := runOn(ctx, cfg, cl, run, screen)
	err = errors.Join(err, cl.close())
	res.Seconds = float64(time.Since(began).Milliseconds()) / 1000
	if err == nil {
		screen.verdict(res)
	}
	return res, err
}

func newCluster(ctx context.Context, cfg Config, run string) (*cluster, error) {
	if len(cfg.Brokers) > 0 {
		return real(ctx, cfg.Brokers, cfg.Topic, run)
	}
	topic := cfg.Topic
	if topic == "" {
		topic = "surestart-demo"
	}
	return embedded(topic)
}

func runOn(ctx context.Context, cfg Config, cl *cluster, run string, screen *Screen) (Result, error) {
	res := Result{Where: cl.about, Run: run, Callers: cfg.Callers, Break: cfg.Break, Failures: []Failure{}}
	screen.line("%s starts and stops one Kafka producer while its broker is down, hangs, works and", screen.paint(bold, "surestart demo"))
	screen.line("hangs again: %s callers start it at once, 8 writers send %s messages through it.", Commas(cfg.Callers), Commas(cfg.Messages))
	screen.line("Then a producer with a \"started\" flag, as people write it, goes through the same.")
	screen.line("%s", cl.about)

	var err error
	if res.Surestart, err = stormSurestart(ctx, cfg, cl, run+"s", screen); err != nil {
		return res, err
	}
	cols := []Column{res.Surestart}
	if cfg.Break == BreakNothing {
		col, err := stormNaive(ctx, cfg, cl, run+"n", screen)
		if err != nil {
			return res, err
		}
		res.Naive = &col
		cols = []Column{col, res.Surestart}
	}
	screen.table(cfg, cols)
	res.Failures = append(res.Failures, verdict(res.Surestart)...)
	res.Pass = len(res.Failures) == 0
	return res, nil
}

func stormSurestart(ctx context.Context, cfg Config, cl *cluster, run string, screen *Screen) (Column, error) {
	s := storm{cfg: cfg, cl: cl, screen: screen, key: keyMetadata, col: Column{Name: "surestart"}}
	text := "surestart: each change of its state, as it happens"
	if cfg.Break != BreakNothing {
		s.col.Name = "broken"
		text = fmt.Sprintf("surestart, broken on purpose (%s)", cfg.Break)
	}
	screen.title(text)
	observe := func(fsm.Transition) {}
	if cfg.Break != BreakStartOnce { // that has many lifecycles
		s.journal = newJournal(screen)
		observe = s.journal.observe
	}
	var err error
	if s.sys, err = newSurestart(cl, cfg.Break, observe); err != nil {
		return s.col, err
	}
	if p, ok := s.sys.(interface{ State() producer.State }); ok {
		s.state = p.State
	}
	return s.through(ctx, run)
}

func stormNaive(ctx context.Context, cfg Config, cl *cluster, run string, screen *Screen) (Column, error) {
	screen.title("A naive flag, through the same storm (its source: surestart help naive)")
	s := storm{cfg: cfg, cl: cl, sys: newNaive(cl), screen: screen, key: keyListOffsets, col: Column{Name: "a naive flag"}}
	return s.through(ctx, run)
}

// through is rage, with a system that is stuck as a result rather than an error.
func (s *storm) through(ctx context.Context, run string) (Column, error) {
	col, err := s.rage(ctx, run)
	var st stuck
	if errors.As(err, &st) {
		col.Stuck = st.Error()
		col.Acknowledged = int(s.load.count.Load())
		s.screen.note("It gets no further: %s.", clip(col.Stuck, 75))
		return col, nil
	}
	return col, err
}

func newRun() string {
	b := make([]byte, 5)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// verdict is the last line: PASS, or FAIL and what failed.
func (s *Screen) verdict(res Result) {
	s.line("")
	for _, f := range res.Failures {
		s.line("%s  %s: %s", s.paint(red, "✗"), f.Guarantee, f.What)
	}
	if res.Pass {
		s.line("%s: surestart kept every promise; %s messages, none lost, none twice, nothing left open (%.1f s)", s.paint(green, "PASS"), Commas(res.Surestart.Acknowledged), res.Seconds)
		return
	}
	names := ""
	seen := make(map[string]bool)
	for _, f := range res.Failures {
		if !seen[f.Guarantee] {
			seen[f.Guarantee] = true
			names += ", " + f.Guarantee
		}
	}
	s.line("%s: %s (%.1f s)", s.paint(red, "FAIL"), names[2:], res.Seconds)
}

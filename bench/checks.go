package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strconv"
)

// The speed of the checks themselves.

var stepsPerSecond = regexp.MustCompile(`([0-9.e+]+) steps/s`)

// checks measures the controlled scheduler, and shows the times of the last ./check, from its
// report.
func (b *bench) checks(s *section) error {
	cmd := exec.Command("go", "test", "-run=^$", "-bench=^BenchmarkSteps$", "-benchtime=50ms", "-count=20", "-cpu=1", "./internal/lifecycle/scheduler")
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test ./internal/lifecycle/scheduler: %w: %s", err, out)
	}
	var ns series
	for _, m := range stepsPerSecond.FindAllSubmatch(out, -1) {
		rate, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return err
		}
		ns = append(ns, 1e9/rate)
	}
	s.say("The shipped code under the controlled scheduler: %s ns a step on one core (range without the outer tenths), state and model compared; at best %s steps a second.",
		ns, number(float64(int(1e9/ns.at(0)))))
	b.budget("a controlled step (1,000,000 a second), the best of twenty", ns.at(0), 1000, " ns")

	text, err := os.ReadFile("../report/report.json")
	if errors.Is(err, fs.ErrNotExist) {
		s.say("Where the time of `./check` goes is taken from its report, of which there was none.")
		return nil
	}
	var r struct {
		Bound, Commit string
		Layers        []struct {
			Name    string
			Seconds float64
			Figures []struct {
				Heading, Key string
				N            float64
			}
		}
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return fmt.Errorf("report/report.json: %w", err)
	}
	total := 0.0
	for _, l := range r.Layers {
		total += l.Seconds
	}
	t := &table{head: []string{"layer of `surestart verify -bound " + r.Bound + "`", "seconds", "%", "states a second", "edges a second", "steps of the code a second"}}
	for _, l := range r.Layers {
		sums := make(map[string]float64)
		for _, f := range l.Figures {
			sums[f.Key] += f.N
		}
		row := []string{l.Name, number(l.Seconds), number(100 * l.Seconds / total)}
		for _, key := range []string{"states", "edges", "code-steps"} {
			if n := sums[key]; n > 0 {
				row = append(row, number(float64(int(n/l.Seconds))))
			} else {
				row = append(row, "")
			}
		}
		t.row(row...)
	}
	s.show(t)
	return nil
}

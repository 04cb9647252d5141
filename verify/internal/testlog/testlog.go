// Package testlog reads what a run of tests, or any other check, printed, and reports what was
// really checked.
//
// A log holds the events of go test -json, or plain lines, or both. The events say which tests
// passed, failed and were skipped. Every line printed, by a test or by anything else, may be a
// figure of the form
//
//	CHECKED <layer> [<what>...] <key>=<n> ...
//
// for example "CHECKED spec bound=ci states=248393 edges=1074429". Everything before the first
// key=number is the heading of the figures: words, and no bare number. Figures of one heading and
// key are added up. A malformed CHECKED line is an error, because a figure that is silently dropped
// would look as if nothing was lost.
package testlog

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Event is one line of go test -json (go doc test2json).
type Event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
}

// Skip is a skipped test, and the last line that it printed: the reason.
type Skip struct {
	Name string `json:"name"`
	Said string `json:"said"`
}

// A Figure is one key of one CHECKED heading, and its sum.
type Figure struct {
	Heading string `json:"heading"`
	Key     string `json:"key"`
	N       int64  `json:"n"`
}

// Log is what was read until now.
type Log struct {
	Passed   []string // "package.Test", as they ended
	Failed   []string
	Skipped  []Skip
	Packages map[string]bool // those that ran at least one test

	failedIn map[string]bool   // packages with a failed test
	said     map[string]string // the last telling line of each test still running
	figures  []Figure          // first seen first shown
}

// New returns an empty log.
func New() *Log {
	return &Log{
		Packages: map[string]bool{},
		failedIn: map[string]bool{},
		said:     map[string]string{},
	}
}

// Read adds all lines of in.
func (l *Log) Read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		if _, err := l.Line(lines.Text()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// Line adds one line, and returns it as an event. A line that is no event is returned as an event
// with that output.
func (l *Log) Line(line string) (Event, error) {
	var e Event
	if line == "" || line[0] != '{' || json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
		e = Event{Action: "output", Output: line}
	}
	return e, l.add(e)
}

func (l *Log) add(e Event) error {
	id := e.Package + "." + e.Test
	switch {
	case e.Action == "output":
		said := strings.TrimSpace(logPrefix.ReplaceAllString(e.Output, ""))
		if said != "" && !marker.MatchString(said) {
			l.said[id] = said
		}
		return l.collect(said)
	case e.Test == "":
		// A package fails with its tests, which have given the reason. Or it fails by itself: it
		// does not build, its TestMain exits, it times out. That counts as one failure.
		if e.Action == "fail" && !l.failedIn[e.Package] {
			l.Failed = append(l.Failed, e.Package)
		}
	case e.Action == "pass":
		l.Passed = append(l.Passed, id)
		l.Packages[e.Package] = true
	case e.Action == "fail":
		l.Failed = append(l.Failed, id)
		l.Packages[e.Package] = true
		l.failedIn[e.Package] = true
	case e.Action == "skip":
		l.Skipped = append(l.Skipped, Skip{id, l.said[id]})
		l.Packages[e.Package] = true
	}
	return nil
}

var (
	logPrefix   = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: `)
	marker      = regexp.MustCompile(`^(=== |--- |PASS$|FAIL$|FAIL\s|ok\s)`)
	checkedLine = regexp.MustCompile(`^CHECKED (\S*[^\s\d]\S*(?: \S*[^\s\d]\S*)*?)((?: [\w.-]+=\d+)+)$`)
)

func (l *Log) collect(said string) error {
	if said != "CHECKED" && !strings.HasPrefix(said, "CHECKED ") {
		return nil
	}
	m := checkedLine.FindStringSubmatch(said)
	if m == nil {
		return fmt.Errorf("not of the form CHECKED <layer> [<what>...] <key>=<n> ...: %q", said)
	}
	for _, pair := range strings.Fields(m[2]) {
		key, digits, _ := strings.Cut(pair, "=")
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return fmt.Errorf("%q: %w", said, err)
		}
		i := slices.IndexFunc(l.figures, func(f Figure) bool { return f.Heading == m[1] && f.Key == key })
		if i < 0 {
			i, l.figures = len(l.figures), append(l.figures, Figure{Heading: m[1], Key: key})
		}
		l.figures[i].N += n
	}
	return nil
}

// Figures returns the CHECKED figures: those of one heading together, in the order in which they
// were first seen.
func (l *Log) Figures() []Figure {
	var all []Figure
	for _, first := range l.figures {
		if slices.ContainsFunc(all, func(f Figure) bool { return f.Heading == first.Heading }) {
			continue
		}
		for _, f := range l.figures {
			if f.Heading == first.Heading {
				all = append(all, f)
			}
		}
	}
	return all
}

// Verdict is nil if tests ran, none failed and, with noskip, none was skipped.
func (l *Log) Verdict(noskip bool) error {
	switch {
	case len(l.Failed) > 0:
		return fmt.Errorf("%d failed", len(l.Failed))
	case noskip && len(l.Skipped) > 0:
		return fmt.Errorf("%d skipped, and nothing may be skipped here", len(l.Skipped))
	case len(l.Passed) == 0:
		return errors.New("no test ran")
	}
	return nil
}

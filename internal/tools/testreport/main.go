// Command testreport reads what a layer of ./check printed, and says what was really checked.
//
//	testreport [-noskip] [-notests] [-counts FILE] [-checked FILE] LOG...
//
// A LOG holds the events of go test -json, or plain lines, or both. From the events come the counts
// of tests passed, failed and skipped, with the name of each that did not pass and why one was skipped. From
// every line printed, by a test or by anything else, come the figures of the form
//
//	CHECKED <layer> [<what>...] <key>=<n> ...
//
// for example "CHECKED spec bound=ci states=248393 edges=1074429": everything before the first
// key=number is the figures' heading (words, no bare number). Figures of one heading and key are added up. A line that
// begins like one and is not one is an error, because a figure that is silently dropped looks like
// nothing was lost.
//
// The last line is "N passed, N failed, N skipped". The exit status is 1 when something failed, when
// no test ran at all (unless -notests: the logs are those of something else), or when one was skipped
// and -noskip was given.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	noskip := flag.Bool("noskip", false, "a skipped test is a failure")
	notests := flag.Bool("notests", false, "the logs are not of tests: only collect CHECKED lines")
	counts := flag.String("counts", "", "write the counts here, as one line: passed failed skipped packages")
	checked := flag.String("checked", "", "append the summed CHECKED figures here, a line for each heading")
	flag.Parse()

	r := newReport()
	err := readAll(r, flag.Args())
	if err == nil && *counts != "" {
		line := fmt.Sprintf("%d %d %d %d\n", r.passed, len(r.failed), len(r.skipped), len(r.packages))
		err = os.WriteFile(*counts, []byte(line), 0o666)
	}
	if err == nil && *checked != "" {
		err = appendTo(*checked, r.figures())
	}
	if err == nil && !*notests {
		r.print(os.Stdout)
		err = r.verdict(*noskip)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
}

func readAll(r *report, logs []string) error {
	for _, name := range logs {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = r.read(f)
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func appendTo(name string, lines []string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	for _, line := range lines {
		fmt.Fprintln(f, line)
	}
	return f.Close()
}

// event is one line of go test -json (go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// skip is a skipped test, and the last thing that it said: why.
type skip struct{ name, said string }

// figure is one key of one CHECKED heading.
type figure struct{ heading, key string }

type report struct {
	passed   int
	failed   []string
	skipped  []skip
	packages map[string]bool // those that ran at least one test

	failedIn map[string]bool   // packages with a failed test
	said     map[string]string // the last telling line of each test still running
	sums     map[figure]int64
	order    []figure // first seen first shown
}

func newReport() *report {
	return &report{
		packages: map[string]bool{},
		failedIn: map[string]bool{},
		said:     map[string]string{},
		sums:     map[figure]int64{},
	}
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if line := lines.Bytes(); len(line) == 0 || line[0] != '{' || json.Unmarshal(line, &e) != nil || e.Action == "" {
			e = event{Action: "output", Output: lines.Text()}
		}
		if err := r.add(e); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (r *report) add(e event) error {
	id := e.Package + "." + e.Test
	switch {
	case e.Action == "output":
		said := strings.TrimSpace(logPrefix.ReplaceAllString(e.Output, ""))
		if said != "" && !marker.MatchString(said) {
			r.said[id] = said
		}
		return r.collect(said)
	case e.Test == "":
		// A package fails with its tests, and then they have said why; or by itself: it does not
		// build, its TestMain exits, it times out. That counts as one failure.
		if e.Action == "fail" && !r.failedIn[e.Package] {
			r.failed = append(r.failed, e.Package)
		}
	case e.Action == "pass":
		r.passed++
		r.packages[e.Package] = true
	case e.Action == "fail":
		r.failed = append(r.failed, id)
		r.packages[e.Package] = true
		r.failedIn[e.Package] = true
	case e.Action == "skip":
		r.skipped = append(r.skipped, skip{id, r.said[id]})
		r.packages[e.Package] = true
	}
	return nil
}

var (
	logPrefix   = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: `)
	marker      = regexp.MustCompile(`^(=== |--- |PASS$|FAIL$|FAIL\s|ok\s)`)
	checkedLine = regexp.MustCompile(`^CHECKED (\S*[^\s\d]\S*(?: \S*[^\s\d]\S*)*?)((?: [\w.-]+=\d+)+)$`)
)

func (r *report) collect(said string) error {
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
		f := figure{m[1], key}
		if _, seen := r.sums[f]; !seen {
			r.order = append(r.order, f)
		}
		r.sums[f] += n
	}
	return nil
}

// figures returns a line for each heading: "heading<tab>key=n key=n".
func (r *report) figures() []string {
	var lines []string
	text := map[string]string{}
	for _, f := range r.order {
		if !slices.Contains(lines, f.heading) {
			lines = append(lines, f.heading)
		}
		text[f.heading] += fmt.Sprintf(" %s=%d", f.key, r.sums[f])
	}
	for i, heading := range lines {
		lines[i] = heading + "\t" + strings.TrimSpace(text[heading])
	}
	return lines
}

func (r *report) print(w io.Writer) {
	// By reason: what is missing is mostly the same for many.
	var reasons []string
	names := map[string][]string{}
	for _, o := range r.skipped {
		if names[o.said] == nil {
			reasons = append(reasons, o.said)
		}
		names[o.said] = append(names[o.said], o.name)
	}
	for _, reason := range reasons {
		fmt.Fprintf(w, "skipped  %s\n", reason)
		for _, name := range names[reason] {
			fmt.Fprintf(w, "         %s\n", name)
		}
	}
	for _, name := range r.failed { // why is in the test runner's own summary
		fmt.Fprintf(w, "failed   %s\n", name)
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", r.passed, len(r.failed), len(r.skipped))
}

func (r *report) verdict(noskip bool) error {
	switch {
	case len(r.failed) > 0:
		return fmt.Errorf("%d failed", len(r.failed))
	case noskip && len(r.skipped) > 0:
		return fmt.Errorf("%d skipped, and nothing may be skipped here", len(r.skipped))
	case r.passed == 0:
		return errors.New("no test ran")
	}
	return nil
}

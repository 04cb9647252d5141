// Command testreport reads what a layer of ./check printed, and says what was really checked.
//
//	testreport [-noskip] [-notests] [-counts FILE] [-checked FILE] LOG...
//
// What is in a LOG, and what a CHECKED line is: see package testlog.
//
// The last line is "N passed, N failed, N skipped". The exit status is 1 when something failed, when
// no test ran at all (unless -notests: the logs are those of something else), or when one was skipped
// and -noskip was given.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/seed3893aba4/surestart/internal/testlog"
)

func main() {
	noskip := flag.Bool("noskip", false, "a skipped test is a failure")
	notests := flag.Bool("notests", false, "the logs are not of tests: only collect CHECKED lines")
	counts := flag.String("counts", "", "write the counts here, as one line: passed failed skipped packages")
	checked := flag.String("checked", "", "append the summed CHECKED figures here, a line for each heading")
	flag.Parse()

	r := testlog.New()
	err := readAll(r, flag.Args())
	if err == nil && *counts != "" {
		line := fmt.Sprintf("%d %d %d %d\n", len(r.Passed), len(r.Failed), len(r.Skipped), len(r.Packages))
		err = os.WriteFile(*counts, []byte(line), 0o666)
	}
	if err == nil && *checked != "" {
		err = appendTo(*checked, figures(r))
	}
	if err == nil && !*notests {
		show(os.Stdout, r)
		err = r.Verdict(*noskip)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
}

func readAll(r *testlog.Log, logs []string) error {
	for _, name := range logs {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = r.Read(f)
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

// figures returns a line for each heading: "heading<tab>key=n key=n".
func figures(r *testlog.Log) []string {
	var lines []string
	heading := ""
	for _, f := range r.Figures() {
		if f.Heading != heading {
			heading = f.Heading
			lines = append(lines, heading+"\t")
		} else {
			lines[len(lines)-1] += " "
		}
		lines[len(lines)-1] += fmt.Sprintf("%s=%d", f.Key, f.N)
	}
	return lines
}

func show(w io.Writer, r *testlog.Log) {
	// By reason: what is missing is mostly the same for many.
	var reasons []string
	names := map[string][]string{}
	for _, o := range r.Skipped {
		if names[o.Said] == nil {
			reasons = append(reasons, o.Said)
		}
		names[o.Said] = append(names[o.Said], o.Name)
	}
	for _, reason := range reasons {
		fmt.Fprintf(w, "skipped  %s\n", reason)
		for _, name := range names[reason] {
			fmt.Fprintf(w, "         %s\n", name)
		}
	}
	for _, name := range r.Failed { // why is in the test runner's own summary
		fmt.Fprintf(w, "failed   %s\n", name)
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", len(r.Passed), len(r.Failed), len(r.Skipped))
}

package conformance

import (
	_ "embed"
	"flag"
	"html/template"
	"io"
	"os"
	"strings"
	"sync"
)

var reportFile = flag.String("conformance.report", "", "write the conformance scorecards to this `file`, as HTML")

//go:embed report.html
var page string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"class":   func(v Verdict) string { return map[Verdict]string{Yes: "yes", No: "no"}[v] },
	"callers": func() []string { return []string{"c1", "c2", "c3", "hooks"} },
	"cells": func(l Line) []string {
		cells := make([]string, callers+1)
		cells[l.Who] = l.Said
		return cells
	},
	"without": func(c *Scorecard) string { return list(Everything &^ c.Capabilities) },
	"list":    list,
	"add":     func(a, b int) int { return a + b },
}).Parse(page))

// WriteHTML writes the scorecards as one self-contained page. It returns the error of w.
func WriteHTML(w io.Writer, cards ...*Scorecard) error { return pageTemplate.Execute(w, cards) }

var reported struct {
	sync.Mutex
	cards []*Scorecard
}

// report writes the page again with one more scorecard. So the page exists even if a later
// test crashes.
func report(card *Scorecard) error {
	if *reportFile == "" {
		return nil
	}
	reported.Lock()
	defer reported.Unlock()
	reported.cards = append(reported.cards, card)
	f, err := os.Create(*reportFile)
	if err != nil {
		return err
	}
	if err := WriteHTML(f, reported.cards...); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// list returns the names of capabilities for people.
func list(c Capability) string {
	if c == 0 {
		return ""
	}
	return strings.ReplaceAll(c.String(), "|", ", ")
}

package conformance

import (
	_ "embed"
	"flag"
	"html/template"
	"io"
	"os"
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
	"without": func(c *Scorecard) Capability { return Everything &^ c.Capabilities },
	"add":     func(a, b int) int { return a + b },
}).Parse(page))

// WriteHTML writes the scorecards as one page that needs nothing else.
func WriteHTML(w io.Writer, cards ...*Scorecard) error { return pageTemplate.Execute(w, cards) }

var reported struct {
	sync.Mutex
	cards []*Scorecard
}

// report writes the page anew with one more scorecard, so that it is there also
// if a later test crashes.
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

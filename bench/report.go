package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
)

// A table is printed as Markdown, so that a terminal and the documentation show the same.
type table struct {
	head []string
	rows [][]string
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) String() string {
	width := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	write := func(row []string) {
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-len([]rune(cell)))
			if i == 0 {
				fmt.Fprintf(&b, "| %s%s ", cell, pad)
			} else {
				fmt.Fprintf(&b, "| %s%s ", pad, cell)
			}
		}
		b.WriteString("|\n")
	}
	write(t.head)
	for i := range t.head {
		if i == 0 {
			fmt.Fprintf(&b, "|%s", strings.Repeat("-", width[i]+2))
		} else {
			fmt.Fprintf(&b, "|%s:", strings.Repeat("-", width[i]+1))
		}
	}
	b.WriteString("|\n")
	for _, row := range t.rows {
		write(row)
	}
	return b.String()
}

// A section is the result of one part of the program. Its name is the name of the part, and of the
// marks in the documentation between which it is written.
type section struct {
	name string
	text strings.Builder
}

func (s *section) say(format string, args ...any) {
	fmt.Fprintf(&s.text, format+"\n\n", args...)
}

func (s *section) show(t *table) { fmt.Fprintf(&s.text, "%s\n", t) }

// A budget is a promise about speed: a figure of this run, and its upper or lower limit.
type budget struct {
	what     string
	measured float64
	limit    float64
	unit     string
	least    bool
}

func (b budget) holds() bool {
	if b.least {
		return b.measured >= b.limit
	}
	return b.measured <= b.limit
}

// bound returns the limit, and on which side of it the figure has to be.
func (b budget) bound() string {
	side := "at most "
	if b.least {
		side = "at least "
	}
	return side + number(b.limit) + b.unit
}

func (b budget) result() string {
	if b.holds() {
		return "holds"
	}
	return "**does not hold**"
}

func budgets(all []budget) *table {
	t := &table{head: []string{"budget", "is to be", "measured", ""}}
	for _, b := range all {
		t.row(b.what, b.bound(), number(b.measured)+b.unit, b.result())
	}
	return t
}

// record writes the sections between their marks in the file:
//
//	<!-- bench NAME -->
//	...
//	<!-- end NAME -->
//
// A section that has no marks there is an error: the documentation lacks a part.
func record(path string, sections []*section) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for _, s := range sections {
		before, after, err := around(path, text, s.name)
		if err != nil {
			return err
		}
		text = slices.Concat(before, []byte("\n"+s.text.String()), after)
	}
	return os.WriteFile(path, text, 0o666)
}

// around splits the text at the marks of a section.
func around(path string, text []byte, name string) (before, after []byte, err error) {
	first, last := fmt.Sprintf("<!-- bench %s -->\n", name), fmt.Sprintf("<!-- end %s -->", name)
	begin := bytes.Index(text, []byte(first))
	if begin < 0 {
		return nil, nil, fmt.Errorf("%s: no mark %q", path, strings.TrimSpace(first))
	}
	begin += len(first)
	end := bytes.Index(text[begin:], []byte(last))
	if end < 0 {
		return nil, nil, fmt.Errorf("%s: no mark %q after %q", path, last, strings.TrimSpace(first))
	}
	return text[:begin], text[begin+end:], nil
}

// marked reports whether the file has marks for all parts. Otherwise measurements would be lost.
func marked(path string, parts []part) error {
	text, err := os.ReadFile(path)
	for _, p := range parts {
		if err == nil {
			_, _, err = around(path, text, p.name)
		}
	}
	return err
}

package runner

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"

	"github.com/seed3893aba4/surestart/verify/internal/mutation"
	"github.com/seed3893aba4/surestart/verify/internal/variant"
)

//go:embed page.html.tmpl
var pageText string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"commas": func(n int) string { return commas(int64(n)) },
	"headed": headed,
	"caught": caughtBy,
	"tally":  tally,
	"bad":    mutation.Result.Bad,
	"missed": func(r string) bool { return r != Held },
}).Parse(pageText))

// page returns the report as one HTML file without references to other files.
func (r *Report) page() ([]byte, error) {
	data := struct {
		*Report
		Verdict string
		Columns []string // the layers that say something of a guarantee
		Drawn   []drawn  // the machines
		Words   []string // the versions' names, sorted
	}{Report: r, Verdict: r.verdict(), Words: slices.Sorted(maps.Keys(r.Versions))}
	for _, l := range r.Layers {
		if slices.ContainsFunc(r.Guarantees, func(g Guarantee) bool { _, ok := g.Evidence[l.Name]; return ok }) {
			data.Columns = append(data.Columns, l.Name)
		}
	}
	for _, p := range r.pictures {
		// The picture is from the repository. Inside the page it needs no XML header.
		if i := strings.Index(p.svg, "<svg"); i >= 0 {
			data.Drawn = append(data.Drawn, drawn{p.of, template.HTML(strings.ReplaceAll(p.svg[i:], ` xmlns:xlink="http://www.w3.org/1999/xlink"`, ""))})
		}
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, data); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// drawn is a picture on the page.
type drawn struct {
	Of  string
	SVG template.HTML
}

// caughtBy returns, in a line, which layers noticed a variant and what they named.
func caughtBy(all []variant.Catch) string {
	var by []string
	for _, c := range all {
		switch {
		case c.Result == variant.Caught && len(c.Guarantees) > 0:
			by = append(by, fmt.Sprintf("%s (%s)", c.Layer, strings.Join(c.Guarantees, " ")))
		case c.Result == variant.Caught:
			by = append(by, c.Layer)
		case c.Result != variant.Passed:
			by = append(by, c.Layer+" "+c.Result)
		}
	}
	return strings.Join(by, ", ")
}

// tally counts the results of the mutants by file.
func tally(all []mutation.Result) map[string]*mutation.Count {
	by := make(map[string]*mutation.Count)
	for _, r := range all {
		if by[r.File] == nil {
			by[r.File] = new(mutation.Count)
		}
		by[r.File].Add(r)
	}
	return by
}
